//! What breaks the protocol ends the connection with the right code, in both roles.

use std::io::Write;
use std::thread;

use landline::{CloseEvent, Config, Initiator};

use crate::support::opcode::*;
use crate::support::*;

/// One way to break the protocol.
struct Row {
    what: String,
    code: u16,
    /// What the peer sends, up to the byte that shows it.
    bytes: Vec<u8>,
}

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const KEY: [u8; 4] = [0x11, 0x22, 0x44, 0x88];

/// Every violation is answered with its Close at the byte that shows it, whole or byte by byte; it
/// is told once, the messages before it are delivered, the bad frame is not.
#[test]
fn violations_are_closed_with_their_code() {
    for role in ROLES {
        for row in rows(role) {
            for cut in [Cut::Whole, Cut::Bytes] {
                check(role, &row, cut);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Bytes,
}

fn check(role: Role, row: &Row, cut: Cut) {
    let what = format!("landline as {role:?}, {cut:?}: {}", row.what);
    let (mut met, events) = Meeting::recorded(role, limits());
    let mut bytes = met.peer.encode(&Frame::text("before"));
    bytes.extend(&row.bytes);
    match cut {
        Cut::Whole => met.peer.send_bytes(&bytes),
        // It need not take what stands behind the wrong byte.
        Cut::Bytes => bytes
            .iter()
            .for_each(|byte| drop(met.peer.try_send_bytes([*byte]))),
    }
    assert_eq!(met.peer.read_close(), Some(row.code), "{what}");
    met.peer.read_eof();
    drop(met.peer);
    assert_eq!(events.next(), Event::Text("before".into()), "{what}");
    let Event::Error(error) = events.next() else {
        panic!("{what}: no error")
    };
    assert!(error.contains(&row.code.to_string()), "{what}: {error}");
    let event = closed_once(&events, &met.ws);
    assert_eq!(event.code(), row.code, "{what}");
    assert_failed_here(&event);
}

#[track_caller]
fn assert_failed_here(event: &CloseEvent) {
    assert_eq!(event.initiator(), Initiator::Local);
    assert_eq!(event.sent_code(), Some(event.code()));
    assert_eq!(event.received_code(), None);
    assert!(!event.is_clean() && !event.is_ordinary());
    assert_eq!(event.timeout(), None);
}

fn limits() -> Config {
    Config::new()
        .max_frame_size(900)
        .max_message_size(1000)
        .max_fragments(3)
        .ping_interval(None)
}

/// Returns the table, in the bytes of the role's peer.
fn rows(role: Role) -> Vec<Row> {
    let masks = role.peer_masks();
    let mut rows = Vec::new();
    let mut add = |what: &str, code: u16, parts: &[Vec<u8>]| {
        rows.push(Row {
            what: what.into(),
            code,
            bytes: parts.concat(),
        });
    };
    let short = |first: u8, length: u8| header(first, masks, length, &[]);
    let frame = |first: u8, payload: &[u8]| framed(first, masks, payload);
    let wide = |first: u8, length: u16| header(first, masks, 126, &length.to_be_bytes());
    let huge = |first: u8, length: u64| header(first, masks, 127, &length.to_be_bytes());

    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        add(
            &format!("reserved opcode {opcode}"),
            1002,
            &[short(FIN | opcode, 0)],
        );
        add(
            &format!("reserved opcode {opcode}, a payload to come"),
            1002,
            &[short(FIN | opcode, 9)],
        );
    }
    for bit in [0x40, 0x20, 0x10, 0x70] {
        add(
            &format!("reserved bit {bit:#x} on a text"),
            1002,
            &[short(FIN | bit | TEXT, 5)],
        );
        add(
            &format!("reserved bit {bit:#x} on a ping"),
            1002,
            &[short(FIN | bit | PING, 0)],
        );
        let fragments = [frame(TEXT, b"a"), short(FIN | bit | CONTINUATION, 1)];
        add(
            &format!("reserved bit {bit:#x} on a continuation"),
            1002,
            &fragments,
        );
    }
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        let wrongly_masked = header(FIN | opcode, !masks, 5, &[]);
        add(
            &format!("masked wrongly, opcode {opcode}"),
            1002,
            &[wrongly_masked],
        );
        add(
            &format!("masked wrongly, empty, opcode {opcode}"),
            1002,
            &[header(FIN | opcode, !masks, 0, &[])],
        );
    }
    for opcode in [CLOSE, PING, PONG] {
        add(
            &format!("fragmented control frame {opcode}"),
            1002,
            &[short(opcode, 3)],
        );
        add(
            &format!("control frame {opcode} of 126 bytes"),
            1002,
            &[wide(FIN | opcode, 126)],
        );
        add(
            &format!("control frame {opcode} of 16 MiB"),
            1002,
            &[huge(FIN | opcode, 16 << 20)],
        );
    }
    add("5 as a 16-bit length", 1002, &[wide(FIN | BINARY, 5)]);
    add("125 as a 16-bit length", 1002, &[wide(FIN | BINARY, 125)]);
    add("125 as a 64-bit length", 1002, &[huge(FIN | BINARY, 125)]);
    add(
        "65,535 as a 64-bit length",
        1002,
        &[huge(FIN | BINARY, 65_535)],
    );
    add("a length of 2^63", 1002, &[huge(FIN | BINARY, 1 << 63)]);
    add(
        "a length of 2^64 - 1",
        1002,
        &[huge(FIN | BINARY, u64::MAX)],
    );
    add(
        "a continuation of nothing",
        1002,
        &[short(FIN | CONTINUATION, 1)],
    );
    add(
        "an unfinished continuation of nothing",
        1002,
        &[short(CONTINUATION, 1)],
    );
    add(
        "a text inside a message",
        1002,
        &[frame(TEXT, b"a"), short(FIN | TEXT, 1)],
    );
    add(
        "a binary inside a message",
        1002,
        &[frame(BINARY, b"a"), short(BINARY, 1)],
    );
    add(
        "a close code of one byte",
        1002,
        &[frame(FIN | CLOSE, &[3])],
    );
    for code in [
        0,
        999,
        1004,
        1005,
        1006,
        1015,
        1016,
        1100,
        2000,
        2999,
        5000,
        u16::MAX,
    ] {
        add(
            &format!("close code {code}"),
            1002,
            &[frame(FIN | CLOSE, &code.to_be_bytes())],
        );
    }
    add(
        "a close reason that is not UTF-8",
        1007,
        &[frame(FIN | CLOSE, b"\x03\xe8\xff")],
    );
    add(
        "a close reason cut in a character",
        1007,
        &[frame(FIN | CLOSE, b"\x03\xe8\xc3")],
    );
    for (name, text) in NOT_UTF8 {
        add(
            &format!("not UTF-8: {name}"),
            1007,
            &[frame(FIN | TEXT, text)],
        );
        add(
            &format!("not UTF-8 in the second fragment: {name}"),
            1007,
            &[
                frame(TEXT, b"fine"),
                frame(CONTINUATION, b""),
                frame(FIN | CONTINUATION, text),
            ],
        );
    }
    let mut early = frame(FIN | TEXT, &[0xff; 100]);
    early.truncate(early.len() - 99);
    add(
        "not UTF-8 from the first of 100 bytes, which never come",
        1007,
        &[early],
    );
    add(
        "a character cut by the end of the message",
        1007,
        &[frame(FIN | TEXT, b"\xe2\x82")],
    );
    add(
        "a character that goes on wrongly in a fragment",
        1007,
        &[frame(TEXT, b"\xe2\x82"), frame(CONTINUATION, b"a")],
    );
    add("a frame over its limit", 1009, &[wide(FIN | BINARY, 901)]);
    add("a fragment over its limit", 1009, &[wide(BINARY, 901)]);
    for power in [16, 31, 32, 62] {
        add(
            &format!("a length of 2^{power}"),
            1009,
            &[huge(FIN | BINARY, 1 << power)],
        );
    }
    add(
        "a length of 2^63 - 1",
        1009,
        &[huge(FIN | TEXT, u64::MAX >> 1)],
    );
    add(
        "fragments over the message's limit",
        1009,
        &[frame(BINARY, &[0; 500]), wide(FIN | CONTINUATION, 501)],
    );
    let fragments = [
        frame(BINARY, b""),
        frame(CONTINUATION, b""),
        frame(CONTINUATION, b""),
    ];
    add(
        "too many fragments",
        1009,
        &[fragments.concat(), short(FIN | CONTINUATION, 0)],
    );
    rows
}

const NOT_UTF8: [(&str, &[u8]); 9] = [
    ("a continuation byte alone", b"a\x80"),
    ("a byte that never occurs", b"\xff"),
    ("a slash in two bytes", b"\xc0\xaf"),
    ("a slash in three bytes", b"\xe0\x80\xaf"),
    ("a surrogate", b"\xed\xa0\x80"),
    ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
    ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ("two bytes, the second wrong", b"\xc3\x28"),
    ("four bytes, the last wrong", b"\xf0\x9f\x98\x28"),
];

/// Makes a header: its first byte, the 7-bit length or its escape, and the longer form.
fn header(first: u8, masked: bool, length: u8, longer: &[u8]) -> Vec<u8> {
    let mask = if masked { MASKED } else { 0 };
    let key: &[u8] = if masked { &KEY } else { &[] };
    [&[first, mask | length], longer, key].concat()
}

/// Makes a frame with any first byte.
fn framed(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Frame::new(BINARY, payload).bytes(masked);
    bytes[0] = first;
    bytes
}

/// The Close survives our closing the socket: a peer that goes on sending all the while reads 1009
/// and then the end, never a reset, each time.
#[test]
fn code_reaches_a_peer_that_goes_on_sending() {
    const RUNS: usize = 100;
    for role in ROLES {
        for _ in 0..RUNS / ROLES.len() {
            let mut met = Meeting::of(role, limits(), |_| {});
            let mut too_big = header(
                FIN | BINARY,
                role.peer_masks(),
                127,
                &(1_u64 << 30).to_be_bytes(),
            );
            too_big.resize(128 << 10, 7);
            let mut sending = met.peer.stream.try_clone().unwrap();
            let writer = thread::spawn(move || while sending.write_all(&too_big).is_ok() {});
            assert_eq!(met.peer.read_close(), Some(1009), "landline as {role:?}");
            met.peer.read_eof();
            met.peer.send_fin();
            drop(met.peer);
            writer.join().unwrap();
        }
    }
}

/// Whatever was sent before a violation was found is not lost to it: replies to the messages before
/// the bad frame arrive before the Close.
#[test]
fn replies_before_a_violation_arrive() {
    for role in ROLES {
        let mut met = Meeting::of(role, limits(), |ws| ws.on_text(|ws, text| ws.send(text)));
        let mut bytes = Vec::new();
        (0..20).for_each(|i| bytes.extend(met.peer.encode(&Frame::text(&i.to_string()))));
        bytes.extend(header(FIN | 0x40 | TEXT, role.peer_masks(), 0, &[]));
        met.peer.send_bytes(bytes);
        for i in 0..20 {
            assert_eq!(
                met.peer.read_frame(),
                Frame::text(&i.to_string()),
                "landline as {role:?}"
            );
        }
        assert_eq!(met.peer.read_close(), Some(1002));
        met.peer.read_eof();
    }
}

/// What was sent before the peer's Close was read is not lost to it: replies to the messages in the
/// same segment arrive before the answering Close.
#[test]
fn replies_before_the_peers_close_arrive() {
    for role in ROLES {
        let mut met = Meeting::of(role, limits(), |ws| ws.on_text(|ws, text| ws.send(text)));
        let mut bytes = Vec::new();
        (0..20).for_each(|i| bytes.extend(met.peer.encode(&Frame::text(&i.to_string()))));
        bytes.extend(met.peer.encode(&Frame::new(CLOSE, [3, 0xe8])));
        met.peer.send_bytes(bytes);
        for i in 0..20 {
            assert_eq!(
                met.peer.read_frame(),
                Frame::text(&i.to_string()),
                "landline as {role:?}"
            );
        }
        assert_eq!(met.peer.read_close(), Some(1000));
    }
}

/// What was sent before a callback failed is not lost to that: replies to the messages before it in
/// the same segment arrive before the Close.
#[test]
fn replies_before_a_failing_callback_arrive() {
    for role in ROLES {
        let mut met = Meeting::of(role, limits(), |ws| {
            ws.on_text(|ws, text| -> landline::Outcome {
                let number: u32 = text.parse()?;
                Ok(ws.send(number.to_string())?)
            });
        });
        let mut bytes = Vec::new();
        (0..20).for_each(|i| bytes.extend(met.peer.encode(&Frame::text(&i.to_string()))));
        bytes.extend(met.peer.encode(&Frame::text("not a number")));
        bytes.extend(met.peer.encode(&Frame::text("20")));
        met.peer.send_bytes(bytes);
        for i in 0..20 {
            assert_eq!(
                met.peer.read_frame(),
                Frame::text(&i.to_string()),
                "landline as {role:?}"
            );
        }
        assert_eq!(met.peer.read_close(), Some(1011));
    }
}

/// What the peer sends behind its Close or behind a violation is never looked at.
#[test]
fn nothing_is_read_behind_the_end() {
    for role in ROLES {
        let ends = [
            (1000, framed(FIN | CLOSE, role.peer_masks(), &[3, 0xe8])),
            (1002, header(FIN | 3, role.peer_masks(), 0, &[])),
        ];
        for (code, end) in ends {
            let (mut met, events) = Meeting::recorded(role, limits());
            let late = [
                met.peer.encode(&Frame::new(PING, "late")),
                met.peer.encode(&Frame::text("late")),
            ];
            met.peer.send_bytes([&end[..], &late.concat()].concat());
            assert_eq!(met.peer.read_close(), Some(code), "landline as {role:?}");
            drop(met.peer);
            settled("the end", || met.ws.close_code().is_some());
            let heard = events.so_far();
            let late = heard
                .iter()
                .any(|event| matches!(event, Event::Ping(_) | Event::Text(_)));
            assert!(!late, "landline as {role:?}: {heard:?}");
        }
    }
}

/// A raised limit of messages raises the limit of frames with it, for one frame and for several; a
/// limit of frames that is set lower holds.
#[test]
fn frame_limit_follows_the_message_limit() {
    const MORE: usize = 17 << 20;
    for role in ROLES {
        let config = Config::new().max_message_size(MORE).ping_interval(None);
        let (mut met, events) = Meeting::recorded(role, config.clone());
        met.peer.send(&Frame::new(BINARY, vec![0; MORE]));
        assert_eq!(events.next(), Event::Binary(vec![0; MORE]), "{role:?}");
        met.peer.send(&Frame::new(BINARY, vec![0; 1]).unfinished());
        let continuation = framed(FIN | CONTINUATION, role.peer_masks(), &vec![0; MORE]);
        let _ = met.peer.try_send_bytes(&continuation[..14]);
        assert_eq!(met.peer.read_close(), Some(1009), "{role:?}");
        let (mut met, _events) = Meeting::recorded(role, config.max_frame_size(MORE - 1));
        let frame = framed(FIN | BINARY, role.peer_masks(), &vec![0; MORE]);
        let _ = met.peer.try_send_bytes(&frame[..14]);
        assert_eq!(met.peer.read_close(), Some(1009), "{role:?}");
    }
}

/// A server that is told to takes frames without a mask beside those with one: messages, fragments, a
/// pong, a ping and a Close. A client takes no masked ones then either.
#[test]
fn unmasked_frames_are_taken_where_that_is_set() {
    let config = || {
        Config::new()
            .accept_unmasked_frames(true)
            .ping_interval(None)
    };
    let (mut met, events) = Meeting::recorded(Role::Server, config());
    let frames = [
        Frame::text("unmasked"),
        Frame::new(PONG, "late"),
        Frame::text("in ").unfinished(),
        Frame::new(PING, "p"),
        Frame::new(CONTINUATION, "two"),
        Frame::new(BINARY, vec![7; 70_000]),
    ];
    for masked in [false, true, false] {
        for frame in &frames {
            met.peer.send_bytes(frame.bytes(masked));
        }
        for expected in [
            Event::Text("unmasked".into()),
            Event::Pong(b"late".into()),
            Event::Ping(b"p".into()),
            Event::Text("in two".into()),
            Event::Binary(vec![7; 70_000]),
        ] {
            assert_eq!(events.next(), expected, "masked: {masked}");
        }
        assert_eq!(met.peer.read_frame(), Frame::new(PONG, "p"));
    }
    let close = Frame::new(CLOSE, 4000_u16.to_be_bytes());
    met.peer.send_bytes(close.bytes(false));
    assert_eq!(met.peer.read_close(), Some(4000));
    assert_eq!(closed_once(&events, &met.ws).code(), 4000);

    let (mut met, _events) = Meeting::recorded(Role::Client, config());
    met.peer.send_bytes(Frame::text("masked").bytes(true));
    assert_eq!(met.peer.read_close(), Some(1002));
}
