//! Faults that strace injects into a process.

use std::process::{Command, Stdio};

use super::Part;

/// Starts the test of that path to play a part, in a process in which a system call fails as said,
/// such as `accept4:error=EIO:when=4+`; it is counted for each thread. Without strace there is no
/// process.
#[track_caller]
pub(crate) fn start_failing(test: &str, part: &str, fault: &str) -> Option<Part> {
    if !has_strace() {
        println!("skipped, as strace cannot be used here: {test} with {fault}");
        return None;
    }
    let call = fault.split(':').next().unwrap();
    let (trace, inject) = (format!("trace={call}"), format!("inject={fault}"));
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null"];
    let told = ["--seccomp-bpf", "-e", &trace, "-e", &inject];
    Some(Part::start(test, part, &[&strace[..], &told].concat()))
}

fn has_strace() -> bool {
    let mut trial = Command::new("strace");
    let trial = trial.args(["-f", "-qq", "-o", "/dev/null", "--seccomp-bpf"]);
    let trial = trial.args(["-e", "trace=accept4", "true"]);
    let status = trial.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
