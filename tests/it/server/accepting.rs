//! What becomes of a server whose system calls fail.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use landline::{Config, Server};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt};
use rustix::process::{
    PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, getpid, getrlimit, pidfd_getfd, pidfd_open,
    setrlimit,
};

use crate::support::*;

/// The time for which the cost of a server is watched, and the most that it may cost in it.
const WATCH: Duration = ms(2_000);
const MOST: Duration = ms(100);

/// Returns the CPU time of the library's own threads: those that accept, and the background.
fn own_time() -> Duration {
    let own = ["landline-accept", "landline-backgr"].map(threads_named);
    own.iter().flatten().map(|thread| thread.cpu).sum()
}

/// Watches what it costs to be in trouble, and how many records it writes.
#[track_caller]
fn watch(trouble: &str, logger: &Logger) {
    let (time, records) = (own_time(), logger.so_far().len());
    pause(WATCH, "so long the trouble may cost little");
    let time = own_time() - time;
    let records = logger.so_far().split_off(records);
    println!(
        "{trouble}: {time:?} of {WATCH:?}, {} records",
        records.len()
    );
    assert!(time < MOST, "{trouble}: {time:?} of {WATCH:?}");
    assert!(records.len() < 50, "{trouble}: {:#?}", &records[..50]);
}

fn told<'a>(records: &'a [String], level: &str) -> Vec<&'a String> {
    let of_level = |record: &&String| record.starts_with(level);
    records.iter().filter(of_level).collect()
}

/// Knocks until the server has trouble: it has it before it has accepted the third.
fn knock_thrice(server: &Server) -> Vec<TcpStream> {
    let knocks = (0..3).map(|_| TcpStream::connect(server.local_addr()));
    // Where nobody listens any more, it has it already.
    knocks.map_while(Result::ok).collect()
}

/// Has a part played by processes with one fault each, a few at a time; the part is the fault's name.
#[track_caller]
fn start_each(test: &str, faults: &[(&str, String)]) {
    for some in faults.chunks(5) {
        let start = |(name, fault): &(&str, String)| start_failing(test, name, fault);
        let started: Vec<_> = some.iter().filter_map(start).collect();
        for part in started {
            part.finish().iter().for_each(|told| println!("{told}"));
        }
    }
}

/// Whatever accept fails with for ever: it costs nearly nothing, there is one warning, and the
/// connections that are open go on. What is about one newcomer is tried again at once, but not for
/// ever.
#[test]
fn accept_that_fails_for_ever_costs_nothing() {
    const TEST: &str = "server::accepting::accept_that_fails_for_ever_costs_nothing";
    let Some(part) = part() else {
        let errors = [
            // Of the process or the system, or of no known kind.
            "EMFILE",
            "ENFILE",
            "ENOBUFS",
            "ENOMEM",
            "EIO",
            "EFAULT",
            // Of one newcomer, as accept(2) lists them.
            "ECONNABORTED",
            "EPROTO",
            "ENETDOWN",
            "ENOPROTOOPT",
            "EHOSTDOWN",
            "ENONET",
            "EHOSTUNREACH",
            "EOPNOTSUPP",
            "ENETUNREACH",
            "EPERM",
            "ETIMEDOUT",
            // Not even that, and yet somebody knocks.
            "EINTR",
            "EAGAIN",
        ];
        let faults = errors.map(|error| (error, format!("accept4:error={error}:when=4+")));
        return start_each(TEST, &faults);
    };
    let logger = Logger::install(|_| {});
    let server = TestServer::echo();
    let probe = Probe::of(&server);
    let _knocking = knock_thrice(&server);
    settled("it has trouble", || {
        !told(&logger.so_far(), "WARN").is_empty()
    });
    watch(&part, logger);
    assert_eq!(told(&logger.so_far(), "WARN").len(), 1);
    assert!(told(&logger.so_far(), "INFO").is_empty());
    probe.keeps_up();
}

/// A listener that is dead ends the server: its connections are closed in the ordinary way, and who
/// waits for it is told the cause.
#[test]
fn dead_listener_ends_the_server() {
    const TEST: &str = "server::accepting::dead_listener_ends_the_server";
    let Some(part) = part() else {
        // EINVAL comes from a real socket in the next test: musl asks `accept` too if `accept4` has it.
        let faults = [(Errno::BADF, "EBADF"), (Errno::NOTSOCK, "ENOTSOCK")].map(|(cause, name)| {
            let fault = format!("accept4:error={name}:when=4+");
            (io::Error::from(cause).to_string(), fault)
        });
        return start_each(
            TEST,
            &faults
                .each_ref()
                .map(|(cause, fault)| (&**cause, fault.clone())),
        );
    };
    let logger = Logger::install(|_| {});
    let server = TestServer::echo();
    let mut open = RawPeer::client_of(&server);
    let _knocking = knock_thrice(&server);
    check_ended(&server, &mut open, &part);
    let records = logger.so_far();
    let told = told(&records, "ERROR");
    assert!(told.len() == 1 && told[0].contains(&part), "{records:#?}");
}

#[track_caller]
fn check_ended(server: &TestServer, open: &mut RawPeer, cause: &str) {
    assert_eq!(open.read_close(), Some(1001));
    open.send_close(1001, "");
    open.read_eof();
    for _ in 0..2 {
        let waiting = server.handle();
        let ended = in_time("the server ends", move || waiting.wait());
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
}

/// A listener that somebody shuts from outside is dead, also one of several.
#[test]
fn listener_shut_from_outside_ends_the_server() {
    alone(|| {
        for addresses in [&["127.0.0.1:0"][..], &["127.0.0.1:0", "127.0.0.2:0"]] {
            let addresses: Vec<SocketAddr> = addresses
                .iter()
                .map(|address| address.parse().unwrap())
                .collect();
            let server = Server::builder()
                .on_upgrade(|_, _| {})
                .bind(&addresses[..])
                .unwrap();
            let server = TestServer::of(server);
            let mut open = RawPeer::client_of(&server);
            shut_listener(server.local_addrs().last().unwrap().socket_addr().unwrap());
            check_ended(&server, &mut open, "Invalid argument");
        }
    });
}

/// Shuts this process's listener at that address, through a descriptor of its own.
#[track_caller]
fn shut_listener(address: SocketAddr) {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let all = (0..1_000).filter_map(|fd| pidfd_getfd(&own, fd, PidfdGetfdFlags::empty()).ok());
    let mut listeners = all.filter(|fd| sockopt::socket_acceptconn(fd).unwrap_or(false));
    let found = listeners.find(|fd| {
        let bound = rustix::net::getsockname(fd).unwrap();
        SocketAddr::try_from(bound).is_ok_and(|bound| bound == address)
    });
    shutdown(found.unwrap(), Shutdown::Both).unwrap();
}

/// A poll that fails for ever costs nearly nothing, is not taken for somebody who knocks, and keeps
/// nobody from being served or the server from stopping.
#[test]
fn poll_that_fails_for_ever_costs_nothing() {
    const TEST: &str = "server::accepting::poll_that_fails_for_ever_costs_nothing";
    let Some(part) = part() else {
        let faults = ["EINVAL", "ENOMEM", "EAGAIN"];
        let fault = |error| (error, format!("ppoll:error={error}:when=1+"));
        return start_each(TEST, &faults.map(fault));
    };
    let logger = Logger::install(|_| {});
    let server = TestServer::echo();
    let probe = Probe::of(&server);
    watch(&part, logger);
    let warnings = told(&logger.so_far(), "WARN").len();
    // One for each of the probe's two servers.
    assert!(warnings <= 2, "{warnings}");
    RawPeer::client_of(&server);
    probe.keeps_up();
    drop(probe);
    server.stop();
    let waiting = server.handle();
    in_time("the server stops", move || waiting.wait()).unwrap();
}

/// Where the process may not have a single descriptor, poll itself fails: that costs nearly nothing,
/// and the server is there again when it may.
#[test]
fn no_descriptor_may_be_had() {
    alone(|| {
        let logger = Logger::install(|_| {});
        let server = TestServer::echo();
        let probe = Probe::of(&server);
        let mut knocking = RawPeer::dial(&server);
        knocking.upgrade();
        let before = getrlimit(Resource::Nofile);
        let time = own_time();
        let none = Rlimit {
            current: Some(0),
            ..before
        };
        setrlimit(Resource::Nofile, none).unwrap();
        // Threads that sleep already would sleep on.
        knocking.send_close(1000, "");
        probe.keeps_up();
        let records = logger.so_far().len();
        pause(WATCH, "so long the trouble may cost little");
        let records = logger.so_far().len() - records;
        setrlimit(Resource::Nofile, before).unwrap();
        let time = own_time() - time;
        println!("{time:?} of {WATCH:?}, {records} records");
        assert!(time < 2 * MOST, "{time:?}");
        assert!(records < 50, "{records}");
        RawPeer::client_of(&server);
        probe.keeps_up();
    });
}

/// While no thread can be had, everybody gets 503 as promptly as anybody else does anything; there is
/// one warning, and one word when it is over.
#[test]
fn everybody_is_refused_while_there_are_no_threads() {
    const TEST: &str = "server::accepting::everybody_is_refused_while_there_are_no_threads";
    const MANY: usize = 100;
    let Some(_) = part() else {
        // Each C library starts threads by one of them.
        let fault = format!("clone,clone3:error=EAGAIN:when=5..{}", 4 + MANY);
        let Some(mut server) = start_failing(TEST, "server", &fault) else {
            return;
        };
        let address: SocketAddr = server.hear().parse().unwrap();
        let mut open: Vec<_> = (0..4).map(|_| RawPeer::connect_to(address)).collect();
        open.iter_mut().for_each(RawPeer::upgrade);
        let began = Instant::now();
        let mut refused: Vec<_> = (0..MANY).map(|_| RawPeer::connect_to(address)).collect();
        for raw in &mut refused {
            let head = raw.try_upgrade();
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        }
        let took = began.elapsed();
        println!("{MANY} were refused in {took:?}");
        assert!(took < ms(10_000), "{took:?}");
        RawPeer::connect_to(address).upgrade();
        RawPeer::connect_to(address).upgrade();
        for raw in &mut open {
            raw.send_text("still here");
            assert_eq!(raw.read_frame(), Frame::text("still here"));
        }
        let records = server.finish();
        assert_eq!(told(&records, "WARN").len(), 1, "{records:#?}");
        assert_eq!(told(&records, "INFO").len(), 1, "{records:#?}");
        assert!(records.len() < MANY / 2, "{records:#?}");
        return;
    };
    let logger = Logger::install(|_| {});
    let server = TestServer::echo();
    tell(&server.local_addr().to_string());
    until_released();
    logger.so_far().iter().for_each(|record| tell(record));
}

/// Refused connections get a moment, but few at once: whoever is refused holds no descriptors that
/// the served could have. Each is told 503.
#[test]
fn refused_connections_hold_few_descriptors() {
    alone(|| {
        const MANY: usize = 500;
        let builder = Server::builder()
            .max_connections(2)
            .config(Config::new())
            .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)));
        let server = TestServer::start(builder);
        let probe = Probe::of(&server);
        let _other = RawPeer::client_of(&server);
        let before = open_fds();
        let request = upgrade_request(server.local_addr());
        let ask = |_| RawPeer::asking(&server, &request);
        let mut refused: Vec<_> = (0..MANY).map(ask).collect();
        settled("all are refused", || {
            server.counters().refused >= MANY as u64
        });
        let held = open_fds().saturating_sub(before + MANY);
        for raw in &mut refused {
            let head = raw.read_head();
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            raw.read_eof();
        }
        println!("{MANY} refused connections held {held} descriptors");
        // The background may have begun only now.
        assert!(held <= 64 + 3, "{held} descriptors");
        probe.keeps_up();
    });
}
