//! Every wait of a client, cancelled at random.

use std::collections::BTreeMap;
use std::hint::spin_loop;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use landline::{Client, Error};

use super::{brief, endless};
use crate::client::full_listener;
use crate::support::*;

/// The waits of a client.
const WAITS: [&str; 9] = [
    "look up",
    "connect",
    "tls",
    "handshake",
    "refusal",
    "back-off",
    "session",
    "flapping",
    "kept",
];

/// Waits are cancelled from another thread, each at a random moment: it ends, and what it leaves of
/// threads, descriptors and memory is nothing. `.ci/run cost` cancels thousands.
#[test]
fn waits_are_cancelled_at_random_moments() {
    const ROUNDS: u64 = if cfg!(debug_assertions) { 200 } else { 1000 };
    const BATCHES: u64 = 5;
    alone_within(Duration::from_secs(400), || {
        let servers = Servers::start();
        let cancel = |round: u64| {
            let wait = WAITS[(round % WAITS.len() as u64) as usize];
            // Most within the first milliseconds, where all is under way.
            let moment = Duration::from_micros(round.wrapping_mul(7919) % 4001);
            (wait, servers.cancel(wait, moment))
        };
        let mut ends = BTreeMap::new();
        let mut batch = |batch: u64| {
            let rounds = batch * ROUNDS / BATCHES..(batch + 1) * ROUNDS / BATCHES;
            for end in rounds.map(cancel) {
                *ends.entry(end).or_insert(0) += 1;
            }
        };
        batch(0);
        let asleep = || threads_named("landline-look").is_empty();
        settled("no look-up runs", asleep);
        let before = Resources::now();
        let grown: Vec<_> = (1..=BATCHES)
            .map(|number| {
                let memory = resident_kib();
                batch(number);
                settled("no look-up runs", asleep);
                resident_kib().saturating_sub(memory)
            })
            .collect();
        before.settle_back();
        println!("{ends:#?}, KiB more in each part: {grown:?}");
        // What is left behind is left behind each time; an allocator takes more only now and then.
        assert!(grown.iter().min() < Some(&100), "{grown:?}");
    });
}

/// Servers at which a client waits.
struct Servers {
    silent: TcpListener,
    full: (TcpListener, std::net::SocketAddr, Vec<std::net::TcpStream>),
    refusing: TestServer,
    echo: TestServer,
    flapping: TestServer,
}

impl Servers {
    fn start() -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = landline::Server::builder().on_request(|_| landline::Reply::new(503));
        let flapping = landline::Server::builder().on_upgrade(|ws, _| ws.close());
        Self {
            silent,
            full: full_listener(),
            refusing: TestServer::start(refusing),
            echo: TestServer::echo(),
            flapping: TestServer::start(flapping),
        }
    }

    /// Begins a wait, cancels it after a moment, and returns how it ended.
    fn cancel(&self, wait: &str, moment: Duration) -> &'static str {
        let client = Client::new();
        let silent = self.silent.local_addr().unwrap();
        let url = match wait {
            "look up" => format!("ws://localhost:{}", silent.port()),
            "connect" => format!("ws://{}", self.full.1),
            "tls" => format!("wss://{silent}"),
            "refusal" | "back-off" => self.refusing.url(),
            "session" | "kept" => self.echo.url(),
            "flapping" => self.flapping.url(),
            _ => format!("ws://{silent}"),
        };
        let (begun, begins) = mpsc::channel();
        let waiting = thread::spawn({
            let (client, wait) = (client.clone(), wait.to_owned());
            move || {
                begun.send(()).unwrap();
                wait_for_cancel(&client, &wait, &url)
            }
        });
        next(&begins);
        let until = Instant::now() + moment;
        while Instant::now() < until {
            spin_loop();
        }
        client.canceller().cancel();
        settled("the wait has ended", || waiting.is_finished());
        // Whoever waits in the queue of a listener that nobody accepts from is let go.
        self.silent.set_nonblocking(true).unwrap();
        while self.silent.accept().is_ok() {}
        waiting.join().unwrap()
    }
}

/// Waits in one of the ways, and returns what ended it.
fn wait_for_cancel(client: &Client, wait: &str, url: &str) -> &'static str {
    match wait {
        "back-off" => match client.sessions(url).backoff(endless()).next() {
            None => "cancelled",
            Some(session) => panic!("{session:?}"),
        },
        "session" | "flapping" => {
            for session in client.sessions(url).backoff(brief()) {
                let (ws, messages) = session.unwrap();
                let _ = ws.send("hello");
                messages.for_each(|message| drop(message.unwrap()));
            }
            "cancelled"
        }
        "kept" => match client.keep(url, |ws| ws.send("hello")) {
            Ok(kept) => match &*kept.wait().unwrap() {
                Error::Cancelled => "cancelled",
                error => panic!("{error}"),
            },
            Err(error) => panic!("{error}"),
        },
        _ => match client.open(url).map(drop) {
            Err(Error::Cancelled) => "cancelled",
            Err(Error::Refused(_)) if wait == "refusal" => "too late",
            other => panic!("{other:?}"),
        },
    }
}
