//! Helpers: servers that stop on drop, raw peers, waits under a deadline, counts of the process.

mod asking;
mod control;
mod events;
mod exchange;
mod folder;
#[cfg(all(feature = "tls", target_os = "linux"))]
pub(crate) mod keys;
mod logger;
mod meeting;
mod own_socket;
mod parts;
mod peer;
mod plain;
mod probe;
mod process;
#[cfg(unix)]
mod program;
mod pulled;
mod raw;
mod segments;
mod server;
mod settings;
mod strace;
#[cfg(feature = "tls")]
mod tls;
mod ways;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::asking::{ask, found, redirect, refusal_of, refused, request_of, values};
pub(crate) use self::control::{Control, unless_stalled};
pub(crate) use self::events::{Event, Recorder, closed_once, next};
pub(crate) use self::exchange::{PACES, Pace, PlainReply, exchange};
pub(crate) use self::folder::{Folder, temp_dir};
pub(crate) use self::logger::Logger;
pub(crate) use self::meeting::{Meeting, ROLES, Role, open_quiet};
pub(crate) use self::own_socket::own_socket;
pub(crate) use self::parts::{Part, part, tell, until_released};
pub(crate) use self::peer::Peer;
pub(crate) use self::plain::{fetch, greeting, knock, refusal};
pub(crate) use self::probe::Probe;
pub(crate) use self::process::alone_with;
pub(crate) use self::process::{
    Resources, alone, alone_within, open_fds, resident_kib, settle_asleep, settle_asleep_unless,
    threads, threads_named,
};
#[cfg(unix)]
pub(crate) use self::process::{addressable, cpu_time};
#[cfg(unix)]
pub(crate) use self::program::Program;
pub(crate) use self::pulled::Pulled;
pub(crate) use self::raw::{
    End, Frame, RawPeer, RawServer, SWITCHING, dead_port, field, free_address, opcode,
    upgrade_request, with_accept_key,
};
pub(crate) use self::server::{TestServer, tcp_addr};
pub(crate) use self::settings::{deep, patient, quiet};
pub(crate) use self::strace::start_failing;
#[cfg(feature = "tls")]
pub(crate) use self::tls::{
    Authority, CONNECTOR, Certificate, LOCAL, TRUSTED, TlsEnd, TlsMeeting, TlsPeer, acceptor,
    connect_error, engines, params, secure, secure_echo, secure_url, trust, trusting, trusting_by,
};
pub(crate) use self::ways::{
    ALL_WAYS, AnyMeeting, AnyPeer, HANG_UPS, HangUp, WAYS, Way, meet_open,
};

/// The time that an event may take: machines stall, and a test that fails for that proves nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a duration of milliseconds.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Lets time pass where time itself is what a test is about, and says why; whatever is announced is
/// waited for by [`settled`] or [`next`].
pub(crate) fn pause(time: Duration, _why: &str) {
    thread::sleep(time);
}

/// Calls again what was interrupted. A process that is stopped and goes on finds its waits with a time
/// limit interrupted (signal(7)), also where it handles no signal: that is no end of a connection.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Waits until a value does not change any more.
#[track_caller]
pub(crate) fn at_rest<T: PartialEq>(what: &str, mut value: impl FnMut() -> T) {
    let (mut before, mut same) = (value(), 0);
    settled(what, || {
        let now = value();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        same == 10
    });
}

/// Waits until a condition holds that nothing announces, and fails if it never does.
#[track_caller]
pub(crate) fn settled(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(ms(5));
    }
}

/// Checks all cases at the same time, where what they take is mostly waiting.
#[track_caller]
pub(crate) fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            let check = &check;
            scope.spawn(move || check(case));
        }
    });
}

/// Runs something on a thread of its own that must come to its end, and returns what it returns.
#[track_caller]
pub(crate) fn in_time<R: Send + 'static>(
    what: &str,
    run: impl FnOnce() -> R + Send + 'static,
) -> R {
    let running = thread::spawn(run);
    settled(what, || running.is_finished());
    running.join().unwrap()
}
