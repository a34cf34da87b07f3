//! A tunnel by HTTP's CONNECT (RFC 9110, section 9.3.6).

use std::io;

use super::tunnel::Conversation;
use crate::Error;
use crate::handshake::{ResponseHead, is_tls_record};

/// Asks for a tunnel.
///
/// # Errors
/// Returns [`Error::ProxyRefused`] for a status other than 2xx, else [`Error::Proxy`].
pub(super) fn connect(proxy: &Conversation<'_>) -> Result<(), Error> {
    proxy.send(&request(proxy))?;
    let mut received = Vec::new();
    let mut coming = ResponseHead::default();
    let (response, length) = loop {
        proxy.receive(&mut received)?;
        let parsed = coming.parse(&received);
        if let Some(parsed) = parsed.map_err(|_| not_http(proxy, &received))? {
            break parsed;
        }
    };
    let behind = received.split_off(length);
    if !response.status().is_success() {
        return Err(proxy.refused(response, behind));
    }
    // RFC 9110 9.3.6: what a response says of a body does not count, all that follows is the tunnel's. A
    // server of WebSockets does not speak first.
    proxy.expect_silence(&behind)
}

/// Makes the request. RFC 9112 3.2.3 and 3.2: the target is host and port, and so is Host.
fn request(proxy: &Conversation<'_>) -> Vec<u8> {
    let to = proxy.server();
    let credentials = proxy
        .credentials()
        .and_then(|credentials| credentials.basic());
    let authorization = credentials.map_or(String::new(), |credentials| {
        format!("Proxy-Authorization: {credentials}\r\n")
    });
    let agent = concat!("landline/", env!("CARGO_PKG_VERSION"));
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{authorization}User-Agent: {agent}\r\n\r\n")
        .into_bytes()
}

fn not_http(proxy: &Conversation<'_>, received: &[u8]) -> Error {
    let what = match received.first() {
        Some(first) if is_tls_record(*first) => {
            "it speaks TLS on this port, https:// was probably meant"
        }
        _ => "it does not answer in HTTP/1.1",
    };
    proxy.failed(io::Error::new(io::ErrorKind::InvalidData, what))
}
