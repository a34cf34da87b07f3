//! A process that forks without exec: the child has a copy of all memory, and of no other thread.

use std::process;
use std::thread;
use std::time::Duration;

use fork::{Fork, fork};
use landline::{Client, Config, Error, Messages, Server, Timeout, WebSocket};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::support::*;

/// Forks, has the child do this with what both have, and waits until it has: it tells by its exit code
/// whether that returned true. Returns what the parent has.
#[track_caller]
fn in_child<T>(what: &str, both_have: T, run: impl FnOnce(T) -> bool) -> T {
    let child = match fork().unwrap() {
        Fork::Child => process::exit(if run(both_have) { 0 } else { 1 }),
        Fork::Parent(child) => Child(Pid::from_raw(child).unwrap()),
    };
    settled(&format!("the child {what}"), || {
        let ended = waitpid(Some(child.0), WaitOptions::NOHANG).unwrap();
        let Some((_, status)) = ended else {
            return false;
        };
        assert_eq!(
            status.exit_status(),
            Some(0),
            "the child {what}: {status:?}"
        );
        true
    });
    both_have
}

/// A child, which is not to outlive a test that fails.
struct Child(Pid);

impl Drop for Child {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

fn lively() -> Config {
    Config::new()
        .ping_interval(ms(100))
        .ping_timeout(ms(200))
        .close_timeout(ms(200))
        .handshake_timeout(PATIENCE)
}

/// In the child every deadline is kept, though its parent has a connection: of silence, of a Close that
/// nobody answers, of a handshake.
#[test]
fn child_keeps_the_time() {
    alone(|| {
        let raw = RawServer::new();
        let kept = raw.meet_open(&Client::new());
        let url = raw.url();
        thread::scope(|scope| {
            scope.spawn(|| {
                let silent = [raw.upgrade_with(&[]), raw.upgrade_with(&[]), raw.accept()];
                // They stay until the child has ended them.
                let _ends = silent.map(|mut peer| peer.read_end());
            });
            in_child("keeps the time", (), |()| {
                let client = Client::new().config(lively());
                let (_ws, mut messages) = client.open(&url).unwrap();
                let silence = messages.recv().unwrap_err().0.timeout();
                let (_ws, messages) = client.open(&url).unwrap();
                let unanswered = messages.close().timeout();
                let hasty = Client::new().config(lively().handshake_timeout(ms(500)));
                let handshake = hasty.open(&url).err();
                silence == Some(Timeout::Pong)
                    && unanswered == Some(Timeout::Close)
                    && matches!(handshake, Some(Error::Timeout(Timeout::Handshake)))
            });
        });
        drop(kept);
    });
}

/// All that a process may have of its connections.
struct Ends {
    ws: WebSocket,
    messages: Messages,
    called_back: WebSocket,
    server: Server,
    served: WebSocket,
}

/// Whatever the child does with what its parent has open, but for sending, nothing is written, nothing is
/// read and nothing ends, and the child waits for nothing. What it sends is written, and the documentation
/// says that it must not.
#[test]
fn child_leaves_the_parents_connections_alone() {
    let deeds: [(&str, fn(Ends)); 6] = [
        ("drops them", drop),
        ("leaves a message unfinished", |ends| {
            for ws in [&ends.ws, &ends.called_back, &ends.served] {
                drop(ws.text_writer().unwrap());
            }
        }),
        ("closes", |ends| {
            for ws in [&ends.ws, &ends.called_back, &ends.served] {
                ws.close();
            }
            ends.messages.close();
        }),
        ("aborts", |ends| {
            for ws in [&ends.ws, &ends.called_back, &ends.served] {
                ws.abort();
            }
        }),
        ("reads", |mut ends| {
            ends.messages.recv().unwrap_err();
        }),
        ("stops", |ends| ends.server.stop_within(Duration::ZERO)),
    ];
    alone(|| {
        for (what, deed) in deeds {
            let raw = RawServer::new();
            let quiet = Config::new().ping_interval(None);
            let client = Client::new().config(quiet.clone());
            let (mut pulled, ws, messages) = raw.meet_open(&client);
            let (mut called, called_back) = raw.meet(&client, |_| {});
            let met = Meeting::of(Role::Server, quiet, |_| {});
            let (mut asked, server) = (met.peer, met.server.unwrap());
            pulled.send_text("for the parent");
            let ends = Ends {
                ws,
                messages,
                called_back,
                server: server.handle(),
                served: met.ws,
            };
            let mut ends = in_child(what, ends, |ends| {
                deed(ends);
                true
            });
            for (peer, ws) in [
                (&mut pulled, &ends.ws),
                (&mut called, &ends.called_back),
                (&mut asked, &ends.served),
            ] {
                ws.send("parent").unwrap();
                assert_eq!(peer.read_frame(), Frame::text("parent"), "the child {what}");
            }
            let message = ends.messages.recv().unwrap();
            assert_eq!(
                message.as_text(),
                Some("for the parent"),
                "the child {what}"
            );
            // Who waits for them goes first.
            drop((pulled, called, asked));
        }
    });
}
