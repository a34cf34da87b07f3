//! Two connected ends in one process: [`pair`].

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::connection::Connection;
use crate::connection::handshake::Opening;
use crate::connection::reader::Reader;
use crate::error::about;
use crate::handshake::Negotiated;
use crate::protocol::Role;
use crate::transport::{self, OwnedFd, Socket};
use crate::{Config, Error, Messages, WebSocket};

/// Makes two connected ends in this process, without a server, for tests: of code that takes a
/// [`WebSocket`] or [`Messages`], from either side.
///
/// The first has the role of a client, the second that of a server. All else is as for a client from
/// [`open`](crate::open), at both ends: each is open as long as its handle or its messages are. But a
/// drop does not wait for the closing handshake: the other end may belong to the same thread. They
/// speak over a pair of sockets of the system. No pings are sent: an end that a test does not read is
/// not cut for that.
///
/// ```
/// use landline::{Messages, Outcome, WebSocket};
///
/// fn shout(ws: &WebSocket, messages: Messages) -> Outcome {
///     for message in messages {
///         ws.send(message?.to_string().to_uppercase())?;
///     }
///     Ok(())
/// }
///
/// let ((client, mut heard), (ws, messages)) = landline::pair()?;
/// let shouting = std::thread::spawn(move || shout(&ws, messages));
/// client.send("hello")?;
/// assert_eq!(heard.recv()?.as_text(), Some("HELLO"));
/// assert!(heard.close().is_clean());
/// assert!(shouting.join().is_ok_and(|shouted| shouted.is_ok()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`] if the process can have no more descriptors or threads.
#[must_use = "a connection closes when its handle and its messages are dropped"]
pub fn pair() -> Result<((WebSocket, Messages), (WebSocket, Messages)), Error> {
    let [client, server] = transport::pair().map_err(failed)?;
    Ok((open(Role::Client, client)?, open(Role::Server, server)?))
}

/// Opens one end, as if its handshake were done.
fn open(role: Role, stream: OwnedFd) -> Result<(WebSocket, Messages), Error> {
    let config = Arc::new(Config::new().ping_interval(None));
    let socket = Arc::new(Socket::new(stream).map_err(failed)?);
    let deadline = Instant::now() + config.handshake_timeout;
    let id = Connection::next_id();
    let opening = Opening::begin(id, &socket, &config, deadline).map_err(failed)?;
    let timer = opening.finish()?;
    let negotiated = Negotiated::default();
    let connection = Connection::open(id, role, &socket, &config, negotiated, timer);
    connection.reading.hand_over();
    let reader = Reader::new(&connection, socket, &config, Vec::new());
    let (ws, open) = WebSocket::counted(&connection);
    Ok((ws, Messages::new(reader, Some(open))))
}

fn failed(error: io::Error) -> Error {
    Error::Io(about("making a pair of sockets", error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::Timeout;
    use crate::background::Timed;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A deadline that is due behind the end of its connection is nothing to do: the background, which
    /// takes up what is due and then checks it, does not try to cut for ever what has ended in between.
    #[test]
    fn checks_behind_the_end_return() {
        let ((client, heard), (server, messages)) = pair().unwrap();
        let reading = thread::spawn(move || messages.count());
        heard.close();
        reading.join().unwrap();
        for ws in [client, server] {
            ws.wait_closed().unwrap();
            let connection = Arc::clone(ws.connection());
            let (checked, returned) = mpsc::channel();
            thread::spawn(move || {
                let now = Instant::now();
                connection.end_by(now, Timeout::Stop);
                checked.send(connection.check(now))
            });
            assert_eq!(returned.recv_timeout(PATIENCE), Ok(None));
        }
    }
}
