//! Waits for the end of a connection.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use landline::{Client, CloseCode, Config, RecvError, RecvTimeoutError, WaitError};

use crate::support::*;

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
    let (mut peer, ws, mut messages) = open_quiet();
    let waiter = waiting("waits-first", move || ws.wait_closed_timeout(PATIENCE));
    peer.send_close(1000, "");
    peer.send_fin();
    let _ = messages.recv();
    let end = waiter.join().unwrap().map(|event| event.code());
    assert_eq!(end, Ok(CloseCode::NORMAL));
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

/// `wait_closed` is an error where nobody reads any more, though somebody did: a thread that has
/// ended reads no longer.
#[test]
fn waiting_for_a_thread_that_has_ended_is_an_error() {
    let raw = RawServer::new();
    let (mut peer, ws, mut messages) = raw.meet_open(&Client::new());
    peer.send_text("once");
    let reading = thread::spawn(move || {
        messages.recv().unwrap();
        messages
    });
    let messages = reading.join().unwrap();
    let waiting = ws.clone();
    let outcome = in_time("the wait has ended", move || waiting.wait_closed());
    assert_eq!(outcome, Err(WaitError::WouldDeadlock));
    // What the peer says last is answered, so that the end takes no time.
    drop(peer);
    drop(messages);
}

/// `wait_closed` waits for as long as somebody reads, be it all the time or now and then.
#[test]
fn waiting_for_a_reader_has_no_end() {
    thread::scope(|scope| {
        for now_and_then in [false, true] {
            scope.spawn(move || wait_for_a_reader(now_and_then));
        }
    });
}

fn wait_for_a_reader(now_and_then: bool) {
    let (mut peer, ws, mut messages) = RawServer::new().meet_open(&Client::new());
    let reading = thread::spawn(move || {
        let wait = if now_and_then { ms(1) } else { PATIENCE };
        loop {
            match messages.recv_timeout(wait) {
                Err(RecvTimeoutError::Closed(event)) => return event,
                _ if now_and_then => pause(ms(500), "between two reads nobody reads"),
                _ => {}
            }
        }
    });
    let waiting = thread::spawn(move || ws.wait_closed());
    pause(ms(7_000), "longer than a wait goes on while nobody reads");
    assert!(!waiting.is_finished(), "{:?}", waiting.join());
    peer.send_close(4001, "");
    peer.send_fin();
    settled("both have ended", || {
        waiting.is_finished() && reading.is_finished()
    });
    assert_eq!(waiting.join().unwrap().unwrap(), reading.join().unwrap());
}

/// A thread that drops the last handle while it holds a lock that `on_close` takes waits for the
/// closing handshake only; `on_close` runs all the same.
#[test]
fn lock_that_on_close_takes_may_be_held() {
    let raw = RawServer::new();
    let client = Client::new().config(Config::new().close_timeout(PATIENCE * 2));
    let held = Arc::new(Mutex::new(()));
    let closes = Recorder::new();
    let (lock, sender) = (Arc::clone(&held), closes.sender());
    let (mut peer, ws) = raw.meet(&client, move |ws| {
        let (lock, sender) = (Arc::clone(&lock), sender.clone());
        ws.on_close(move |_, event| {
            drop(lock.lock());
            sender.send(event)
        });
    });
    let dropping = thread::spawn(move || {
        let guard = held.lock().unwrap();
        drop(ws);
        drop(guard);
    });
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    peer.send_fin();
    settled("the handle is dropped", || dropping.is_finished());
    dropping.join().unwrap();
    assert_eq!(closes.next().code(), CloseCode::NORMAL);
}

fn patient() -> Client {
    Client::new().config(Config::new().close_timeout(2 * PATIENCE))
}

/// `wait_closed` is an error where it could never return: nobody has read yet, or nobody reads any more.
#[test]
fn wait_that_could_never_end_is_an_error() {
    at_once([false, true], |has_read| {
        let raw = RawServer::new();
        let (mut peer, ws, mut messages) = raw.meet_open(&patient());
        if has_read {
            let nothing = messages.recv_timeout(ms(1)).unwrap_err();
            assert_eq!(nothing, RecvTimeoutError::Timeout);
        }
        assert_eq!(ws.wait_closed().unwrap_err(), WaitError::WouldDeadlock);
        peer.send_close(4001, "");
        peer.send_fin();
        let RecvError(event) = messages.recv().unwrap_err();
        assert_eq!(event.code(), CloseCode::from(4001));
        assert_eq!(ws.wait_closed().unwrap(), event);
        assert_eq!(messages.recv(), Err(RecvError(event)));
    });
}
