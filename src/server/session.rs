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
    debug!("connection {id} accepted, peer {}", socket.peer_addr());
    let mut registration = shared.connections.register(id, counts_for);
    let opened = as_connection_thread(|| shake_hands(id, &socket, shared, &mut registration));
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
    } = *accepted;
    let connection = Connection::open(id, Role::Server, &socket, &config, negotiated, timer);
    connection.data.fill(data);
    registration.enter_connection(&connection);
    let reader = Reader::new(&connection, socket, &config, pipelined);
    drop(connection);
    as_connection_thread(|| serve(reader, request, next));
}

/// The result of a successful handshake. Boxed: each function that hands it on would have room for it
/// on its stack.
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
    id: u64,
    socket: &Arc<Socket>,
    shared: &Arc<Shared>,
    registration: &mut Registration<'_>,
) -> Option<(Box<Accepted>, Arc<Timer>)> {
    let deadline = Instant::now() + shared.config.handshake_timeout;
    let opening = Opening::begin(id, socket, &shared.config, deadline)
        .inspect_err(|error| debug!("connection {id} ended: {error}"))
        .ok()?;
    registration.enter_opening(opening.opening(), shared.max_handshakes);
    let proxied = read_proxy_header(&opening, shared).ok()?;
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
            reject(&opening, &rejection, shared);
            None
        }
    }
}

/// Answers a request that leads to no connection.
#[inline(never)]
fn reject(opening: &OpeningGuard, rejection: &Rejection, shared: &Shared) {
    if rejection.turns_away() {
        shared.connections.count_refused();
    }
    record(opening, rejection);
    if let Some(bytes) = rejection.bytes() {
        // A failed write has its record already.
        let _ = Exchange(opening).answer(&bytes, &shared.config);
        opening.socket().finish_and_linger();
    }
}

/// Logs how a handshake ends that leads to no connection.
#[inline(never)]
fn record(opening: &OpeningGuard, rejection: &Rejection) {
    let id = opening.id();
    match rejection {
        Rejection::Bad(bad) => {
            let BadRequest { status, reason, .. } = bad;
            debug!("connection {id}: a request was refused: {status} {reason}");
        }
        Rejection::Answered(reply, _) => debug!("connection {id} gets {}", reply.status),
        Rejection::Lost => match opening.cut_by() {
            Some(timeout) => debug!("connection {id} ended in its handshake: {timeout}"),
            None => debug!("connection {id} ended in its handshake: the peer is gone"),
        },
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
    read_header(opening).inspect_err(|BadHeader(why)| {
        let id = opening.id();
        debug!("connection {id} refused: its header of the PROXY protocol is wrong, {why}");
        shared.connections.count_refused();
    })
}

#[inline(never)]
fn read_header(opening: &OpeningGuard) -> Result<Option<Proxied>, BadHeader> {
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
    opening.accept_tls(&acceptor).inspect_err(|error| {
        let id = opening.id();
        debug!("connection {id} refused: its TLS handshake failed, {error}");
    })
}

/// Reads the request and answers it.
fn accept(
    opening: &OpeningGuard,
    socket: &Socket,
    proxied: Option<Proxied>,
    shared: &Arc<Shared>,
) -> Result<Box<Accepted>, Rejection> {
    let (head, pipelined) = read_request(opening, shared)?;
    let server = Server::uncounted(shared);
    let (peer, local) = (socket.peer_addr().clone(), socket.local_addr().clone());
    let mut request = Box::new(Request::new(head, peer, local, server));
    request.set_peer_certificates(socket.peer_certificates());
    request.set_proxied(proxied);
    request.set_id(opening.id());
    let (method, path) = (request.method(), Foreign(request.path()));
    debug!("connection {} asks: {method} {path}", request.id());
    judge(&request, shared)?;
    decide(opening, request, pipelined, shared)
}

/// Judges a request before the program sees it.
#[inline(never)]
fn judge(request: &Request, shared: &Shared) -> Result<(), Rejection> {
    let judged = shared.access.judge(request);
    judged.map_err(|reply| Rejection::Answered(reply, request.method().clone()))
}

/// Asks the program, and answers 101. What it runs stands in functions of their own, so that the
/// program's code has little of our stack below it.
#[inline(never)]
fn decide(
    opening: &OpeningGuard,
    mut request: Box<Request>,
    pipelined: Vec<u8>,
    shared: &Shared,
) -> Result<Box<Accepted>, Rejection> {
    let asked = asked_upgrade(&request)?;
    let reply = run_hook(&mut request, shared);
    let upgrade = settle(reply, &request, shared)?;
    let asked = asked.ok_or_else(|| {
        BadRequest::upgrade_required(request.head().version()).answering(request.method())
    })?;
    grant(opening, request, pipelined, &asked, upgrade, shared)
}

/// Runs the program's hook.
#[inline(never)]
fn run_hook(request: &mut Request, shared: &Shared) -> Box<Reply> {
    let replied = catch(|| Ok(Box::new((shared.hook)(request))));
    replied.unwrap_or_else(|failure| {
        let error = Error::Callback(failure.into_text());
        Box::new(failed(request, &error))
    })
}

/// Completes the program's reply by a subprotocol, and checks it. A reply without an upgrade is the
/// error.
#[inline(never)]
fn settle(
    reply: Box<Reply>,
    request: &Request,
    shared: &Shared,
) -> Result<Box<Upgrade>, Rejection> {
    let settled = catch(|| Ok(shared.access.subprotocols.settle(*reply, request)));
    let checked = settled
        .map_err(|failure| Error::Callback(failure.into_text()))
        .and_then(Reply::checked);
    let mut reply = checked.unwrap_or_else(|error| failed(request, &error));
    let upgrade = reply.upgrade.take();
    upgrade.ok_or_else(|| Rejection::Answered(reply, request.method().clone()))
}

/// Answers 101.
#[inline(never)]
fn grant(
    opening: &OpeningGuard,
    request: Box<Request>,
    pipelined: Vec<u8>,
    asked: &UpgradeRequest,
    mut upgrade: Box<Upgrade>,
    shared: &Shared,
) -> Result<Box<Accepted>, Rejection> {
    let fail = |error: Error| Rejection::Answered(failed(&request, &error), Method::GET);
    let config = settings(opening, &upgrade, shared).map_err(fail)?;
    let chosen = upgrade.subprotocol.take();
    let (offered, offers) = (request.subprotocols(), request.head().headers());
    let compression = config.compression.as_ref();
    let compression = compression.and_then(|settings| answer_offers(offers, settings));
    let (mut negotiated, response) = asked
        .accept(offered, chosen, compression, &upgrade.headers)
        .map_err(fail)?;
    negotiated.path = request.path().into();
    let data = clone_extensions(&request).map_err(fail)?;
    let next = next(opening.id(), &mut upgrade, shared)
        .map_err(|reply| Rejection::Answered(reply, request.method().clone()))?;
    let written = Exchange(opening).answer(&response, &shared.config);
    written.map_err(|_| Rejection::Lost)?;
    Ok(Box::new(Accepted {
        request,
        negotiated,
        pipelined,
        next,
        config,
        data,
    }))
}

/// Clones the values that the program has put into a request, by the program's own code.
#[inline(never)]
fn clone_extensions(request: &Request) -> Result<Extensions, Error> {
    let cloned = catch(|| Ok(request.extensions().clone()));
    cloned.map_err(|failure| Error::Callback(failure.into_text()))
}

/// Returns what comes after the 101. A connection that the program is to take needs a place for that,
/// before it is told that it is open.
fn next(id: u64, upgrade: &mut Upgrade, shared: &Shared) -> Result<Next, Reply> {
    let Some(intake) = shared.connections.intake() else {
        let nothing = || Handler::Callbacks(Box::new(|_, _| Ok(())));
        return Ok(Next::Run(upgrade.handler.take().unwrap_or_else(nothing)));
    };
    intake.reserve().map(Next::HandOver).ok_or_else(|| {
        debug!("connection {id}: too many connections wait to be taken");
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

fn failed(request: &Request, error: &Error) -> Reply {
    let (method, path) = (request.method(), Foreign(request.path()));
    let id = request.id();
    warn!("connection {id}: {method} {path} could not be answered: {error}");
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
