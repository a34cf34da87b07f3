//! Peers that mean ill.

use std::time::Duration;

use landline::Compression;

use super::*;
use crate::support::opcode::*;

/// Expects that these bytes fail the connection with this code, and that the program hears it.
#[track_caller]
fn fails(met: Agreed, bytes: &[u8], code: u16, what: &str) {
    let Agreed {
        mut peer,
        events,
        ws,
        _server,
        ..
    } = met;
    // It need not take what stands behind the wrong byte.
    let _ = peer.try_send_bytes(bytes);
    assert_eq!(peer.read_close(), Some(code), "{what}");
    drop(peer);
    let error = events.find(|event| !matches!(event, Event::Text(_) | Event::Binary(_)));
    assert!(
        matches!(&error, Event::Error(text) if text.contains(&code.to_string())),
        "{error:?}"
    );
    let event = closed_once(&events, &ws);
    assert_eq!(event.code(), code, "{what}");
}

/// Makes a deflate stream of a block of zeros, some thousand times as long as it is itself.
fn bomb(length: usize) -> Vec<u8> {
    let mut deflate = Deflate::new(9, false, 15);
    let mut output = vec![0; length / 500 + 1_000];
    let zeros = [0; 1 << 16];
    for _ in 0..length / zeros.len() {
        let put = deflate.total_out() as usize;
        let flush = DeflateFlush::NoFlush;
        deflate.compress(&zeros, &mut output[put..], flush).unwrap();
    }
    let put = deflate.total_out() as usize;
    let flush = DeflateFlush::SyncFlush;
    deflate.compress(&zeros, &mut output[put..], flush).unwrap();
    output.truncate(deflate.total_out() as usize - TAIL.len());
    output
}

/// What is no deflate stream, breaks off, refers back too far or is no UTF-8 fails with 1007; a mark in
/// the wrong place with 1002; what becomes too large with 1009.
#[test]
fn violations_are_closed_with_their_code() {
    let text = {
        let mut met = Agreed::with_takeover(Role::Client);
        met.deflate(json(3_000).as_bytes())
    };
    let tail = [&text[..], &TAIL].concat();
    let latin = {
        let mut met = Agreed::with_takeover(Role::Client);
        met.deflate(&[&[b'a'; 300][..], b"\xfc", &[b'b'; 300]].concat())
    };
    let first = |payload: &[u8]| Frame::new(TEXT, payload).compressed();
    let rows = [
        ("a block of no kind", vec![first(&[0x07])], 1007),
        (
            "a distance to before the beginning",
            vec![first(&[0x4b, 0x04, 0x82, 0x00])],
            1007,
        ),
        (
            "lengths that do not match",
            vec![first(&[0x00, 1, 0, 0, 0, b'a'])],
            1007,
        ),
        ("bytes by chance", vec![first(&noise(500))], 1007),
        (
            "a message that breaks off",
            vec![first(&text[..text.len() / 2])],
            1007,
        ),
        ("the tail left in", vec![first(&tail)], 1007),
        ("no UTF-8", vec![first(&latin)], 1007),
        (
            "a continuation with the mark",
            vec![
                first(&text).unfinished(),
                Frame::new(CONTINUATION, "").compressed(),
            ],
            1002,
        ),
        (
            "a ping with the mark",
            vec![Frame::new(PING, "").compressed()],
            1002,
        ),
        ("a bomb", vec![first(&bomb(17 << 20))], 1009),
    ];
    for role in ROLES {
        for (what, frames, code) in &rows {
            let met = Agreed::with_takeover(role);
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|frame| met.peer.encode(frame))
                .collect();
            fails(met, &bytes, *code, what);
        }
        let met = Agreed::alone(role);
        let bytes = met.peer.encode(&Frame::new(PING, "").compressed());
        fails(met, &bytes, 1002, "a ping");
        let (mut met, events) = Meeting::recorded(role, quiet());
        met.peer.send(&first(&text));
        assert_eq!(met.peer.read_close(), Some(1002));
        assert!(matches!(events.next(), Event::Error(_)));
    }
}

/// A bomb costs no more memory than the largest message, whether it comes in one frame, in fragments, or
/// a thousand times; others are served meanwhile.
#[test]
fn bombs_are_bounded() {
    alone(|| {
        const MOST: usize = 1 << 20;
        let bomb = bomb(64 << 20);
        let config = || {
            patient()
                .max_message_size(MOST)
                .compression(Compression::new())
        };
        let control = Control::start();
        let server = TestServer::echo_with(config());
        let probe = Probe::of(&server);
        let before = resident_kib();
        for step in [bomb.len(), 1_000, 10] {
            for role in ROLES {
                let met = Agreed::by(role, config().max_fragments(1 << 20), "permessage-deflate");
                let mut bytes = Vec::new();
                for (at, part) in bomb.chunks(step).enumerate() {
                    let opcode = if at == 0 { BINARY } else { CONTINUATION };
                    let frame = Frame::new(opcode, part).unfinished();
                    bytes.extend(met.peer.encode(&Frame {
                        rsv1: at == 0,
                        ..frame
                    }));
                }
                fails(met, &bytes, 1009, "a bomb");
            }
        }
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 24 << 10, "grown by {grown} KiB");
        probe.keeps_up();
        drop(control);
    });
}

/// Blocks that put out nothing end at the limit, and an endless message at its number of fragments.
#[test]
fn empty_blocks_end() {
    let block = [0x00, 0x00, 0x00, 0xff, 0xff];
    for role in ROLES {
        let config = compressing().max_message_size(100_000).max_fragments(1_000);
        let met = Agreed::by(role, config.clone(), "permessage-deflate");
        let mut bytes = met
            .peer
            .encode(&Frame::new(TEXT, "").compressed().unfinished());
        for _ in 0..100 {
            let frame = Frame::new(CONTINUATION, block.repeat(1_000)).unfinished();
            bytes.extend(met.peer.encode(&frame));
        }
        fails(met, &bytes, 1009, "blocks");
        let met = Agreed::by(role, config, "permessage-deflate");
        let mut bytes = met
            .peer
            .encode(&Frame::new(TEXT, block).compressed().unfinished());
        for _ in 0..2_000 {
            bytes.extend(met.peer.encode(&Frame::new(CONTINUATION, "").unfinished()));
        }
        fails(met, &bytes, 1009, "fragments");
    }
}

/// Random bytes as messages cost little CPU, whatever comes of them.
#[test]
#[cfg(unix)]
fn random_messages_cost_little() {
    alone(|| {
        let noise = noise(1 << 20);
        let config = compressing().max_message_size(1 << 20);
        let before = cpu_time();
        let mut failed = 0;
        for start in 0..100 {
            let mut met = Agreed::by(Role::Server, config.clone(), "permessage-deflate");
            let payload = &noise[start * 1_000..][..100 + start * 50];
            met.peer.send(&Frame::new(BINARY, payload).compressed());
            met.peer.send_close(1000, "");
            failed += u32::from(met.peer.read_close() == Some(1007));
        }
        let spent = cpu_time() - before;
        assert!(failed > 90, "{failed}");
        assert!(spent < Duration::from_secs(5), "{spent:?}");
    });
}

/// The memory that a peer makes the process hold counts as it is when decompressed.
#[test]
fn budget_counts_what_comes_out() {
    alone(|| {
        let before = landline::memory_budget();
        landline::set_memory_budget(2 << 20);
        let config = patient().compression(Compression::new());
        let met = Agreed::by(Role::Server, config, "permessage-deflate");
        let bytes = met
            .peer
            .encode(&Frame::new(BINARY, bomb(8 << 20)).compressed());
        fails(met, &bytes, 1009, "a message beyond the budget");
        landline::set_memory_budget(before);
    });
}
