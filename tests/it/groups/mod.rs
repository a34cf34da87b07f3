//! One message to many: groups, and a server's broadcast.

mod bursts;
mod churn;
mod limits;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use bytes::Bytes;
use landline::{
    CloseCode, Config, Group, Initiator, Message, Server, SlowPeers, Timeout, WebSocket,
};

use crate::support::*;

const CHUNK: usize = 16 << 10;
/// The least that a socket's buffer can hold.
const SMALL: usize = 2 << 10;

/// A short queue, and no deadline that is ever the reason.
fn patient() -> Config {
    Config::new()
        .max_queue_bytes(4 * CHUNK)
        .write_timeout(2 * PATIENCE)
        .close_timeout(2 * PATIENCE)
}

/// Opens a connection of each role, the older one first.
#[track_caller]
fn one_of_each() -> [Meeting; 2] {
    ROLES.map(|role| Meeting::of(role, Config::new(), |_| {}))
}

/// Opens a connection to a peer that takes little unless it reads, all of whose callbacks are
/// recorded.
#[track_caller]
fn deaf(role: Role, config: Config) -> (Meeting, Recorder) {
    let (sender, receiver) = mpsc::channel();
    let met = Meeting::deaf(role, config, move |ws| {
        let events = Recorder::new();
        events.record_all(ws);
        let _ = sender.send(events);
    });
    (met, next(&receiver))
}

/// Sends until it is queued for nobody any more, and returns how many messages were queued.
#[track_caller]
fn outpace(send: impl Fn(&Message) -> usize) -> usize {
    let chunk = Message::from(vec![7; CHUNK]);
    let queued = (0..100_000).take_while(|_| send(&chunk) > 0).count();
    assert!(queued < 100_000, "nobody ever fell behind");
    queued
}

/// Reads up to the Close frame, and returns it.
#[track_caller]
fn read_to_close(peer: &mut RawPeer) -> Frame {
    loop {
        let frame = peer.read_frame();
        if frame.opcode == opcode::CLOSE {
            return frame;
        }
    }
}

/// Joining and leaving are answered and seen; the oldest connection is listed first; clones are the
/// same group.
#[test]
fn members_join_and_leave() {
    let met = one_of_each();
    let (group, clone) = {
        let group = Group::default();
        (group.clone(), group)
    };
    assert!(group.is_empty());
    for Meeting { ws, .. } in met.iter().rev() {
        assert!(!group.contains(ws) && !group.leave(ws));
        assert!(group.join(ws));
        assert!(group.join(ws), "it is a member still");
        assert!(clone.contains(ws));
    }
    assert_eq!(
        clone.members().iter().collect::<Vec<_>>(),
        [&met[0].ws, &met[1].ws]
    );
    assert!(clone.leave(&met[0].ws) && !clone.leave(&met[0].ws));
    assert_eq!((group.len(), group.is_empty()), (1, false));
    assert!(!group.contains(&met[0].ws) && group.contains(&met[1].ws));
}

/// A message reaches all members and nobody else, and its sender learns how many they are; one may
/// be left out.
#[test]
fn message_reaches_the_members() {
    let [mut one, mut two] = one_of_each();
    let mut three = Meeting::of(Role::Server, Config::new(), |_| {});
    let group = Group::new();
    assert_eq!(group.send("nobody"), 0);
    for met in [&one, &two, &three] {
        group.join(&met.ws);
    }
    assert_eq!(group.send("all"), 3);
    assert_eq!(group.send_except(&one.ws, [1, 2]), 2);
    group.leave(&two.ws);
    assert_eq!(group.send_except(&two.ws, "both"), 2);
    let [all, bytes, both, end] = [
        Frame::text("all"),
        Frame::new(opcode::BINARY, [1, 2]),
        Frame::text("both"),
        Frame::text("end"),
    ];
    let expected: [(_, &[&Frame]); 3] = [
        (&mut one, &[&all, &both, &end]),
        (&mut two, &[&all, &bytes, &end]),
        (&mut three, &[&all, &bytes, &both, &end]),
    ];
    for (met, frames) in expected {
        met.ws.send("end").unwrap();
        for frame in frames {
            assert_eq!(met.peer.read_frame(), **frame);
        }
    }
}

/// Reads so many texts.
#[track_caller]
fn read_texts(peer: &mut RawPeer, number: usize) -> Vec<String> {
    let texts = (0..number).map(|_| String::from_utf8(peer.read_frame().payload).unwrap());
    texts.collect()
}

/// Has several threads send texts at once: the thread's number, and a count.
#[track_caller]
fn send_from_threads(send: impl Fn(String) + Sync) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let send = &send;
            scope.spawn(move || (0..EACH).for_each(|count| send(format!("{thread} {count}"))));
        }
    });
}

const THREADS: usize = 4;
const EACH: usize = 200;

/// What one thread sends reaches each member whole and in that order, whoever else sends.
#[test]
fn each_thread_is_heard_in_its_order() {
    let mut met = one_of_each();
    let group = Group::new();
    met.iter().for_each(|met| assert!(group.join(&met.ws)));
    send_from_threads(|text| assert_eq!(group.send(text), 2));
    for met in &mut met {
        let texts = read_texts(&mut met.peer, THREADS * EACH);
        for thread in 0..THREADS {
            let own = format!("{thread} ");
            let counts = texts.iter().filter_map(|text| text.strip_prefix(&own));
            let expected: Vec<_> = (0..EACH).map(|count| count.to_string()).collect();
            assert!(counts.eq(&expected), "thread {thread}: {texts:?}");
        }
    }
}

/// Sent under a lock of the program's own, messages of all threads reach all members in one order,
/// that in which the lock was taken.
#[test]
fn lock_of_ones_own_makes_one_order_for_all() {
    let mut met = one_of_each();
    let group = Group::new();
    met.iter().for_each(|met| assert!(group.join(&met.ws)));
    let history = Mutex::new(Vec::new());
    send_from_threads(|text| {
        let mut history = history.lock().unwrap();
        assert_eq!(group.send(&text), 2);
        history.push(text);
    });
    let history = history.into_inner().unwrap();
    for met in &mut met {
        assert_eq!(read_texts(&mut met.peer, THREADS * EACH), history);
    }
}

/// However a connection ends, it has left before its `on_error` and `on_close` run, joins nothing
/// any more, and a goodbye sent from there reaches the rest.
#[test]
fn member_that_ends_has_left_before_it_is_told() {
    let endings: [fn(RawPeer); 3] = [
        |mut peer| peer.send_close(1000, ""),
        |mut peer| peer.send(&Frame::new(3, "no such opcode")),
        RawPeer::reset,
    ];
    for role in ROLES {
        for (ending, errors) in endings.into_iter().zip([0, 1, 0]) {
            let group = Group::new();
            let mut rest = Meeting::of(Role::Server, Config::new(), |_| {});
            group.join(&rest.ws);
            let told = Recorder::new();
            let (sender, joined) = (told.sender(), group.clone());
            let met = Meeting::of(role, Config::new(), move |ws| {
                assert!(joined.join(ws));
                farewell(ws, &joined, &sender);
            });
            ending(met.peer);
            settled("it has ended", || met.ws.close_code().is_some());
            let goodbyes = vec![(false, false, 1); errors + 1];
            assert_eq!(told.so_far(), goodbyes, "{role:?}");
            for _ in goodbyes {
                assert_eq!(rest.peer.read_frame(), Frame::text("goodbye"));
            }
            assert!(!group.join(&met.ws) && !group.contains(&met.ws));
            assert_eq!(group.members(), [rest.ws.clone()]);
        }
    }
}

/// Reports from `on_error` and `on_close` whether it is a member, whether it can join, and how many
/// hear its goodbye.
fn farewell(ws: &WebSocket, group: &Group, told: &mpsc::Sender<(bool, bool, usize)>) {
    let (group, told) = (group.clone(), told.clone());
    let goodbye = Arc::new(move |ws: &WebSocket| {
        let member = group.contains(ws);
        let _ = told.send((member, group.join(ws), group.send("goodbye")));
    });
    let at_error = Arc::clone(&goodbye);
    ws.on_error(move |ws, _| at_error(ws));
    ws.on_close(move |ws, _| goodbye(ws));
}

/// A member that is closing stays one until it has ended, but nothing is queued for it.
#[test]
fn closing_member_gets_nothing() {
    for role in ROLES {
        let mut met = Meeting::of(role, patient(), |_| {});
        let group = Group::new();
        group.join(&met.ws);
        met.ws.close();
        assert_eq!((group.len(), group.send("late")), (1, 0));
        assert_eq!(met.peer.read_frame().opcode, opcode::CLOSE);
        assert!(group.contains(&met.ws));
        drop(met.peer);
        settled("it has left", || group.is_empty());
    }
}

/// A slow peer is closed with 1008 "too slow" and reads that when it reads again; its callbacks
/// are told the same.
#[test]
fn laggard_is_closed() {
    for role in ROLES {
        let (mut met, events) = deaf(role, patient());
        let group = Group::new();
        group.join(&met.ws);
        let queued = outpace(|chunk| group.send(chunk));
        assert!(!met.ws.is_open());
        assert_eq!(group.send("late"), 0);
        let mut read = 0;
        let close = loop {
            match met.peer.read_frame() {
                frame if frame.opcode == opcode::CLOSE => break frame,
                _ => read += 1,
            }
        };
        assert!(read < queued, "it overtakes what is queued");
        assert_eq!(close.close_code(), Some(1008));
        assert_eq!(close.payload[2..], *b"too slow");
        met.peer.send_close(1008, "");
        drop(met.peer);
        settled("it has ended", || met.ws.close_code().is_some());
        let event = met.ws.wait_closed().unwrap();
        assert_eq!(event.code(), CloseCode::POLICY_VIOLATION);
        assert_eq!(event.reason(), "too slow");
        assert_eq!(event.initiator(), Initiator::Local);
        assert!(event.is_clean() && !event.is_ordinary(), "{event:?}");
        let error = Event::Error("the peer reads too slowly".into());
        assert_eq!(events.so_far(), [error, Event::Close(event)]);
        assert!(group.is_empty());
    }
}

/// A laggard that never reads again is cut by its write deadline; the code says nevertheless what
/// it ended for.
#[test]
fn laggard_that_never_reads_is_cut() {
    for role in ROLES {
        // The write deadline is not to pass before the member is outpaced.
        unless_stalled(ms(75), || assert_laggard_is_cut(role));
    }
}

#[track_caller]
fn assert_laggard_is_cut(role: Role) {
    let (met, events) = deaf(role, patient().write_timeout(ms(300)));
    let group = Group::new();
    group.join(&met.ws);
    outpace(|chunk| group.send(chunk));
    let event = events.next_close();
    assert_eq!(event.code(), CloseCode::POLICY_VIOLATION);
    assert_eq!(event.reason(), "too slow");
    assert_eq!(event.initiator(), Initiator::Local);
    assert_eq!(event.timeout(), Some(Timeout::Write));
    assert_eq!((event.sent_code(), event.is_clean()), (None, false));
    assert!(group.is_empty());
}

/// In a group that drops the newest, a member that falls behind misses messages, and gets those that come
/// when there is room again.
#[test]
fn laggard_stays_and_misses_messages() {
    for role in ROLES {
        let (mut met, events) = deaf(role, patient());
        let group = Group::with_slow_peers(SlowPeers::DropNewest);
        group.join(&met.ws);
        let queued = outpace(|chunk| group.send(chunk));
        assert_eq!(group.send(vec![8; CHUNK]), 0);
        assert!(met.ws.is_open() && group.contains(&met.ws));
        for _ in 0..queued {
            assert_eq!(met.peer.read_frame().payload, [7; CHUNK]);
        }
        settled("there is room", || group.send("again") == 1);
        assert_eq!(met.peer.read_frame(), Frame::text("again"), "{role:?}");
        assert_eq!(events.so_far(), []);
    }
}

/// A deaf member delays nobody, neither who sends nor who else is a member; whether it is closed
/// for it or stays.
#[test]
fn deaf_member_delays_nobody() {
    for (group, stays) in [
        (Group::new(), false),
        (Group::with_slow_peers(SlowPeers::DropNewest), true),
        (Group::with_slow_peers(SlowPeers::DropOldest), true),
    ] {
        let all = group.clone();
        let server = TestServer::with(patient(), move |ws| {
            all.join(ws);
            let all = all.clone();
            ws.on_message(move |_, message| {
                all.send(message);
            });
        });
        let mut peer = RawPeer::dial_with_buffer(&server, SMALL);
        peer.upgrade();
        settled("it has joined", || group.len() == 1);
        let deaf = group.members().remove(0);
        outpace(|chunk| deaf.try_send(chunk).is_ok().into());
        // The probe is a member, too: its echoes come by the group.
        Probe::of(&server).keeps_up();
        assert_eq!((deaf.is_open(), group.contains(&deaf)), (stays, true));
    }
}

/// A member's callback may send, leave, join, and drop the last handle of the group.
#[test]
fn callbacks_may_do_everything() {
    for role in ROLES {
        let mut met = Meeting::of(role, Config::new(), |ws| {
            let mut group = Some(Group::new());
            group.as_ref().unwrap().join(ws);
            ws.on_text(move |ws, text| {
                if text == "drop" {
                    group = None;
                }
                ws.send(group.as_ref().map_or_else(
                    || String::from("no group"),
                    |group| obey(group, ws, &text).to_string(),
                ))
            });
        });
        let exchanges: [(_, &[&str]); 8] = [
            ("send", &["hello", "1"]),
            ("leave", &["1"]),
            ("leave", &["0"]),
            ("send", &["0"]),
            ("join", &["1"]),
            ("send", &["hello", "1"]),
            ("drop", &["no group"]),
            ("still there?", &["no group"]),
        ];
        for (command, answers) in exchanges {
            met.peer.send_text(command);
            for answer in answers {
                assert_eq!(met.peer.read_frame(), Frame::text(answer), "{command}");
            }
        }
    }
}

fn obey(group: &Group, ws: &WebSocket, command: &str) -> usize {
    match command {
        "send" => group.send("hello"),
        "join" => group.join(ws).into(),
        _ => group.leave(ws).into(),
    }
}

/// Sends to a group when it is dropped, and leaves it.
struct Parting(Group, WebSocket);

impl AsRef<[u8]> for Parting {
    fn as_ref(&self) -> &[u8] {
        b"payload"
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.0.send("dropped");
        self.0.leave(&self.1);
    }
}

/// The drop of a payload is the program's code: it too may use the group that it was sent to.
#[test]
fn payload_may_use_its_group() {
    for role in ROLES {
        let mut met = Meeting::of(role, Config::new(), |_| {});
        let group = Group::new();
        group.join(&met.ws);
        let payload = Bytes::from_owner(Parting(group.clone(), met.ws.clone()));
        let all = group.clone();
        let sent = in_time("the send returns", move || all.send(payload));
        assert_eq!(sent, 1);
        assert_eq!(met.peer.read_frame().payload, *b"payload");
        assert_eq!(met.peer.read_frame(), Frame::text("dropped"));
        settled("it has left", || group.is_empty());
    }
}

/// A connection may be in many groups, hears each, and leaves them all at its end.
#[test]
fn many_groups_of_one_connection() {
    for role in ROLES {
        let mut met = Meeting::of(role, Config::new(), |_| {});
        let groups: Vec<_> = (0..500).map(|_| Group::new()).collect();
        assert!(groups.iter().all(|group| group.join(&met.ws)));
        assert!(groups.iter().step_by(2).all(|group| group.leave(&met.ws)));
        for (number, group) in groups.iter().enumerate() {
            assert_eq!(group.send(number.to_string()), number % 2);
        }
        for number in (1..500).step_by(2) {
            assert_eq!(met.peer.read_frame(), Frame::text(&number.to_string()));
        }
        drop(met.peer);
        settled("it has ended", || met.ws.close_code().is_some());
        assert!(groups.iter().all(Group::is_empty));
    }
}

/// Groups that are dropped leave nothing behind in a connection that lives on.
#[test]
fn dropped_groups_leave_nothing_behind() {
    alone(|| {
        let mut met = Meeting::of(Role::Server, Config::new(), |_| {});
        let before = resident_kib();
        for _ in 0..100_000 {
            let group = Group::new();
            assert!(group.join(&met.ws));
        }
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 2 << 10, "{grown} KiB more after 100,000 groups");
        met.ws.send("still there").unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("still there"));
    });
}

/// A group keeps no client open, and neither do the handles of its members: the last handle of the
/// program's closes it.
#[test]
fn group_keeps_no_client_open() {
    let raw = RawServer::new();
    let group = Group::new();
    let (mut peer, ws) = raw.meet(&landline::Client::new(), |_| {});
    group.join(&ws);
    let members = group.members();
    let dropping = thread::spawn(move || drop(ws));
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    drop(peer);
    settled("the drop returns", || dropping.is_finished());
    assert!(group.is_empty());
    assert!(!members[0].is_open());
}

/// A group is memory and nothing else: no thread and no descriptor, with members or without.
#[test]
fn groups_need_no_thread_and_no_descriptor() {
    alone(|| {
        let met = one_of_each();
        let before = Resources::now();
        let groups: Vec<_> = (0..100).map(|_| Group::new()).collect();
        for group in &groups {
            met.iter().for_each(|met| assert!(group.join(&met.ws)));
            assert_eq!(group.send("hello"), 2);
        }
        before.settle_back();
    });
}

/// A server's broadcast reaches its open connections and no others, and closes who falls behind as a
/// group does.
#[test]
fn server_broadcasts() {
    let server = TestServer::with(patient(), |_| {});
    let other = Meeting::of(Role::Server, Config::new(), |_| {});
    assert_eq!(server.broadcast("nobody"), 0);
    let mut deaf = RawPeer::dial_with_buffer(&server, SMALL);
    deaf.upgrade();
    let entered = |server: &Server, number| {
        settled("they are entered", || server.connection_count() == number);
    };
    entered(&server, 1);
    outpace(|chunk| server.broadcast(chunk));
    let mut peers = [(); 3].map(|()| RawPeer::client_of(&server));
    entered(&server, 4);
    assert_eq!(server.broadcast("all"), 3);
    for peer in &mut peers {
        assert_eq!(peer.read_frame(), Frame::text("all"));
    }
    assert_eq!(read_to_close(&mut deaf).payload[2..], *b"too slow");
    assert_eq!(other.server.as_ref().unwrap().broadcast("elsewhere"), 1);
    drop(peers);
    drop(deaf);
    settled("they have left", || server.broadcast("gone") == 0);
}
