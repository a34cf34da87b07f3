//! Both directions against each other, and the streams that peers send.

use zlib_rs::{Deflate, DeflateFlush};

use super::*;

const MOST: usize = 1 << 20;

/// Makes bytes that compress somewhat: records that are alike.
fn records(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0_u32.. {
        if bytes.len() >= length {
            break;
        }
        let price = number.wrapping_mul(2_654_435_761) >> 12;
        bytes.extend_from_slice(format!("{{\"id\":{number},\"price\":{price}}},").as_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Makes bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}

/// Compresses to the letter: `flushes` say how each part ends, and the tail stays.
fn raw(parts: &[(&[u8], DeflateFlush)]) -> Vec<u8> {
    let mut stream = Deflate::new(6, false, 15);
    let mut output = vec![0; MOST];
    for (part, flush) in parts {
        let put = stream.total_out() as usize;
        stream.compress(part, &mut output[put..], *flush).unwrap();
    }
    output.truncate(stream.total_out() as usize);
    output
}

/// Takes off the tail of a flushed stream.
fn cut(mut stream: Vec<u8>) -> Vec<u8> {
    assert!(stream.ends_with(&TAIL));
    stream.truncate(stream.len() - TAIL.len());
    stream
}

fn deflater(level: u8, window_bits: u8, memory_level: u8) -> Deflater {
    let settings = DeflateSettings {
        level,
        window_bits,
        memory_level,
    };
    Deflater::new(settings).unwrap()
}

/// A decompressor as it was agreed.
struct Receiver {
    inflater: Inflater,
    takeover: bool,
}

impl Receiver {
    fn new(takeover: bool) -> Self {
        let inflater = Inflater::new().unwrap();
        Self { inflater, takeover }
    }
}

/// Decompresses one message that comes in these fragments, into a room that is often too small.
fn inflate(receiver: &mut Receiver, fragments: &[&[u8]]) -> Result<Vec<u8>, InflateError> {
    let Receiver { inflater, takeover } = receiver;
    let mut output = Vec::new();
    inflater.begin(!*takeover);
    for fragment in fragments {
        let mut taken = 0;
        while taken < fragment.len() || inflater.has_more() {
            let room = 100.max(output.len()).min(MOST + 1 - output.len());
            taken += inflater.inflate(&fragment[taken..], &mut output, room)?;
            if output.len() > MOST {
                return Err(InflateError::Data("too big"));
            }
        }
    }
    inflater.finish()?;
    Ok(output)
}

/// What one side compresses the other decompresses, at every level, window and memory level, with
/// takeover and without, and for settings that there are not.
#[test]
fn round_trips() {
    let messages = [records(300), records(7_000), vec![b'a'; 10_000], records(1)];
    for level in [0, 2, 6, 77] {
        for window_bits in [0, 8, 9, 15, 99] {
            for memory_level in [0, 1, 9, 99] {
                let mut deflater = deflater(level, window_bits, memory_level);
                let mut inflater = Receiver::new(true);
                for message in messages.iter().chain(&messages) {
                    let Some(compressed) = deflater.compress(message) else {
                        continue;
                    };
                    assert!(compressed.len() < message.len());
                    let again = inflate(&mut inflater, &[&compressed]).unwrap();
                    assert_eq!(&again, message, "{level} {window_bits} {memory_level}");
                }
            }
        }
    }
}

/// With takeover a message that is like the one before takes next to nothing; forgotten, it takes as
/// much as the first, and a peer with takeover reads both.
#[test]
fn takeover_and_forgetting() {
    let message = noise(400);
    let record = [&message[..], &message[..]].concat();
    let mut deflater = deflater(2, 15, 8);
    let mut inflater = Receiver::new(true);
    let mut sizes = Vec::new();
    for forgets in [false, false, true] {
        if forgets {
            deflater.forget();
        }
        let compressed = deflater.compress(&record).unwrap();
        assert_eq!(inflate(&mut inflater, &[&compressed]).unwrap(), record);
        sizes.push(compressed.len());
    }
    assert!(sizes[1] * 4 < sizes[0], "{sizes:?}");
    assert_eq!(sizes[0], sizes[2]);
    let mut forgetful = Receiver::new(false);
    let mut deflater = self::deflater(2, 15, 8);
    let first = deflater.compress(&record).unwrap();
    let second = deflater.compress(&record).unwrap();
    assert_eq!(inflate(&mut forgetful, &[&first]).unwrap(), record);
    assert!(inflate(&mut forgetful, &[&second]).is_err());
}

/// A message that does not shrink goes plain, and leaves no trace in those that follow.
#[test]
fn what_does_not_shrink_leaves_no_trace() {
    for level in [0, 1, 2, 6] {
        let mut deflater = deflater(level, 15, 8);
        let mut inflater = Receiver::new(true);
        for length in [1, 2, 5, 200, 6_000] {
            assert_eq!(deflater.compress(&noise(length)), None, "{level}: {length}");
            if let Some(compressed) = deflater.compress(&records(2_000)) {
                let again = inflate(&mut inflater, &[&compressed]).unwrap();
                assert_eq!(again, records(2_000));
            }
        }
    }
}

/// Any number of messages that do not shrink are borne, at every setting, and by the room for parts that is
/// too small.
#[test]
fn many_messages_that_do_not_shrink() {
    let noise = noise(70_000);
    for level in [1, 2, 4, 6, 9] {
        for memory_level in [1, 8, 9] {
            let mut deflater = deflater(level, 15, memory_level);
            for length in [300, 2_000, 20_000, 70_000].repeat(12) {
                assert_eq!(deflater.compress(&noise[..length]), None, "{level}");
                deflater.abandon_output(&noise[..length]);
            }
            let compressed = deflater.compress(&records(2_000)).unwrap();
            let got = inflate(&mut Receiver::new(false), &[&compressed]);
            assert_eq!(got, Ok(records(2_000)));
        }
    }
}

/// Every kind of stream that a peer may send is read, cut anywhere into two fragments, with a
/// message behind it: RFC 7692, section 7.2.3.
#[test]
fn streams_of_peers() {
    use DeflateFlush::{Finish, FullFlush, SyncFlush};
    let text = records(300);
    let (first, second) = text.split_at(150);
    let one = |flush| raw(&[(&text, flush)]);
    let stored = {
        let mut stream = vec![0x00, 0x2c, 0x01, 0xd3, 0xfe];
        stream.extend_from_slice(&text);
        stream.push(0x00);
        stream
    };
    let mut twice_ended = raw(&[(first, Finish)]);
    twice_ended.extend(cut(raw(&[(second, SyncFlush)])));
    let mut ended_and_empty = one(Finish);
    ended_and_empty.push(0x00);
    let streams = [
        ("one block", cut(one(SyncFlush))),
        ("a full flush", cut(one(FullFlush))),
        (
            "several flushes",
            cut(raw(&[(first, SyncFlush), (second, FullFlush)])),
        ),
        (
            "an empty block behind",
            cut(raw(&[(&text, SyncFlush), (b"", FullFlush)])),
        ),
        ("stored", stored),
        ("a final block", one(Finish)),
        ("a final block and an empty one", ended_and_empty),
        ("two streams", twice_ended),
    ];
    for (name, stream) in &streams {
        for at in 0..=stream.len() {
            for takeover in [true, false] {
                let mut inflater = Receiver::new(takeover);
                let fragments = [&stream[..at], &[], &stream[at..]];
                let got = inflate(&mut inflater, &fragments);
                assert_eq!(got, Ok(text.clone()), "{name}, cut at {at}");
                let behind = cut(raw(&[(b"behind", SyncFlush)]));
                let got = inflate(&mut inflater, &[&behind]);
                assert_eq!(got, Ok(b"behind".to_vec()), "behind {name}, cut at {at}");
            }
        }
    }
}

/// An empty message comes as one of several empty blocks, or as nothing at all.
#[test]
fn empty_messages() {
    for stream in [&[][..], &[0x00], &[0x02, 0x00]] {
        let mut inflater = Receiver::new(true);
        let mut deflater = deflater(6, 15, 8);
        for _ in 0..2 {
            assert_eq!(inflate(&mut inflater, &[stream]), Ok(Vec::new()));
            let compressed = deflater.compress(&records(300)).unwrap();
            assert_eq!(inflate(&mut inflater, &[&compressed]), Ok(records(300)));
        }
    }
}

/// A message that breaks off anywhere is told from a whole one, but where what has come is a message
/// of its own.
#[test]
fn broken_off() {
    for level in [0, 1, 6] {
        let stream = {
            let mut stream = Deflate::new(level, false, 15);
            let mut output = vec![0; MOST];
            let text = records(2_000);
            stream
                .compress(&text, &mut output, DeflateFlush::SyncFlush)
                .unwrap();
            output.truncate(stream.total_out() as usize);
            cut(output)
        };
        // A single zero is an empty message.
        let first = if level == 0 { 2 } else { 1 };
        for at in first..stream.len() {
            let got = inflate(&mut Receiver::new(false), &[&stream[..at]]);
            let is_data = matches!(got, Err(InflateError::Data(_)));
            assert!(is_data, "level {level}, at {at}: {got:?}");
        }
    }
}

/// The tail that a peer forgets to remove is an error.
#[test]
fn tail_left_in() {
    let stream = raw(&[(&records(300), DeflateFlush::SyncFlush)]);
    assert!(inflate(&mut Receiver::new(true), &[&stream]).is_err());
}

/// A message that is compressed part by part is one stream, whatever the parts are, and refers back to
/// messages before.
#[test]
fn parts() {
    let text = records(3_000);
    let noise = noise(40_000);
    for level in [0, 1, 2, 6] {
        let mut deflater = deflater(level, 15, 8);
        let mut receiver = Receiver::new(true);
        for cuts in [
            &[3_000][..],
            &[1, 0, 2_000, 999],
            &[1_500, 1_500, 0],
            &[2_999, 1],
        ] {
            for message in [&text, &noise[..3_000].to_vec()] {
                let mut rest = &message[..];
                let mut fragments = Vec::new();
                for (at, length) in cuts.iter().enumerate() {
                    let (part, behind) = rest.split_at(*length);
                    rest = behind;
                    let place = if at + 1 == cuts.len() {
                        Part::Last
                    } else {
                        Part::Inner
                    };
                    fragments.push(deflater.compress_part(part, place));
                    assert!(fragments[at].len() <= length + length / 8 + 26);
                }
                let fragments: Vec<&[u8]> = fragments.iter().map(Vec::as_slice).collect();
                let got = inflate(&mut receiver, &fragments);
                assert_eq!(got.as_ref(), Ok(message), "level {level}, {cuts:?}");
                let whole = deflater.compress(&text);
                let got = whole.map(|whole| inflate(&mut receiver, &[&whole]).unwrap());
                assert!(got.is_none_or(|got| got == text));
            }
        }
    }
}

/// A part for which there is no room is stored as it is.
#[test]
fn stored_parts() {
    let noise = noise(200_000);
    for length in [1, 65_535, 65_536, 200_000] {
        let mut output = Vec::new();
        deflater::store(&noise[..length], &mut output);
        let got = inflate(&mut Receiver::new(false), &[&output]);
        assert_eq!(got.as_deref(), Ok(&noise[..length]));
    }
}

/// Whatever comes, the output is bounded, or the error is one of the two there are.
#[test]
fn random_bytes() {
    let bytes = noise(20_000);
    let mut failed = 0;
    for start in 0..5_000 {
        let length = start % 67;
        let mut inflater = Receiver::new(start % 2 == 0);
        match inflate(&mut inflater, &[&bytes[start..start + length], &bytes[..3]]) {
            Ok(output) => assert!(output.len() <= MOST),
            Err(InflateError::Data(_)) => failed += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(failed > 4_000, "only {failed} were no deflate streams");
}
