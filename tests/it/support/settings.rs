//! Settings that many tests want.

use landline::Config;

use super::PATIENCE;

/// Makes settings without keepalive: no ping stands between the frames of a test.
pub(crate) fn quiet() -> Config {
    Config::new().ping_interval(None)
}

/// Makes settings without keepalive, under which no deadline passes before a test has failed.
pub(crate) fn patient() -> Config {
    quiet()
        .handshake_timeout(4 * PATIENCE)
        .write_timeout(4 * PATIENCE)
        .close_timeout(4 * PATIENCE)
        .message_timeout(4 * PATIENCE)
}

/// Makes patient settings with a queue that takes much while the kernel takes little.
pub(crate) fn deep() -> Config {
    patient().send_buffer(4 << 10).max_queue_bytes(64 << 20)
}
