//! Compressed messages of the peer.

use std::io::Read;

use landline::{Client, Compression, Server};

use super::*;
use crate::support::opcode::*;

/// Compressed messages arrive as they were, between plain ones, over each other's context.
#[test]
fn messages_arrive() {
    for role in ROLES {
        let mut met = Agreed::with_takeover(role);
        for length in [1, 100, 5_000, 300_000] {
            for _ in 0..2 {
                let compressed = met.deflate(json(length).as_bytes());
                met.peer.send(&Frame::new(TEXT, compressed).compressed());
                met.peer.send_text("plain");
                let compressed = met.deflate(&noise(length));
                met.peer.send(&Frame::new(BINARY, compressed).compressed());
                assert_eq!(met.events.next(), Event::Text(json(length)));
                assert_eq!(met.events.next(), Event::Text("plain".into()));
                assert_eq!(met.events.next(), Event::Binary(noise(length)));
            }
        }
    }
}

/// Fragments of a compressed message may be cut anywhere, also inside a character, with control frames
/// between, and an empty one at the end.
#[test]
fn fragments_arrive() {
    for role in ROLES {
        let mut met = Agreed::with_takeover(role);
        let text = "Grüße 你好 🙂 ".repeat(20);
        for step in [1, 3, 50] {
            let compressed = met.deflate(text.as_bytes());
            let mut opcode = TEXT;
            for part in compressed.chunks(step) {
                let frame = Frame::new(opcode, part).unfinished();
                met.peer.send(&Frame {
                    rsv1: opcode == TEXT,
                    ..frame
                });
                opcode = CONTINUATION;
                met.peer.send(&Frame::new(PING, "between"));
            }
            met.peer.send(&Frame::new(CONTINUATION, ""));
            let got = met.events.find(|event| !matches!(event, Event::Ping(_)));
            assert_eq!(got, Event::Text(text.clone()));
        }
    }
}

/// A message may be read as it comes: more than fits the limits, in pieces.
#[test]
fn messages_are_read_as_they_come() {
    const LENGTH: usize = 8 << 20;
    let config = compressing().max_message_size(1_000);
    let server = RawServer::new();
    let client = Client::new().config(config);
    let ((mut peer, _), (ws, mut messages)) = thread::scope(|scope| {
        let answering = scope.spawn(|| answer(&server, "permessage-deflate"));
        let opened = client.open(server.url()).unwrap();
        (answering.join().unwrap(), opened)
    });
    let mut deflate = Deflate::new(6, false, 15);
    let mut compress = |message: &[u8]| {
        let mut output = vec![0; message.len() / 8 + 1_000];
        let before = deflate.total_out();
        deflate
            .compress(message, &mut output, DeflateFlush::SyncFlush)
            .unwrap();
        output.truncate((deflate.total_out() - before) as usize - TAIL.len());
        output
    };
    let large = vec![b'x'; LENGTH];
    for _ in 0..2 {
        peer.send(&Frame::new(BINARY, compress(&large)).compressed());
        peer.send(&Frame::new(TEXT, compress(b"behind")).compressed());
        let mut reader = messages.recv_reader().unwrap();
        let mut length = 0;
        let mut buffer = [0; 10_000];
        loop {
            let read = reader.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            assert!(buffer[..read].iter().all(|byte| *byte == b'x'));
            length += read;
        }
        assert_eq!(length, LENGTH);
        assert_eq!(messages.recv().unwrap().as_text(), Some("behind"));
        // One that is read in part: the rest is skipped, and the context stays.
        peer.send(&Frame::new(BINARY, compress(&large)).compressed());
        peer.send(&Frame::new(TEXT, compress(b"behind")).compressed());
        let mut reader = messages.recv_reader().unwrap();
        reader.read_exact(&mut [0; 100]).unwrap();
        drop(reader);
        assert_eq!(messages.recv().unwrap().as_text(), Some("behind"));
    }
    drop(peer);
    drop(ws);
}

/// Two of landline's ends understand each other, over every combination of parameters, with messages of
/// every kind and size up to 4 MiB, streamed ones too.
#[test]
fn both_ends_understand_each_other() {
    let settings = |takeover: bool, peer_takeover, window, streams| {
        Compression::new()
            .context_takeover(takeover)
            .peer_context_takeover(peer_takeover)
            .window_bits(window)
            .memory_level(1 + window % 9)
            .streams(streams)
    };
    for (takeover, peer_takeover, streams) in [
        (true, true, true),
        (true, false, false),
        (false, true, true),
        (false, false, false),
    ] {
        for window in [9, 12, 15] {
            let ours = settings(takeover, peer_takeover, window, streams);
            let theirs = settings(peer_takeover, takeover, 24 - window, !streams);
            let server = TestServer::start(
                Server::builder()
                    .config(quiet().compression(ours))
                    .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message))),
            );
            let client = Client::new().config(quiet().compression(theirs));
            let (ws, mut messages) = client.open(server.url()).unwrap();
            assert!(ws.compression().is_some());
            let sizes = match (window, takeover, peer_takeover) {
                (12, true, false) => &[0, 1, 300, 1 << 20][..],
                _ => &[300, 40_000],
            };
            for &size in sizes {
                ws.send(json(size)).unwrap();
                assert!(messages.recv().unwrap().as_bytes() == json(size).as_bytes());
                ws.send(noise(size)).unwrap();
                assert!(messages.recv().unwrap().as_bytes() == noise(size));
                let mut writer = ws.binary_writer().unwrap();
                std::io::copy(&mut &noise(size)[..], &mut writer).unwrap();
                std::io::copy(&mut json(size).as_bytes(), &mut writer).unwrap();
                writer.finish().unwrap();
                let both = [noise(size), json(size).into_bytes()].concat();
                assert!(messages.recv().unwrap().as_bytes() == both);
            }
            assert!(messages.close().is_clean());
        }
    }
}
