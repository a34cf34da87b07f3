//! Whoever ends a connection takes its descriptor back, wherever it is just then.

use std::thread;

use landline::{Client, Config, SendErrorKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use super::patient;
use crate::support::*;

const KIB: usize = 1 << 10;

/// So much more room, twice, is taken, but not called writable: that is when a third is free.
const MORE: usize = KIB + 768;

/// A queue of one message, over a socket that takes little.
fn narrow() -> Config {
    let config = patient().max_queue_messages(1).send_buffer(4 * KIB);
    // Where the last bytes have not fitted after all.
    config.write_timeout(ms(2_000)).close_timeout(ms(2_000))
}

/// A connection that was left to the background with a full socket, and whose last bytes have left
/// another way before the system calls that writable again: at its end its descriptor is closed,
/// though its peer still reads nothing.
#[test]
fn descriptor_does_not_stay_with_the_background() {
    alone(|| {
        // How much the system takes varies a little, and so does who finds out first.
        let came_so_far = (0..50).filter_map(|_| leave_to_the_background());
        assert_eq!(came_so_far.take(4).count(), 4, "it did not come so far");
    });
}

/// Tells by `None` that it did not come so far.
fn leave_to_the_background() -> Option<()> {
    let raw = RawServer::with_buffer(2 * KIB);
    let before = open_fds();
    let (mut peer, ws) = raw.meet(&Client::new().config(narrow()), |_| {});
    let socket = own_socket(&ws)?;
    settled("the socket is full", || {
        let refused = ws.try_send(vec![7; KIB]).err();
        refused.is_some_and(|error| error.kind() == SendErrorKind::Full)
    });
    // It polls until the close rings, and then writes on without asking again.
    let sender = ws.clone();
    let waiting = thread::Builder::new().name("waits".into());
    let waiting = waiting
        .spawn(move || sender.send("in line").is_ok())
        .unwrap();
    settle_asleep("waits");
    let full = sockopt::socket_send_buffer_size(&socket).unwrap();
    sockopt::set_socket_send_buffer_size(&socket, full / 2 + MORE).unwrap();
    let stays_full = !is_writable(&socket);
    ws.close_with(4001, "ours").unwrap();
    if waiting.join().unwrap() || !stays_full {
        ws.abort();
        return None;
    }
    // Now it never will be writable, as long as the peer reads nothing.
    sockopt::set_socket_send_buffer_size(&socket, 1).unwrap();
    peer.send_close(4002, "theirs");
    let ended = ws.clone();
    let event = in_time("it ends", move || ended.wait_closed().unwrap());
    if event.timeout().is_some() {
        return None;
    }
    drop((ws, socket));
    // The peer's is left, and what the background has of its own.
    settled("its descriptor is closed", || open_fds() <= before + 1);
    drop(peer);
    Some(())
}

fn is_writable(socket: &impl std::os::fd::AsFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())).unwrap() > 0
}

/// Whichever way a connection over a full socket ends, its descriptor is closed, though its peer
/// still reads nothing.
#[test]
fn full_socket_is_given_up_at_the_end() {
    alone(|| {
        for role in ROLES {
            let before = Resources::now().fds;
            let mut kept = Vec::new();
            for end in 0..4 {
                let config = patient()
                    .send_buffer(4 * KIB)
                    .write_timeout(ms(300))
                    .close_timeout(ms(300));
                let mut met = Meeting::deaf(role, config, |_| {});
                met.ws.try_send(vec![7; 256 * KIB]).unwrap();
                match end {
                    0 => met.ws.abort(),
                    1 => met.ws.close(),
                    2 => met.peer.send_close(4002, "theirs"),
                    _ => {}
                }
                let ws = met.ws.clone();
                in_time("it ends", move || ws.wait_closed().unwrap());
                kept.push((met.peer, met.ws));
                drop(met.server);
            }
            settled("only the peers' are left", || {
                Resources::now().fds <= before + kept.len()
            });
        }
    });
}
