//! The client's side: the upgrade request, and the check of its answer.

use data_encoding::BASE64;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use percent_encoding::percent_decode_str;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use url::{Position, Url};

use super::Negotiated;
use super::deflate;
use super::fields::{self, Occurrence, occurrence};
use crate::{Compression, Error};

/// Tells whether the URL wants TLS: `wss` and `https` do, `ws` and `http` do not.
///
/// # Errors
/// Returns [`Error::Invalid`] for any other scheme.
pub(crate) fn is_secure(url: &Url) -> Result<bool, Error> {
    match url.scheme() {
        "ws" | "http" => Ok(false),
        "wss" | "https" => Ok(true),
        // In `localhost:9001`, the host looks like a scheme.
        scheme if !url.has_authority() => Err(Error::Invalid(format!(
            "the URL begins with {scheme}, which is no scheme that is spoken: write ws:// or wss:// \
             before it"
        ))),
        scheme => Err(Error::Invalid(format!(
            "the URL's scheme is {scheme}, not ws or wss"
        ))),
    }
}

/// A client's handshake: the upgrade request, and the values that verify the answer.
// No Debug: the bytes may contain credentials.
pub(crate) struct ClientHandshake {
    bytes: Vec<u8>,
    accept_key: String,
    subprotocols: Vec<String>,
    compression: Option<Compression>,
}

impl ClientHandshake {
    /// Makes the request for a URL (RFC 6455, section 4.1).
    ///
    /// The URL's user and password become Basic credentials. Its fragment is not sent: RFC 6455
    /// allows none, and the WHATWG's `WebSocket` ignores it too. The headers are sent as they are
    /// and may replace Host, User-Agent and Authorization.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] for a URL of another scheme, a header that the handshake itself
    /// sets or that would announce a body, and a subprotocol that is no token or there twice.
    pub(crate) fn new(
        url: &Url,
        headers: &HeaderMap,
        subprotocols: &[String],
        compression: Option<&Compression>,
    ) -> Result<Self, Error> {
        is_secure(url)?;
        check_program_headers(headers)?;
        check_subprotocols(subprotocols)?;
        let key = generate_key();
        let mut bytes = request_line(url);
        write_host(&mut bytes, url, headers);
        write_handshake(&mut bytes, &key, subprotocols);
        if let Some(compression) = compression {
            let offer = deflate::offer(compression);
            fields::write(&mut bytes, "Sec-WebSocket-Extensions", offer);
        }
        write_defaults(&mut bytes, url, headers)?;
        for (name, value) in headers.iter().filter(|(name, _)| *name != HOST) {
            fields::write_named(&mut bytes, name, value);
        }
        bytes.extend_from_slice(b"\r\n");
        Ok(Self {
            bytes,
            accept_key: derive_accept_key(key.as_bytes()),
            subprotocols: subprotocols.to_vec(),
            compression: compression.cloned(),
        })
    }

    /// Returns the bytes to send.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies the answer (RFC 6455, section 4.1) and returns the terms that it agrees on. No
    /// error's text repeats bytes of the server.
    ///
    /// # Errors
    /// Returns [`Error::Handshake`] for anything but a right 101.
    pub(crate) fn verify(&self, response: Response<()>) -> Result<Negotiated, Error> {
        let headers = response.headers();
        let is_101 = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        demand(is_101, "the response is not a 101")?;
        let is_http_11 = response.version() == Version::HTTP_11;
        demand(is_http_11, "the response is not of HTTP/1.1")?;
        let upgrades = fields::has_token(headers, UPGRADE, "websocket");
        demand(upgrades, "the response does not upgrade to WebSocket")?;
        let connects = fields::has_token(headers, CONNECTION, "upgrade");
        demand(connects, "the response's Connection does not name Upgrade")?;
        self.verify_accept(headers)?;
        let compression = deflate::read_answer(headers, self.compression.as_ref())?;
        Ok(Negotiated {
            path: Box::default(),
            compression,
            subprotocol: self.chosen_subprotocol(headers)?,
            response: Some(Box::new(response)),
        })
    }

    fn verify_accept(&self, headers: &HeaderMap) -> Result<(), Error> {
        match occurrence(headers, SEC_WEBSOCKET_ACCEPT) {
            Occurrence::Once(value) if value == &self.accept_key => Ok(()),
            Occurrence::Once(_) => bad_handshake("Sec-WebSocket-Accept is wrong"),
            Occurrence::Absent => bad_handshake("Sec-WebSocket-Accept is missing"),
            // RFC 6455 11.3.3: once at most.
            Occurrence::Repeated => bad_handshake("there are several Sec-WebSocket-Accept headers"),
        }
    }

    fn chosen_subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>, Error> {
        match occurrence(headers, SEC_WEBSOCKET_PROTOCOL) {
            // RFC 6455 4.1 leaves it to the program whether to go on without one.
            Occurrence::Absent => Ok(None),
            // Servers that choose none may send an empty value.
            Occurrence::Once(chosen) if chosen.is_empty() => Ok(None),
            // RFC 6455 11.3.4: once at most in a response.
            Occurrence::Repeated => bad_handshake("the server chose several subprotocols"),
            Occurrence::Once(chosen) => {
                let offered = self.subprotocols.iter().find(|offered| *offered == chosen);
                demand(
                    offered.is_some(),
                    "the server chose a subprotocol that was not offered",
                )?;
                Ok(offered.cloned())
            }
        }
    }
}

pub(super) fn bad_handshake<T>(what: &str) -> Result<T, Error> {
    Err(Error::Handshake(what.to_owned()))
}

fn demand(holds: bool, otherwise: &str) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        bad_handshake(otherwise)
    }
}

/// Fails for headers of the program that would contradict the handshake's own.
fn check_program_headers(headers: &HeaderMap) -> Result<(), Error> {
    const OWNED: [HeaderName; 9] = [
        CONNECTION,
        CONTENT_LENGTH,
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    if matches!(occurrence(headers, HOST), Occurrence::Repeated) {
        return Err(Error::Invalid("there are several Host headers".to_owned()));
    }
    fields::check_without(headers, &OWNED)
}

/// Checks that subprotocols are tokens, and all different (RFC 6455, section 4.1). The errors show none
/// of them: some are secrets.
pub(crate) fn check_subprotocols(subprotocols: &[String]) -> Result<(), Error> {
    for (position, name) in subprotocols.iter().enumerate() {
        let number = position + 1;
        if !fields::is_token(name.as_bytes()) {
            return Err(Error::Invalid(format!(
                "subprotocol {number} is not a token (RFC 9110, section 5.6.2)"
            )));
        }
        if subprotocols[..position].contains(name) {
            return Err(Error::Invalid(format!(
                "subprotocol {number} is there before"
            )));
        }
    }
    Ok(())
}

fn request_line(url: &Url) -> Vec<u8> {
    let target = &url[Position::BeforePath..Position::AfterQuery];
    format!("GET {target} HTTP/1.1\r\n").into_bytes()
}

/// Writes Host. RFC 9110 7.2: it is the first field. RFC 6455 4.1: it is the host, and the port
/// unless it is the default one. The program may replace it.
fn write_host(out: &mut Vec<u8>, url: &Url, headers: &HeaderMap) {
    let own = &url[Position::BeforeHost..Position::AfterPort];
    let host = headers
        .get(HOST)
        .map_or(own.as_bytes(), HeaderValue::as_bytes);
    fields::write(out, "Host", host);
}

fn write_handshake(out: &mut Vec<u8>, key: &str, subprotocols: &[String]) {
    fields::write(out, "Upgrade", "websocket");
    fields::write(out, "Connection", "Upgrade");
    fields::write(out, "Sec-WebSocket-Key", key);
    fields::write(out, "Sec-WebSocket-Version", "13");
    if !subprotocols.is_empty() {
        fields::write(out, "Sec-WebSocket-Protocol", subprotocols.join(", "));
    }
}

/// Writes the default fields that the program does not replace.
fn write_defaults(out: &mut Vec<u8>, url: &Url, headers: &HeaderMap) -> Result<(), Error> {
    if !headers.contains_key(USER_AGENT) {
        let agent = concat!("landline/", env!("CARGO_PKG_VERSION"));
        fields::write(out, "User-Agent", agent);
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user && !headers.contains_key(AUTHORIZATION) {
        let user: Vec<u8> = percent_decode_str(url.username()).collect();
        let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
        let credentials = basic_credentials(&user, &password).ok_or_else(|| {
            let what = "the URL's user or password cannot be sent as Basic credentials";
            Error::Invalid(what.to_owned())
        })?;
        fields::write(out, "Authorization", credentials);
    }
    Ok(())
}

/// Makes Basic credentials. RFC 7617 2: `Basic` and base64 of user, colon and password. The user has no
/// colon, and neither has control characters: for such there are none.
pub(crate) fn basic_credentials(user: &[u8], password: &[u8]) -> Option<String> {
    let mut bytes = user.iter().chain(password);
    if bytes.any(u8::is_ascii_control) || user.contains(&b':') {
        return None;
    }
    let pair = [user, password].join(&b':');
    Some(format!("Basic {}", BASE64.encode(&pair)))
}
