//! Messages as a channel, and two ends in one process.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, TryRecvError, bounded, select, tick};
use landline::{CloseCode, Initiator, Message, Messages, Server, WaitError, WebSocket};

use crate::support::*;

/// Waits for the next message of a channel.
#[track_caller]
fn recv(messages: &Receiver<Message>) -> Message {
    messages.recv_timeout(PATIENCE).expect("no message came")
}

/// Expects that a channel is disconnected.
#[track_caller]
fn disconnected(messages: &Receiver<Message>) {
    let ended = messages.recv_timeout(PATIENCE);
    let expected = Err(crossbeam_channel::RecvTimeoutError::Disconnected);
    assert_eq!(ended, expected);
}

/// Makes a connection whose channel holds little, and fills it: its thread waits with a message more.
#[track_caller]
fn full(role: Role) -> (Pulled, WebSocket, Receiver<Message>) {
    let mut pulled = Pulled::new(role, patient());
    let ws = pulled.ws.clone();
    let messages = pulled.take_messages().into_receiver(2);
    (0..4).for_each(|number| pulled.peer.send_text(&number.to_string()));
    settled("it is full", || {
        ws.counters().messages_in >= 3 && messages.is_full()
    });
    (pulled, ws, messages)
}

/// Messages come in order, the end disconnects the channel behind them, and the handle tells how it
/// was; in both roles, whatever the channel holds.
#[test]
fn ends_come_behind_the_messages() {
    for role in ROLES {
        for capacity in [0, 1, 64] {
            let mut pulled = Pulled::new(role, quiet());
            let messages = pulled.take_messages().into_receiver(capacity);
            (0..10).for_each(|number| pulled.peer.send_text(&number.to_string()));
            pulled.peer.send_close(4001, "enough");
            for number in 0..10 {
                assert_eq!(recv(&messages).as_text(), Some(&*number.to_string()));
            }
            disconnected(&messages);
            let event = pulled.ws.close_event().unwrap();
            assert_eq!((event.code().as_u16(), event.reason()), (4001, "enough"));
        }
    }
}

/// A channel that is full slows the peer down, and what it has sent comes once there is room.
#[test]
fn full_channels_slow_the_peer_down() {
    let (mut pulled, ws, messages) = full(Role::Client);
    pulled.peer.send_close(1001, "");
    at_rest("nothing is read", || ws.counters().messages_in);
    assert_eq!((ws.counters().messages_in, ws.close_event()), (3, None));
    for number in 0..4 {
        assert_eq!(recv(&messages).as_text(), Some(&*number.to_string()));
    }
    disconnected(&messages);
    assert_eq!(ws.close_code(), Some(CloseCode::GOING_AWAY));
}

/// A cut ends the thread that waits for room, and what the channel holds is still received.
#[test]
fn cuts_end_full_channels() {
    for role in ROLES {
        let (_pulled, ws, messages) = full(role);
        ws.abort();
        let event = in_time("it ends", {
            let ws = ws.clone();
            move || ws.wait_closed().unwrap()
        });
        assert_eq!(event.code(), CloseCode::ABNORMAL);
        assert_eq!(recv(&messages).as_text(), Some("0"));
        assert_eq!(recv(&messages).as_text(), Some("1"));
        disconnected(&messages);
    }
}

/// So does the drop of the last handle of a client, in `close_timeout` at most: nobody would ever make
/// room.
#[test]
fn dropped_handles_end_full_channels() {
    let raw = RawServer::new();
    let client = landline::Client::new().config(quiet().close_timeout(ms(100)));
    let (mut peer, ws, messages) = raw.meet_open(&client);
    let messages = messages.into_receiver(1);
    (0..3).for_each(|_| peer.send_text("full"));
    settled("it is full", || ws.counters().messages_in >= 2);
    in_time("the drop returns", move || drop(ws));
    assert_eq!(peer.read_close(), Some(1000));
    assert_eq!(recv(&messages).as_text(), Some("full"));
    disconnected(&messages);
}

/// The handles alone keep a client: its channel does not.
#[test]
fn handles_alone_keep_the_connection() {
    let (mut peer, ws, messages) = open_quiet();
    let messages = messages.into_receiver(4);
    let other = ws.clone();
    drop(ws);
    peer.send_text("still");
    assert_eq!(recv(&messages).as_text(), Some("still"));
    thread::scope(|scope| {
        scope.spawn(|| drop(other));
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_close(1000, "");
    });
    disconnected(&messages);
}

/// A dropped receiver is noticed at the next message, and closes with 1000; while it waits for room,
/// at once.
#[test]
fn dropped_receivers_close_the_connection() {
    for role in ROLES {
        let mut pulled = Pulled::new(role, quiet());
        drop(pulled.take_messages().into_receiver(4));
        assert!(pulled.ws.is_open());
        pulled.peer.send_text("anybody?");
        assert_eq!(pulled.peer.read_close(), Some(1000));
        pulled.peer.send_close(1000, "");
        settled("it has ended", || pulled.ws.close_code().is_some());
        let event = pulled.ws.close_event().unwrap();
        assert_eq!(
            (event.initiator(), event.is_clean()),
            (Initiator::Local, true)
        );

        let (mut pulled, _ws, messages) = full(role);
        drop(messages);
        assert_eq!(pulled.peer.read_close(), Some(1000));
    }
}

/// A connection that has ended already gives a channel that is disconnected.
#[test]
fn ended_connections_give_a_disconnected_channel() {
    let (mut peer, ws, mut messages) = open_quiet();
    peer.send_close(1000, "");
    messages.recv().unwrap_err();
    assert!(ws.close_event().is_some());
    let messages = messages.into_receiver(1);
    assert_eq!(messages.try_recv(), Err(TryRecvError::Disconnected));
}

/// `select!` over a hundred connections, a ticker and a control channel at full speed: no message is
/// lost or out of order, and no thread is left.
#[test]
fn a_hundred_connections_are_selected_from() {
    const CONNECTIONS: usize = 100;
    const MESSAGES: usize = 300;
    alone(|| {
        let before = Resources::now();
        let server = Server::builder().serve(|ws, messages, _| {
            let numbers = (0..MESSAGES).map(|number| number.to_string());
            ws.send_all(numbers)?;
            messages.last();
            Ok(())
        });
        let server = TestServer::start(server);
        let open = |_| landline::open(server.url()).unwrap();
        let opened: Vec<_> = (0..CONNECTIONS).map(open).collect();
        let (handles, channels): (Vec<_>, Vec<_>) = opened
            .into_iter()
            .map(|(ws, messages)| (ws, messages.into_receiver(16)))
            .unzip();
        let (ticker, (stop, control)) = (tick(ms(1)), bounded::<()>(1));
        let mut select = Select::new();
        for channel in &channels {
            select.recv(channel);
        }
        let (ticking, controlling) = (select.recv(&ticker), select.recv(&control));
        let mut next = BTreeMap::from_iter((0..CONNECTIONS).map(|index| (index, 0)));
        let (mut came, mut ticks) = (0, 0);
        loop {
            let ready = select
                .select_timeout(PATIENCE)
                .expect("nothing came in time");
            match ready.index() {
                index if index == ticking => drop((ready.recv(&ticker).unwrap(), ticks += 1)),
                index if index == controlling => break ready.recv(&control).unwrap(),
                index => {
                    let message = ready.recv(&channels[index]).unwrap();
                    let expected = next.get_mut(&index).unwrap();
                    assert_eq!(message.as_text(), Some(&*expected.to_string()));
                    *expected += 1;
                    came += 1;
                    if came == CONNECTIONS * MESSAGES {
                        stop.send(()).unwrap();
                    }
                }
            }
        }
        assert!(ticks > 0);
        drop((handles, channels, server));
        before.settle_back();
    });
}

/// The two ends of a pair speak to each other, close in order, and leave nothing.
#[test]
fn pairs_are_connected() {
    alone(|| {
        drop(landline::pair().unwrap());
        // The thread that keeps the time may linger.
        let before = Resources::now();
        for _ in 0..50 {
            let ((client, heard), (server, messages)) = landline::pair().unwrap();
            let (heard, messages) = (heard.into_receiver(4), messages.into_receiver(4));
            client.send("to the server").unwrap();
            server.send(vec![7; 100_000]).unwrap();
            select! {
                recv(messages) -> message => assert_eq!(message.unwrap().as_text(), Some("to the server")),
                recv(tick(Duration::MAX)) -> _ => unreachable!(),
            }
            assert_eq!(recv(&heard), Message::from(vec![7; 100_000]));
            server.close_with(4001, "done").unwrap();
            disconnected(&heard);
            disconnected(&messages);
            assert_eq!(client.close_event().unwrap().reason(), "done");
            assert!(server.close_event().unwrap().is_clean());
        }
        before.settle_back();
    });
}

/// Each end of a pair is open as long as its handle or its messages are, and a wait for one that nobody
/// drives is an error.
#[test]
fn ends_of_a_pair_are_a_clients() {
    let ((client, heard), (server, messages)) = landline::pair().unwrap();
    assert_eq!(server.wait_closed().unwrap_err(), WaitError::WouldDeadlock);
    let ended = thread::spawn(move || messages.count());
    drop((client, heard));
    assert_eq!(ended.join().unwrap(), 0);
    assert_eq!(server.close_code(), Some(CloseCode::NORMAL));
}

impl Pulled {
    /// Takes the messages out; others take their place, of a connection that nobody uses.
    fn take_messages(&mut self) -> Messages {
        let (_, messages) = landline::pair().unwrap().0;
        std::mem::replace(&mut self.messages, messages)
    }
}
