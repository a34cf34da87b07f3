//! Networks of addresses: [`Network`].

use std::net::IpAddr;

/// An address, or all addresses that share its first bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    address: IpAddr,
    /// The number of bits at the end that may differ.
    free: u32,
}

impl Network {
    /// Reads an address, or a network in CIDR notation (RFC 4632, section 3.1).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some((address, prefix)) = text.split_once('/') else {
            let address = text.parse::<IpAddr>().ok()?.to_canonical();
            return Some(Self { address, free: 0 });
        };
        let address: IpAddr = address.parse().ok()?;
        let all_digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        // An IPv4 network written as IPv6 would match no address.
        if !all_digits || address.to_canonical() != address {
            return None;
        }
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        Some(Self {
            address,
            free: width.checked_sub(prefix.parse().ok()?)?,
        })
    }

    /// Tells whether an address is in it. One of IPv4 within IPv6 counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => u128::from(own.to_bits() ^ other.to_bits()),
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differing.checked_shr(self.free).unwrap_or(0) == 0
    }
}
