//! The end of a connection takes its descriptor back, wherever it is just then.

use crate::support::*;

const KIB: usize = 1 << 10;

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
