//! Messages that are sent in one call.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use landline::{Config, WebSocket};

use crate::support::*;

/// What an iterator has given leaves while `send_all` waits for the next, also for one that never
/// gives it before the peer has answered.
#[test]
fn send_all_holds_nothing_back_for_a_slow_iterator() {
    for role in ROLES {
        let (answer, answers) = mpsc::channel();
        let mut met = Meeting::of(role, Config::new(), move |ws| {
            let answer = answer.clone();
            ws.on_text(move |_, text| answer.send(text));
        });
        let ws = met.ws.clone();
        let sending = thread::spawn(move || {
            let questions = (0..20).inspect(|number| {
                if *number > 0 {
                    next(&answers);
                }
            });
            ws.send_all(questions.map(|number| number.to_string()))
        });
        for number in 0..20 {
            assert_eq!(met.peer.read_frame(), Frame::text(&number.to_string()));
            met.peer.send_text("go on");
        }
        settled("all is sent", || sending.is_finished());
        sending.join().unwrap().unwrap();
    }
}

/// The same in a callback, while more input is at hand, and to another connection as well.
#[test]
fn send_all_in_a_callback_holds_nothing_back_either() {
    for role in ROLES {
        let mut other = Meeting::of(role, Config::new(), |_| {});
        let (go_on, gone_on) = mpsc::channel();
        let (gone_on, there) = (Arc::new(Mutex::new(gone_on)), other.ws.clone());
        let mut met = Meeting::of(role, Config::new(), move |ws| {
            let (gone_on, there) = (Arc::clone(&gone_on), there.clone());
            ws.on_text(move |ws, _| {
                for ws in [ws, &there] {
                    let words = ["one", "two", "three"].into_iter();
                    ws.send_all(words.inspect(|_| next(&gone_on.lock().unwrap())))
                        .unwrap();
                }
            });
        });
        let burst = met.peer.encode(&Frame::text("begin")).repeat(2);
        met.peer.send_bytes(burst);
        for _ in 0..2 {
            for peer in [&mut met.peer, &mut other.peer] {
                for word in ["one", "two", "three"] {
                    go_on.send(()).unwrap();
                    assert_eq!(peer.read_frame(), Frame::text(word));
                }
            }
        }
    }
}

/// An iterator may read the very connection that its messages go to.
#[test]
fn send_all_may_be_fed_by_its_own_connection() {
    for role in ROLES {
        let mut met = Pulled::new(role, Config::new());
        let ws: WebSocket = met.ws.clone();
        let echoing = thread::spawn(move || {
            let texts = std::iter::from_fn(|| met.messages.recv().ok());
            ws.send_all(texts)
        });
        for number in 0..20 {
            met.peer.send_text(&number.to_string());
            assert_eq!(met.peer.read_frame(), Frame::text(&number.to_string()));
        }
        met.peer.send_close(1000, "");
        met.peer.send_fin();
        settled("it has ended", || echoing.is_finished());
        echoing.join().unwrap().unwrap();
    }
}

/// A batch leaves in its order, and an empty one is nothing.
#[test]
fn batches_leave_in_order() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        met.ws.send_all(Vec::<&str>::new()).unwrap();
        met.ws.send_all((0..3000).map(|i| i.to_string())).unwrap();
        for i in 0..3000 {
            assert_eq!(met.peer.read_frame(), Frame::text(&i.to_string()));
        }
    }
}

/// An iterator that panics takes nothing with it that it has given before.
#[test]
fn batch_cut_by_a_panic_still_leaves() {
    let mut met = Meeting::of(Role::Server, quiet(), |_| {});
    let ws = met.ws.clone();
    let sending = thread::spawn(move || {
        let batch = ["one", "two", "panic"].into_iter();
        ws.send_all(batch.map(|word| {
            if word == "panic" {
                panic!("on purpose")
            } else {
                word
            }
        }))
    });
    sending.join().unwrap_err();
    assert_eq!(met.peer.read_frame(), Frame::text("one"));
    assert_eq!(met.peer.read_frame(), Frame::text("two"));
}
