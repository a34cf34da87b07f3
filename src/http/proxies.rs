//! Trusted proxies before the server, and the addresses of the clients behind them.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::forwarded::{MAX_HOPS, forwarded_hops, x_forwarded_for_hops};
use crate::network::Network;

/// The ends of a connection that a proxy passes on, as it has said by the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proxied {
    client: Option<IpAddr>,
    server: Option<IpAddr>,
}

impl Proxied {
    /// Notes the client's address, and the one that it has connected to. Those of a Unix socket are
    /// none.
    pub(crate) fn new(client: Option<IpAddr>, server: Option<IpAddr>) -> Self {
        Self {
            client: client.map(|address| address.to_canonical()),
            server: server.map(|address| address.to_canonical()),
        }
    }

    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(crate) fn server(&self) -> Option<IpAddr> {
        self.server
    }
}

/// The proxies that are trusted to name their clients, and the header in which they do.
#[derive(Debug, Default)]
pub(crate) struct TrustedProxies {
    networks: Vec<Network>,
    /// The flag that the peers of Unix sockets are trusted.
    unix: bool,
    header: Option<HeaderName>,
}

impl TrustedProxies {
    /// Trusts an address, a network in CIDR notation (RFC 4632, section 3.1), or the peers of Unix
    /// sockets by the name `unix`.
    ///
    /// # Errors
    /// Returns the problem of the text.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        if text == "unix" {
            self.unix = true;
            return Ok(());
        }
        let network = Network::parse(text).ok_or_else(|| {
            format!("{text:?} is not an address, a network such as 10.0.0.0/8, or \"unix\"")
        })?;
        self.networks.push(network);
        Ok(())
    }

    /// Sets the one header that the proxies write. All others are as the client sent them.
    pub(crate) fn set_header(&mut self, header: HeaderName) {
        self.header = Some(header);
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// Returns the client's address: the peer's, or if that is a trusted proxy, the nearest address
    /// in the proxies' header that is none of theirs. `None` if the header is missing, names no
    /// such address, or cannot be read as far as that.
    pub(crate) fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return Some(peer);
        }
        self.client_in(headers)
    }

    /// Returns the client's address for a peer of a Unix socket, likewise: such a peer has none itself.
    pub(crate) fn client_of_unix(&self, headers: &HeaderMap) -> Option<IpAddr> {
        self.client_in(headers).filter(|_| self.unix)
    }

    fn client_in(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let name = self.header.as_ref()?;
        let hops = if *name == FORWARDED {
            forwarded_hops
        } else {
            x_forwarded_for_hops
        };
        let hops = |line: &HeaderValue| line.to_str().map_or_else(|_| vec![None], hops);
        let nearest_first = headers.get_all(name).iter().rev().flat_map(hops);
        for hop in nearest_first.take(MAX_HOPS) {
            // A proxy that does not name its client ends the chain without one.
            let address = hop?;
            if !self.contains(address) {
                return Some(address);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusting(entries: &[&str]) -> TrustedProxies {
        let mut proxies = TrustedProxies::default();
        entries.iter().for_each(|text| proxies.add(text).unwrap());
        proxies
    }

    /// A network contains who shares its first bits and is of its family.
    #[test]
    fn networks() {
        let table = [
            (
                "10.0.0.0/8",
                "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3",
                "11.0.0.0 9.255.255.255 ::1",
            ),
            ("10.1.2.3/8", "10.9.9.9", "11.0.0.0"),
            ("0.0.0.0/0", "1.2.3.4 255.255.255.255", "::1"),
            ("::/0", "::1 ffff::", "1.2.3.4 ::ffff:1.2.3.4"),
            ("192.0.2.1", "192.0.2.1 ::ffff:192.0.2.1", "192.0.2.2"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.0"),
            ("192.0.2.128/25", "192.0.2.128 192.0.2.255", "192.0.2.127"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::1", "::1", "::2 127.0.0.1"),
        ];
        for (network, inside, outside) in table {
            let network = trusting(&[network]);
            let contains = |text: &str| network.contains(text.parse().unwrap());
            assert!(inside.split(' ').all(contains), "{network:?}: {inside}");
            assert!(!outside.split(' ').any(contains), "{network:?}: {outside}");
        }
    }

    /// A text that is no address and no network is an error that says so.
    #[test]
    fn no_networks() {
        let table = [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0",
            "localhost",
            "10.0.0.1:80",
            "[::1]",
            "10.0.0.0/99999999999",
            "::ffff:10.0.0.0/104",
            " ::1",
        ];
        for text in table {
            assert!(TrustedProxies::default().add(text).is_err(), "{text:?}");
        }
    }

    /// The client is the nearest address in the proxies' header that is no trusted one; what does not
    /// say so clearly names none. Other headers say nothing.
    #[test]
    fn clients() {
        // The lines of the header, and the client; "-" for none.
        let forwarded: [(&[&str], &str); 13] = [
            (&[], "-"),
            (&[""], "-"),
            (&["for=1.1.1.1"], "1.1.1.1"),
            (&["for=7.7.7.7, for=1.1.1.1, for=10.0.0.2"], "1.1.1.1"),
            (&["for=1.1.1.1", "for=10.0.0.3,for=10.0.0.2"], "1.1.1.1"),
            (&["for=10.0.0.3, for=10.0.0.2"], "-"),
            (&["for=1.1.1.1, for=_hidden, for=10.0.0.2"], "-"),
            (&["for=1.1.1.1, for=unknown"], "-"),
            (&["for=1.1.1.1;for=2.2.2.2"], "-"),
            (&["for=\"9.9.9.9", "for=1.1.1.1"], "1.1.1.1"),
            (&["for=\"9.9.9.9, for=1.1.1.1"], "-"),
            (&["for=1.1.1.1", "for=\"10.0.0.2"], "-"),
            (&["\u{e9}"], "-"),
        ];
        for (lines, expected) in forwarded {
            assert_client("Forwarded", lines, expected);
        }
        let x_forwarded_for: [(&[&str], &str); 7] = [
            (&["1.1.1.1"], "1.1.1.1"),
            (&["9.9.9.9, 1.1.1.1"], "1.1.1.1"),
            (&["9.9.9.9", "2001:db8::1, 10.0.0.2"], "2001:db8::1"),
            (&["1.1.1.1, junk"], "-"),
            (&["1.1.1.1, junk, 10.0.0.2"], "-"),
            (&["junk, 1.1.1.1"], "1.1.1.1"),
            (&["10.0.0.2"], "-"),
        ];
        for (lines, expected) in x_forwarded_for {
            assert_client("X-Forwarded-For", lines, expected);
            assert_client("X-Real-IP", lines, expected);
        }
        // A client may write as much as it likes before what the proxy adds.
        let long = format!("{}1.1.1.1", "9.9.9.9, ".repeat(1_800));
        assert_client("X-Forwarded-For", &[&long], "1.1.1.1");
        let long = format!("{}for=1.1.1.1", "for=9.9.9.9, ".repeat(1_200));
        assert_client("Forwarded", &[&long], "1.1.1.1");
        let chain = format!("1.1.1.1{}", ", 10.0.0.2".repeat(MAX_HOPS - 1));
        assert_client("X-Forwarded-For", &[&chain], "1.1.1.1");
        assert_client("X-Forwarded-For", &[&format!("{chain}, 10.0.0.2")], "-");
    }

    /// Expects this client behind a trusted peer, whatever the other headers say, and the peer itself
    /// where that is not trusted.
    #[track_caller]
    fn assert_client(name: &str, lines: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for header in ["forwarded", "x-forwarded-for", "x-real-ip", "client-ip"] {
            let forged = if header == "forwarded" {
                "for=6.6.6.6"
            } else {
                "6.6.6.6"
            };
            headers.insert(header, HeaderValue::from_static(forged));
        }
        let name: HeaderName = name.parse().unwrap();
        headers.remove(&name);
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).unwrap());
        }
        let mut proxies = trusting(&["10.0.0.0/8", "::1"]);
        let of = |proxies: &TrustedProxies, peer: &str| {
            let client = proxies.client_of(peer.parse().unwrap(), &headers);
            client.map_or("-".to_owned(), |client| client.to_string())
        };
        assert_eq!(of(&proxies, "10.0.0.1"), "-", "no header is named");
        proxies.set_header(name.clone());
        for peer in ["10.0.0.1", "::1", "::ffff:10.0.0.1"] {
            assert_eq!(of(&proxies, peer), expected, "{name}: {lines:?}");
        }
        assert_eq!(of(&proxies, "9.9.9.9"), "9.9.9.9");
        assert_eq!(of(&trusting(&[]), "10.0.0.1"), "10.0.0.1");
    }
}
