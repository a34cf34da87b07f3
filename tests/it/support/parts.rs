//! Tests that need a second process with a part to play.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, io};

#[cfg(unix)]
use super::settled;
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};

/// Names the part that a process was started for.
const PART: &str = "LANDLINE_TEST_PART";

/// A run of the same test in a process of its own, ended when dropped.
pub(crate) struct Part {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdin: Option<ChildStdin>,
}

/// Returns the part that this process is to play, if it is to play one.
pub(crate) fn part() -> Option<String> {
    env::var(PART).ok()
}

/// Tells the other process something.
pub(crate) fn tell(what: &str) {
    println!("\n{SAID}{what}");
}

/// Waits until the other process lets this one end.
pub(crate) fn until_released() {
    let _ = io::stdin().lines().next();
}

/// The test harness speaks on the same line.
const SAID: &str = "part: ";

impl Part {
    /// Starts the test of that path to play a part, by way of another program if one is named.
    #[track_caller]
    pub(crate) fn start(test: &str, part: &str, by_way_of: &[&str]) -> Self {
        let own = env::current_exe().unwrap();
        let mut command = match by_way_of {
            [] => Command::new(own),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own);
                command
            }
        };
        command.args([
            test,
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "--include-ignored",
        ]);
        command
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdin = child.stdin.take();
        Self {
            child,
            lines,
            stdin,
        }
    }

    /// Waits for the next thing it tells.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        loop {
            let line = self
                .lines
                .next()
                .expect("the other process has ended")
                .unwrap();
            if let Some(said) = line.strip_prefix(SAID) {
                return said.to_owned();
            }
        }
    }

    /// Stops it as a terminal would, and waits until it is.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let status = format!("/proc/{}/status", self.child.id());
        settled("it is stopped", || {
            std::fs::read_to_string(&status)
                .unwrap()
                .contains("State:\tT")
        });
    }

    /// Lets it go on.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it, and asserts that it had not ended by itself.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None);
    }

    /// Lets it end, asserts that it ends well, and returns what it told and nobody heard.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let lines = self.lines.by_ref().map_while(Result::ok);
        let said = lines.filter_map(|line| Some(line.strip_prefix(SAID)?.to_owned()));
        let said = said.collect();
        assert!(self.child.wait().unwrap().success());
        said
    }

    /// Lets it end, and asserts that it ends well.
    #[track_caller]
    pub(crate) fn release(mut self) {
        drop(self.stdin.take());
        // What it says last would otherwise find no reader.
        self.lines.by_ref().for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
