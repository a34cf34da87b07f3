//! What the public API promises, call by call.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::num::ParseIntError;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use landline::{
    Client, CloseCode, CloseEvent, Config, Error, Message, Messages, Outcome, RecvError,
    RecvTimeoutError, SendErrorKind, Server, WaitError, WebSocket,
};

use crate::support::opcode::*;
use crate::support::*;

fn quiet() -> Config {
    Config::new().ping_interval(None)
}

/// Reports its end.
struct Tell(Sender<&'static str>, &'static str);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

// Callbacks

/// Each kind of message goes to the callback of its kind, and to `on_message` only where there is
/// none, also when that changes between two messages.
#[test]
fn each_message_goes_to_the_callback_of_its_kind() {
    for role in ROLES {
        let heard = Recorder::new();
        let (text, both) = (heard.sender(), heard.sender());
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let (text, both) = (text.clone(), both.clone());
            ws.on_text(move |_, payload| drop(text.send(format!("text {payload}"))));
            ws.on_message(move |_, message| drop(both.send(format!("message {message}"))));
        });
        met.peer.send_text("a");
        assert_eq!(heard.next(), "text a");
        met.peer.send(&Frame::new(BINARY, [1]));
        assert_eq!(heard.next(), "message 1 bytes [01]");
        let binary = heard.sender();
        met.ws
            .on_binary(move |_, bytes| drop(binary.send(format!("binary {}", bytes.len()))));
        met.peer.send(&Frame::new(BINARY, [1, 2]));
        assert_eq!(heard.next(), "binary 2");
    }
}

/// A message that no callback is set for is dropped, and what comes behind it is not.
#[test]
fn unheard_messages_are_dropped() {
    let (mut met, heard) = (Meeting::of(Role::Server, quiet(), |_| {}), Recorder::new());
    met.peer.send_text("nobody hears this");
    met.peer.send(&Frame::new(PING, "read so far"));
    assert_eq!(met.peer.read_frame(), Frame::new(PONG, "read so far"));
    heard.record_all(&met.ws);
    met.peer.send_text("this one is heard");
    let text = heard.find(|event| matches!(event, Event::Text(_)));
    assert_eq!(text, Event::Text("this one is heard".into()));
}

/// After `on_close` has returned every slot is emptied, and what is set later is dropped at once.
#[test]
fn slots_are_emptied_after_the_end() {
    for role in ROLES {
        let dropped = Recorder::new();
        let sender = dropped.sender();
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let tell = |name| Tell(sender.clone(), name);
            let (message, text, binary, ping) = (tell("m"), tell("t"), tell("b"), tell("p"));
            let (pong, error, close) = (tell("o"), tell("e"), tell("c"));
            ws.on_message(move |_, _| _ = &message);
            ws.on_text(move |_, _| _ = &text);
            ws.on_binary(move |_, _| _ = &binary);
            ws.on_ping(move |_, _| _ = &ping);
            ws.on_pong(move |_, _| _ = &pong);
            ws.on_error(move |_, _| _ = &error);
            ws.on_close(move |_, _| _ = close.0.send("on_close returns"));
        });
        met.peer.send_close(1000, "");
        met.peer.read_close();
        drop(met.peer);
        assert_eq!(dropped.next(), "on_close returns");
        let mut rest: Vec<_> = (0..7).map(|_| dropped.next()).collect();
        rest.sort_unstable();
        assert_eq!(rest, ["b", "c", "e", "m", "o", "p", "t"]);
        settled("the end", || met.ws.close_code().is_some());
        let late = Tell(dropped.sender(), "late");
        met.ws.on_close(move |_, _| _ = &late);
        assert_eq!(dropped.so_far(), ["late"]);
    }
}

/// A callback that is replaced from inside itself hears the current event to its end, its successor
/// the next one. The successor of `on_close` hears of the end as well, at once.
#[test]
fn callbacks_are_replaced_from_inside_themselves() {
    for role in ROLES {
        let heard = Recorder::new();
        let sender = heard.sender();
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let (first, close) = (sender.clone(), sender.clone());
            ws.on_text(move |ws, text| {
                let second = first.clone();
                ws.on_text(move |_, text| drop(second.send(format!("second {text}"))));
                let _ = first.send(format!("first {text}"));
            });
            ws.on_close(move |ws, _| {
                let late = close.clone();
                ws.on_close(move |_, _| drop(late.send("late close".into())));
                let _ = close.send("close".into());
            });
        });
        met.peer.send_text("a");
        met.peer.send_text("b");
        met.peer.send_close(1000, "");
        met.peer.read_close();
        drop(met.peer);
        settled("the end", || met.ws.close_code().is_some());
        assert_eq!(
            heard.so_far(),
            ["first a", "second b", "late close", "close"]
        );
    }
}

/// A callback may return nothing, any result whose error can be shown, an `Outcome`, or never.
#[test]
fn callbacks_return_what_is_at_hand() {
    let _all_of_these_compile = |ws: &WebSocket| {
        ws.on_text(|_, _| ());
        ws.on_text(|_, _| {});
        ws.on_text(|ws, text| ws.send(text));
        ws.on_text(|_, text| text.parse::<u8>().map(drop));
        ws.on_text(|_, _| -> Result<(), String> { Err("text".into()) });
        ws.on_text(|_, _| -> Result<(), Box<dyn std::error::Error>> { Ok(()) });
        ws.on_text(|_, _| -> Result<(), Box<dyn std::error::Error + Send + Sync>> { Ok(()) });
        ws.on_text(|_, _| -> Outcome { Ok(()) });
        ws.on_text(|ws, _| ws.close());
        ws.on_text(|ws, _| ws.close_with(4000, "enough"));
        ws.on_text(|ws, _| ws.ping("a"));
        ws.on_text(|_, _| std::process::exit(1));
        ws.on_message(|_, _| std::process::exit(1));
        ws.on_binary(|_, _| {
            loop {
                thread::park();
            }
        });
        ws.on_close(|_, event| println!("{event}"));
        ws.on_error(|_, error| Err::<(), Error>(error));
    };
    let _these_too = || Server::builder().on_upgrade(|_, _| std::process::exit(1));
    let _and_this = || landline::connect("ws://nowhere", |_| std::process::exit(1));
}

/// An error of a callback, whatever its kind, is told the peer by 1011, `on_error` with its text,
/// and `on_close` with 1011; nothing is delivered any more.
#[test]
fn failing_callback_closes_with_1011() {
    fn mixed(text: &str) -> Outcome {
        let number: i32 = text.parse()?;
        if number > 100 {
            Err(io::Error::other("too large"))?;
        }
        if number < 0 {
            Err("negative")?;
        }
        Ok(())
    }
    for role in ROLES {
        for (text, says) in [
            ("12x", "invalid digit"),
            ("101", "too large"),
            ("-1", "negative"),
        ] {
            let (mut met, events) = Meeting::recorded_with(role, quiet(), |ws| {
                ws.on_text(|_, text| mixed(&text));
            });
            let frames = ["7", text, "8"].map(|text| met.peer.encode(&Frame::text(text)));
            met.peer.send_bytes(
                [
                    &frames.concat()[..],
                    &met.peer.encode(&Frame::new(BINARY, "b")),
                ]
                .concat(),
            );
            assert_eq!(met.peer.read_close(), Some(1011));
            met.peer.send_close(1011, "");
            met.peer.send_fin();
            met.peer.read_eof();
            let Event::Error(error) = events.next() else {
                panic!("no error")
            };
            assert!(error.contains(says), "{error}");
            let event = closed_once(&events, &met.ws);
            assert_eq!(event.code(), CloseCode::INTERNAL_ERROR);
            assert_eq!(event.sent_code(), Some(CloseCode::INTERNAL_ERROR));
            assert!(event.is_clean());
        }
    }
}

/// An error of a callback while the connection is closing anyway is none: a `send` that found it
/// closed changes no code and is not told.
#[test]
fn failing_while_closing_is_no_failure() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded_with(role, quiet(), |ws| {
            ws.on_text(|ws, text| {
                ws.close_with(4001, "enough").unwrap();
                ws.send(text)
            });
        });
        met.peer.send_text("a");
        assert_eq!(met.peer.read_close(), Some(4001));
        met.peer.send_close(4001, "enough");
        met.peer.send_fin();
        met.peer.read_eof();
        let event = closed_once(&events, &met.ws);
        assert_eq!(
            (event.code(), event.reason()),
            (CloseCode::from(4001), "enough")
        );
        assert!(event.is_ordinary());
    }
}

/// Any method may be called from any callback: those that cannot work there return an error at
/// once.
#[test]
fn any_method_works_in_any_callback() {
    fn try_all(ws: &WebSocket) {
        let _ = (
            ws.id(),
            ws.peer_addr(),
            ws.local_addr(),
            ws.is_open(),
            ws.close_code(),
        );
        let _ = (ws.subprotocol(), format!("{ws:?}"), ws.clone() == *ws);
        let _ = (
            ws.send("a"),
            ws.try_send("a"),
            ws.send_all(["a", "b"]),
            ws.ping("a"),
        );
        assert_eq!(ws.wait_closed(), Err(WaitError::WouldDeadlock));
        assert_eq!(
            ws.wait_closed_timeout(PATIENCE),
            Err(WaitError::WouldDeadlock)
        );
        ws.on_ping(|_, _| ());
        ws.close();
        let _ = ws.close_with(4000, "again");
    }
    for role in ROLES {
        let called = Recorder::new();
        let sender = called.sender();
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let (text, close) = (sender.clone(), sender.clone());
            ws.on_text(move |ws, _| {
                try_all(ws);
                let _ = text.send("text");
            });
            ws.on_close(move |ws, _| {
                try_all(ws);
                let _ = close.send("close");
            });
        });
        met.peer.send_text("go");
        assert_eq!(called.next(), "text");
        met.peer.read_close();
        met.peer.send_close(1000, "");
        met.peer.send_fin();
        met.peer.read_end();
        assert_eq!(called.next(), "close");
    }
}

// Servers

/// A handler that returns closes with 1000, one that fails with 1011, and only the latter is told.
#[test]
fn serve_closes_as_its_handler_returns() {
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, mut messages, request| {
            told.lock().unwrap().record_all(&ws);
            let word = messages.recv()?;
            let number: u8 = word.as_text().unwrap_or_default().parse()?;
            ws.send(format!("{number} {}", request.path()))?;
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("7");
    assert_eq!(peer.read_frame(), Frame::text("7 /"));
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    peer.read_eof();
    let Event::Close(event) = events.lock().unwrap().next() else {
        panic!("not only on_close")
    };
    assert!(event.is_ordinary() && event.code() == CloseCode::NORMAL);

    let mut peer = RawPeer::client_of(&server);
    peer.send_text("seven");
    assert_eq!(peer.read_close(), Some(1011));
    peer.send_close(1011, "");
    peer.read_eof();
    let Event::Error(error) = events.lock().unwrap().next() else {
        panic!("no error")
    };
    assert!(error.contains("invalid digit"), "{error}");
    assert_eq!(
        events.lock().unwrap().next_close().code(),
        CloseCode::INTERNAL_ERROR
    );
}

/// A handler whose peer closed in order gets the end as `None`, and one whose peer was lost gets
/// `Err(Closed)`, which `?` hands on without a further failure being told.
#[test]
fn lost_peers_are_no_failures_of_a_handler() {
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, messages, _| {
            told.lock().unwrap().record_all(&ws);
            for message in messages {
                ws.send(message?)?;
            }
            Ok(())
        },
    ));
    for (ends, code) in [(true, 1000), (false, 1006)] {
        let mut peer = RawPeer::client_of(&server);
        peer.send_text("a");
        assert_eq!(peer.read_frame(), Frame::text("a"));
        if ends {
            peer.send_close(1000, "");
            assert_eq!(peer.read_close(), Some(1000));
        }
        drop(peer);
        let Event::Close(event) = events.lock().unwrap().next() else {
            panic!("not on_close")
        };
        assert_eq!(event.code(), code);
    }
}

/// The reading end may be moved to another thread, which goes on to the end of the connection
/// although the handler has returned: that began the end.
#[test]
fn served_reading_end_may_be_moved() {
    let (sender, receiver) = mpsc::channel();
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, mut messages, _| {
            told.lock().unwrap().record_all(&ws);
            let (begun, has_begun) = mpsc::channel();
            let heard = sender.clone();
            thread::spawn(move || {
                let _ = begun.send(messages.recv());
                messages.for_each(|message| drop(heard.send(message)));
            });
            let _ = next(&has_begun);
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("moved");
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_text("still delivered");
    assert_eq!(next(&receiver), Ok(Message::from("still delivered")));
    peer.send_close(1000, "");
    peer.read_eof();
    assert_eq!(
        events.lock().unwrap().next_close().code(),
        CloseCode::NORMAL
    );
    settled("the connection is off the server's list", || {
        server.connection_count() == 0
    });
}

/// A moved reading end that is dropped after the handler has returned ends the connection like any
/// other: the closing handshake is done and `on_close` runs.
#[test]
fn moved_reading_end_may_be_dropped() {
    let events = Arc::new(Mutex::new(Recorder::new()));
    let told = Arc::clone(&events);
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        move |ws, mut messages, _| {
            told.lock().unwrap().record_close(&ws);
            let (begun, has_begun) = mpsc::channel();
            thread::spawn(move || {
                let _ = begun.send(messages.recv());
                // The handler has returned when the server's Close has left.
                settled("the handler has returned", || !ws.is_open());
                drop(messages);
            });
            let _ = next(&has_begun);
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("moved");
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    assert_eq!(peer.read_end(), End::Eof);
    assert_eq!(
        events.lock().unwrap().next_close().code(),
        CloseCode::NORMAL
    );
}

/// A server knows its open connections, by handles that are equal to those of its callbacks.
#[test]
fn server_lists_its_connections() {
    let (sender, receiver) = mpsc::channel();
    let server = TestServer::with(quiet(), move |ws| drop(sender.send(ws.clone())));
    let peers: Vec<_> = (0..5).map(|_| RawPeer::client_of(&server)).collect();
    let handles: HashSet<_> = (0..5).map(|_| next(&receiver)).collect();
    assert_eq!(handles.len(), 5);
    assert_eq!(server.connection_count(), 5);
    assert_eq!(
        server.connections().into_iter().collect::<HashSet<_>>(),
        handles
    );
    let addresses: HashSet<_> = handles.iter().map(WebSocket::peer_addr).collect();
    let expected = peers
        .iter()
        .map(|peer| peer.stream.local_addr().unwrap().into())
        .collect();
    assert_eq!(addresses, expected);
    drop(peers);
    settled("nobody is left", || server.connection_count() == 0);
    assert_eq!(server.connections(), []);
}

/// Handles are equal and hash alike if they are of the same connection; ids are never given twice.
#[test]
fn handles_are_equal_by_connection() {
    let server = TestServer::echo();
    let (one, _reading_one) = landline::open(server.url()).unwrap();
    let (other, _reading_other) = landline::open(server.url()).unwrap();
    let hash = |ws: &WebSocket| {
        let mut hasher = DefaultHasher::new();
        ws.hash(&mut hasher);
        hasher.finish()
    };
    assert_eq!(one, one.clone());
    assert_eq!(hash(&one), hash(&one.clone()));
    assert_ne!(one, other);
    assert_ne!(one.id(), other.id());
    assert_eq!(one.peer_addr(), server.local_addr());
    settled("the server lists it by its other end", || {
        let at_server = server.connections().into_iter();
        at_server
            .map(|ws| ws.peer_addr())
            .any(|address| address == one.local_addr())
    });
    assert!(format!("{one:?}").contains(&one.id().to_string()));
}

/// A server needs exactly one handler and an address that is free.
#[test]
fn bind_reports_what_cannot_be_used() {
    let none = Server::builder().bind("127.0.0.1:0");
    assert!(matches!(none, Err(Error::Invalid(_))), "{none:?}");
    let two = Server::builder()
        .on_upgrade(|_, _| ())
        .serve(|_, _, _| Ok(()))
        .bind("127.0.0.1:0");
    assert!(matches!(two, Err(Error::Invalid(_))), "{two:?}");
    let twice = Server::builder()
        .on_upgrade(|_, _| ())
        .on_upgrade(|_, _| ())
        .bind("127.0.0.1:0");
    assert!(matches!(twice, Err(Error::Invalid(_))), "{twice:?}");
    let server = TestServer::echo();
    let taken = Server::builder()
        .on_upgrade(|_, _| ())
        .bind(server.local_addr());
    let Err(Error::Bind(error)) = taken else {
        panic!("{taken:?}")
    };
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    for nonsense in ["nonsense", "127.0.0.1", "127.0.0.1:99999"] {
        let bad = Server::builder().on_upgrade(|_, _| ()).bind(nonsense);
        assert!(matches!(bad, Err(Error::Bind(_))), "{nonsense}: {bad:?}");
    }
}

// Clients

/// A `set_up` that fails makes connecting fail with its error, and the server is told 1011.
#[test]
fn failing_set_up_fails_the_connect() {
    let raw = RawServer::new();
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let mut peer = raw.upgrade_with(&[]);
            let code = peer.read_close();
            peer.send_close(1011, "");
            code
        });
        let closed = Recorder::new();
        let failed = landline::connect(raw.url(), |ws| -> Result<(), ParseIntError> {
            closed.record_close(ws);
            "x".parse::<u8>().map(drop)
        });
        let Err(Error::Callback(text)) = failed else {
            panic!("{failed:?}")
        };
        assert!(text.contains("invalid digit"), "{text}");
        assert_eq!(served.join().unwrap(), Some(1011));
        assert_eq!(closed.next_close().code(), CloseCode::INTERNAL_ERROR);
    });
}

/// Nothing is read before `set_up` has returned: what comes meanwhile is delivered to what it sets.
#[test]
fn messages_wait_for_set_up() {
    let raw = RawServer::new();
    let heard = Recorder::new();
    thread::scope(|scope| {
        let (sent, was_sent) = mpsc::channel();
        let raw = &raw;
        let serving = scope.spawn(move || {
            let mut peer = raw.upgrade_with(&Frame::text("early").bytes(false));
            peer.send_text("later");
            sent.send(()).unwrap();
            peer
        });
        let ws = landline::connect(raw.url(), |ws| {
            next(&was_sent);
            heard.record_all(ws);
        });
        assert_eq!(heard.next(), Event::Text("early".into()));
        assert_eq!(heard.next(), Event::Text("later".into()));
        drop(serving.join().unwrap());
        drop(ws);
    });
}

// The reading end

/// What has come of a message when the time is over is kept, however often it is over, and nothing
/// that comes later is lost.
#[test]
fn timeouts_keep_what_has_come() {
    let (mut peer, ws, mut messages) = RawServer::new().meet_open(&Client::new().config(quiet()));
    let timeout = |messages: &mut Messages| {
        assert_eq!(messages.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        assert_eq!(messages.recv_timeout(ms(0)), Err(RecvTimeoutError::Timeout));
    };
    timeout(&mut messages);
    let long = "long ".repeat(20_000);
    for frame in [
        Frame::text("short"),
        Frame::text(&long),
        Frame::new(BINARY, [7; 300]),
    ] {
        let bytes = peer.encode(&frame);
        let cuts = [1, 2, bytes.len() / 2, bytes.len() - 1];
        let mut start = 0;
        for cut in cuts {
            peer.send_bytes(&bytes[start..cut]);
            start = cut;
            timeout(&mut messages);
        }
        peer.send_bytes(&bytes[start..]);
        let message = messages.recv_timeout(PATIENCE).unwrap();
        assert_eq!(message.as_bytes(), frame.payload);
    }
    peer.send(&Frame::text("frag").unfinished());
    timeout(&mut messages);
    peer.send(&Frame::new(PING, "between"));
    timeout(&mut messages);
    ws.send("usable").unwrap();
    let mut frames = [peer.read_frame(), peer.read_frame()];
    frames.sort_by_key(|frame| frame.opcode);
    assert_eq!(frames, [Frame::text("usable"), Frame::new(PONG, "between")]);
    peer.send(&Frame::new(CONTINUATION, "ment"));
    assert_eq!(messages.recv().unwrap(), Message::from("fragment"));
    drop(peer);
}

/// Iterating ends after 1000, 1001, no code, and a close that we began; any other end is one `Err`
/// first. `recv` tells the end each time.
#[test]
fn iteration_ends_after_ordinary_ends() {
    let close = |code: u16| Frame::new(CLOSE, code.to_be_bytes()).bytes(false);
    let unmasked_close = |code: Option<u16>| code.map_or(Frame::new(CLOSE, "").bytes(false), close);
    for (code, ordinary) in [
        (Some(1000), true),
        (Some(1001), true),
        (None, true),
        (Some(1002), false),
        (Some(1008), false),
        (Some(1011), false),
        (Some(1012), false),
        (Some(4000), false),
    ] {
        let (mut peer, _ws, mut messages) = meet();
        peer.send_text("a");
        peer.send_bytes(unmasked_close(code));
        peer.send_fin();
        assert_eq!(messages.next(), Some(Ok(Message::from("a"))));
        expect_end(&mut messages, ordinary, code.unwrap_or(1005));
    }
    let (peer, _ws, mut messages) = meet();
    drop(peer);
    expect_end(&mut messages, false, 1006);

    let (mut peer, ws, mut messages) = meet();
    ws.close_with(4000, "ours").unwrap();
    peer.send_text("late");
    peer.send_close(4000, "");
    peer.send_fin();
    assert_eq!(messages.next(), Some(Ok(Message::from("late"))));
    expect_end(&mut messages, true, 4000);

    let (mut peer, _ws, mut messages) = meet();
    peer.send_bytes([0x83, 0]);
    peer.send_fin();
    expect_end(&mut messages, false, 1002);
}

fn meet() -> (RawPeer, WebSocket, Messages) {
    RawServer::new().meet_open(&Client::new().config(quiet()))
}

#[track_caller]
fn expect_end(messages: &mut Messages, ordinary: bool, code: u16) {
    if !ordinary {
        let Some(Err(RecvError(event))) = messages.next() else {
            panic!("{code}: no error")
        };
        assert_eq!(event.code(), code);
    }
    assert_eq!(messages.next(), None, "{code}");
    assert_eq!(messages.next(), None, "{code}");
    for _ in 0..2 {
        let RecvError(event) = messages.recv().unwrap_err();
        assert_eq!(
            (event.code(), event.is_ordinary()),
            (CloseCode::from(code), ordinary)
        );
        let Err(RecvTimeoutError::Closed(again)) = messages.recv_timeout(PATIENCE) else {
            panic!()
        };
        assert_eq!(again, event);
    }
}

/// A failing callback of `recv` closes with 1011, and iterating says so: something went wrong here.
#[test]
fn failing_callback_is_not_an_ordinary_end() {
    let (mut peer, ws, mut messages) = meet();
    ws.on_ping(|_, _| Err::<(), _>("no pings, please"));
    peer.send(&Frame::new(PING, ""));
    peer.send_close(1011, "");
    peer.send_fin();
    expect_end(&mut messages, false, 1011);
}

/// `Messages::close` closes with 1000, discards what still comes, and tells the end.
#[test]
fn closing_the_reading_end_is_polite() {
    let (mut peer, ws, messages) = meet();
    let events = Recorder::new();
    events.record_all(&ws);
    ws.send("last words").unwrap();
    thread::scope(|scope| {
        let closing = scope.spawn(|| messages.close());
        assert_eq!(peer.read_frame(), Frame::text("last words"));
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_text("discarded");
        peer.send_close(1000, "");
        peer.send_fin();
        let event = closing.join().unwrap();
        assert!(event.is_clean() && event.code() == CloseCode::NORMAL);
    });
    assert!(closed_once(&events, &ws).is_clean());
    assert_eq!(events.so_far(), []);
}

/// `dispatch` runs every callback, on the calling thread.
#[test]
fn dispatch_calls_back_on_the_calling_thread() {
    let (mut peer, ws, messages) = meet();
    let (sender, receiver) = mpsc::channel();
    ws.on_text(move |_, text| drop(sender.send((thread::current().id(), text))));
    peer.send_text("a");
    peer.send_close(1000, "");
    peer.send_fin();
    assert_eq!(messages.dispatch().code(), CloseCode::NORMAL);
    assert_eq!(next(&receiver), (thread::current().id(), "a".into()));
}

/// When the reading end is dropped and then the last handle, the closing handshake is done and
/// `on_close` runs; what was sent goes first.
#[test]
fn dropping_both_ends_closes_in_order() {
    let (mut peer, ws, messages) = meet();
    let events = Recorder::new();
    events.record_all(&ws);
    drop(messages);
    ws.send("still works").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("still works"));
    thread::scope(|scope| {
        scope.spawn(|| {
            ws.send("last words").unwrap();
            drop(ws);
        });
        assert_eq!(peer.read_frame(), Frame::text("last words"));
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_close(1000, "");
        peer.send_fin();
        peer.read_eof();
    });
    assert!(events.next_close().is_clean());
}

/// A connection that is opened and dropped inside a callback of another does not wait for its
/// closing handshake, but what it has sent arrives.
#[test]
fn connection_dropped_in_a_callback_delivers() {
    let upstream = RawServer::new();
    let url = upstream.url();
    let mut met = Meeting::of(Role::Server, quiet(), move |ws| {
        let url = url.clone();
        ws.on_text(move |_, _| -> Outcome {
            let (upstream, _messages) = landline::open(&url)?;
            upstream.send_all((0..10).map(|_| vec![7; 100_000]))?;
            Ok(())
        });
    });
    met.peer.send_text("forward");
    let mut peer = upstream.upgrade_with(&[]);
    for _ in 0..10 {
        assert_eq!(peer.read_frame(), Frame::new(BINARY, vec![7; 100_000]));
    }
    assert_eq!(peer.read_close(), Some(1000));
}

// Ending

/// `wait_closed` returns the same event to every waiter, and to whoever asks later.
#[test]
fn every_waiter_gets_the_end() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| met.ws.wait_closed()))
                .collect();
            met.peer.send_close(4000, "enough");
            met.peer.read_close();
            met.peer.send_fin();
            let ends: Vec<_> = waiters
                .into_iter()
                .map(|waiter| waiter.join().unwrap())
                .collect();
            let event = closed_once(&events, &met.ws);
            assert_eq!(ends, vec![Ok(event.clone()); 3]);
            assert_eq!(met.ws.wait_closed(), Ok(event.clone()));
            assert_eq!(met.ws.wait_closed_timeout(ms(0)), Ok(event));
        });
    }
}

/// A wait returns only after `on_close` has returned.
#[test]
fn waiters_wait_for_on_close() {
    for role in ROLES {
        let (sender, receiver) = mpsc::channel();
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let sender = sender.clone();
            ws.on_close(move |ws, _| {
                assert_eq!(ws.close_code(), None);
                thread::yield_now();
                let _ = sender.send(());
            });
        });
        met.peer.send_close(1000, "");
        met.peer.read_close();
        drop(met.peer);
        met.ws.wait_closed().unwrap();
        receiver.try_recv().expect("on_close had not returned");
    }
}

/// A wait for a connection that does not end is over when its time is.
#[test]
fn waiting_has_its_time() {
    for role in ROLES {
        let met = Meeting::of(role, quiet(), |_| {});
        assert_eq!(met.ws.wait_closed_timeout(ms(1)), Err(WaitError::Timeout));
        assert!(met.ws.is_open());
    }
}

/// A callback may wait for another connection's end, with a time; without one it is told at once
/// that this could be for ever.
#[test]
fn callbacks_wait_for_others_only_with_a_time() {
    let mut other = Meeting::of(Role::Server, quiet(), |_| {});
    let ended = other.ws.clone();
    let results = Recorder::new();
    let sender = results.sender();
    let mut met = Meeting::of(Role::Server, quiet(), move |ws| {
        let (sender, other) = (sender.clone(), ended.clone());
        ws.on_text(move |_, _| {
            let _ = sender.send(other.wait_closed());
            let _ = sender.send(other.wait_closed_timeout(ms(1)));
            let _ = sender.send(other.wait_closed_timeout(PATIENCE));
            let _ = sender.send(other.wait_closed());
        });
    });
    met.peer.send_text("go");
    assert_eq!(results.next(), Err(WaitError::WouldDeadlock));
    assert_eq!(results.next(), Err(WaitError::Timeout));
    other.peer.send_close(1000, "");
    other.peer.read_close();
    assert_eq!(
        results.next().map(|event| event.code()),
        Ok(CloseCode::NORMAL)
    );
    assert!(results.next().is_ok(), "it has ended");
}

/// A thread may begin to wait for the end of an opened connection before the first `recv`: the
/// reading end is there, and whoever holds it is about to drive.
#[test]
fn waiting_may_begin_before_reading() {
    let (mut peer, ws, mut messages) = meet();
    let waiter = waiting("waits-first", move || ws.wait_closed_timeout(PATIENCE));
    peer.send_close(1000, "");
    peer.send_fin();
    let _ = messages.recv();
    let end = waiter.join().unwrap().map(|event| event.code());
    assert_eq!(end, Ok(CloseCode::NORMAL));
}

/// An opened connection whose reading end is dropped is read on: pings are answered, callbacks run,
/// and who waits for its end is told.
#[test]
fn connection_without_a_reading_end_is_read_on() {
    let (mut peer, ws, messages) = meet();
    let events = Recorder::new();
    events.record_all(&ws);
    drop(messages);
    peer.send_text("discarded");
    peer.send(&Frame::new(PING, "still there?"));
    assert_eq!(peer.read_frame(), Frame::new(PONG, "still there?"));
    assert_eq!(events.next(), Event::Ping("still there?".into()));
    ws.send("still here").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("still here"));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| ws.wait_closed());
        peer.send_close(1000, "");
        peer.send_fin();
        let end = waiter.join().unwrap().map(|event| event.code());
        assert_eq!(end, Ok(CloseCode::NORMAL));
    });
}

/// Runs a wait on a thread of that name, and returns once it waits or has returned.
fn waiting<R: Send + 'static>(
    name: &str,
    wait: impl FnOnce() -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let waiter = thread::Builder::new()
        .name(name.into())
        .spawn(wait)
        .unwrap();
    settled("the waiter waits", || {
        waiter.is_finished() || threads_named(name).iter().any(|thread| thread.sleeps > 0)
    });
    waiter
}

/// What may not be sent is refused, and nothing of it is on the wire.
#[test]
fn invalid_input_stays_off_the_wire() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let kind = |outcome: Result<(), landline::SendError>| outcome.unwrap_err().kind();
        for code in [
            0,
            1,
            999,
            1004,
            1005,
            1006,
            1015,
            1016,
            2999,
            5000,
            u16::MAX,
        ] {
            assert_eq!(
                kind(met.ws.close_with(code, "")),
                SendErrorKind::Invalid,
                "{code}"
            );
        }
        assert_eq!(
            kind(met.ws.close_with(1000, &"a".repeat(124))),
            SendErrorKind::Invalid
        );
        assert_eq!(
            kind(met.ws.close_with(1000, &"ä".repeat(62))),
            SendErrorKind::Invalid
        );
        assert_eq!(kind(met.ws.ping([0; 126])), SendErrorKind::Invalid);
        assert!(met.ws.is_open());
        met.ws.ping([7; 125]).unwrap();
        met.ws.send("the next frame").unwrap();
        let reason = "a".repeat(123);
        met.ws.close_with(4999, &reason).unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(PING, [7; 125]));
        assert_eq!(met.peer.read_frame(), Frame::text("the next frame"));
        let payload = [&4999_u16.to_be_bytes(), reason.as_bytes()].concat();
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, payload));
        assert_eq!(kind(met.ws.close_with(4000, "")), SendErrorKind::Closed);
        met.ws.close();
        met.peer.send_close(4999, "");
        met.peer.send_fin();
        met.peer.read_eof();
    }
}

/// `abort` cuts: both ends end with 1006, and only the one that did it names itself.
#[test]
fn abort_is_1006_at_both_ends() {
    let (sender, receiver) = mpsc::channel();
    let server = TestServer::with(quiet(), move |ws| {
        let events = Recorder::new();
        events.record_all(ws);
        let _ = sender.send((ws.clone(), events));
    });
    for by_client in [true, false] {
        let events = Recorder::new();
        let client = Client::new().config(quiet());
        let client = client
            .connect(server.url(), |ws| events.record_all(ws))
            .unwrap();
        let (served, served_events) = next(&receiver);
        if by_client {
            client.abort();
        } else {
            served.abort();
        }
        let here: CloseEvent = closed_once(&events, &client);
        let there = closed_once(&served_events, &served);
        for event in [&here, &there] {
            assert_eq!(event.code(), CloseCode::ABNORMAL);
            assert!(!event.is_clean() && event.sent_code().is_none());
        }
        let local = landline::Initiator::Local;
        assert_eq!(
            (here.initiator() == local, there.initiator() == local),
            (by_client, !by_client)
        );
        assert!(events.so_far().is_empty() && served_events.so_far().is_empty());
        assert_eq!(
            client.send("late").unwrap_err().kind(),
            SendErrorKind::Closed
        );
    }
}

/// Two threads that close at once agree with the wire: the code and the reason told at the end are
/// those of the Close that left.
#[test]
fn closing_twice_tells_the_close_that_left() {
    for _ in 0..100 {
        let (mut met, events) = Meeting::recorded(Role::Server, quiet());
        thread::scope(|scope| {
            for code in [4001, 4002] {
                let ws = &met.ws;
                scope.spawn(move || ws.close_with(code, &code.to_string()));
            }
        });
        let frame = met.peer.read_frame();
        met.peer.send(&frame);
        drop(met.peer);
        let event = closed_once(&events, &met.ws);
        assert_eq!(Some(event.code().as_u16()), frame.close_code());
        assert_eq!(event.reason().as_bytes(), &frame.payload[2..]);
    }
}

/// A channel that a callback fills outlives its connection by nothing: the receiver's loop ends.
#[test]
fn channels_filled_by_callbacks_end() {
    let (mut peer, ws) = {
        let raw = RawServer::new();
        raw.meet(&Client::new().config(quiet()), |_| {})
    };
    let (sender, receiver): (Sender<Message>, Receiver<Message>) = mpsc::channel();
    ws.on_message(move |_, message| sender.send(message));
    peer.send_text("a");
    peer.send_text("b");
    peer.send_close(1000, "");
    peer.send_fin();
    let all: Vec<_> = receiver.iter().collect();
    assert_eq!(all, [Message::from("a"), Message::from("b")]);
    assert_eq!(ws.wait_closed().unwrap().code(), CloseCode::NORMAL);
}
