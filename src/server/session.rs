//! A connection's thread on the server: handshake, handler, dispatch.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use log::{debug, warn};

use super::roster::Place;
use super::{Server, Shared};
use crate::callbacks::catch;
use crate::connection::Connection;
use crate::handshake::{BadRequest, UpgradeRequest, reply};
use crate::http::Handler;
use crate::opening::{Opening, OpeningGuard, RequestError};
use crate::protocol::Role;
use crate::reader::{Reader, as_connection_thread};
use crate::transport::Socket;
use crate::{Error, Messages, Reply, Request, WebSocket};

/// So long a refused peer may be silent before it is given up, and so long in all.
const SILENCE: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_secs(5);

/// Serves one accepted socket to its end.
// The steps are not inlined: what one needs of the stack is free for the next. A thread keeps
// every page that its stack has once touched.
pub(super) fn run(id: u64, socket: Arc<Socket>, counts_for: Option<IpAddr>, shared: &Arc<Shared>) {
    let mut place = shared.roster.place(counts_for);
    let Some(accepted) = as_connection_thread(|| shake_hands(&socket, shared, &mut place)) else {
        return;
    };
    let Accepted {
        request,
        subprotocol,
        pipelined,
        handler,
    } = accepted;
    let config = &shared.config;
    let opened = Connection::open(id, Role::Server, &socket, config, subprotocol);
    let Ok(connection) = opened else { return };
    place.enter_connection(&connection);
    let reader = Reader::new(&connection, socket, config, pipelined);
    drop(connection);
    as_connection_thread(|| serve(reader, request, handler));
}

/// Is what a successful handshake leaves.
struct Accepted {
    request: Box<Request>,
    subprotocol: Option<String>,
    pipelined: Vec<u8>,
    handler: Handler,
}

/// Does the handshake; `None` if there will be no connection.
#[inline(never)]
fn shake_hands(
    socket: &Arc<Socket>,
    shared: &Arc<Shared>,
    place: &mut Place<'_>,
) -> Option<Accepted> {
    let deadline = Instant::now() + shared.config.handshake_timeout;
    let opening = Opening::begin(socket, deadline).ok()?;
    place.enter_opening(opening.opening(), shared.max_handshakes);
    match accept(&opening, socket, shared) {
        Ok(accepted) => {
            place.leave_opening();
            opening.finish().ok()?;
            Some(accepted)
        }
        Err(refusal) => {
            if let Some(reply) = refusal {
                let _ = opening.write(&reply);
                socket.finish_writing();
                socket.drain(SILENCE, LINGER);
            }
            None
        }
    }
}

/// Reads the request, lets it in, asks the hook, and answers 101. An error is what to answer instead, if
/// anything.
fn accept(
    opening: &OpeningGuard,
    socket: &Socket,
    shared: &Arc<Shared>,
) -> Result<Accepted, Option<Vec<u8>>> {
    let (head, pipelined) = read_request(opening, shared)?;
    let mut request = Box::new(Request::new(
        head,
        socket.peer_addr(),
        socket.local_addr(),
        Server::uncounted(shared),
    ));
    let asked = asked_upgrade(&request)?;
    let admitted = shared.admission.judge(&request, shared.local_addr);
    let reply = admitted.map_or_else(|refusal| refusal, |()| answer(shared, &mut request));
    let without_body = request.method() == Method::HEAD;
    let Reply {
        status,
        headers,
        body,
        upgrade,
        ..
    } = reply;
    let Some(mut upgrade) = upgrade else {
        return Err(Some(reply::write(status, &headers, &body, without_body)));
    };
    let asked = asked.ok_or_else(|| Some(upgrade_required(&request)))?;
    let response = asked.response(upgrade.subprotocol.as_deref(), &upgrade.headers);
    let response = response.map_err(|error| Some(failed(&error)))?;
    opening.write(&response).map_err(|_| None)?;
    let nothing = || Handler::Callbacks(Box::new(|_, _| Ok(())));
    Ok(Accepted {
        request,
        subprotocol: upgrade.subprotocol.take(),
        pipelined,
        handler: upgrade.handler.take().unwrap_or_else(nothing),
    })
}

fn read_request(
    opening: &OpeningGuard,
    shared: &Shared,
) -> Result<(Box<http::Request<Bytes>>, Vec<u8>), Option<Vec<u8>>> {
    match opening.read_request(shared.config.max_body_size) {
        Ok(_) if !opening.begin_answer() => Err(Some(unavailable())),
        Ok(read) => Ok(read),
        Err(RequestError::Bad(bad)) => {
            debug!("a request was refused: {} {}", bad.status, bad.reason);
            Err(Some(bad.reply()))
        }
        Err(RequestError::Lost) if shared.roster.is_stopping() => Err(Some(unavailable())),
        Err(RequestError::Lost) => Err(None),
    }
}

/// Judges an upgrade request before the program sees it; `None` for plain HTTP.
fn asked_upgrade(request: &Request) -> Result<Option<UpgradeRequest>, Option<Vec<u8>>> {
    if !request.is_upgrade() {
        return Ok(None);
    }
    UpgradeRequest::of(request.head())
        .map(Some)
        .map_err(|bad| Some(bad.reply()))
}

/// Asks the program, for its subprotocol too.
fn answer(shared: &Shared, request: &mut Request) -> Reply {
    let reply = catch(|| {
        let reply = (shared.hook)(request);
        Ok(shared.admission.subprotocols.settle(reply, request))
    });
    let checked = reply
        .map(Reply::checked)
        .map_err(|failure| Error::Callback(failure.into_text()));
    checked.and_then(|checked| checked).unwrap_or_else(|error| {
        warn!("a request could not be answered: {error}");
        Reply::error(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

fn upgrade_required(request: &Request) -> Vec<u8> {
    BadRequest::upgrade_required()
        .answering(request.method())
        .reply()
}

fn failed(error: &Error) -> Vec<u8> {
    warn!("an upgrade could not be answered: {error}");
    let Reply {
        status,
        headers,
        body,
        ..
    } = Reply::error(StatusCode::INTERNAL_SERVER_ERROR);
    reply::write(status, &headers, &body, false)
}

fn unavailable() -> Vec<u8> {
    BadRequest::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").reply()
}

/// Runs the program's handler and the connection after it.
#[inline(never)]
fn serve(mut reader: Box<Reader>, request: Box<Request>, handler: Handler) {
    let connection = Arc::clone(reader.connection());
    let ws = WebSocket::for_callbacks(&connection);
    reader.take_the_wheel();
    match handler {
        Handler::Callbacks(set_up) => {
            if let Err(failure) = catch(|| set_up(&ws, *request)) {
                reader.fail(failure);
            }
            reader.dispatch();
        }
        Handler::StraightLine(handler) => {
            let messages = Messages::new(reader, None);
            let outcome = catch(|| handler(ws, messages, *request));
            connection.end(outcome);
        }
    }
}
