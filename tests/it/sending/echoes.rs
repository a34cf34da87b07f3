//! Two landlines that talk to each other through queues far smaller than what they say.

use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use landline::{Client, Config, WebSocket};

use crate::support::*;

const LARGE: usize = 64 << 20;
/// The time that large messages may take on a slow machine.
const LONG: Duration = Duration::from_secs(200);

/// Sends back the message of the other side, which ends in this byte, and reports every message's length
/// and last byte.
fn echo_theirs(ws: &WebSocket, theirs: u8, report: Sender<(usize, Option<u8>)>) {
    ws.on_binary(move |ws, bytes| {
        let last = bytes.last().copied();
        let _ = report.send((bytes.len(), last));
        if last == Some(theirs) {
            ws.send(bytes)
        } else {
            Ok(())
        }
    });
}

/// Both send 64 MiB at once through queues of 64 KiB, and both send back what came.
#[test]
fn large_messages_cross_through_small_queues() {
    let config = Config::new()
        .max_queue_bytes(64 << 10)
        .max_message_size(LARGE)
        .write_timeout(LONG);
    let (served, at_server) = mpsc::channel();
    let server = TestServer::with(config.clone(), move |ws| {
        echo_theirs(ws, 2, served.clone());
        ws.send(vec![1; LARGE]).unwrap();
    });
    let (called, at_client) = mpsc::channel();
    let client = Client::new().config(config);
    let ws = client
        .connect(server.url(), |ws| echo_theirs(ws, 1, called))
        .unwrap();
    ws.send(vec![2; LARGE]).unwrap();
    for received in [&at_server, &at_client] {
        let mut came = [(); 2].map(|()| received.recv_timeout(LONG).unwrap());
        came.sort_unstable();
        assert_eq!(came, [(LARGE, Some(1)), (LARGE, Some(2))]);
    }
}

/// Two that wait for each other's queue for ever come to an end by the write deadline.
#[test]
fn mutual_flood_ends_by_the_deadline() {
    let config = Config::new()
        .max_queue_bytes(64 << 10)
        .write_timeout(ms(500));
    let echo = |ws: &WebSocket| ws.on_message(|ws, message| ws.send(message));
    let server = TestServer::with(config.clone(), echo);
    let ws = Client::new()
        .config(config)
        .connect(server.url(), echo)
        .unwrap();
    let flooding = ws.clone();
    // What waits too long in one thread may free the other's way for once, and echoes then have no end.
    in_time("sending ends", move || {
        while flooding.is_open() {
            let _ = flooding.send(vec![7; 1 << 20]);
        }
    });
    let event = in_time("the client ends", move || ws.wait_closed().unwrap());
    // Cut, or failed by a callback whose own wait was over first.
    assert!(!event.is_ordinary(), "{event:?}");
    settled("the server's end is gone", || {
        server.connection_count() == 0
    });
}
