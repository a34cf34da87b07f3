//! The proxies before the server, and who is behind them.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::forwarded::{forwarded_hops, x_forwarded_for_hops};

/// Holds whose word is taken for who asks.
#[derive(Debug, Default)]
pub(crate) struct TrustedProxies(Vec<Network>);

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl TrustedProxies {
    /// Trusts an address, or a network in CIDR notation (RFC 4632, section 3.1).
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        let network = Network::parse(text).ok_or_else(|| {
            format!("{text:?} is not an address or a network, such as 10.0.0.0/8")
        })?;
        self.0.push(network);
        Ok(())
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns who asks: the peer, or if that is a trusted proxy, the last in the chain of proxies
    /// whose address one of them has vouched for.
    ///
    /// Most proxies write one of the two headers and let the other pass as the client sent it. So
    /// where both are there and disagree, neither is believed.
    pub(crate) fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let forwarded = self.follow(peer, headers, &FORWARDED, forwarded_hops);
        let x_forwarded = self.follow(peer, headers, &X_FORWARDED_FOR, x_forwarded_for_hops);
        match (forwarded, x_forwarded) {
            (Some(one), Some(other)) if one != other => peer,
            (one, other) => one.or(other).unwrap_or(peer),
        }
    }

    /// Follows the chain from the nearest hop, as far as who speaks is trusted.
    fn follow(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        hops: fn(&str) -> Vec<Option<IpAddr>>,
    ) -> Option<IpAddr> {
        headers.get(name)?;
        let hops = |line: &HeaderValue| line.to_str().map_or_else(|_| vec![None], hops);
        let nearest_first = headers.get_all(name).iter().rev();
        let mut client = peer;
        for hop in nearest_first.flat_map(|line| hops(line).into_iter().rev()) {
            let Some(address) = hop else { break };
            client = address;
            if !self.contains(address) {
                break;
            }
        }
        Some(client)
    }
}

/// Is an address, or all that share its first bits.
#[derive(Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    /// How many bits may differ, at the end.
    free: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let Some((address, prefix)) = text.split_once('/') else {
            let address = text.parse::<IpAddr>().ok()?.to_canonical();
            return Some(Self { address, free: 0 });
        };
        let address: IpAddr = address.parse().ok()?;
        let all_digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        // An IPv4 network written as IPv6 would match nobody.
        if !all_digits || address.to_canonical() != address {
            return None;
        }
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        Some(Self {
            address,
            free: width.checked_sub(prefix.parse().ok()?)?,
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => u128::from(own.to_bits() ^ other.to_bits()),
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differing.checked_shr(self.free).unwrap_or(0) == 0
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

    /// What is no address and no network is said to be none.
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

    /// The client is the right-most address that is no trusted proxy, as far as trusted ones vouch.
    #[test]
    fn clients() {
        let trusted: &[&str] = &["10.0.0.0/8", "::1"];
        let nobody: &[&str] = &[];
        // Who is trusted, the peer, the lines of Forwarded and of X-Forwarded-For, the client.
        type Row<'a> = (
            &'a [&'a str],
            &'a str,
            &'a [&'a str],
            &'a [&'a str],
            &'a str,
        );
        let table: [Row<'_>; 19] = [
            (
                nobody,
                "10.0.0.1",
                &["for=1.1.1.1"],
                &["2.2.2.2"],
                "10.0.0.1",
            ),
            (trusted, "9.9.9.9", &["for=1.1.1.1"], &[], "9.9.9.9"),
            (trusted, "10.0.0.1", &[], &[], "10.0.0.1"),
            (trusted, "::ffff:10.0.0.1", &[], &["1.1.1.1"], "1.1.1.1"),
            (trusted, "10.0.0.1", &["for=1.1.1.1"], &[], "1.1.1.1"),
            (
                trusted,
                "::1",
                &["for=7.7.7.7, for=1.1.1.1, for=10.0.0.2"],
                &[],
                "1.1.1.1",
            ),
            (
                trusted,
                "10.0.0.1",
                &["for=1.1.1.1", "for=10.0.0.3,for=10.0.0.2"],
                &[],
                "1.1.1.1",
            ),
            (
                trusted,
                "10.0.0.1",
                &["for=10.0.0.3, for=10.0.0.2"],
                &[],
                "10.0.0.3",
            ),
            (
                trusted,
                "10.0.0.1",
                &["for=1.1.1.1, for=_hidden, for=10.0.0.2"],
                &[],
                "10.0.0.2",
            ),
            (
                trusted,
                "10.0.0.1",
                &["for=1.1.1.1, for=unknown"],
                &[],
                "10.0.0.1",
            ),
            (
                trusted,
                "10.0.0.1",
                &["for=\"9.9.9.9", "for=1.1.1.1"],
                &[],
                "1.1.1.1",
            ),
            (
                trusted,
                "10.0.0.1",
                &["for=\"9.9.9.9, for=1.1.1.1"],
                &[],
                "10.0.0.1",
            ),
            (trusted, "10.0.0.1", &[""], &[], "10.0.0.1"),
            (trusted, "10.0.0.1", &[], &["9.9.9.9, 1.1.1.1"], "1.1.1.1"),
            (
                trusted,
                "10.0.0.1",
                &[],
                &["9.9.9.9", "2001:db8::1, 10.0.0.2"],
                "2001:db8::1",
            ),
            (trusted, "10.0.0.1", &[], &["1.1.1.1, junk"], "10.0.0.1"),
            (
                trusted,
                "10.0.0.1",
                &["for=1.1.1.1"],
                &["1.1.1.1"],
                "1.1.1.1",
            ),
            (
                trusted,
                "10.0.0.1",
                &["for=9.9.9.9"],
                &["1.1.1.1"],
                "10.0.0.1",
            ),
            (trusted, "10.0.0.1", &["\u{e9}"], &[], "10.0.0.1"),
        ];
        for (trusted, peer, forwarded, x_forwarded, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, lines) in [
                (FORWARDED, forwarded),
                (X_FORWARDED_FOR.clone(), x_forwarded),
            ] {
                for line in lines {
                    headers.append(&name, HeaderValue::from_str(line).unwrap());
                }
            }
            let client = trusting(trusted).client_of(peer.parse().unwrap(), &headers);
            assert_eq!(client.to_string(), expected, "{peer} {headers:?}");
        }
    }
}
