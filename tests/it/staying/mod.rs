//! Clients that stay connected.

mod attempts;
mod cancelled;
mod kept;
mod servers;
mod sessions;

use landline::Backoff;

use crate::support::*;

/// Makes waits that no test notices.
fn brief() -> Backoff {
    Backoff::new().first(ms(1)).ceiling(ms(5))
}

/// Makes waits that end with the test.
fn endless() -> Backoff {
    Backoff::new()
        .first(1000 * PATIENCE)
        .ceiling(1000 * PATIENCE)
}
