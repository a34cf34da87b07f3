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
use crate::transport::Socket;
use crate::{Messages, Request, WebSocket};

/// So long a refused peer may be silent before it is given up, and so long in all.
const SILENCE: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_secs(5);

/// Serves one accepted socket to its end.
// The steps are not inlined: what one needs of the stack is free for the next. A thread keeps
// every page that its stack has once touched.
pub(super) fn run(id: u64, socket: Arc<Socket>, shared: &Arc<Shared>) {
    let mut place = shared.roster.place();
    let Some(Accepted { head, pipelined }) = shake_hands(&socket, shared, &mut place) else {
        return;
    };
    let config = &shared.config;
    let Ok(connection) = Connection::open(id, Role::Server, &socket, config, None) else {
        return;
    };
    place.enter_connection(&connection);
    let reader = Reader::new(&connection, socket, config, pipelined);
    drop(connection);
    as_connection_thread(|| serve(reader, head, shared));
}

/// Is a request that was answered with 101.
struct Accepted {
    head: Box<http::Request<()>>,
    /// What came behind it.
    pipelined: Vec<u8>,
}

/// Does the handshake. Returns `None` if there will be no connection.
#[inline(never)]
fn shake_hands(socket: &Arc<Socket>, shared: &Shared, place: &mut Place<'_>) -> Option<Accepted> {
    let deadline = Instant::now() + shared.config.handshake_timeout;
    let opening = Opening::begin(socket, deadline).ok()?;
    place.enter_opening(opening.opening(), shared.max_handshakes);
    let accepted = match accept(&opening, shared) {
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
    Some(accepted)
}

/// Reads the request and answers 101. An error is what to answer instead, if anything.
fn accept(opening: &OpeningGuard, shared: &Shared) -> Result<Accepted, Option<Vec<u8>>> {
    let (head, pipelined) = match opening.read_request() {
        Ok(read) => read,
        Err(RequestError::Bad(bad)) => {
            debug!("a request was refused: {} {}", bad.status, bad.reason);
            return Err(Some(bad.reply()));
        }
        Err(RequestError::Lost) if shared.roster.is_stopping() => return Err(Some(unavailable())),
        Err(RequestError::Lost) => return Err(None),
    };
    if !opening.begin_answer() {
        return Err(Some(unavailable()));
    }
    let upgrade = Upgrade::of(&head).map_err(|bad| Some(bad.reply()))?;
    let response = upgrade
        .response(None, &HeaderMap::new())
        .map_err(|_| None)?;
    opening.write(&response).map_err(|_| None)?;
    Ok(Accepted { head, pipelined })
}

fn unavailable() -> Vec<u8> {
    BadRequest::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").reply()
}

/// Runs the program's handler and the connection after it.
#[inline(never)]
fn serve(mut reader: Box<Reader>, head: Box<http::Request<()>>, shared: &Arc<Shared>) {
    let connection = Arc::clone(reader.connection());
    let ws = WebSocket::for_callbacks(&connection);
    let request = || Request::new(head, &connection, Server::uncounted(shared));
    reader.take_the_wheel();
    match &shared.handler {
        Handler::Callbacks(set_up) => {
            if let Err(failure) = catch(|| set_up(&ws, request())) {
                reader.fail(failure);
            }
            reader.dispatch();
        }
        Handler::StraightLine(handler) => {
            let messages = Messages::new(reader, None);
            let outcome = catch(|| handler(ws, messages, request()));
            connection.end(outcome);
        }
    }
}
