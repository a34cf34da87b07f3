//! One message to many of whom some compress: each gets what it would get of a send to it alone.

use landline::{Group, Message};

use super::*;
use crate::support::opcode::*;

/// Members of every kind: with windows of their own, with takeover, without compression, and clients.
fn members() -> Vec<Agreed> {
    let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let mut members = Vec::new();
    for role in ROLES {
        members.extend([
            Agreed::alone(role),
            Agreed::alone(role),
            Agreed::with_takeover(role),
            Agreed::plain(role),
        ]);
    }
    let narrow = format!("{alone}; server_max_window_bits=10");
    members.push(Agreed::by(Role::Server, compressing(), &narrow));
    members
}

/// Short ones, those that shrink and those that do not, of the lengths from which on other ways are
/// taken.
fn messages() -> Vec<Message> {
    let lengths = [0, 10, 255, 256, 2_000, 16_383, 16_384, 70_000];
    let texts = lengths.map(|length| Message::from(json(length)));
    let noises = [300, 20_000].map(|length| Message::from(noise(length)));
    texts.into_iter().chain(noises).collect()
}

/// Reads what a member gets, and checks whether it is compressed.
#[track_caller]
fn read(met: &mut Agreed, expected: &Message) {
    let frame = met.peer.read_frame();
    let agreed = met.ws.compression();
    let is_noise = matches!(expected, Message::Binary(_));
    let shrinks = expected.len() >= 256 && !is_noise;
    assert_eq!(frame.rsv1, agreed.is_some() && shrinks, "{agreed:?}");
    assert_eq!(frame.opcode, if is_noise { BINARY } else { TEXT });
    if !frame.rsv1 {
        return assert!(frame.payload == expected.as_bytes());
    }
    assert!(frame.payload.len() * 2 < expected.len());
    assert!(met.inflate(&frame.payload) == expected.as_bytes());
    if !agreed.unwrap().context_takeover {
        met.inflate.reset(false);
    }
}

/// Each member of a group gets each message as its own connection has agreed, and members that have
/// agreed on the same the same bytes.
#[test]
fn members_get_what_they_have_agreed_on() {
    let mut members = members();
    let group = Group::new();
    members.iter().for_each(|met| assert!(group.join(&met.ws)));
    for message in messages() {
        assert_eq!(group.send(&message), members.len());
        members.iter_mut().for_each(|met| read(met, &message));
    }
    for met in &members {
        settled("all is counted", || met.ws.counters().queued_messages == 0);
        assert_eq!(met.ws.counters().messages_out, messages().len() as u64);
    }
}

/// So it is in a burst, in order with what is sent to one of them.
#[test]
fn bursts_are_compressed_once() {
    let mut members = members();
    let group = Group::new();
    members.iter().for_each(|met| assert!(group.join(&met.ws)));
    let all = group.clone();
    let single: Vec<_> = members.iter().map(|met| met.ws.clone()).collect();
    let mut publisher = Meeting::of(Role::Server, patient(), move |ws| {
        let (all, single) = (all.clone(), single.clone());
        ws.on_text(move |_, text| {
            for message in messages() {
                all.send(message);
            }
            single.iter().for_each(|ws| ws.send(&text).unwrap());
        });
    });
    // All of it fits into a member's queue: one that is read late is not to be closed for that.
    const BURST: usize = 6;
    let frames = (0..BURST).map(|number| Frame::text(&number.to_string()));
    let burst: Vec<_> = frames
        .flat_map(|frame| publisher.peer.encode(&frame))
        .collect();
    publisher.peer.send_bytes(&burst);
    for number in 0..BURST {
        for met in &mut members {
            messages().iter().for_each(|message| read(met, message));
            read(met, &number.to_string().into());
        }
    }
}
