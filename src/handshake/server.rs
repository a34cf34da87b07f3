//! The server's side: the verdict of an upgrade request, and the 101.

use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use super::Negotiated;
use super::fields::{self, Occurrence, occurrence};
use super::framing;
use super::reply::BadRequest;
use super::request_body::{CONTINUE, expects_continue};
use crate::{AgreedCompression, Error};

/// Tells whether a request asks for a WebSocket, in a valid way or not. All others are plain HTTP.
pub(crate) fn wants_upgrade<B>(request: &Request<B>) -> bool {
    // RFC 9110 7.8: a server MUST ignore the Upgrade of a request of HTTP/1.0.
    request.version() >= Version::HTTP_11
        && fields::has_token(request.headers(), UPGRADE, "websocket")
}

/// A valid upgrade request, with the values that accept it.
#[derive(Debug)]
pub(crate) struct UpgradeRequest {
    accept_key: String,
    expects_continue: bool,
}

/// The most subprotocols that a request may offer.
const MAX_SUBPROTOCOLS: usize = 100;

/// The room for a response without fields of the program, in bytes.
const USUAL_HEAD: usize = 256;

impl UpgradeRequest {
    /// Judges a request (RFC 6455, section 4.2.1).
    ///
    /// # Errors
    /// Returns 426 for plain HTTP, as every request of HTTP/1.0 is, and for another version of the
    /// protocol, 405 for another method than GET, 417 for an unknown expectation, otherwise 400.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, BadRequest> {
        let headers = request.headers();
        check_upgrade(request).map_err(|bad| bad.answering(request.method()))?;
        // Before the key, because other versions have other keys, or none.
        check_version(headers)?;
        if framing::announces_body(headers) {
            return Err(BadRequest::malformed("an upgrade request has no body"));
        }
        Ok(Self {
            accept_key: derive_accept_key(key(headers)?),
            expects_continue: expects_continue(request)?,
        })
    }

    /// Accepts with the chosen subprotocol, the agreed compression and its text, and the program's
    /// headers. Returns the agreed terms and the bytes of the 101, with the 100 before it if the client
    /// waits for one.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] for a subprotocol that was not offered and for a header that the
    /// handshake itself sets or that would announce a body.
    pub(crate) fn accept(
        &self,
        offered: &[String],
        subprotocol: Option<String>,
        compression: Option<(AgreedCompression, String)>,
        headers: &HeaderMap,
    ) -> Result<(Negotiated, Vec<u8>), Error> {
        check_program_headers(headers)?;
        let mut out = Vec::with_capacity(USUAL_HEAD);
        // RFC 9110 7.8: where 100-continue is expected, a 100 MUST be sent before the 101.
        if self.expects_continue {
            out.extend_from_slice(CONTINUE);
        }
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        fields::write(&mut out, "Upgrade", "websocket");
        fields::write(&mut out, "Connection", "Upgrade");
        fields::write(&mut out, "Sec-WebSocket-Accept", &self.accept_key);
        if let Some(chosen) = &subprotocol {
            check_offered(offered, chosen)?;
            fields::write(&mut out, "Sec-WebSocket-Protocol", chosen);
        }
        if let Some((_, answer)) = &compression {
            fields::write(&mut out, "Sec-WebSocket-Extensions", answer);
        }
        for (name, value) in headers {
            fields::write_named(&mut out, name, value);
        }
        out.extend_from_slice(b"\r\n");
        let negotiated = Negotiated {
            path: Box::default(),
            subprotocol,
            compression: compression.map(|(agreed, _)| agreed),
            response: None,
        };
        Ok((negotiated, out))
    }
}

/// Checks a chosen subprotocol. RFC 6455 4.2.2: it is one of those that the client offered.
fn check_offered(offered: &[String], chosen: &str) -> Result<(), Error> {
    if offered.iter().any(|offered| offered == chosen) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the client did not offer the subprotocol {chosen:?}"
    )))
}

/// Checks the request for the upgrade. RFC 6455 4.2.1: GET of HTTP/1.1 or higher, with Upgrade and
/// Connection.
fn check_upgrade<B>(request: &Request<B>) -> Result<(), BadRequest> {
    if !wants_upgrade(request) {
        return Err(BadRequest::upgrade_required(request.version()));
    }
    if request.method() != Method::GET {
        return Err(BadRequest::not_get());
    }
    if !fields::has_token(request.headers(), CONNECTION, "upgrade") {
        return Err(BadRequest::malformed("Connection does not name Upgrade"));
    }
    Ok(())
}

/// Checks the version. RFC 6455 4.2.2: 426 with the supported version if the request asks for
/// another.
fn check_version(headers: &HeaderMap) -> Result<(), BadRequest> {
    match occurrence(headers, SEC_WEBSOCKET_VERSION) {
        Occurrence::Once(version) if version == "13" => Ok(()),
        // RFC 6455 11.3.5: once at most in a request.
        Occurrence::Repeated => Err(BadRequest::malformed(
            "there are several Sec-WebSocket-Version headers",
        )),
        _ => Err(BadRequest::new(
            StatusCode::UPGRADE_REQUIRED,
            "only version 13 of the WebSocket protocol is spoken here",
        )),
    }
}

/// Returns the key. RFC 6455 11.3.1: Sec-WebSocket-Key comes exactly once.
fn key(headers: &HeaderMap) -> Result<&[u8], BadRequest> {
    match occurrence(headers, SEC_WEBSOCKET_KEY) {
        Occurrence::Once(key) if is_key(key.as_bytes()) => Ok(key.as_bytes()),
        Occurrence::Once(_) => Err(BadRequest::malformed("Sec-WebSocket-Key is malformed")),
        Occurrence::Absent => Err(BadRequest::malformed("Sec-WebSocket-Key is missing")),
        Occurrence::Repeated => Err(BadRequest::malformed(
            "there are several Sec-WebSocket-Key headers",
        )),
    }
}

/// Tells whether a key is valid. RFC 6455 4.2.1: base64 of 16 bytes, which makes 22 digits and two
/// signs of padding.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==")
        .is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_digit))
}

/// Returns the subprotocols that a request offers, in its order, each once (RFC 6455, section
/// 11.3.4: a list of tokens, perhaps over several lines).
///
/// # Errors
/// Returns 400 for a malformed list, and for one of more than a hundred names: each name is
/// compared with all before it.
pub(crate) fn offered_subprotocols(headers: &HeaderMap) -> Result<Vec<String>, BadRequest> {
    let mut offered: Vec<String> = Vec::new();
    for (position, element) in fields::elements(headers, SEC_WEBSOCKET_PROTOCOL).enumerate() {
        if position == MAX_SUBPROTOCOLS {
            return Err(BadRequest::malformed("too many subprotocols are offered"));
        }
        if !fields::is_token(element) {
            return Err(BadRequest::malformed("Sec-WebSocket-Protocol is malformed"));
        }
        let name = String::from_utf8_lossy(element).into_owned();
        if !offered.contains(&name) {
            offered.push(name);
        }
    }
    Ok(offered)
}

/// Fails for headers of the program that would contradict the handshake's own.
fn check_program_headers(headers: &HeaderMap) -> Result<(), Error> {
    const OWNED: [HeaderName; 8] = [
        CONNECTION,
        CONTENT_LENGTH,
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    fields::check_without(headers, &OWNED)
}
