//! A connection's thread on the server: handshake, handler, dispatch.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Extensions, Method, StatusCode};

use super::connections::Registration;
use super::exchange::{Exchange, RequestError};
use super::incoming::Place;
use super::proxy_header::{self, BadHeader};
use super::rejection::Rejection;
use super::{Server, Shared};
use crate::background::Timer;
use crate::connection::Connection;
use crate::connection::callbacks::{catch, named};
use crate::connection::handshake::{Opening, OpeningGuard, READ_STEP};
use crate::connection::reader::Reader;
use crate::connection::thread::as_connection_thread;
use crate::handshake::{BadRequest, Negotiated, UpgradeRequest, answer_offers};
use crate::http::{Handler, Proxied, SetUp, StraightLine};
use crate::protocol::Role;
use crate::record::{Foreign, debug, warn};
use crate::sync::lock;
use crate::transport::Socket;
use crate::{CloseCode, Config, Error, Messages, Outcome, Reply, Request, Upgrade, WebSocket};

/// The time for which the handler's thread waits, after the closing handshake's own, to get the
/// reading end back.
const RETURN_GRACE: Duration = Duration::from_secs(1);

/// Serves one accepted socket to its end.
// The steps are not inlined, so that the next step can use the stack of the one before. A thread
// keeps every page that its stack has once touched.
pub(super) fn run(id: u64, socket: Arc<Socket>, counts_for: Option<IpAddr>, shared: &Arc<Shared>) {
    let mut registration = shared.connections.register(id, counts_for);
    let opened = as_connection_thread(|| shake_hands(&socket, shared, &mut registration));
    let Some((accepted, timer)) = opened else {
        return;
    };
    let Accepted {
        request,
        negotiated,
        pipelined,
        next,
        config,
        data,
    } = accepted;
    let connection = Connection::open(id, Role::Server, &socket, &config, negotiated, timer);
    connection.data.fill(data);
    registration.enter_connection(&connection);
    let reader = Reader::new(&connection, socket, &config, pipelined);
    drop(connection);
    as_connection_thread(|| serve(reader, request, next));
}

/// The result of a successful handshake.
struct Accepted {
    request: Box<Request>,
    negotiated: Negotiated,
    pipelined: Vec<u8>,
    next: Next,
    config: Arc<Config>,
    /// The values that the program has put into the request.
    data: Extensions,
}

/// What comes after the handshake.
enum Next {
    Run(Handler),
    /// The program takes the connection.
    HandOver(Place),
}

/// Does the handshake. Returns `None` if there will be no connection.
#[inline(never)]
fn shake_hands(
    socket: &Arc<Socket>,
    shared: &Arc<Shared>,
    registration: &mut Registration<'_>,
) -> Option<(Accepted, Arc<Timer>)> {
    let deadline = Instant::now() + shared.config.handshake_timeout;
    let opening = Opening::begin(socket, &shared.config, deadline).ok()?;
    registration.enter_opening(opening.opening(), shared.max_handshakes);
    let proxied = match read_proxy_header(&opening, shared) {
        Ok(proxied) => proxied,
        Err(BadHeader(why)) => {
            let peer = socket.peer_addr();
            debug!("the PROXY protocol's header of {peer} was refused: {why}");
            shared.connections.count_refused();
            return None;
        }
    };
    if accept_tls(&opening, shared).is_err() {
        // The reply or the alert that gives the reason must not be lost.
        socket.finish_and_linger();
        return None;
    }
    match accept(&opening, socket, proxied, shared) {
        Ok(accepted) => {
            registration.leave_opening();
            Some((accepted, opening.finish().ok()?))
        }
        Err(rejection) => {
            if rejection.turns_away() {
                shared.connections.count_refused();
            }
            if let Rejection::Bad(bad) = &rejection {
                debug!("a request was refused: {} {}", bad.status, bad.reason);
            }
            if let Some(bytes) = rejection.bytes() {
                // A failed write has its record already.
                let _ = Exchange(&opening).answer(&bytes, &shared.config);
                socket.finish_and_linger();
            }
            None
        }
    }
}

/// Reads the header of the PROXY protocol, if the peer has to send one. Nothing behind it is read.
#[inline(never)]
fn read_proxy_header(
    opening: &OpeningGuard,
    shared: &Shared,
) -> Result<Option<Proxied>, BadHeader> {
    if !shared.access.begins_with_header(opening.peer_addr()) {
        return Ok(None);
    }
    let mut header = Vec::new();
    loop {
        let missing = proxy_header::missing(&header)?;
        if missing == 0 {
            return proxy_header::parse(&header);
        }
        let received = opening
            .socket()
            .recv_at_most(&mut header, missing.min(READ_STEP));
        if !matches!(received, Ok(1..)) {
            return Err(BadHeader("it ends within it"));
        }
    }
}

/// Does the TLS handshake, if the server speaks TLS.
#[inline(never)]
fn accept_tls(opening: &OpeningGuard, shared: &Shared) -> Result<(), Error> {
    let Some(acceptor) = lock(&shared.tls).clone() else {
        return Ok(());
    };
    opening
        .accept_tls(&acceptor)
        .inspect_err(|error| debug!("a TLS handshake failed: {error}"))
}

/// Reads the request and answers it.
fn accept(
    opening: &OpeningGuard,
    socket: &Socket,
    proxied: Option<Proxied>,
    shared: &Arc<Shared>,
) -> Result<Accepted, Rejection> {
    let (head, pipelined) = read_request(opening, shared)?;
    let server = Server::uncounted(shared);
    let (peer, local) = (socket.peer_addr().clone(), socket.local_addr().clone());
    let mut request = Box::new(Request::new(head, peer, local, server));
    request.set_peer_certificates(socket.peer_certificates());
    request.set_proxied(proxied);
    judge(&request, shared)?;
    decide(opening, request, pipelined, shared)
}

/// Judges a request before the program sees it.
#[inline(never)]
fn judge(request: &Request, shared: &Shared) -> Result<(), Rejection> {
    let judged = shared.access.judge(request);
    judged.map_err(|reply| Rejection::Answered(reply, request.method().clone()))
}

/// Asks the program, and answers 101.
#[inline(never)]
fn decide(
    opening: &OpeningGuard,
    mut request: Box<Request>,
    pipelined: Vec<u8>,
    shared: &Shared,
) -> Result<Accepted, Rejection> {
    let asked = asked_upgrade(&request)?;
    let mut reply = answer(shared, &mut request);
    let Some(mut upgrade) = reply.upgrade.take() else {
        return Err(Rejection::Answered(reply, request.method().clone()));
    };
    let asked = asked.ok_or_else(|| {
        BadRequest::upgrade_required(request.head().version()).answering(request.method())
    })?;
    let config = settings(opening, &upgrade, shared)
        .map_err(|error| Rejection::Answered(failed(&request, &error), Method::GET))?;
    let chosen = upgrade.subprotocol.take();
    let (offered, offers) = (request.subprotocols(), request.head().headers());
    let compression = config.compression.as_ref();
    let compression = compression.and_then(|settings| answer_offers(offers, settings));
    let (mut negotiated, response) = asked
        .accept(offered, chosen, compression, &upgrade.headers)
        .map_err(|error| Rejection::Answered(failed(&request, &error), Method::GET))?;
    negotiated.path = request.path().into();
    // The program's code clones them.
    let data = catch(|| Ok(request.extensions().clone()))
        .map_err(|failure| Error::Callback(failure.into_text()))
        .map_err(|error| Rejection::Answered(failed(&request, &error), Method::GET))?;
    let next = next(&mut upgrade, shared)
        .map_err(|reply| Rejection::Answered(reply, request.method().clone()))?;
    let written = Exchange(opening).answer(&response, &shared.config);
    written.map_err(|_| Rejection::Lost)?;
    Ok(Accepted {
        request,
        negotiated,
        pipelined,
        next,
        config,
        data,
    })
}

/// Returns what comes after the 101. A connection that the program is to take needs a place for that,
/// before it is told that it is open.
fn next(upgrade: &mut Upgrade, shared: &Shared) -> Result<Next, Reply> {
    let Some(intake) = shared.connections.intake() else {
        let nothing = || Handler::Callbacks(Box::new(|_, _| Ok(())));
        return Ok(Next::Run(upgrade.handler.take().unwrap_or_else(nothing)));
    };
    intake.reserve().map(Next::HandOver).ok_or_else(|| {
        debug!("a request was refused: too many connections wait to be taken");
        Reply::error(StatusCode::SERVICE_UNAVAILABLE).header("Retry-After", "1")
    })
}

/// Returns the settings of the new connection: the upgrade's own, or else the server's.
fn settings(
    opening: &OpeningGuard,
    upgrade: &Upgrade,
    shared: &Shared,
) -> Result<Arc<Config>, Error> {
    let Some(config) = &upgrade.config else {
        return Ok(Arc::clone(&shared.config));
    };
    config.check_for_route(&shared.config)?;
    opening.set_up(config).map_err(Error::Io)?;
    Ok(Arc::clone(config))
}

#[inline(never)]
fn read_request(
    opening: &OpeningGuard,
    shared: &Shared,
) -> Result<(Box<http::Request<Bytes>>, Vec<u8>), Rejection> {
    const STOPPING: BadRequest =
        BadRequest::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
    match Exchange(opening).read_request(shared.config.max_body_size) {
        Ok(_) if !opening.begin_answer() => Err(STOPPING.into()),
        Ok(read) => Ok(read),
        Err(RequestError::Bad(bad)) => Err(bad.into()),
        Err(RequestError::Lost) if shared.connections.is_stopping() => Err(STOPPING.into()),
        Err(RequestError::Lost) => Err(Rejection::Lost),
    }
}

/// Judges an upgrade request before the program sees it. Returns `None` for plain HTTP.
fn asked_upgrade(request: &Request) -> Result<Option<UpgradeRequest>, BadRequest> {
    if !request.is_upgrade() {
        return Ok(None);
    }
    let asked = UpgradeRequest::of(request.head())?;
    request.offer()?;
    Ok(Some(asked))
}

/// Asks the program for its answer, and for a subprotocol.
fn answer(shared: &Shared, request: &mut Request) -> Reply {
    let reply = catch(|| {
        let reply = (shared.hook)(request);
        Ok(shared.access.subprotocols.settle(reply, request))
    });
    let checked = reply
        .map_err(|failure| Error::Callback(failure.into_text()))
        .and_then(Reply::checked);
    checked.unwrap_or_else(|error| failed(request, &error))
}

fn failed(request: &Request, error: &Error) -> Reply {
    let (method, path) = (request.method(), Foreign(request.path()));
    warn!("{method} {path} could not be answered: {error}");
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Runs the program's handler, and then the connection.
#[inline(never)]
fn serve(mut reader: Box<Reader>, request: Box<Request>, next: Next) {
    if let Next::Run(_) = next {
        reader.begin_driving();
    }
    match next {
        Next::Run(Handler::Callbacks(set_up)) => {
            set_up_callbacks(&mut reader, request, set_up);
            reader.dispatch();
        }
        Next::Run(Handler::StraightLine(handler)) => serve_straight_line(reader, request, handler),
        Next::HandOver(place) => hand_over(reader, request, place),
    }
}

/// Gives the program the connection, and drives it to its end once the program has dropped the
/// reading end.
#[inline(never)]
fn hand_over(mut reader: Box<Reader>, request: Box<Request>, place: Place) {
    let connection = Arc::clone(reader.connection());
    connection.reading.hand_over();
    let (home, returned) = sync_channel(1);
    reader.set_home(home);
    let (ws, open) = WebSocket::counted(&connection);
    drop(connection);
    place.fill((ws, Messages::new(reader, Some(open)), *request));
    if let Ok(mut reader) = returned.recv() {
        reader.discard_until_closed();
    }
}

/// Has the program set its callbacks. The request is moved in, so that its memory is free before the
/// connection is read.
#[inline(never)]
fn set_up_callbacks(reader: &mut Reader, request: Box<Request>, set_up: SetUp) {
    let ws = WebSocket::for_callbacks(reader.connection());
    if let Err(failure) = named("on_upgrade", || set_up(&ws, *request)) {
        reader.fail(failure);
    }
}

#[inline(never)]
fn serve_straight_line(mut reader: Box<Reader>, request: Box<Request>, handler: StraightLine) {
    let connection = Arc::clone(reader.connection());
    let ws = WebSocket::for_callbacks(&connection);
    let (home, returned) = sync_channel(1);
    reader.set_home(home);
    let messages = Messages::new(reader, None);
    let outcome = named("serve", move || handler(ws, messages, *request));
    end(&connection, outcome, &returned);
}

/// Ends a connection after its handler: with 1000, or with the handler's failure. If the handler
/// has given the reading end to another thread, it is driven to its end there, or here once that
/// thread has dropped it.
fn end(connection: &Connection, outcome: Outcome, returned: &Receiver<Box<Reader>>) {
    match outcome {
        Ok(()) => drop(connection.close(CloseCode::NORMAL, "")),
        Err(failure) => connection.fail_callback(failure),
    }
    let by = connection.limit_closing() + RETURN_GRACE;
    let patience = by.saturating_duration_since(Instant::now());
    if let Ok(mut reader) = returned.recv_timeout(patience) {
        reader.discard_until_closed();
    }
}
