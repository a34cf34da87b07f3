//! Every setting at its extremes: an error when binding or connecting, or a sane meaning.

use std::sync::mpsc;
use std::time::Duration;

use landline::{Client, Config, Error, Overflow, Server, TimeLimit};

use crate::support::*;

const NEVER: Duration = Duration::MAX;
const NO_TIME: Duration = Duration::ZERO;

/// Timeouts of zero that would cut everything, and limits whose Close may not be sent, are errors,
/// on both sides, and the error names them.
#[test]
fn senseless_timeouts_are_errors() {
    let close = |code, reason| TimeLimit::new(ms(1)).close_with(code, reason);
    let table = [
        ("idle_timeout", Config::new().idle_timeout(NO_TIME)),
        ("max_lifetime", Config::new().max_lifetime(NO_TIME)),
        ("1006", Config::new().idle_timeout(close(1006, ""))),
        ("1005", Config::new().max_lifetime(close(1005, ""))),
        ("stop_close", Config::new().stop_close(1005, "")),
        ("999", Config::new().max_lifetime(close(999, ""))),
        (
            "124",
            Config::new().idle_timeout(close(1001, &"x".repeat(124))),
        ),
        (
            "handshake_timeout",
            Config::new().handshake_timeout(NO_TIME),
        ),
        ("message_timeout", Config::new().message_timeout(NO_TIME)),
        ("write_timeout", Config::new().write_timeout(NO_TIME)),
        ("ping_interval", Config::new().ping_interval(NO_TIME)),
        ("ping_timeout", Config::new().ping_timeout(NO_TIME)),
    ];
    let server = TestServer::echo();
    for (name, config) in table {
        let client = Client::new().config(config.clone());
        let builder = Server::builder().config(config).on_upgrade(|_, _| ());
        let errors = [
            builder.bind("127.0.0.1:0").err(),
            client.open(server.url()).err(),
            client.connect(server.url(), |_| ()).err(),
        ];
        for error in errors {
            assert!(
                matches!(&error, Some(Error::Invalid(what)) if what.contains(name)),
                "{name}: {error:?}"
            );
        }
    }
    assert_eq!(server.connection_count(), 0);
}

/// Whatever else a setting says, two ends that have it can talk as far as it allows, and part cleanly.
#[test]
fn other_extremes_have_a_meaning() {
    const MOST: usize = usize::MAX;
    let table: [(&str, fn(Config) -> Config); 32] = [
        ("no close_timeout", |config| config.close_timeout(NO_TIME)),
        ("no stop_timeout", |config| config.stop_timeout(NO_TIME)),
        ("no pings", |config| config.ping_interval(None)),
        ("a ping a nanosecond", |config| {
            config.ping_interval(Duration::from_nanos(1))
        }),
        ("endless handshake_timeout", |config| {
            config.handshake_timeout(NEVER)
        }),
        ("endless message_timeout", |config| {
            config.message_timeout(NEVER)
        }),
        ("endless write_timeout", |config| {
            config.write_timeout(NEVER)
        }),
        ("endless ping_interval", |config| {
            config.ping_interval(NEVER)
        }),
        ("endless ping_timeout", |config| config.ping_timeout(NEVER)),
        ("endless close_timeout", |config| {
            config.close_timeout(NEVER)
        }),
        ("endless idle_timeout", |config| config.idle_timeout(NEVER)),
        ("endless max_lifetime", |config| config.max_lifetime(NEVER)),
        ("endless stop_timeout", |config| config.stop_timeout(NEVER)),
        ("one fragment", |config| config.max_fragments(0)),
        ("any fragments", |config| config.max_fragments(MOST)),
        ("any message", |config| config.max_message_size(MOST)),
        ("any frame", |config| config.max_frame_size(MOST)),
        ("no body", |config| config.max_body_size(0)),
        ("any body", |config| config.max_body_size(MOST)),
        ("no queue", |config| config.max_queue_bytes(0)),
        ("any queue", |config| config.max_queue_bytes(MOST)),
        ("no messages queued", |config| config.max_queue_messages(0)),
        ("any messages queued", |config| {
            config.max_queue_messages(MOST)
        }),
        ("no send buffer", |config| config.send_buffer(0)),
        ("any send buffer", |config| config.send_buffer(MOST)),
        ("nothing unsent", |config| config.tcp_notsent_lowat(0)),
        ("anything unsent", |config| config.tcp_notsent_lowat(MOST)),
        ("unsent as the system says", |config| {
            config.tcp_notsent_lowat(None)
        }),
        ("waits", |config| config.overflow(Overflow::Wait)),
        ("hands back", |config| config.overflow(Overflow::HandBack)),
        ("no message", |config| config.max_message_size(0)),
        ("no frame", |config| config.max_frame_size(0)),
    ];
    for (name, set) in table {
        let text = match name {
            "no message" | "no frame" => "",
            _ => "hello",
        };
        let server = TestServer::echo_with(set(Config::new()));
        let client = Client::new().config(set(Config::new()));
        let (ws, mut messages) = client.open(server.url()).unwrap();
        for _ in 0..3 {
            ws.send(text).unwrap();
            let echoed = messages.recv_timeout(PATIENCE).unwrap();
            assert_eq!(echoed, text.into(), "{name}");
        }
        let event = messages.close();
        assert!(
            event.is_clean() || name == "no close_timeout",
            "{name}: {event:?}"
        );
        server.stop_within(PATIENCE);
        assert!(server.wait().unwrap().stuck().is_empty(), "{name}");
    }
}

/// No timeout, however short, keeps the background busy, also while a callback runs and something is
/// half received, half written or half closed.
#[test]
#[cfg(unix)]
fn short_timeouts_spin_nothing() {
    alone(|| {
        let (begun, both_began) = mpsc::channel();
        let also = begun.clone();
        const MOMENT: Duration = Duration::from_nanos(1);
        let config = Config::new()
            .message_timeout(MOMENT)
            .ping_timeout(MOMENT)
            .close_timeout(NO_TIME)
            .ping_interval(ms(50));
        let mut met = Meeting::of(Role::Server, config.clone(), move |ws| {
            let begun = begun.clone();
            ws.on_text(move |ws, _| {
                ws.close();
                let _ = begun.send(());
                pause(ms(2000), "the callback outlasts what is measured");
            });
        });
        let half = met.peer.encode(&Frame::text("half").unfinished());
        let whole = met.peer.encode(&Frame::text("whole"));
        met.peer.send_bytes([whole, half].concat());
        // Another whose callback does not end, and that is not closing.
        let busy = Meeting::of(Role::Client, config, move |ws| {
            let begun = also.clone();
            ws.on_ping(move |_, _| {
                let _ = begun.send(());
                pause(ms(2000), "the callback outlasts what is measured");
            });
        });
        let mut peer = busy.peer;
        let half = peer.encode(&Frame::text("half").unfinished());
        peer.send_bytes([half, peer.encode(&Frame::new(opcode::PING, ""))].concat());
        (0..2).for_each(|_| next(&both_began));
        let before = cpu_time();
        pause(ms(1500), "so long it may keep nothing busy");
        let used = cpu_time() - before;
        println!("used {used:?} of 1.5 s");
        assert!(used < ms(150), "{used:?}");
    });
}
