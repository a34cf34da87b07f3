//! A connection's thread on the server: handshake, handler, dispatch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use log::debug;

use super::builder::Handler;
use super::roster::Place;
use super::{Server, Shared};
use crate::callbacks::catch;
use crate::connection::Connection;
use crate::handshake::{BadRequest, Upgrade};
use crate::opening::{Opening, OpeningGuard, RequestError};
use crate::protocol::Role;
use crate::reader::{Reader, as_connection_thread};
use crate::sync::lock;
use crate::transport::Socket;
use crate::{Messages, Request, WebSocket};

/// So long a refused peer may be silent before it is given up, and so long in all.
const SILENCE: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_secs(5);

/// Serves one accepted socket to its end.
pub(super) fn run(id: u64, socket: Arc<Socket>, shared: &Arc<Shared>) {
    let mut place = shared.roster.place();
    if let Some((reader, request)) = open(id, socket, shared, &mut place) {
        as_connection_thread(|| serve(reader, request, &shared.handler));
    }
}

/// Does the handshake; `None` if there is no connection.
fn open(
    id: u64,
    socket: Arc<Socket>,
    shared: &Arc<Shared>,
    place: &mut Place<'_>,
) -> Option<(Reader, Request)> {
    let deadline = Instant::now() + shared.config.handshake_timeout;
    let opening = Opening::begin(&socket, deadline).ok()?;
    place.enter_opening(opening.opening(), shared.max_handshakes);
    let (head, pipelined) = match accept(&opening, shared) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            if let Some(reply) = refusal {
                let _ = opening.write(&reply);
                socket.finish_writing();
                socket.drain(SILENCE, LINGER);
            }
            return None;
        }
    };
    place.leave_opening();
    opening.finish().ok()?;
    let connection = Connection::open(id, Role::Server, &socket, &shared.config, None).ok()?;
    place.enter_connection(&connection);
    let server = Server {
        shared: Arc::clone(shared),
        _life: None,
    };
    let request = Request::new(head, connection.peer_addr, connection.local_addr, server);
    Some((
        Reader::new(&connection, socket, &shared.config, pipelined),
        request,
    ))
}

/// Reads the request and answers 101. An error is what to answer instead, if anything.
fn accept(
    opening: &OpeningGuard,
    shared: &Shared,
) -> Result<(http::Request<()>, Vec<u8>), Option<Vec<u8>>> {
    let (head, pipelined) = match opening.read_request() {
        Ok(read) => read,
        Err(RequestError::Bad(bad)) => {
            debug!("a request was refused: {} {}", bad.status, bad.reason);
            return Err(Some(bad.reply()));
        }
        Err(RequestError::Lost) if shared.roster.is_stopping() => return Err(Some(unavailable())),
        Err(RequestError::Lost) => return Err(None),
    };
    if shared.roster.is_stopping() {
        return Err(Some(unavailable()));
    }
    let upgrade = Upgrade::of(&head).map_err(|bad| Some(bad.reply()))?;
    let response = upgrade
        .response(None, &HeaderMap::new())
        .map_err(|_| None)?;
    opening.write(&response).map_err(|_| None)?;
    Ok((head, pipelined))
}

fn unavailable() -> Vec<u8> {
    BadRequest::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").reply()
}

/// Runs the program's handler and the connection after it.
fn serve(mut reader: Reader, request: Request, handler: &Handler) {
    let connection = Arc::clone(reader.connection());
    let ws = WebSocket::for_callbacks(&connection);
    reader.take_the_wheel();
    match handler {
        Handler::Callbacks(set_up) => {
            if let Err(failure) = catch(|| set_up(&ws, request)) {
                reader.fail(failure);
            }
            reader.dispatch();
        }
        Handler::StraightLine(handler) => {
            let messages = Messages::new(Box::new(reader), None);
            let outcome = catch(|| handler(ws, messages, request));
            end(&connection, outcome);
        }
    }
}

/// Ends after a straight-line handler. If it has given its `Messages` to another thread, that one
/// drives to the end, and is waited for.
fn end(connection: &Arc<Connection>, outcome: crate::Outcome) {
    let parked = lock(&connection.parked).take();
    match parked {
        Some(reader) => Messages::new(reader, None).end(outcome),
        None => connection.end_elsewhere(outcome),
    }
}
