//! Hosts, as requests and settings name them.

use std::net::IpAddr;

use url::Host;

use crate::transport::is_own_name;

/// A host and perhaps a port, as Host and Origin name them (RFC 9110, section 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

impl HostPort {
    /// Reads a host as browsers do: case, IDNA and the spellings of an address do not matter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::parse_by(text, |host| plain(host).or_else(|| Host::parse(host).ok()))
    }

    /// Reads a host of a scheme that gives its hosts a meaning of its own: any text is a name.
    pub(super) fn parse_opaque(text: &str) -> Option<Self> {
        Self::parse_by(text, |host| Host::parse_opaque(host).ok())
    }

    fn parse_by(text: &str, parse: impl Fn(&str) -> Option<Host>) -> Option<Self> {
        let (host, port) = split_port(text);
        let host = Some(host).filter(|host| (1..=MAX_HOST).contains(&host.len()))?;
        Some(Self {
            host: parse(host)?,
            port: port_number(port)?,
        })
    }
}

/// The longest host. RFC 1035 2.3.4: names have at most 255 bytes.
const MAX_HOST: usize = 255;

/// Reads hosts that need no Unicode tables without them: the tables would cost each connection's
/// thread a page of its stack.
fn plain(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse() {
        return Some(Host::Ipv4(address));
    }
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(plain) && !label.contains("--")
    };
    // A name that ends in a number is meant as an address.
    let (_, last) = text.rsplit_once('.').unwrap_or_default();
    let last = if last.is_empty() { text } else { last };
    let is_name = last.starts_with(|first: char| first.is_ascii_alphabetic());
    (is_name && text.split('.').all(is_label)).then(|| Host::Domain(text.to_ascii_lowercase()))
}

/// Splits a host from the colon of its port. The colons of an IPv6 address are in brackets.
pub(super) fn split_port(text: &str) -> (&str, &str) {
    let bracket = text.rfind(']').unwrap_or(0);
    let colon = text[bracket..]
        .find(':')
        .map_or(text.len(), |at| bracket + at);
    text.split_at(colon)
}

/// Reads a port. RFC 3986 3.2.3: digits, perhaps none, behind a colon.
fn port_number(text: &str) -> Option<Option<u16>> {
    let digits = text.strip_prefix(':').unwrap_or_default();
    if digits.is_empty() {
        return Some(None);
    }
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten().map(Some)
}

/// Tells whether a host always means this machine, so that no DNS can claim it (RFC 6761, section
/// 6.3). The unspecified address does too: it leads to this machine, and is the address of a server
/// that listens on all interfaces.
pub(super) fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Domain(name) => is_own_name(name),
        Host::Ipv4(address) => is_own(IpAddr::from(*address)),
        Host::Ipv6(address) => is_own(IpAddr::from(*address).to_canonical()),
    }
}

fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// A host that a setting allows, or all subdomains of one.
#[derive(Clone, Debug)]
pub(super) struct HostPattern {
    host: Host,
    subdomains: bool,
}

impl HostPattern {
    /// Reads a host, or `*.` and a name, and the port behind it.
    pub(super) fn parse(text: &str) -> Option<(Self, Option<u16>)> {
        Self::parse_by(text, HostPort::parse)
    }

    /// Reads the same for a scheme that gives its hosts a meaning of its own.
    pub(super) fn parse_opaque(text: &str) -> Option<(Self, Option<u16>)> {
        Self::parse_by(text, HostPort::parse_opaque)
    }

    fn parse_by(
        text: &str,
        parse: impl Fn(&str) -> Option<HostPort>,
    ) -> Option<(Self, Option<u16>)> {
        let (subdomains, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let named = Some(rest).filter(|rest| !rest.contains('*'));
        let HostPort { host, port } = named.and_then(parse)?;
        // An address has no subdomains.
        let sensible = !subdomains || matches!(host, Host::Domain(_));
        sensible.then_some((Self { host, subdomains }, port))
    }

    pub(super) fn matches(&self, host: &Host) -> bool {
        match (&self.host, host) {
            (Host::Domain(parent), Host::Domain(name)) if self.subdomains => {
                let below = name.strip_suffix(parent.as_str());
                below
                    .and_then(|below| below.strip_suffix('.'))
                    .is_some_and(|below| !below.is_empty())
            }
            (own, host) => !self.subdomains && own == host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host is what stands before the port's colon; what is no host or no port is neither.
    #[test]
    fn hosts_and_ports() {
        let good = [
            ("a.example", "a.example", None),
            ("A.Example:80", "a.example", Some(80)),
            ("a.example:", "a.example", None),
            ("127.0.0.1:9001", "127.0.0.1", Some(9001)),
            ("[::1]", "[::1]", None),
            ("[0:0::1]:65535", "[::1]", Some(65535)),
            ("bücher.example", "xn--bcher-kva.example", None),
        ];
        for (text, host, port) in good {
            let parsed = HostPort::parse(text).unwrap();
            assert_eq!(
                (parsed.host.to_string().as_str(), parsed.port),
                (host, port),
                "{text}"
            );
        }
        let bad = [
            "", ":", ":80", "a:b", "a:+8", "a:65536", "a:80:80", "[::1", "::1", "[::1]x", "[]",
            "]:1", "a b", "a/b", "u@a", "a\n", "a?", "[::1]]", "[é]", "é]é:é",
        ];
        let long = "a.".repeat(128);
        assert!(HostPort::parse(&long[..255]).is_some());
        assert_eq!(HostPort::parse(&format!("{long}a")), None);
        for text in bad {
            assert_eq!(HostPort::parse(text), None, "{text:?}");
        }
    }

    /// A name of this machine is what needs no DNS to be that; what only looks like it is not.
    #[test]
    fn names_of_this_machine() {
        let table = [
            (
                true,
                "localhost LOCALHOST localhost. a.localhost a.b.localhost 127.0.0.1 127.255.0.9",
            ),
            (
                true,
                "127.1 [::1] [::ffff:127.0.0.1] localhost:80 [::1]:9001 0.0.0.0 [::] [::ffff:0.0.0.0]",
            ),
            (
                false,
                "localhost.example notlocalhost 127.0.0.1.example 0.0.0.1 10.0.0.1 [::2]",
            ),
            (false, "[::ffff:10.0.0.1] example.com localhost.. 128.0.0.1"),
        ];
        for (expected, texts) in table {
            for text in texts.split(' ') {
                let host = HostPort::parse(text).map(|parsed| parsed.host);
                assert_eq!(
                    host.is_some_and(|host| is_this_machine(&host)),
                    expected,
                    "{text}"
                );
            }
        }
    }

    /// `*.` stands for at least one label before a name, and for nothing else.
    #[test]
    fn patterns() {
        let table = [
            ("a.example", "a.example", "b.a.example example"),
            (
                "*.a.example",
                "b.a.example c.b.a.example",
                "a.example ba.example .a.example a.example.evil",
            ),
            ("[::1]", "[::1]", "[::2] localhost"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ];
        for (pattern, good, bad) in table {
            let pattern = HostPattern::parse(pattern).unwrap().0;
            let matches = |text: &str| {
                HostPort::parse(text).is_some_and(|parsed| pattern.matches(&parsed.host))
            };
            assert!(good.split(' ').all(matches), "{pattern:?}: {good}");
            assert!(!bad.split(' ').any(matches), "{pattern:?}: {bad}");
        }
        for invalid in [
            "",
            "*",
            "*.",
            "*.*.example",
            "a.*",
            "a*.example",
            "*.127.0.0.1",
            "*.[::1]",
        ] {
            assert!(HostPattern::parse(invalid).is_none(), "{invalid:?}");
        }
    }
}
