//! The hosts that are reached without a proxy: what `no_proxy` lists.

use std::net::IpAddr;

use url::Host;

use crate::network::Network;

/// Tells whether a list has an entry for a host and port. Entries stand between commas or spaces.
///
/// An entry is a name, which stands for the names below it too; an address, or a network in CIDR
/// notation; any of them with a port; or `*` for everything. A dot, or `*.`, before a name changes
/// nothing.
pub(super) fn lists(list: &str, host: &Host<&str>, port: u16) -> bool {
    let entries = list.split(|separator: char| separator == ',' || separator.is_whitespace());
    entries
        .filter(|entry| !entry.is_empty())
        .any(|entry| matches(entry, host, port))
}

fn matches(entry: &str, host: &Host<&str>, port: u16) -> bool {
    let (entry, only_port) = split_port(entry);
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    match host {
        _ if entry == "*" => true,
        Host::Domain(name) => is_name_below(name, entry),
        Host::Ipv4(ip) => contains(entry, IpAddr::V4(*ip)),
        Host::Ipv6(ip) => contains(entry, IpAddr::V6(*ip)),
    }
}

/// Splits an entry from its port. The colons of an IPv6 address are no port's, unless it is in brackets.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => return (entry, None),
    };
    port.parse()
        .map_or((entry, None), |port| (host, Some(port)))
}

fn is_name_below(name: &str, entry: &str) -> bool {
    let entry = entry
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(entry);
    let entry = entry
        .trim_start_matches('.')
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(name);
    let above = name.strip_suffix(&*entry);
    !entry.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

fn contains(entry: &str, ip: IpAddr) -> bool {
    let bare = entry
        .strip_prefix('[')
        .and_then(|entry| entry.strip_suffix(']'));
    let network = Network::parse(bare.unwrap_or(entry));
    network.is_some_and(|network| network.contains(ip))
}
