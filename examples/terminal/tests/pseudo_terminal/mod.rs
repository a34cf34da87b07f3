//! A pseudo-terminal, and a program in it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// A pseudo-terminal with a program in it.
pub(crate) struct PseudoTerminal {
    child: Child,
    /// The keyboard and the screen.
    ours: File,
    /// The program's side, kept open so that its settings can be looked at.
    theirs: File,
    seen: Vec<u8>,
    modes: String,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl PseudoTerminal {
    #[track_caller]
    pub(crate) fn run(mut command: Command) -> Self {
        Self::run_with(&mut command, |_| ())
    }

    /// Runs a program of which not all ends are in the terminal: `redirect` says which are elsewhere.
    #[track_caller]
    pub(crate) fn run_with(command: &mut Command, redirect: impl FnOnce(&mut Command)) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name)
            .unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).unwrap();
        let side = || theirs.try_clone().unwrap();
        command.stdin(side()).stdout(side()).stderr(side());
        command.env("TERM", "xterm");
        redirect(command);
        let modes = modes(&theirs);
        Self {
            child: command.spawn().unwrap(),
            ours: ours.into(),
            theirs,
            seen: Vec::new(),
            modes,
        }
    }

    /// Presses keys.
    #[track_caller]
    pub(crate) fn write(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen, behind what was waited for before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            if let Some(at) = seen.find(text) {
                self.seen = seen.as_bytes()[at + text.len()..].to_vec();
                return;
            }
            assert!(
                Instant::now() < deadline,
                "never came: {text:?} in {seen:?}"
            );
            self.read();
        }
    }

    /// Waits until the program can write no more, as nothing is read.
    #[track_caller]
    pub(crate) fn await_full_screen(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut fds = [PollFd::new(&self.theirs, PollFlags::OUT)];
        while poll(&mut fds, Some(&Timespec::default())).unwrap() > 0 {
            assert!(Instant::now() < deadline, "the screen takes all");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the program has stopped.
    #[track_caller]
    pub(crate) fn await_stop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
        while waitpid(Some(self.pid()), options).unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not stop");
            self.read();
        }
    }

    /// Has a stopped program go on.
    #[track_caller]
    pub(crate) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Takes the terminal away, waits for the program's end, and returns its status.
    #[track_caller]
    pub(crate) fn hang_up(mut self) -> i32 {
        // Another file takes the place of the terminal, which closes.
        self.ours = File::open("/dev/null").unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads what comes, for a moment.
    fn read(&mut self) {
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        let mut fds = [PollFd::new(&self.ours, PollFlags::IN)];
        if poll(&mut fds, Some(&moment)).unwrap() > 0 {
            let mut buffer = [0; 4096];
            let length = self.ours.read(&mut buffer).unwrap();
            self.seen.extend_from_slice(&buffer[..length]);
        }
    }

    /// Waits for the program's end, and returns its status.
    #[track_caller]
    pub(crate) fn finish(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(
                    modes(&self.theirs),
                    self.modes,
                    "the terminal is not as it was"
                );
                return status.code().unwrap();
            }
            assert!(Instant::now() < deadline, "it does not end");
            self.read();
        }
    }
}

impl Drop for PseudoTerminal {
    fn drop(&mut self) {
        // It is still there if the test has failed.
        let _ = self.child.kill();
    }
}

fn modes(terminal: &File) -> String {
    let settings = tcgetattr(terminal).unwrap();
    format!("{:?} {:?}", settings.local_modes, settings.input_modes)
}
