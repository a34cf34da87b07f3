//! Callbacks: which of them hears what, on which thread, and what their results do.

use std::sync::mpsc::{self, Receiver, Sender};
use std::{io, thread};

use landline::{Client, CloseCode, Error, Message, Outcome, Server, WaitError, WebSocket};

use crate::support::opcode::*;
use crate::support::*;

/// Reports its end.
struct Tell(Sender<&'static str>, &'static str);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

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
