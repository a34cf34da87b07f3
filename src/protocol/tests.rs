//! The rules of the wire, each for both roles and for bytes that come whole or in pieces.

mod chunks;
#[cfg(feature = "deflate")]
mod compressed;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::read_buffer::AT_REST;
use super::{CloseFrame, Decoder, Encoder, Event, Fin, Limits, Opcode, Role, Violation};
use crate::buffer_pool::LARGE;
use crate::{CloseCode, Config, Message, Text};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const BOTH: [Role; 2] = [Role::Client, Role::Server];

/// What a decoder gave for some bytes, and the count of bytes after which it failed.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    events: Vec<Event>,
    failure: Option<(CloseCode, usize)>,
}

/// Feeds bytes in pieces, through `spare` as `recv` would, and checks that nothing follows an end.
fn feed<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    feed_by(decoder, pieces, drain)
}

fn feed_by<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut drain: impl FnMut(&mut Decoder, &mut Vec<Event>) -> Result<(), Violation>,
) -> Seen {
    let mut events = Vec::new();
    let mut failure = None;
    let mut count = 0;
    for piece in pieces {
        count += piece.len();
        let mut rest = piece;
        while !rest.is_empty() {
            let spare = decoder.spare();
            let room = spare.capacity() - spare.len();
            assert!(room > 0, "no room");
            let (now, later) = rest.split_at(room.min(rest.len()));
            spare.extend_from_slice(now);
            rest = later;
            match drain(decoder, &mut events) {
                Err(violation) if failure.is_none() => failure = Some((violation.code, count)),
                Err(violation) => panic!("a second {violation:?}"),
                Ok(()) => {}
            }
        }
    }
    Seen { events, failure }
}

/// Collects events; asks before every other `next` whether a whole frame is there, which must not
/// change anything.
fn drain(decoder: &mut Decoder, events: &mut Vec<Event>) -> Result<(), Violation> {
    loop {
        if events.len() % 2 == 0 {
            decoder.has_whole_frame();
        }
        match decoder.next()? {
            Some(event) => events.push(event),
            None if make_room(decoder) => {}
            None => return Ok(()),
        }
    }
}

/// Gives the message that comes the memory that it wants; tells whether it wanted some.
fn make_room(decoder: &mut Decoder) -> bool {
    let wanted = decoder.wanted();
    wanted.map(|bytes| decoder.grow(bytes).unwrap()).is_some()
}

fn limits() -> Limits {
    Limits::from(&Config::new())
}

fn small_limits() -> Limits {
    let config = Config::new();
    let config = config
        .max_message_size(1000)
        .max_frame_size(600)
        .max_fragments(4);
    Limits::from(&config)
}

fn decoder(role: Role, limits: Limits) -> Decoder {
    Decoder::new(role, limits, Vec::new())
}

/// Makes the header of a frame to `role`, by hand: `length` is the length field, in any form.
fn header(role: Role, first: u8, length: &[u8]) -> Vec<u8> {
    let mut header = vec![first];
    header.extend_from_slice(length);
    if role == Role::Server {
        header[1] |= 0x80;
        header.extend_from_slice(&KEY);
    }
    header
}

/// Makes a frame to `role`, by hand.
fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let field = match length {
        0..=125 => vec![length as u8],
        126..=65535 => [&[126], &(length as u16).to_be_bytes()[..]].concat(),
        _ => [&[127], &(length as u64).to_be_bytes()[..]].concat(),
    };
    let mut frame = header(role, first, &field);
    frame.extend_from_slice(&masked(role, payload));
    frame
}

fn masked(role: Role, payload: &[u8]) -> Vec<u8> {
    let key = if role == Role::Server { KEY } else { [0; 4] };
    let bytes = payload.iter().zip(key.iter().cycle());
    bytes.map(|(byte, key)| byte ^ key).collect()
}

fn text(text: &str) -> Event {
    Event::Message(Message::from(text))
}

fn binary(bytes: &[u8]) -> Event {
    Event::Message(Message::from(bytes))
}

/// Feeds the bytes whole, in halves and one by one; the last tells where exactly a failure shows.
/// What is asked for in chunks must be the same, but for the limits.
#[track_caller]
fn check(what: &str, role: Role, limits: Limits, bytes: &[u8], expected: &Seen) {
    let (half, other_half) = bytes.split_at(bytes.len() / 2);
    let whole = feed(&mut decoder(role, limits), [bytes]);
    let halves = feed(&mut decoder(role, limits), [half, other_half]);
    let quick = feed_as_reader(&mut decoder(role, limits), [half, other_half]);
    for seen in [whole, halves, quick] {
        assert_eq!(seen.events, expected.events, "{what}, {role:?}");
        assert_eq!(
            seen.failure.map(|(code, _)| code),
            expected.failure.map(|(code, _)| code),
            "{what}, {role:?}"
        );
    }
    let one_by_one = feed(&mut decoder(role, limits), bytes.chunks(1));
    assert_eq!(one_by_one, *expected, "{what}, {role:?}");
    let one_by_one = feed_as_reader(&mut decoder(role, limits), bytes.chunks(1));
    assert_eq!(one_by_one, *expected, "{what}, {role:?}, quick");
    let behind_handshake = feed_pipelined(role, limits, bytes);
    assert_eq!(behind_handshake, expected.events, "{what}, {role:?}");
    if expected.failure.map(|(code, _)| code) != Some(CloseCode::TOO_BIG) {
        chunks::check(what, role, limits, bytes, expected);
    }
}

fn feed_pipelined(role: Role, limits: Limits, bytes: &[u8]) -> Vec<Event> {
    let mut decoder = Decoder::new(role, limits, bytes.to_vec());
    let mut events = Vec::new();
    drain(&mut decoder, &mut events).ok();
    events
}

/// A header in its parts: the first byte, the length field, and what follows as payload.
struct Bad {
    what: &'static str,
    code: u16,
    /// Whole frames that come before: first byte and payload.
    before: &'static [(u8, &'static [u8])],
    first: u8,
    length: &'static [u8],
    /// Payload up to and with the byte that shows the violation; empty if the header does.
    payload: &'static [u8],
}

const fn at_header(what: &'static str, code: u16, first: u8, length: &'static [u8]) -> Bad {
    Bad {
        what,
        code,
        before: &[],
        first,
        length,
        payload: &[],
    }
}

const fn in_payload(
    what: &'static str,
    code: u16,
    first: u8,
    length: &'static [u8],
    payload: &'static [u8],
) -> Bad {
    Bad {
        payload,
        ..at_header(what, code, first, length)
    }
}

const fn after(before: &'static [(u8, &'static [u8])], bad: Bad) -> Bad {
    Bad { before, ..bad }
}

const BEGUN: &[(u8, &[u8])] = &[(0x01, b"a")];
const BEGUN_600: &[(u8, &[u8])] = &[(0x02, &[7; 600])];
const FOUR_EMPTY: &[(u8, &[u8])] = &[(0x01, b""), (0x00, b""), (0x00, b""), (0x00, b"")];

/// Limits are those of `small_limits`.
const VIOLATIONS: &[Bad] = &[
    at_header("RSV1, text", 1002, 0xc1, &[1]),
    at_header("RSV2, text", 1002, 0xa1, &[1]),
    at_header("RSV3, text", 1002, 0x91, &[1]),
    at_header("all RSV, text", 1002, 0xf1, &[1]),
    at_header("RSV1, empty text", 1002, 0xc1, &[0]),
    at_header("RSV1, binary", 1002, 0xc2, &[126, 1, 0]),
    at_header("RSV1, ping", 1002, 0xc9, &[0]),
    at_header("RSV2, pong", 1002, 0xaa, &[0]),
    at_header("RSV3, close", 1002, 0x98, &[0]),
    after(BEGUN, at_header("RSV1, continuation", 1002, 0xc0, &[1])),
    at_header("opcode 3", 1002, 0x83, &[0]),
    at_header("opcode 4", 1002, 0x84, &[1]),
    at_header("opcode 5", 1002, 0x85, &[1]),
    at_header("opcode 6", 1002, 0x86, &[126, 0, 200]),
    at_header("opcode 7", 1002, 0x87, &[1]),
    at_header("opcode 11", 1002, 0x8b, &[0]),
    at_header("opcode 12", 1002, 0x8c, &[1]),
    at_header("opcode 13", 1002, 0x8d, &[1]),
    at_header("opcode 14", 1002, 0x8e, &[126, 0, 200]),
    at_header("opcode 15", 1002, 0x8f, &[1]),
    at_header("opcode 3, not final", 1002, 0x03, &[1]),
    after(BEGUN, at_header("opcode 3, mid-message", 1002, 0x83, &[0])),
    after(BEGUN, at_header("opcode 11, mid-message", 1002, 0x8b, &[0])),
    at_header("close of 126", 1002, 0x88, &[126, 0, 126]),
    at_header("ping of 126", 1002, 0x89, &[126, 0, 126]),
    at_header("pong of 126", 1002, 0x8a, &[126, 0, 126]),
    at_header("ping of 65535", 1002, 0x89, &[126, 255, 255]),
    at_header("ping of 16 MiB", 1002, 0x89, &[127, 0, 0, 0, 0, 1, 0, 0, 0]),
    at_header("pong of 2^62", 1002, 0x8a, &[127, 64, 0, 0, 0, 0, 0, 0, 0]),
    at_header("close, not final", 1002, 0x08, &[0]),
    at_header("ping, not final", 1002, 0x09, &[0]),
    at_header("pong, not final", 1002, 0x0a, &[4]),
    after(
        BEGUN,
        at_header("ping, not final, mid-message", 1002, 0x09, &[0]),
    ),
    at_header("0 in 16 bits", 1002, 0x82, &[126, 0, 0]),
    at_header("5 in 16 bits", 1002, 0x81, &[126, 0, 5]),
    at_header("125 in 16 bits", 1002, 0x82, &[126, 0, 125]),
    at_header("5 in 16 bits, ping", 1002, 0x89, &[126, 0, 5]),
    at_header("0 in 64 bits", 1002, 0x82, &[127, 0, 0, 0, 0, 0, 0, 0, 0]),
    at_header(
        "125 in 64 bits",
        1002,
        0x82,
        &[127, 0, 0, 0, 0, 0, 0, 0, 125],
    ),
    at_header(
        "126 in 64 bits",
        1002,
        0x82,
        &[127, 0, 0, 0, 0, 0, 0, 0, 126],
    ),
    at_header(
        "65535 in 64 bits",
        1002,
        0x82,
        &[127, 0, 0, 0, 0, 0, 0, 255, 255],
    ),
    at_header(
        "5 in 64 bits, close",
        1002,
        0x88,
        &[127, 0, 0, 0, 0, 0, 0, 0, 5],
    ),
    at_header("2^63", 1002, 0x82, &[127, 128, 0, 0, 0, 0, 0, 0, 0]),
    at_header(
        "2^64 - 1",
        1002,
        0x82,
        &[127, 255, 255, 255, 255, 255, 255, 255, 255],
    ),
    at_header("continuation of nothing", 1002, 0x80, &[1]),
    at_header("continuation of nothing, not final", 1002, 0x00, &[1]),
    at_header("continuation of nothing, empty", 1002, 0x80, &[0]),
    after(
        &[(0x01, b"a"), (0x80, b"b")],
        at_header(
            "continuation of a message that is complete",
            1002,
            0x80,
            &[1],
        ),
    ),
    after(
        &[(0x81, b"a")],
        at_header("continuation of a whole message", 1002, 0x80, &[1]),
    ),
    after(BEGUN, at_header("text mid-message", 1002, 0x81, &[1])),
    after(BEGUN, at_header("binary mid-message", 1002, 0x82, &[1])),
    after(
        BEGUN,
        at_header("text mid-message, not final", 1002, 0x01, &[0]),
    ),
    after(
        &[(0x02, b""), (0x89, b"p")],
        at_header("text mid-message, after a ping", 1002, 0x81, &[1]),
    ),
    at_header("frame of 601", 1009, 0x82, &[126, 2, 89]),
    at_header("text frame of 601", 1009, 0x81, &[126, 2, 89]),
    at_header("fragment of 601", 1009, 0x02, &[126, 2, 89]),
    at_header("frame of 65536", 1009, 0x82, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
    at_header(
        "frame of 2^31",
        1009,
        0x82,
        &[127, 0, 0, 0, 0, 128, 0, 0, 0],
    ),
    at_header("frame of 2^62", 1009, 0x82, &[127, 64, 0, 0, 0, 0, 0, 0, 0]),
    at_header(
        "frame of 2^63 - 1",
        1009,
        0x82,
        &[127, 127, 255, 255, 255, 255, 255, 255, 255],
    ),
    after(
        BEGUN_600,
        at_header("600 + 401", 1009, 0x80, &[126, 1, 145]),
    ),
    after(
        BEGUN_600,
        at_header("600 + 401, not final", 1009, 0x00, &[126, 1, 145]),
    ),
    after(
        FOUR_EMPTY,
        at_header("a fifth fragment, empty", 1009, 0x80, &[0]),
    ),
    after(FOUR_EMPTY, at_header("a fifth fragment", 1009, 0x00, &[1])),
    in_payload("close of 1 byte", 1002, 0x88, &[1], &[3]),
    in_payload("close 0", 1002, 0x88, &[2], &[0, 0]),
    in_payload("close 999", 1002, 0x88, &[2], &[3, 231]),
    in_payload("close 1004", 1002, 0x88, &[2], &[3, 236]),
    in_payload("close 1005", 1002, 0x88, &[2], &[3, 237]),
    in_payload("close 1006", 1002, 0x88, &[2], &[3, 238]),
    in_payload("close 1015", 1002, 0x88, &[5], &[3, 247, b'b', b'y', b'e']),
    in_payload("close 1016", 1002, 0x88, &[2], &[3, 248]),
    in_payload("close 2999", 1002, 0x88, &[2], &[11, 183]),
    in_payload("close 5000", 1002, 0x88, &[2], &[19, 136]),
    in_payload("close 65535", 1002, 0x88, &[2], &[255, 255]),
    in_payload("close, bad UTF-8", 1007, 0x88, &[4], &[3, 232, 0xff, b'a']),
    in_payload("close, cut UTF-8", 1007, 0x88, &[4], &[3, 232, b'a', 0xc3]),
    after(
        BEGUN,
        in_payload("close 1005, mid-message", 1002, 0x88, &[2], &[3, 237]),
    ),
    in_payload("text, 0xff first", 1007, 0x81, &[9], &[0xff]),
    in_payload(
        "text, a lone continuation byte",
        1007,
        0x81,
        &[9],
        &[b'a', 0x80],
    ),
    in_payload("text, overlong", 1007, 0x81, &[9], &[b'a', 0xe0, 0x9f]),
    in_payload("text, a surrogate", 1007, 0x81, &[9], &[0xed, 0xa0]),
    in_payload("text, beyond U+10FFFF", 1007, 0x81, &[9], &[0xf4, 0x90]),
    in_payload(
        "text, cut at its end",
        1007,
        0x81,
        &[3],
        &[b'a', 0xe2, 0x82],
    ),
    in_payload("text fragment, 0xc0", 1007, 0x01, &[9], &[0xc0]),
    after(
        &[(0x01, &[0xe2, 0x82]), (0x89, b"p")],
        in_payload("continuation, not the third byte", 1007, 0x80, &[9], b"a"),
    ),
    after(
        &[(0x01, &[0xe2, 0x82])],
        at_header(
            "empty continuation ends inside a character",
            1007,
            0x80,
            &[0],
        ),
    ),
];

/// Every violation fails with its code, exactly at the last byte of the header, or at the byte of
/// payload, that shows it; what came before is delivered, nothing of it or after it is.
#[test]
fn violations_fail_where_they_show() {
    for role in BOTH {
        for bad in VIOLATIONS {
            let mut bytes = Vec::new();
            for (first, payload) in [(0x82, &b"before"[..])].iter().chain(bad.before) {
                bytes.extend(frame(role, *first, payload));
            }
            let events = feed(&mut decoder(role, small_limits()), [&bytes[..]]).events;
            assert_eq!(events[0], binary(b"before"));
            bytes.extend(header(role, bad.first, bad.length));
            bytes.extend(masked(role, bad.payload));
            let failure = Some((CloseCode::from(bad.code), bytes.len()));
            bytes.extend([0; 20]);
            bytes.extend(frame(role, 0x82, b"after"));
            let expected = Seen { events, failure };
            check(bad.what, role, small_limits(), &bytes, &expected);
        }
    }
}

/// A server refuses frames without a mask, a client those with one, of every kind and length form.
#[test]
fn masks_are_demanded_or_refused_by_role() {
    for (role, other) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        for first in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8a] {
            for length in [&[0][..], &[1], &[125]] {
                let mut bytes = header(other, first, length);
                let failure = Some((CloseCode::PROTOCOL_ERROR, bytes.len()));
                bytes.extend([0; 200]);
                let events = Vec::new();
                check("mask", role, limits(), &bytes, &Seen { events, failure });
            }
        }
        let mut bytes = header(other, 0x82, &[127, 0, 0, 0, 0, 0, 1, 0, 0]);
        let failure = Some((CloseCode::PROTOCOL_ERROR, bytes.len()));
        bytes.extend([0; 200]);
        let events = Vec::new();
        check("mask", role, limits(), &bytes, &Seen { events, failure });
    }
}

/// Every length form carries messages and, up to 125 bytes, control frames.
#[test]
fn all_sizes_arrive() {
    for role in BOTH {
        for size in [0, 1, 2, 125, 126, 127, 4096, 65535, 65536, 1 << 20] {
            let payload = "a".repeat(size);
            let mut bytes = frame(role, 0x81, payload.as_bytes());
            bytes.extend(frame(role, 0x82, payload.as_bytes()));
            let mut events = vec![text(&payload), binary(payload.as_bytes())];
            if size <= 125 {
                bytes.extend(frame(role, 0x89, payload.as_bytes()));
                bytes.extend(frame(role, 0x8a, payload.as_bytes()));
                events.push(Event::Ping(Bytes::from(payload.clone())));
                events.push(Event::Pong(Bytes::from(payload)));
            }
            let failure = None;
            check(
                &format!("{size} bytes"),
                role,
                limits(),
                &bytes,
                &Seen { events, failure },
            );
        }
    }
}

/// Fragments make one message, in order, whatever control frames come between, each delivered when
/// it came.
#[test]
fn fragments_join_around_control_frames() {
    for role in BOTH {
        let mut bytes = Vec::new();
        for (first, payload) in [
            (0x01, &b"one "[..]),
            (0x89, b"p"),
            (0x00, b""),
            (0x8a, b""),
            (0x00, "zwei \u{e4}".as_bytes()),
            (0x80, b" three"),
            (0x02, b""),
            (0x80, b""),
            (0x01, b""),
            (0x80, b"x"),
            (0x81, b"whole"),
            (0x02, b"a"),
            (0x88, &[3, 232, b'o', b'k']),
            (0x80, b"never"),
        ] {
            bytes.extend(frame(role, first, payload));
        }
        let events = vec![
            Event::Ping(Bytes::from_static(b"p")),
            Event::Pong(Bytes::new()),
            text("one zwei \u{e4} three"),
            binary(b""),
            text("x"),
            text("whole"),
            Event::Close(Some(CloseFrame {
                code: CloseCode::NORMAL,
                reason: "ok".to_owned(),
            })),
        ];
        let failure = None;
        check(
            "fragments",
            role,
            limits(),
            &bytes,
            &Seen { events, failure },
        );
    }
}

/// A Close may have no code, any code that may be sent, 1014 too, and up to 123 bytes of reason;
/// nothing is decoded after it.
#[test]
fn closes_carry_codes_and_reasons() {
    let long = "r".repeat(123);
    for role in BOTH {
        for (code, reason) in [
            (1000, ""),
            (1014, "bad gateway"),
            (3000, "\u{e4}"),
            (4999, &long),
        ] {
            let close = CloseFrame::cut_to_fit(code.into(), reason);
            assert_eq!(close.reason, reason);
            let mut bytes = frame(role, 0x88, &close.to_payload());
            bytes.extend(frame(role, 0x88, b""));
            let events = vec![Event::Close(Some(close))];
            let failure = None;
            check(reason, role, limits(), &bytes, &Seen { events, failure });
        }
        let events = vec![Event::Close(None)];
        let failure = None;
        check(
            "no code",
            role,
            limits(),
            &frame(role, 0x88, b""),
            &Seen { events, failure },
        );
    }
}

/// What is exactly at a limit is taken: frame, message, sum of fragments, count of fragments.
#[test]
fn limits_are_inclusive() {
    for role in BOTH {
        let mut bytes = frame(role, 0x82, &[1; 600]);
        bytes.extend(frame(role, 0x02, &[1; 600]));
        bytes.extend(frame(role, 0x80, &[1; 400]));
        for first in [0x02, 0x00, 0x00, 0x80] {
            bytes.extend(frame(role, first, b""));
        }
        let events = vec![binary(&[1; 600]), binary(&[1; 1000]), binary(b"")];
        let failure = None;
        check(
            "limits",
            role,
            small_limits(),
            &bytes,
            &Seen { events, failure },
        );
    }
}

/// A limit of no fragments still takes whole messages, however they are received.
#[test]
fn a_message_is_one_fragment_at_least() {
    let none = Limits::from(&Config::new().max_fragments(0));
    let events = vec![text("abc")];
    let failure = None;
    let bytes = frame(Role::Server, 0x81, b"abc");
    check(
        "no fragments",
        Role::Server,
        none,
        &bytes,
        &Seen { events, failure },
    );
}

/// Returns the count of bytes after which std knows that a text cannot be right, and whether it is
/// then still incomplete at its end.
fn judged_by_std(bytes: &[u8]) -> Result<(), usize> {
    let is_hopeless = |count: &usize| {
        std::str::from_utf8(&bytes[..*count]).is_err_and(|error| error.error_len().is_some())
    };
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err((1..=bytes.len()).find(is_hopeless).unwrap_or(bytes.len())),
    }
}

/// Feeds a text's frames one byte at a time; the failure is counted in bytes of payload.
fn judged_here(role: Role, fragments: &[&[u8]]) -> Result<Vec<Event>, usize> {
    let mut decoder = decoder(role, limits());
    let mut count = 0;
    let mut events = Vec::new();
    for (number, payload) in fragments.iter().enumerate() {
        let is_last = number + 1 == fragments.len();
        let first = if number == 0 { 1 } else { 0 } | if is_last { 0x80 } else { 0 };
        let whole = frame(role, first, payload);
        let (head, body) = whole.split_at(whole.len() - payload.len());
        let seen = feed(&mut decoder, [head]);
        events.extend(seen.events);
        if seen.failure.is_some() {
            return Err(count);
        }
        for byte in body.chunks(1) {
            count += 1;
            let seen = feed(&mut decoder, [byte]);
            events.extend(seen.events);
            if seen.failure.is_some() {
                return Err(count);
            }
        }
    }
    Ok(events)
}

/// Texts at every boundary of UTF-8, valid and not.
fn texts() -> Vec<Vec<u8>> {
    let valid = [
        "",
        "a",
        "\0",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{fff}",
        "\u{1000}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{3ffff}",
        "\u{40000}",
        "\u{fffff}",
        "\u{100000}",
        "\u{10ffff}",
        "κόσμε",
        "a\u{e4}\u{20ac}\u{1f600}z",
    ];
    let invalid: [&[u8]; 26] = [
        &[0x80],
        &[0xbf],
        &[0xc0, 0x80],
        &[0xc1, 0xbf],
        &[0xc2],
        &[0xc2, 0x20],
        &[0xc2, 0xc2],
        &[0xdf, 0xc0],
        &[0xe0, 0x80, 0x80],
        &[0xe0, 0x9f, 0xbf],
        &[0xe0, 0xa0],
        &[0xe1, 0x80, 0x20],
        &[0xed, 0xa0, 0x80],
        &[0xed, 0xbf, 0xbf],
        &[0xef, 0xbf],
        &[0xf0, 0x80, 0x80, 0x80],
        &[0xf0, 0x8f, 0xbf, 0xbf],
        &[0xf0, 0x90, 0x80],
        &[0xf1, 0x80, 0x80, 0xc0],
        &[0xf3, 0x80, 0x7f, 0x80],
        &[0xf4, 0x8f, 0xbf],
        &[0xf4, 0x90, 0x80, 0x80],
        &[0xf5, 0x80, 0x80, 0x80],
        &[0xf8, 0x88, 0x80, 0x80, 0x80],
        &[0xfe],
        &[0xff],
    ];
    let mut texts: Vec<Vec<u8>> = valid.iter().map(|text| text.as_bytes().to_vec()).collect();
    for bytes in invalid {
        texts.push(bytes.to_vec());
        texts.push(["a\u{20ac}".as_bytes(), bytes, b"bc"].concat());
    }
    texts
}

/// Text fails at exactly the first byte that std says cannot be right, wherever it is split into
/// two or three fragments, and else arrives whole.
#[test]
fn text_is_judged_as_std_judges_it() {
    for role in BOTH {
        for bytes in texts() {
            let expected = judged_by_std(&bytes);
            let expected =
                expected.map(|()| vec![text(std::str::from_utf8(&bytes).unwrap_or_default())]);
            for a in 0..=bytes.len() {
                for b in a..=bytes.len() {
                    let three = [&bytes[..a], &bytes[a..b], &bytes[b..]];
                    assert_eq!(
                        judged_here(role, &three),
                        expected,
                        "{bytes:x?} at {a}, {b}"
                    );
                }
                let two = [&bytes[..a], &bytes[a..]];
                assert_eq!(judged_here(role, &two), expected, "{bytes:x?} at {a}");
            }
            assert_eq!(judged_here(role, &[&bytes]), expected, "{bytes:x?}");
        }
    }
}

/// A frame of text that comes in two pieces is judged after each of them, for every split.
#[test]
fn text_is_judged_while_a_frame_is_incomplete() {
    for bytes in texts() {
        let frame = frame(Role::Server, 0x81, &bytes);
        for split in 6..frame.len() {
            let first_piece = feed(&mut decoder(Role::Server, limits()), [&frame[..split]]);
            let hopeless = judged_by_std(&bytes).is_err_and(|count| count <= split - 6);
            assert_eq!(
                first_piece.failure.is_some(),
                hopeless,
                "{bytes:x?} at {split}"
            );
        }
    }
}

/// All sequences of one and two bytes, and all of three behind a byte that can begin one, are
/// judged as std judges them.
#[test]
fn every_short_sequence_is_judged_as_std_judges_it() {
    let mut decoder = decoder(Role::Client, limits());
    let mut judge = |bytes: &[u8]| {
        // The first byte comes alone, so that the check is the incremental one.
        let head = header(Role::Client, 0x81, &[bytes.len() as u8 + 1]);
        let seen = feed(
            &mut decoder,
            [&[&head, &bytes[..1]].concat(), &bytes[1..], b"."],
        );
        let expected = std::str::from_utf8(bytes);
        assert_eq!(seen.failure.is_none(), expected.is_ok(), "{bytes:x?}");
        if seen.failure.is_some() {
            decoder = Decoder::new(Role::Client, limits(), Vec::new());
        }
    };
    for a in 0..=255 {
        judge(&[a]);
        for b in 0..=255 {
            judge(&[a, b]);
            if !matches!((a, b), (0xe0..=0xef, 0x80..=0xbf)) {
                continue;
            }
            for c in 0..=255 {
                judge(&[a, b, c]);
            }
        }
    }
}

/// A declared length costs nothing: memory follows what came, at most twice that and one step.
#[test]
fn declared_lengths_allocate_nothing() {
    let config = Config::new();
    let huge = config
        .max_message_size(usize::MAX)
        .max_frame_size(usize::MAX);
    for (limits, length) in [(limits(), 16_u64 << 20), (Limits::from(&huge), 1 << 62)] {
        let field = [&[127], &length.to_be_bytes()[..]].concat();
        let mut decoder = decoder(Role::Server, limits);
        feed(&mut decoder, [&header(Role::Server, 0x82, &field)[..]]);
        let mut came = 0;
        while came < 1 << 20 {
            let spare = decoder.spare();
            assert!(
                spare.capacity() <= 2 * came + (64 << 10),
                "{} for {came}",
                spare.capacity()
            );
            spare.extend_from_slice(&[0; 1000]);
            came += 1000;
            assert_eq!(decoder.next(), Ok(None));
            make_room(&mut decoder);
        }
    }
}

/// A large payload is received into its own allocation, which the program gets.
#[test]
fn large_payloads_are_not_copied() {
    let frame = frame(Role::Client, 0x82, &vec![7; 1 << 20]);
    let mut decoder = decoder(Role::Client, limits());
    let (most, last) = frame.split_at(frame.len() - 10_000);
    feed(&mut decoder, [most]);
    let address = decoder.spare().as_ptr();
    let Event::Message(message) = feed(&mut decoder, [last]).events.remove(0) else {
        panic!("no message");
    };
    let payload = message.into_bytes();
    assert_eq!(payload.as_ptr(), address);
    assert_eq!(Vec::from(payload).capacity(), 1 << 20);
}

/// Where the payload has more room than its last frame needs, what is received behind the frame
/// is decoded next.
#[test]
fn bytes_received_behind_a_payload_are_kept() {
    for role in BOTH {
        let mut bytes = frame(role, 0x02, &[1; 70_000]);
        bytes.extend(frame(role, 0x00, &[2; 10_000]));
        bytes.extend(frame(role, 0x80, &[3; 6_000]));
        bytes.extend(frame(role, 0x81, b"behind").repeat(1000));
        let mut decoder = decoder(role, limits());
        let begun = 70_000 + 10_000 + 500;
        feed(&mut decoder, [&bytes[..begun]]);
        let spare = decoder.spare();
        assert!(
            spare.capacity() - spare.len() > 10_000,
            "{}",
            spare.capacity()
        );
        let events = feed(&mut decoder, [&bytes[begun..]]).events;
        assert_eq!(
            events[0].clone(),
            binary(&[&[1; 70_000][..], &[2; 10_000], &[3; 6_000]].concat())
        );
        assert_eq!(events[1..], vec![text("behind"); 1000]);
    }
}

/// A read buffer that was filled is followed by a large one. Behind a burst that was large the
/// connection waits with that, and behind a small one with 4 KiB again.
#[test]
fn the_read_buffer_follows_the_bursts() {
    for role in BOTH {
        let mut decoder = decoder(role, limits());
        assert_eq!(decoder.spare().capacity(), AT_REST);
        let small = frame(role, 0x82, b"0123456789");
        let flood = small.repeat(20_000);
        let large = frame(role, 0x82, &vec![7; 3 << 20]);
        for (burst, first, then) in [
            (&flood, AT_REST, LARGE),
            (&flood, LARGE, LARGE),
            (&small, LARGE, AT_REST),
            (&[&large[..], &small].concat(), AT_REST, AT_REST),
        ] {
            assert_eq!(decoder.spare().capacity(), first);
            feed(&mut decoder, [&burst[..]]);
            // More than one wait may pass until something comes.
            assert_eq!(decoder.spare().capacity(), then);
            assert_eq!(decoder.spare().capacity(), then);
        }
    }
}

/// A message that fills a quarter of the buffer stays where it is, and so does the next.
#[test]
fn payloads_in_a_large_buffer_are_not_copied() {
    for role in BOTH {
        for first in [0x81, 0x82] {
            let mut decoder = decoder(role, limits());
            feed(&mut decoder, [&frame(role, 0x82, &[7; 5000]).repeat(2)[..]]);
            let spare = decoder.spare();
            assert_eq!(spare.capacity(), LARGE);
            let address = spare.as_ptr() as usize;
            let frame = frame(role, first, &[b'x'; LARGE / 4]);
            let events = feed(&mut decoder, [&frame.repeat(3)[..]]).events;
            for (number, event) in events.into_iter().enumerate() {
                let Event::Message(message) = event else {
                    panic!("no message");
                };
                let end = (number + 1) * frame.len();
                assert_eq!(
                    message.as_bytes().as_ptr() as usize,
                    address + end - LARGE / 4
                );
            }
        }
    }
}

/// A message that fills less of the buffer stays where it is if it has come with others, and is copied
/// if it has come alone: it would keep eight times its memory in use.
#[test]
fn only_messages_that_come_together_keep_a_large_buffer() {
    for role in BOTH {
        for (count, is_copied) in [(1, true), (2, false)] {
            let mut decoder = decoder(role, limits());
            feed(&mut decoder, [&frame(role, 0x82, &[7; 5000]).repeat(2)[..]]);
            let spare = decoder.spare();
            let buffer = spare.as_ptr()..spare.as_ptr().wrapping_add(LARGE);
            let burst = frame(role, 0x81, &[b'x'; LARGE / 8]).repeat(count);
            let events = feed(&mut decoder, [&burst[..]]).events;
            assert_eq!(events.len(), count);
            for event in events {
                let Event::Message(message) = event else {
                    panic!("no message");
                };
                let place = message.as_bytes().as_ptr();
                assert_eq!(!buffer.contains(&place), is_copied, "{role:?}, {count}");
            }
        }
    }
}

/// Messages of every size around the thresholds come whole, one behind the other, with what comes
/// between them, wherever the bytes are cut; so do those that end in what is not UTF-8.
#[test]
fn sizes_around_thresholds_arrive_cut_anywhere() {
    let mut random = StdRng::seed_from_u64(11);
    let small = [0, 125, 256, 2 << 10, AT_REST];
    for threshold in small
        .into_iter()
        .chain([LARGE / 8, LARGE / 4, LARGE / 2, LARGE])
    {
        for role in BOTH {
            let sizes = threshold.saturating_sub(12)..threshold + 2;
            let (mut bytes, mut events) = (Vec::new(), Vec::new());
            for size in sizes {
                let letters = "\u{e4}".repeat(size / 2) + &"x".repeat(size % 2);
                for _ in 0..2 {
                    bytes.extend(frame(role, 0x81, letters.as_bytes()));
                    events.push(text(&letters));
                }
                bytes.extend(frame(role, 0x89, b"p"));
                events.push(Event::Ping(Bytes::from_static(b"p")));
                for _ in 0..2 {
                    bytes.extend(frame(role, 0x82, &vec![size as u8; size]));
                    events.push(binary(&vec![size as u8; size]));
                }
            }
            let good = bytes.len();
            let wrong = [&vec![b'x'; threshold][..], b"\xff"].concat();
            bytes.extend(frame(role, 0x81, &wrong));
            for _ in 0..4 {
                let mut cuts: Vec<_> = (0..8)
                    .map(|_| random.random_range(0..bytes.len()))
                    .collect();
                cuts.sort_unstable();
                let mut pieces = Vec::new();
                let mut from = 0;
                for cut in cuts.into_iter().chain([good, bytes.len()]) {
                    pieces.push(&bytes[from..cut.max(from)]);
                    from = cut.max(from);
                }
                let seen = feed_as_reader(&mut decoder(role, limits()), pieces);
                assert!(seen.events == events, "{role:?}, {threshold}");
                let failure = Some((CloseCode::INVALID_PAYLOAD, bytes.len()));
                assert_eq!(seen.failure, failure, "{role:?}, {threshold}");
            }
        }
    }
}

/// A text whose rest has probably come is judged with that rest. If it has not come, a wrong byte is
/// found all the same, and nothing that comes later counts.
#[test]
fn a_text_that_fills_the_buffer_waits_for_its_rest() {
    for role in BOTH {
        for length in [AT_REST, LARGE / 4, LARGE / 2 - 20] {
            let mut wrong = vec![b'x'; length];
            wrong[AT_REST / 2] = 0xFF;
            let wrong = frame(role, 0x81, &wrong);
            let (come, rest) = wrong.split_at(AT_REST);
            for has_come in [false, true] {
                let mut decoder = decoder(role, limits());
                decoder.spare().extend_from_slice(come);
                assert!(decoder.next_whole_message().is_none() && decoder.is_cut_short());
                let spare = decoder.spare();
                if has_come {
                    spare.extend_from_slice(rest);
                    spare.extend(frame(role, 0x81, b"behind"));
                    assert!(decoder.next_whole_message().is_none());
                }
                assert!(!decoder.is_cut_short(), "{length}");
                let violation = decoder.next().unwrap_err();
                assert_eq!(violation.code, CloseCode::INVALID_PAYLOAD, "{length}");
                assert!(decoder.next_whole_message().is_none() && !decoder.has_whole_frame());
                assert!(decoder.next().unwrap().is_none());
            }
        }
    }
}

/// Feeds as the reading end does, which asks for messages that are there whole first, and receives
/// the rest of one before it asks for anything else.
fn feed_as_reader<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    feed_by(decoder, pieces, |decoder, events| {
        loop {
            while let Some(message) = decoder.next_whole_message() {
                events.push(Event::Message(message));
            }
            if decoder.is_cut_short() {
                return Ok(());
            }
            match decoder.next()? {
                Some(event) => events.push(event),
                None if make_room(decoder) => {}
                None => return Ok(()),
            }
        }
    })
}

/// Short messages that came together are decoded in their order, whichever way each is asked for,
/// also whole or in chunks.
#[test]
fn short_messages_may_be_asked_for_either_way() {
    for role in BOTH {
        let texts: Vec<_> = (0..40).map(|number| format!("text {number}")).collect();
        let bytes: Vec<_> = texts
            .iter()
            .flat_map(|text| frame(role, 0x81, text.as_bytes()))
            .collect();
        for turn in 1..4 {
            let mut decoder = decoder(role, limits());
            decoder.spare().extend_from_slice(&bytes);
            for (number, text) in texts.iter().enumerate() {
                let short = (number % turn > 0).then(|| decoder.next_whole_message());
                if number % 5 == 4 {
                    decoder.stream();
                }
                let message = match short.flatten() {
                    Some(message) => Event::Message(message),
                    None => decoder.next().unwrap().unwrap(),
                };
                assert_eq!(message, Event::Message(text.as_str().into()), "{turn}");
            }
            assert!(!decoder.is_mid_message());
        }
    }
}

/// After a Close or a violation nothing more is decoded, the short way neither.
#[test]
fn nothing_is_decoded_after_an_end() {
    for role in BOTH {
        for end in [frame(role, 0x88, b""), frame(role, 0x83, b"")] {
            let mut decoder = decoder(role, limits());
            decoder.spare().extend_from_slice(&end);
            let _ = decoder.next();
            let late = frame(role, 0x81, b"late");
            decoder.spare().extend_from_slice(&late);
            assert_eq!(decoder.next_whole_message(), None);
            assert_eq!(decoder.next(), Ok(None));
        }
    }
}

/// A message holds only its own bytes, or a quarter more, or 4 KiB: small ones before and after a
/// large one, and those that grew by fragments.
#[test]
fn messages_pin_little() {
    for role in BOTH {
        let small = frame(role, 0x82, &[1; 100]);
        let large = frame(role, 0x82, &vec![2; 200_000]);
        let mut bytes = [&small[..], &large, &small].concat();
        bytes.extend(frame(role, 0x02, &[3; 60]));
        bytes.extend(frame(role, 0x80, &[3; 40]));
        bytes.extend(frame(role, 0x02, &[4; 50_000]));
        bytes.extend(frame(role, 0x80, &[4; 10]));
        for event in feed(&mut decoder(role, limits()), [&bytes[..]]).events {
            let Event::Message(message) = event else {
                panic!("no message");
            };
            let length = message.len();
            let vec = Vec::from(message.into_bytes());
            assert!(vec.capacity() <= length + length / 4 + AT_REST);
        }
    }
}

/// A message that has begun is known to have, from its first byte to its last, also between its
/// fragments; a violation ends it.
#[test]
fn knows_whether_it_is_mid_message() {
    for role in BOTH {
        let mut bytes = frame(role, 0x01, b"ab");
        bytes.extend(frame(role, 0x80, b"cd"));
        let mut decoder = decoder(role, limits());
        assert!(!decoder.is_mid_message());
        for (count, byte) in bytes.chunks(1).enumerate() {
            feed(&mut decoder, [byte]);
            assert_eq!(decoder.is_mid_message(), count + 1 < bytes.len());
        }
        feed(&mut decoder, [&frame(role, 0x01, b"\xff")[..]]);
        assert!(!decoder.is_mid_message());
    }
}

/// After the end the decoder still takes bytes, to be thrown away, and keeps none of them.
#[test]
fn nothing_is_kept_after_the_end() {
    let mut decoder = decoder(Role::Client, limits());
    feed(&mut decoder, [&frame(Role::Client, 0x88, b"")[..]]);
    for _ in 0..100 {
        let spare = decoder.spare();
        assert_eq!((spare.len(), spare.capacity()), (0, AT_REST));
        spare.extend_from_slice(&[0x81; AT_REST]);
    }
    assert_eq!(decoder.next(), Ok(None));
}

/// What one role encodes, the other decodes, in whatever pieces it comes.
#[test]
fn encoded_messages_come_back_in_any_chunks() {
    let mut random = StdRng::seed_from_u64(7);
    for (from, to) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        for _ in 0..40 {
            let (events, wire) = random_traffic(&mut random, from);
            let mut pieces = Vec::new();
            let mut rest = &wire[..];
            let longest = [1, 10, 1000, 5000, 100_000][random.random_range(0..5)];
            while !rest.is_empty() {
                let (piece, later) =
                    rest.split_at(random.random_range(1..=longest).min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            let failure = None;
            let expected = Seen { events, failure };
            let seen = feed(&mut decoder(to, limits()), pieces.iter().copied());
            assert!(seen == expected, "{to:?}, {longest}");
            let seen = feed_as_reader(&mut decoder(to, limits()), pieces);
            assert!(seen == expected, "{to:?}, {longest}, quick");
        }
    }
}

fn random_traffic(random: &mut StdRng, role: Role) -> (Vec<Event>, Vec<u8>) {
    let mut encoder = Encoder::new(role);
    let mut wire = Vec::new();
    let mut events = Vec::new();
    for _ in 0..random.random_range(1..10) {
        let longest = [10, 130, 5000, 70_000][random.random_range(0..4)];
        let letters = (0..random.random_range(0..longest)).map(|i| ['a', 'ä', '€', '😀'][i % 4]);
        let message = Text::from(letters.collect::<String>());
        let event = match random.random_range(0..5) {
            0 => Event::Ping(Bytes::copy_from_slice(
                &message.as_bytes()[..message.len().min(125)],
            )),
            1 => Event::Pong(Bytes::new()),
            2 => Event::Message(Message::Binary(message.into_bytes())),
            _ => Event::Message(Message::Text(message)),
        };
        match &event {
            Event::Message(message) => append_in_steps(&mut encoder, message, &mut wire),
            Event::Ping(payload) => encoder.encode(Opcode::Ping, Fin::Last, payload, &mut wire),
            Event::Pong(payload) => encoder.encode(Opcode::Pong, Fin::Last, payload, &mut wire),
            Event::Chunk(_) | Event::Close(_) => {}
        }
        events.push(event);
    }
    (events, wire)
}

/// Encodes large messages as the sender does: the header first, then the payload in pieces.
fn append_in_steps(encoder: &mut Encoder, message: &Message, wire: &mut Vec<u8>) {
    let (opcode, payload) = (Opcode::of(message), message.as_bytes());
    if payload.len() < 60_000 {
        return encoder.encode(opcode, Fin::Last, payload, wire);
    }
    let key = encoder.encode_header(opcode, Fin::Last, payload.len() as u64, wire);
    for (number, piece) in payload.chunks(10_001).enumerate() {
        match key {
            Some(key) => key.append_masked(wire, piece, number * 10_001),
            None => wire.extend_from_slice(piece),
        }
    }
}

/// A client masks each frame with a key of its own, a server masks none; headers have the shortest
/// form.
#[test]
fn frames_are_encoded_by_the_book() {
    let lengths = [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)];
    for (length, header) in lengths {
        let payload = vec![b'x'; length];
        let mut from_server = Vec::new();
        Encoder::new(Role::Server).encode(Opcode::Text, Fin::Last, &payload, &mut from_server);
        assert_eq!(from_server, frame(Role::Client, 0x81, &payload));
        assert_eq!(from_server.len(), header + length);
        let mut from_client = Vec::new();
        Encoder::new(Role::Client).encode(Opcode::Text, Fin::Last, &payload, &mut from_client);
        assert_eq!(from_client.len(), header + 4 + length);
        assert_eq!(from_client[1] & 0x80, 0x80);
    }
}
