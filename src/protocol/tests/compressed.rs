//! Messages that come compressed (RFC 7692).

use super::*;
use crate::deflate::{DeflateSettings, Deflater};

/// The first reserved bit, which marks a compressed message.
const RSV1: u8 = 0x40;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const FIN: u8 = 0x80;

fn settings() -> DeflateSettings {
    DeflateSettings {
        level: 6,
        window_bits: 15,
        memory_level: 8,
    }
}

/// Compresses what is sure to shrink.
fn compress(payload: &[u8]) -> Vec<u8> {
    let mut deflater = Deflater::new(settings()).unwrap();
    deflater.compress(payload).unwrap()
}

fn agreed(role: Role, limits: Limits, takeover: bool) -> Decoder {
    let mut decoder = decoder(role, limits);
    decoder.accept_compressed(takeover);
    decoder
}

/// Feeds the bytes whole, in pieces of different lengths, and in chunks for the program; tells the
/// events and the code of the failure, which must not differ.
#[track_caller]
fn feed_cut(
    role: Role,
    limits: Limits,
    takeover: bool,
    bytes: &[u8],
) -> (Vec<Event>, Option<CloseCode>) {
    let code = |seen: &Seen| seen.failure.map(|(code, _)| code);
    let whole = feed(&mut agreed(role, limits, takeover), [bytes]);
    for piece in [1, 2, 7, 1000] {
        let cut = feed(&mut agreed(role, limits, takeover), bytes.chunks(piece));
        assert_eq!(cut.events, whole.events, "in pieces of {piece}, {role:?}");
        assert_eq!(code(&cut), code(&whole), "in pieces of {piece}, {role:?}");
        let quick = feed_as_reader(&mut agreed(role, limits, takeover), bytes.chunks(piece));
        assert_eq!(
            (code(&quick), quick.events),
            (code(&whole), whole.events.clone())
        );
    }
    if code(&whole) != Some(CloseCode::TOO_BIG) {
        for piece in [1, 1000, bytes.len()] {
            let mut decoder = agreed(role, limits, takeover);
            let joined = chunks::feed_chunks(&mut decoder, bytes.chunks(piece));
            assert_eq!(joined.events, whole.events, "{role:?}");
            assert_eq!(code(&joined), code(&whole), "{role:?}");
        }
    }
    (whole.events.clone(), code(&whole))
}

fn sentence() -> String {
    "Grüße, 你好, 🙂. ".repeat(20)
}

/// Compressed messages arrive, in one frame or several, between plain ones and control frames.
#[test]
fn messages_arrive() {
    let text = sentence();
    let compressed = compress(text.as_bytes());
    for role in BOTH {
        let (first, second) = compressed.split_at(compressed.len() / 3);
        let bytes = [
            frame(role, FIN | RSV1 | TEXT, &compressed),
            frame(role, FIN | TEXT, b"plain"),
            frame(role, RSV1 | BINARY, first),
            frame(role, FIN | 9, b"ping"),
            frame(role, 0, b""),
            frame(role, FIN, second),
            frame(role, RSV1 | TEXT, b""),
            frame(role, 0, &compressed),
            frame(role, FIN, b""),
        ]
        .concat();
        let expected = vec![
            self::text(&text),
            self::text("plain"),
            Event::Ping(Bytes::from_static(b"ping")),
            binary(text.as_bytes()),
            self::text(&text),
        ];
        assert_eq!(feed_cut(role, limits(), false, &bytes), (expected, None));
    }
}

/// An empty message comes as one of several empty blocks, or as no byte at all.
#[test]
fn empty_messages_arrive() {
    for role in BOTH {
        let empty = [
            &[][..],
            &[0x00],
            &[0x02, 0x00],
            &[0x00, 0x00, 0x00, 0xff, 0xff, 0x00],
        ];
        let frames = empty.map(|payload| frame(role, FIN | RSV1 | TEXT, payload));
        let mut bytes = frames.concat();
        bytes.extend(frame(role, RSV1 | TEXT, b""));
        bytes.extend(frame(role, FIN, b""));
        let expected = vec![text(""); 5];
        assert_eq!(feed_cut(role, limits(), true, &bytes), (expected, None));
    }
}

/// With takeover a message refers back to those before, over plain ones; without it that is an error.
#[test]
fn messages_refer_back() {
    let mut deflater = Deflater::new(settings()).unwrap();
    let text = sentence();
    let compressed = [(); 3].map(|()| deflater.compress(text.as_bytes()).unwrap());
    assert!(compressed[1].len() * 2 < compressed[0].len());
    for role in BOTH {
        let bytes = [
            frame(role, FIN | RSV1 | TEXT, &compressed[0]),
            frame(role, FIN | TEXT, b"plain"),
            frame(role, FIN | RSV1 | TEXT, &compressed[1]),
            frame(role, FIN | RSV1 | TEXT, &compressed[2]),
        ]
        .concat();
        let whole = self::text(&text);
        let plain = self::text("plain");
        let expected = vec![whole.clone(), plain.clone(), whole.clone(), whole.clone()];
        assert_eq!(feed_cut(role, limits(), true, &bytes), (expected, None));
        let failed = (vec![whole, plain], Some(CloseCode::INVALID_PAYLOAD));
        assert_eq!(feed_cut(role, limits(), false, &bytes), failed);
    }
}

/// RFC 7692, section 6: the bit is for the first frame of a message, and for agreed compression.
#[test]
fn marks_in_wrong_places() {
    let compressed = compress(sentence().as_bytes());
    for role in BOTH {
        let whole = frame(role, FIN | RSV1 | TEXT, &compressed);
        let seen = feed(&mut decoder(role, limits()), [&whole[..]]);
        assert_eq!(seen.failure.unwrap().0, CloseCode::PROTOCOL_ERROR);
        for wrong in [
            [frame(role, TEXT, b"a"), frame(role, FIN | RSV1, b"b")].concat(),
            [
                frame(role, RSV1 | TEXT, &compressed),
                frame(role, FIN | RSV1, b""),
            ]
            .concat(),
            frame(role, FIN | RSV1 | 8, b""),
            frame(role, FIN | RSV1 | 9, b""),
            frame(role, FIN | RSV1 | 10, b""),
            frame(role, FIN | 0x20 | TEXT, b""),
            frame(role, FIN | 0x10 | TEXT, b""),
            frame(role, FIN | 0x70 | TEXT, b""),
        ] {
            let seen = feed_cut(role, limits(), true, &wrong);
            assert_eq!(
                seen,
                (vec![], Some(CloseCode::PROTOCOL_ERROR)),
                "{wrong:x?}"
            );
        }
    }
}

/// A compressed message that is no deflate stream, breaks off, keeps its tail, or is no UTF-8.
#[test]
fn bad_data() {
    let compressed = compress(sentence().as_bytes());
    let tail = [&compressed[..], &[0x00, 0x00, 0xff, 0xff]].concat();
    // A text that becomes wrong in its second half.
    let latin = compress(&[&[b'a'; 300][..], b"\xfc", &[b'a'; 300]].concat());
    let incomplete = compress(&[&[b'a'; 300][..], "é".as_bytes().split_at(1).0].concat());
    for role in BOTH {
        for wrong in [
            &[0x07][..],
            b"\xff\xff\xff\xff",
            // A block that refers back to before the beginning.
            &[0x4b, 0x04, 0x82, 0x00],
            &compressed[..compressed.len() - 1],
            &compressed[..1],
            &tail,
            &latin,
            &incomplete,
        ] {
            let bytes = frame(role, FIN | RSV1 | TEXT, wrong);
            let (events, code) = feed_cut(role, limits(), true, &bytes);
            assert_eq!(
                (events, code),
                (vec![], Some(CloseCode::INVALID_PAYLOAD)),
                "{wrong:x?}"
            );
        }
    }
}

/// The limit of a message holds for what it becomes, and is met while that grows: little more than the
/// limit is ever held.
#[test]
fn bombs_end_at_the_limit() {
    let bomb = compress(&vec![0; 4 << 20]);
    assert!(bomb.len() < 6_000);
    for role in BOTH {
        for most in [0, 1, 999, 1000, 100_000, 3 << 20] {
            let config = Config::new().max_message_size(most);
            let mut decoder = agreed(role, Limits::from(&config), true);
            let mut held = 0;
            let bytes = frame(role, FIN | RSV1 | BINARY, &bomb);
            let seen = feed_by(&mut decoder, bytes.chunks(100), |decoder, events| {
                loop {
                    match decoder.next()? {
                        Some(event) => events.push(event),
                        None => match decoder.wanted() {
                            None => return Ok(()),
                            Some(wanted) => {
                                held = wanted.max(held);
                                decoder.grow(wanted)?;
                            }
                        },
                    }
                }
            });
            assert_eq!(seen.failure.unwrap().0, CloseCode::TOO_BIG);
            assert!(held <= most + 1, "{held} of {most}");
        }
        // Just as large as may be.
        let config = Config::new().max_message_size(4 << 20);
        let bytes = frame(role, FIN | RSV1 | BINARY, &bomb);
        let seen = feed(&mut agreed(role, Limits::from(&config), true), [&bytes[..]]);
        assert_eq!(seen.events, [binary(&vec![0; 4 << 20])]);
    }
}

/// Blocks and fragments that put out nothing have an end as well.
#[test]
fn endless_nothing_ends() {
    let config = Config::new().max_message_size(1000).max_fragments(50);
    let limits = Limits::from(&config);
    let empty_block = [0x00, 0x00, 0x00, 0xff, 0xff];
    for role in BOTH {
        let large = frame(role, RSV1 | TEXT, &empty_block.repeat(500));
        let many = [
            frame(role, RSV1 | TEXT, &empty_block),
            frame(role, 0, &empty_block.repeat(30)).repeat(20),
        ]
        .concat();
        let fragments = [
            frame(role, RSV1 | TEXT, b""),
            frame(role, 0, b"").repeat(60),
        ]
        .concat();
        for bytes in [large, many, fragments] {
            let seen = feed_cut(role, limits, true, &bytes);
            assert_eq!(seen, (vec![], Some(CloseCode::TOO_BIG)));
        }
    }
}

/// What does not shrink may come a little longer than it is, whatever the limit.
#[test]
fn incompressible_messages_of_the_largest_size() {
    let mut noise = vec![0; 1000];
    StdRng::seed_from_u64(7).fill(&mut noise[..]);
    let stored: Vec<u8> = noise
        .chunks(127)
        .flat_map(|block| {
            let length = block.len() as u16;
            let head = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
            [&[0x00], &head[..], block].concat()
        })
        .chain([0x00])
        .collect();
    assert!(stored.len() > noise.len());
    for role in BOTH {
        let config = Config::new().max_message_size(1000);
        let bytes = frame(role, FIN | RSV1 | BINARY, &stored);
        let seen = feed_cut(role, Limits::from(&config), true, &bytes);
        assert_eq!(seen, (vec![binary(&noise)], None));
    }
}

/// A message that is read in chunks has no limit, and each chunk is bounded whatever its bytes become.
#[test]
fn chunks_are_bounded() {
    const LENGTH: usize = 5 << 20;
    let bomb = compress(&vec![7; LENGTH]);
    for role in BOTH {
        let mut decoder = agreed(role, small_limits(), true);
        let (mut length, mut ended) = (0, false);
        let bytes = frame(role, FIN | RSV1 | BINARY, &bomb);
        feed_by(&mut decoder, bytes.chunks(500), |decoder, _| {
            loop {
                decoder.stream();
                match decoder.next()? {
                    Some(Event::Chunk(chunk)) => {
                        assert!(chunk.bytes.capacity() <= 64 << 10);
                        assert!(chunk.bytes.iter().all(|byte| *byte == 7));
                        length += chunk.bytes.len();
                        ended |= chunk.is_last;
                        decoder.reuse(chunk.bytes);
                    }
                    Some(event) => panic!("{event:?}"),
                    None => {
                        assert_eq!(decoder.wanted(), None);
                        return Ok(());
                    }
                }
            }
        });
        assert_eq!((length, ended), (LENGTH, true));
    }
}

/// A decompressor is held only from the first compressed message on, and without takeover only during
/// one.
#[test]
fn decompressors_are_held_when_needed() {
    for (takeover, kept) in [(true, true), (false, false)] {
        let mut decoder = agreed(Role::Client, limits(), takeover);
        let plain = frame(Role::Client, FIN | TEXT, b"plain");
        feed(&mut decoder, [&plain[..]]);
        assert!(!decoder.holds_inflater());
        let compressed = frame(
            Role::Client,
            FIN | RSV1 | TEXT,
            &compress(sentence().as_bytes()),
        );
        feed(&mut decoder, [&compressed[..]]);
        assert_eq!(decoder.holds_inflater(), kept);
    }
}
