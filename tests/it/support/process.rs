//! What the process uses, and tests that need a process of their own.

use std::any::type_name;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::settled;

/// A thread of this process.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) name: String,
    /// How often it has gone to sleep of its own accord.
    pub(crate) sleeps: u64,
    /// Whether it sleeps.
    pub(crate) asleep: bool,
    /// The time for which it has run.
    pub(crate) cpu: Duration,
}

/// Returns so many connections, or as many as a 32-bit process has address space for: each has a thread.
pub(crate) const fn addressable(connections: usize) -> usize {
    if cfg!(target_pointer_width = "32") && connections > 300 {
        return 300;
    }
    connections
}

/// Returns the threads of this process.
pub(crate) fn threads() -> Vec<Thread> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while it is looked at.
    tasks
        .filter_map(|task| Thread::of(&task.ok()?.path()))
        .collect()
}

/// Returns the threads whose name begins like this; the system keeps 15 bytes of a name.
pub(crate) fn threads_named(prefix: &str) -> Vec<Thread> {
    threads()
        .into_iter()
        .filter(|thread| thread.name.starts_with(prefix))
        .collect()
}

/// Waits until the threads whose name begins like this have gone to sleep and stay so: in a process of
/// its own that is when they wait for something.
#[track_caller]
pub(crate) fn settle_asleep(prefix: &str) {
    settle_asleep_unless(prefix, || false);
}

/// Waits likewise, or until they need not wait. Returns whether they wait.
#[track_caller]
pub(crate) fn settle_asleep_unless(prefix: &str, is_over: impl Fn() -> bool) -> bool {
    let mut before = None;
    let mut waits = false;
    settled(&format!("{prefix} waits"), || {
        let threads = threads_named(prefix);
        let asleep = !threads.is_empty() && threads.iter().all(|thread| thread.asleep);
        let sleeps = threads.iter().map(|thread| thread.sleeps).sum::<u64>();
        waits = asleep && before.replace(sleeps) == Some(sleeps);
        waits || is_over()
    });
    waits
}

impl Thread {
    fn of(task: &Path) -> Option<Self> {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let schedstat = fs::read_to_string(task.join("schedstat")).ok()?;
        Some(Self {
            name: field(&status, "Name")?.into(),
            sleeps: field(&status, "voluntary_ctxt_switches")?.parse().ok()?,
            asleep: field(&status, "State")?.starts_with('S'),
            cpu: Duration::from_nanos(schedstat.split_whitespace().next()?.parse().ok()?),
        })
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = status.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(field, _)| *field == name)
        .map(|(_, value)| value.trim())
}

/// Counts the descriptors of this process.
pub(crate) fn open_fds() -> usize {
    // One of them is the directory that is read.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Returns the memory of its own that this process has in RAM, in KiB. Its code is not counted: the
/// system maps more of that as it pleases.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = field(&status, "RssAnon").unwrap();
    resident.trim_end_matches(" kB").parse().unwrap()
}

/// Returns the CPU time that this process has used, without needing a descriptor for it.
#[cfg(unix)]
pub(crate) fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

/// What the process used at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) threads: usize,
    pub(crate) fds: usize,
}

impl Resources {
    pub(crate) fn now() -> Self {
        Self {
            threads: threads().len(),
            fds: open_fds(),
        }
    }

    /// Waits until the process uses no more than this.
    #[track_caller]
    pub(crate) fn settle_back(self) {
        settled(&format!("back to {self:?}"), || {
            let now = Self::now();
            now.threads <= self.threads && now.fds <= self.fds
        });
    }
}

/// Names the test that the process was started for.
const ALONE: &str = "LANDLINE_TEST_ALONE";
/// The time that a test may take in its process: none takes long, but on a slow machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs the body of a test, which must be a closure in it, in a process of its own: tests run in
/// parallel, so only there what is counted or limited is the test's own.
#[track_caller]
pub(crate) fn alone<F: FnOnce()>(body: F) {
    alone_as(&[], LIMIT, body);
}

/// Does as [`alone`] does, for at most so long.
#[track_caller]
pub(crate) fn alone_within<F: FnOnce()>(limit: Duration, body: F) {
    alone_as(&[], limit, body);
}

/// Does as [`alone`] does, in an environment that has these variables too.
#[track_caller]
pub(crate) fn alone_with<F: FnOnce()>(variables: &[(&str, &Path)], body: F) {
    alone_as(variables, LIMIT, body);
}

#[track_caller]
fn alone_as<F: FnOnce()>(variables: &[(&str, &Path)], limit: Duration, body: F) {
    let name = test_name::<F>();
    if env::var(ALONE).is_ok_and(|alone| alone == name) {
        return body();
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            name,
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "--include-ignored",
        ])
        .env(ALONE, name)
        .envs(variables.iter().copied())
        // What is freed is given back to the system, not kept for the next.
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = [thread::spawn(|| read(out)), thread::spawn(|| read(err))];
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() >= deadline => break None,
            None => thread::sleep(super::ms(10)),
        }
    };
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let [out, err] = read.map(|thread| thread.join().unwrap());
    let passed = status.is_some_and(|status| status.success()) && out.contains("1 passed");
    let how = status.map_or("did not end in time".into(), |status| status.to_string());
    assert!(passed, "{name} in its own process: {how}\n{out}\n{err}");
    // What was measured is worth knowing.
    println!("{out}");
}

/// Returns the path of the test that a closure stands in, without the crate's name.
fn test_name<F>() -> &'static str {
    let path = type_name::<F>().split_once("::").unwrap().1;
    path.split("::{{closure}}").next().unwrap()
}

fn read(mut from: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
