//! A tunnel by SOCKS5 (RFC 1928), with a user and a password (RFC 1929).

use std::io;

use url::Host;

use super::tunnel::Conversation;
use crate::Error;

const VERSION: u8 = 5;
const NO_CREDENTIALS: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks for a tunnel. Each message waits for the answer to the one before: some proxies lose what
/// comes together.
pub(super) fn connect(proxy: &Conversation<'_>) -> Result<(), Error> {
    if choose_method(proxy)? == USER_AND_PASSWORD {
        authenticate(proxy)?;
    }
    proxy.send(&request(proxy)?)?;
    let (reply, behind) = receive(proxy, reply_length)?;
    match reply[1] {
        0 => proxy.expect_silence(&behind),
        code => Err(proxy.failed(refusal(code))),
    }
}

/// Agrees on how to authenticate (RFC 1928, section 3).
fn choose_method(proxy: &Conversation<'_>) -> Result<u8, Error> {
    let offered: &[u8] = match proxy.credentials() {
        None => &[NO_CREDENTIALS],
        Some(_) => &[NO_CREDENTIALS, USER_AND_PASSWORD],
    };
    let count = u8::try_from(offered.len()).unwrap_or_default();
    proxy.send(&[&[VERSION, count], offered].concat())?;
    let (answer, behind) = receive(proxy, |_| Some(2))?;
    proxy.expect_silence(&behind)?;
    let chosen = answer[1];
    if offered.contains(&chosen) {
        return Ok(chosen);
    }
    let what = match proxy.credentials() {
        None => "it wants a user and a password, or something else that was not offered",
        Some(_) => "it takes no user with a password",
    };
    Err(proxy.failed(io::Error::new(io::ErrorKind::PermissionDenied, what)))
}

/// Sends user and password (RFC 1929, section 2).
fn authenticate(proxy: &Conversation<'_>) -> Result<(), Error> {
    let mut message = vec![1];
    if let Some(credentials) = proxy.credentials() {
        for part in [&credentials.user, &credentials.password] {
            // Their lengths were checked when the URL was read.
            message.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            message.extend_from_slice(part);
        }
    }
    proxy.send(&message)?;
    let mut answer = Vec::new();
    while answer.len() < 2 {
        proxy.receive(&mut answer)?;
    }
    match answer[..] {
        [_, 0] => Ok(()),
        [_, 0, ..] => proxy.expect_silence(&answer[2..]),
        _ => {
            let what = "it does not accept the user with this password";
            Err(proxy.failed(io::Error::new(io::ErrorKind::PermissionDenied, what)))
        }
    }
}

/// Makes the request (RFC 1928, section 4).
fn request(proxy: &Conversation<'_>) -> Result<Vec<u8>, Error> {
    let mut message = vec![VERSION, CONNECT, 0];
    match proxy.server().host {
        Host::Ipv4(ip) => {
            message.push(IPV4);
            message.extend(ip.octets());
        }
        Host::Ipv6(ip) => {
            message.push(IPV6);
            message.extend(ip.octets());
        }
        Host::Domain(name) => {
            let Ok(length) = u8::try_from(name.len()) else {
                let what = "a proxy by SOCKS5 takes names of 255 bytes at most";
                return Err(Error::Invalid(what.into()));
            };
            message.extend([NAME, length]);
            message.extend(name.as_bytes());
        }
    }
    message.extend(proxy.server().port.to_be_bytes());
    Ok(message)
}

/// Returns the length of a reply once it shows (RFC 1928, section 6): it ends with an address and a port.
/// A failure ends with its code: what proxies send behind that differs, and does not matter.
fn reply_length(received: &[u8]) -> Option<usize> {
    if *received.get(1)? != 0 {
        return Some(2);
    }
    let address = match *received.get(3)? {
        IPV4 => 4,
        IPV6 => 16,
        NAME => 1 + usize::from(*received.get(4)?),
        // There is no other type. What follows is then not silence.
        _ => 0,
    };
    Some(4 + address + 2)
}

/// Receives an answer. Returns it, and what has come behind it.
fn receive(
    proxy: &Conversation<'_>,
    length: impl Fn(&[u8]) -> Option<usize>,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let mut received = Vec::new();
    loop {
        proxy.receive(&mut received)?;
        if received[0] != VERSION {
            let what = match received[0] {
                b'H' => "it answers in HTTP, http:// was probably meant",
                _ => "it does not speak SOCKS5",
            };
            return Err(proxy.failed(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        if let Some(length) = length(&received).filter(|length| received.len() >= *length) {
            let behind = received.split_off(length);
            return Ok((received, behind));
        }
    }
}

/// Makes the error of a failure's code (RFC 1928, section 6).
fn refusal(code: u8) -> io::Error {
    use io::ErrorKind as Kind;
    let (kind, what) = match code {
        1 => (Kind::Other, "general failure"),
        2 => (
            Kind::PermissionDenied,
            "its rules do not allow the connection",
        ),
        3 => (Kind::NetworkUnreachable, "network unreachable"),
        4 => (Kind::HostUnreachable, "host unreachable"),
        5 => (Kind::ConnectionRefused, "connection refused"),
        6 => (Kind::Other, "TTL expired"),
        7 => (Kind::Unsupported, "it does not know how to connect"),
        8 => (Kind::Unsupported, "it does not know this type of address"),
        _ => (Kind::Other, "unknown failure"),
    };
    io::Error::new(kind, format!("{what} (SOCKS5 reply {code})"))
}
