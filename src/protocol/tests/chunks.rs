//! Messages that are asked for in chunks.

use super::*;
use crate::protocol::Chunk;

/// The most that may be held of a message.
const STEP: usize = 64 << 10;

/// Collects events, each message asked for in chunks, and joins the chunks.
fn drain_chunks(decoder: &mut Decoder, joined: &mut Joined) -> Result<(), Violation> {
    loop {
        decoder.stream();
        if joined.count % 2 == 0 {
            decoder.has_whole_frame();
        }
        match decoder.next()? {
            Some(event) => joined.add(decoder, event),
            None if make_room(decoder) => {}
            None => return Ok(()),
        }
    }
}

/// Is what came, with the chunks put together again.
#[derive(Default)]
struct Joined {
    events: Vec<Event>,
    /// How many events there were before they were joined.
    count: usize,
    begun: Option<(bool, Vec<u8>)>,
}

impl Joined {
    fn add(&mut self, decoder: &mut Decoder, event: Event) {
        self.count += 1;
        match event {
            Event::Chunk(chunk) => self.join(decoder, *chunk),
            event => self.events.push(event),
        }
    }

    fn join(&mut self, decoder: &mut Decoder, chunk: Chunk) {
        let is_first = self.begun.is_none();
        let may_be_empty = is_first || chunk.is_last;
        assert!(
            may_be_empty || !chunk.bytes.is_empty(),
            "a chunk of nothing"
        );
        let (is_text, mut payload) = self.begun.take().unwrap_or((chunk.is_text, Vec::new()));
        assert_eq!(is_text, chunk.is_text);
        payload.extend_from_slice(&chunk.bytes);
        decoder.reuse(chunk.bytes);
        assert_eq!(decoder.is_streaming(), !chunk.is_last);
        match (chunk.is_last, is_text) {
            (false, _) => self.begun = Some((is_text, payload)),
            (true, true) => self
                .events
                .push(text(std::str::from_utf8(&payload).unwrap())),
            (true, false) => self.events.push(binary(&payload)),
        }
    }
}

pub(super) fn feed_chunks<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Seen {
    let mut joined = Joined::default();
    let seen = feed_by(decoder, pieces, |decoder, _| {
        drain_chunks(decoder, &mut joined)
    });
    let events = joined.events;
    Seen { events, ..seen }
}

/// Feeds the bytes whole, in halves and one by one to who asks for chunks.
#[track_caller]
pub(super) fn check(what: &str, role: Role, limits: Limits, bytes: &[u8], expected: &Seen) {
    let (half, other_half) = bytes.split_at(bytes.len() / 2);
    let whole = feed_chunks(&mut decoder(role, limits), [bytes]);
    let halves = feed_chunks(&mut decoder(role, limits), [half, other_half]);
    for seen in [whole, halves] {
        assert_eq!(seen.events, expected.events, "{what}, {role:?}, chunks");
        assert_eq!(
            seen.failure.map(|(code, _)| code),
            expected.failure.map(|(code, _)| code),
            "{what}, {role:?}, chunks"
        );
    }
    let one_by_one = feed_chunks(&mut decoder(role, limits), bytes.chunks(1));
    assert_eq!(one_by_one, *expected, "{what}, {role:?}, chunks");
}

/// Appends received bytes, as many as there is room for at a time, and returns the chunks that come.
fn receive(decoder: &mut Decoder, mut bytes: &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let spare = decoder.spare();
        assert!(spare.capacity() <= STEP, "{}", spare.capacity());
        let room = spare.capacity() - spare.len();
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        spare.extend_from_slice(now);
        bytes = later;
        while let Some(Event::Chunk(chunk)) = decoder.next().unwrap() {
            chunks.push(*chunk);
        }
        make_room(decoder);
    }
    chunks
}

fn chunk(is_text: bool, bytes: &[u8], is_last: bool) -> Event {
    Event::Chunk(Box::new(Chunk {
        is_text,
        bytes: bytes.to_vec(),
        is_last,
    }))
}

/// Makes a message of one frame and of three, both beyond `small_limits`: the payload and the bytes.
fn oversized(role: Role) -> [(Vec<u8>, Vec<u8>); 3] {
    let payload: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
    let mut three = frame(role, 0x02, &payload[..100_000]);
    three.extend(frame(role, 0x00, &payload[100_000..100_500]));
    three.extend(frame(role, 0x80, &payload[100_500..]));
    let mut many = frame(role, 0x02, b"");
    many.extend(frame(role, 0x00, &payload[..10]).repeat(100));
    many.extend(frame(role, 0x80, b""));
    [
        (payload.clone(), frame(role, 0x82, &payload)),
        (payload.clone(), three),
        (payload[..10].repeat(100), many),
    ]
}

/// A message begins with its header, and each byte of it is given out when it has come.
#[test]
fn chunks_do_not_wait_for_more() {
    for role in BOTH {
        let bytes = frame(role, 0x01, "\u{e4}b".as_bytes());
        let (head, payload) = bytes.split_at(bytes.len() - 3);
        let mut decoder = decoder(role, limits());
        decoder.stream();
        let seen = feed(&mut decoder, [head]);
        assert_eq!(seen.events, [chunk(true, b"", false)]);
        let seen = feed(&mut decoder, payload.chunks(1));
        let each = [b"\xc3", b"\xa4", b"b"];
        assert_eq!(seen.events, each.map(|byte| chunk(true, byte, false)));
        let seen = feed(&mut decoder, [&frame(role, 0x80, b"")[..]]);
        assert_eq!(seen.events, [chunk(true, b"", true)]);
    }
}

/// Text in chunks is judged as std judges it whole, wherever it is split into frames and pieces.
#[test]
fn text_in_chunks_is_judged_as_std_judges_it() {
    for role in BOTH {
        for bytes in texts() {
            for split in 0..=bytes.len() {
                let (one, two) = bytes.split_at(split);
                let first = frame(role, 0x01, one);
                let second = frame(role, 0x80, two);
                let seen = feed_chunks(&mut decoder(role, limits()), [&first[..], &second]);
                match std::str::from_utf8(&bytes) {
                    Ok(valid) => assert_eq!(seen.events, [text(valid)]),
                    Err(_) => assert!(seen.failure.is_some(), "{bytes:x?} at {split}"),
                }
            }
        }
    }
}

/// No limit of size applies to a message asked for in chunks; all apply to the next one again.
#[test]
fn chunks_have_no_limits() {
    for role in BOTH {
        for (payload, bytes) in oversized(role) {
            let expected = Seen {
                events: vec![binary(&payload)],
                failure: None,
            };
            check("oversized", role, small_limits(), &bytes, &expected);
            let mut decoder = decoder(role, small_limits());
            decoder.stream();
            let failure = feed(&mut decoder, [&bytes[..]]).failure;
            assert_eq!((failure, decoder.is_streaming()), (None, false));
            let seen = feed(&mut decoder, [&bytes[..]]);
            assert_eq!(seen.failure.map(|(code, _)| code), Some(CloseCode::TOO_BIG));
        }
    }
}

/// Looking ahead judges no size: what is over the limits fails for who asks for it whole, and comes
/// for who asks for it in chunks.
#[test]
fn sizes_are_judged_by_how_one_asks() {
    for role in BOTH {
        for (payload, bytes) in oversized(role) {
            for in_chunks in [false, true] {
                let mut decoder = decoder(role, small_limits());
                let (ahead, rest) = bytes.split_at(800);
                decoder.spare().extend_from_slice(ahead);
                if in_chunks {
                    let seen = feed_chunks(&mut decoder, [rest]);
                    assert_eq!(seen.events, [binary(&payload)]);
                } else {
                    let failure = decoder.next().unwrap_err();
                    assert_eq!(failure.code, CloseCode::TOO_BIG);
                    assert_eq!(decoder.next(), Ok(None));
                }
            }
        }
    }
}

/// What is there already comes as it is: a whole message, a control frame, a violation.
#[test]
fn what_was_found_ahead_is_served() {
    for role in BOTH {
        let whole = frame(role, 0x81, b"whole");
        let ping = frame(role, 0x89, b"p");
        let wrong = frame(role, 0x83, b"");
        for (bytes, expected) in [
            (whole, Ok(text("whole"))),
            (ping, Ok(Event::Ping(Bytes::from_static(b"p")))),
            (wrong, Err(CloseCode::PROTOCOL_ERROR)),
        ] {
            let mut decoder = Decoder::new(role, limits(), bytes);
            assert!(decoder.has_whole_frame());
            decoder.stream();
            let found = decoder.next().map_err(|violation| violation.code);
            assert_eq!(found, expected.clone().map(Some));
            let is_message = matches!(expected, Ok(Event::Message(_)));
            assert_eq!(decoder.is_streaming(), !is_message);
        }
    }
}

/// A message of which a part has come before it is asked for in chunks loses nothing, wherever that
/// part ends.
#[test]
fn a_message_may_be_converted_anywhere() {
    for role in BOTH {
        let mut bytes = frame(role, 0x01, "a\u{e4}".as_bytes());
        bytes.extend(frame(role, 0x89, b"p"));
        bytes.extend(frame(role, 0x00, b"\xf0\x9f"));
        bytes.extend(frame(role, 0x00, b""));
        bytes.extend(frame(role, 0x80, b"\x98\x80z"));
        for split in 0..bytes.len() {
            for looks_ahead in [false, true] {
                let mut decoder = decoder(role, limits());
                let (before, after) = bytes.split_at(split);
                decoder.spare().extend_from_slice(before);
                let mut joined = Joined::default();
                if looks_ahead {
                    decoder.has_whole_frame();
                } else {
                    drain(&mut decoder, &mut joined.events).unwrap();
                }
                drain_chunks(&mut decoder, &mut joined).unwrap();
                decoder.spare().extend_from_slice(after);
                drain_chunks(&mut decoder, &mut joined).unwrap();
                let ping = Event::Ping(Bytes::from_static(b"p"));
                let message = text("a\u{e4}\u{1f600}z");
                assert_eq!(joined.events, [ping, message], "{split}");
            }
        }
    }
}

/// Half a large message that is then asked for in chunks comes as the first of them, and is the last
/// thing that is held of its size.
#[test]
fn what_grew_whole_is_let_go() {
    for role in BOTH {
        let payload = vec![7; 3 << 20];
        let bytes = frame(role, 0x82, &payload);
        let (before, after) = bytes.split_at(1 << 20);
        let mut decoder = decoder(role, limits());
        assert_eq!(feed(&mut decoder, [before]).events, []);
        decoder.stream();
        let Ok(Some(Event::Chunk(first))) = decoder.next() else {
            panic!("no chunk");
        };
        assert_eq!(first.bytes.len(), (1 << 20) - (bytes.len() - payload.len()));
        let mut length = first.bytes.len();
        decoder.reuse(first.bytes);
        assert_eq!(decoder.next(), Ok(None));
        make_room(&mut decoder);
        let chunks = receive(&mut decoder, after);
        length += chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
        assert_eq!(length, payload.len());
    }
}

/// A declared length costs nothing and overflows nothing: of a message in chunks one step is held,
/// however long it says it is.
#[test]
fn endless_messages_hold_one_step() {
    for role in BOTH {
        for length in [1_u64 << 32, 1 << 62, (1 << 63) - 1] {
            let field = [&[127], &length.to_be_bytes()[..]].concat();
            let mut decoder = decoder(role, small_limits());
            decoder.stream();
            let mut received = 0;
            let mut bytes = header(role, 0x02, &field);
            bytes.extend([0; 100_000]);
            for _ in 0..100 {
                for chunk in receive(&mut decoder, &bytes) {
                    assert!(chunk.bytes.capacity() <= STEP && !chunk.is_last);
                    received += chunk.bytes.len();
                    decoder.reuse(chunk.bytes);
                }
                bytes = vec![0; 100_000];
            }
            assert_eq!(received, 100 * 100_000);
            assert!(decoder.is_mid_message());
        }
    }
}

/// A chunk has at most 64 KiB, however much memory the chunk before gives back, and however much more of
/// the message comes.
#[test]
fn chunks_have_a_step_at_most() {
    for role in BOTH {
        for first in [1, 5_000, 41_000, STEP - 100] {
            let payload = vec![7; first + STEP + 3_000];
            let message = frame(role, 0x82, &payload);
            let (begin, mut rest) = message.split_at(message.len() - STEP - 3_000);
            let mut decoder = Decoder::new(role, limits(), begin.to_vec());
            let mut chunks = take_chunks(&mut decoder);
            while !rest.is_empty() {
                let spare = decoder.spare();
                let room = spare.capacity() - spare.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                spare.extend_from_slice(now);
                rest = later;
                chunks.extend(take_chunks(&mut decoder));
            }
            let longest = chunks.iter().map(|chunk| chunk.bytes.len()).max();
            assert!(longest <= Some(STEP), "{role:?}, {first}: {longest:?}");
            let joined: Vec<_> = chunks.into_iter().flat_map(|chunk| chunk.bytes).collect();
            assert!(joined == payload, "{role:?}, {first}");
        }
    }
}

/// Returns all chunks that have come. The memory of each is used again.
fn take_chunks(decoder: &mut Decoder) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    loop {
        decoder.stream();
        match decoder.next().unwrap() {
            Some(Event::Chunk(chunk)) => {
                decoder.reuse(chunk.bytes.clone());
                chunks.push(*chunk);
            }
            Some(event) => panic!("{event:?}"),
            None if make_room(decoder) => {}
            None => return chunks,
        }
    }
}

/// After the last chunk nothing of its message is under way.
#[test]
fn knows_whether_it_is_mid_chunk() {
    for role in BOTH {
        let mut bytes = frame(role, 0x01, b"ab");
        bytes.extend(frame(role, 0x80, b"cd"));
        let mut decoder = decoder(role, limits());
        for (count, byte) in bytes.chunks(1).enumerate() {
            feed_chunks(&mut decoder, [byte]);
            assert_eq!(decoder.is_mid_message(), count + 1 < bytes.len());
        }
    }
}

/// Whoever asks now for chunks and now for whole messages, and looks ahead or not, gets what was
/// sent.
#[test]
fn ways_to_ask_may_alternate() {
    let mut random = StdRng::seed_from_u64(11);
    for (from, to) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        for _ in 0..100 {
            let (events, wire) = random_traffic(&mut random, from);
            let mut decoder = decoder(to, limits());
            let mut joined = Joined::default();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(random.random_range(1..=rest.len().min(20_000)));
                feed_by(&mut decoder, [now], |decoder, _| {
                    drain_randomly(decoder, &mut joined, &mut random)
                });
                rest = later;
            }
            assert!(joined.events == events, "{to:?}");
        }
    }
}

fn drain_randomly(
    decoder: &mut Decoder,
    joined: &mut Joined,
    random: &mut StdRng,
) -> Result<(), Violation> {
    loop {
        if random.random() {
            decoder.has_whole_frame();
        }
        if random.random_bool(0.3) {
            decoder.stream();
        }
        match decoder.next()? {
            Some(event) => joined.add(decoder, event),
            None if make_room(decoder) => {}
            None => return Ok(()),
        }
    }
}
