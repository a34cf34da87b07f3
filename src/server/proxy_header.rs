//! The PROXY protocol's header, by which a proxy names the ends of the connection that it passes on.
//!
//! "The PROXY protocol, Versions 1 & 2", by Willy Tarreau, of HAProxy. Section numbers are its.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::http::Proxied;

/// The reason why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadHeader(pub(super) &'static str);

/// The beginning of version 2 (2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The beginning of version 1 (2.1).
const PROXY: &[u8] = b"PROXY ";
/// The shortest header of all: `PROXY UNKNOWN` with its line end.
const SHORTEST: usize = 15;
/// The longest line of version 1 (2.1), with its end.
const LONGEST_LINE: usize = 107;
/// The fixed part of version 2 (2.2).
const FIXED: usize = 16;

/// Returns how many more bytes surely belong to the header, 0 once it is whole. What follows it must
/// not be read with it, as it may be TLS.
pub(super) fn missing(received: &[u8]) -> Result<usize, BadHeader> {
    let length = received.len();
    if is_version_2(received)? {
        let Some(rest) = received.get(FIXED - 2..FIXED) else {
            return Ok(FIXED.min(SHORTEST.max(length + 1)) - length);
        };
        let whole = FIXED + usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        return Ok(whole - length);
    }
    match received {
        _ if length < SHORTEST => Ok(SHORTEST - length),
        [.., b'\r', b'\n'] => Ok(0),
        _ if length >= LONGEST_LINE => Err(BadHeader("its line is too long")),
        [.., b'\r'] => Ok(1),
        _ => Ok(2.min(LONGEST_LINE - length)),
    }
}

/// Tells the version of a header by what has come of it.
fn is_version_2(received: &[u8]) -> Result<bool, BadHeader> {
    let begins = |with: &[u8]| {
        let length = received.len().min(with.len());
        received[..length] == with[..length]
    };
    match (begins(SIGNATURE), begins(PROXY)) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(BadHeader("it does not begin with one")),
    }
}

/// Reads a whole header. Returns `None` if it says nothing of the connection's ends, which are the
/// socket's own then.
pub(super) fn parse(header: &[u8]) -> Result<Option<Proxied>, BadHeader> {
    if is_version_2(header)? {
        return parse_block(header);
    }
    let line = header.strip_prefix(PROXY);
    let line = line.and_then(|line| line.strip_suffix(b"\r\n"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    parse_line(line.unwrap_or_default()).ok_or(BadHeader("its line cannot be read"))
}

/// Reads version 1. 2.1: the parts are separated by exactly one space.
fn parse_line(line: &str) -> Option<Option<Proxied>> {
    let parts: Vec<_> = line.split(' ').collect();
    match parts[..] {
        // 2.1: the receiver must ignore anything presented before the CRLF.
        ["UNKNOWN", ..] => Some(None),
        ["TCP4", client, server, from, to] => {
            let ends = between::<Ipv4Addr>(client, server)?;
            (is_port(from) && is_port(to)).then_some(Some(ends))
        }
        ["TCP6", client, server, from, to] => {
            let ends = between::<Ipv6Addr>(client, server)?;
            (is_port(from) && is_port(to)).then_some(Some(ends))
        }
        _ => None,
    }
}

fn between<A: FromStr + Into<IpAddr>>(client: &str, server: &str) -> Option<Proxied> {
    let address = |text: &str| text.parse::<A>().ok().map(Into::into);
    Some(Proxied::new(Some(address(client)?), Some(address(server)?)))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Reads version 2.
fn parse_block(header: &[u8]) -> Result<Option<Proxied>, BadHeader> {
    const CUT: BadHeader = BadHeader("its addresses are cut off");
    let [version, family] = *header
        .get(SIGNATURE.len()..)
        .and_then(<[u8]>::first_chunk)
        .ok_or(CUT)?;
    let addresses = header.get(FIXED..).ok_or(CUT)?;
    match version {
        0x21 => {}
        // LOCAL: the proxy's own connection, such as a health check.
        0x20 => return Ok(None),
        _ => return Err(BadHeader("its version or command is unknown")),
    }
    match family {
        0x11 => {
            let [a, b, c, d, e, f, g, h] = *addresses
                .get(..12)
                .and_then(<[u8]>::first_chunk)
                .ok_or(CUT)?;
            Ok(Some(Proxied::new(
                Some([a, b, c, d].into()),
                Some([e, f, g, h].into()),
            )))
        }
        0x21 => {
            let addresses = addresses.get(..36).ok_or(CUT)?;
            let (client, rest) = addresses.split_first_chunk::<16>().ok_or(CUT)?;
            let server = rest.first_chunk::<16>().ok_or(CUT)?;
            Ok(Some(Proxied::new(
                Some((*client).into()),
                Some((*server).into()),
            )))
        }
        0x31 if addresses.len() >= 216 => Ok(Some(Proxied::new(None, None))),
        0x31 => Err(CUT),
        // 2.2: what the receiver does not support among the valid combinations, here those of
        // datagrams, is as if nothing was said.
        0x00 | 0x12 | 0x22 | 0x32 => Ok(None),
        _ => Err(BadHeader("its address family is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header from the front of what comes, byte by byte as asked for; returns how many bytes
    /// it took.
    fn read(bytes: &[u8]) -> Result<(Option<Proxied>, usize), &'static str> {
        let mut taken = 0;
        loop {
            let missing = missing(&bytes[..taken]).map_err(|bad| bad.0)?;
            if missing == 0 {
                let parsed = parse(&bytes[..taken]).map_err(|bad| bad.0)?;
                return Ok((parsed, taken));
            }
            if taken + missing > bytes.len() {
                return Err("more is wanted");
            }
            taken += missing;
        }
    }

    fn shown(bytes: &[u8]) -> String {
        // What follows belongs to somebody else.
        let followed = [bytes, b"\r\nGET /"].concat();
        let ends = |ends: Proxied| {
            let ends = [ends.client(), ends.server()];
            let shown = ends.map(|end| end.map_or("-".to_owned(), |end| end.to_string()));
            shown.join(" ")
        };
        match read(&followed) {
            Ok((proxied, taken)) => {
                assert_eq!(taken, bytes.len(), "{}", bytes.escape_ascii());
                proxied.map_or("own".to_owned(), ends)
            }
            Err(bad) => bad.to_owned(),
        }
    }

    /// Version 1 is a line of exactly these words, with both addresses of its family.
    #[test]
    fn version_1() {
        const UNREADABLE: &str = "its line cannot be read";
        let long = format!("UNKNOWN {}", "f".repeat(91));
        let too_long = format!("UNKNOWN {}", "f".repeat(92));
        for (line, expected) in [
            (
                "TCP4 192.0.2.1 198.51.100.7 56324 443",
                "192.0.2.1 198.51.100.7",
            ),
            (
                "TCP4 255.255.255.255 255.255.255.255 65535 65535",
                "255.255.255.255 255.255.255.255",
            ),
            ("TCP6 2001:db8::1 ::1 0 65535", "2001:db8::1 ::1"),
            // As HAProxy writes it on `:: v4v6`.
            (
                "TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.2 1 2",
                "127.0.0.1 127.0.0.2",
            ),
            ("UNKNOWN", "own"),
            ("UNKNOWN ffff:f...f:ffff ffff 65535 65535", "own"),
            (&long, "own"),
            (&too_long, "its line is too long"),
            ("TCP4 192.0.2.1 198.51.100.7 56324", UNREADABLE),
            ("TCP4 192.0.2.1 198.51.100.7 56324 443 ", UNREADABLE),
            ("TCP4  192.0.2.1 198.51.100.7 56324 443", UNREADABLE),
            ("TCP4 192.0.2.1 198.51.100.7 65536 443", UNREADABLE),
            ("TCP4 192.0.2.1 198.51.100.7 +1 443", UNREADABLE),
            ("TCP4 192.0.2.1 198.51.100.7  443", UNREADABLE),
            ("TCP4 192.0.2.01 198.51.100.7 1 443", UNREADABLE),
            ("TCP4 ::1 ::1 1 443", UNREADABLE),
            ("TCP6 192.0.2.1 192.0.2.1 1 443", UNREADABLE),
            ("TCP5 192.0.2.1 192.0.2.1 1 443", UNREADABLE),
            ("tcp4 192.0.2.1 192.0.2.1 1 443", UNREADABLE),
            ("UNKNOWNS", UNREADABLE),
            ("TCP4 \n192.0.2.1 192.0.2.1 1 443", UNREADABLE),
        ] {
            assert_eq!(
                shown(format!("PROXY {line}\r\n").as_bytes()),
                expected,
                "{line}"
            );
        }
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY\r\n",
            "proxy TCP4",
            "\u{16}\u{3}\u{1}",
            "\r\n\r\n\0\r\nQUIT\r",
        ] {
            let bad = read(line.as_bytes()).unwrap_err();
            let is_told = bad == "it does not begin with one" || line.len() < SHORTEST;
            assert!(is_told, "{line:?}: {bad}");
        }
        assert_eq!(shown(b"PROXY TCP4 \xff 192.0.2.1 1 443\r\n"), UNREADABLE);
    }

    fn block(version: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[version, family], &length, addresses].concat()
    }

    /// Version 2 is a block with a length of its own; what it holds beyond the addresses is skipped.
    #[test]
    fn version_2() {
        let v4 = [
            [192, 0, 2, 1, 198, 51, 100, 7].as_slice(),
            &[0xdc, 4, 1, 0xbb],
        ]
        .concat();
        let [client, server] = ["2001:db8::1", "::ffff:10.1.2.3"]
            .map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
        let v6 = [client.as_slice(), &server, &[0, 1, 0, 2]].concat();
        let with_tlvs = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
        let huge = [v4.clone(), vec![7; 65_535 - 12]].concat();
        const V4: &str = "192.0.2.1 198.51.100.7";
        const CUT: &str = "its addresses are cut off";
        for (version, family, addresses, expected) in [
            (0x21, 0x11, &v4[..], V4),
            (0x21, 0x11, &with_tlvs, V4),
            (0x21, 0x11, &huge, V4),
            (0x21, 0x21, &v6, "2001:db8::1 10.1.2.3"),
            (0x21, 0x31, &[0; 216], "- -"),
            (0x20, 0x00, &[], "own"),
            (0x20, 0x11, &v4, "own"),
            (0x20, 0x77, &[1], "own"),
            (0x21, 0x00, &[], "own"),
            (0x21, 0x00, &with_tlvs, "own"),
            (0x21, 0x12, &v4, "own"),
            (0x21, 0x22, &v6, "own"),
            (0x21, 0x32, &[0; 216], "own"),
            (0x21, 0x11, &v4[..11], CUT),
            (0x21, 0x21, &v6[..35], CUT),
            (0x21, 0x31, &[0; 215], CUT),
            (0x21, 0x13, &v4, "its address family is unknown"),
            (0x21, 0x41, &v4, "its address family is unknown"),
            (0x22, 0x11, &v4, "its version or command is unknown"),
            (0x11, 0x11, &v4, "its version or command is unknown"),
        ] {
            let bytes = block(version, family, addresses);
            assert_eq!(
                shown(&bytes),
                expected,
                "{version:x} {family:x} {}",
                addresses.len()
            );
        }
    }

    /// However much has come, no more is asked for than belongs to the header.
    #[test]
    fn nothing_behind_the_header_is_asked_for() {
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2];
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".to_vec(),
            block(0x20, 0, &[]),
            block(0x21, 0x11, &v4),
        ] {
            for length in 0..header.len() {
                let missing = missing(&header[..length]).unwrap();
                assert!(
                    missing > 0 && length + missing <= header.len(),
                    "{length}: {missing}"
                );
            }
            assert_eq!(missing(&header), Ok(0));
        }
    }
}
