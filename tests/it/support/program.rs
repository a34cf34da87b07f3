//! Other people's servers, as programs that run beside a test.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::settled;

/// A program that runs, in a folder of its own; it ends when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl Program {
    /// Starts a program that listens. In its settings PORT stands for its port, and FOLDER for its
    /// folder; `start` makes the command of the folder, the file of the settings, and the port.
    #[track_caller]
    pub(crate) fn start(settings: &str, start: impl Fn(&Path, &Path, u16) -> Command) -> Self {
        // Somebody else may take the port first.
        (0..5)
            .find_map(|_| Self::try_start(settings, &start))
            .expect("the program does not start")
    }

    fn try_start(settings: &str, start: &impl Fn(&Path, &Path, u16) -> Command) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = std::env::temp_dir().join(format!("landline-program-{}", address.port()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("settings");
        let settings = settings
            .replace("PORT", &address.port().to_string())
            .replace("FOLDER", &folder.display().to_string());
        fs::write(&file, settings).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = start(&folder, &file, address.port())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut program = Self {
            child,
            address,
            folder,
        };
        let mut ended = false;
        settled("the program accepts, or has ended", || {
            ended = program.child.try_wait().unwrap().is_some();
            ended || TcpStream::connect(address).is_ok()
        });
        if ended {
            let log = fs::read_to_string(program.folder.join("log"));
            println!("{}", log.unwrap_or_default());
            return None;
        }
        Some(program)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Not by SIGKILL: it has children of its own to end.
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
