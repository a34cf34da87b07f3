//! The headers in which proxies name their clients: Forwarded (RFC 7239), and X-Forwarded-For before
//! it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::host::split_port;

/// The entry of one proxy: the address that its request came from, if it names one.
type Hop = Option<IpAddr>;

/// The most hops that are read: more than any chain of proxies has, and a bound to those that a
/// client makes up.
pub(super) const MAX_HOPS: usize = 32;

/// Returns the hops in one line of Forwarded, the nearest first. A line that cannot be read has
/// none.
pub(super) fn forwarded_hops(line: &str) -> Vec<Hop> {
    if !ends_unquoted(line) {
        return vec![None];
    }
    // The quoted parts of a line are known only from its beginning.
    let elements = || non_empty(split_unquoted(line, ','));
    let far = elements().count().saturating_sub(MAX_HOPS);
    let mut hops: Vec<_> = elements().skip(far).map(forwarded_for).collect();
    hops.reverse();
    hops
}

/// Returns the hops in one line of X-Forwarded-For, likewise.
pub(super) fn x_forwarded_for_hops(line: &str) -> Vec<Hop> {
    let nearest_first = non_empty(line.rsplit(','));
    nearest_first.take(MAX_HOPS).map(address).collect()
}

/// Skips empty elements. RFC 9110 5.6.1.2: they are ignored.
fn non_empty<'a>(elements: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    elements
        .map(str::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Reads an element. RFC 7239 4: pairs of a token and a value, each token at most once.
fn forwarded_for(element: &str) -> Hop {
    let mut values = split_unquoted(element, ';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim_ascii()
            .eq_ignore_ascii_case("for")
            .then_some(value.trim_ascii())
    });
    let value = values.next().filter(|_| values.next().is_none())?;
    address(&unquoted(value)?)
}

/// Splits at delimiters outside quoted strings.
fn split_unquoted(text: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    text.split(move |char| !quotes.contain(char) && char == delimiter)
}

/// Tells whether all quoted strings of a text end in it.
fn ends_unquoted(text: &str) -> bool {
    let mut quotes = Quotes::default();
    text.chars().for_each(|char| _ = quotes.contain(char));
    !quotes.open
}

/// A position among quoted strings (RFC 9110, section 5.6.4).
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    /// Takes the next character, and tells whether it belongs to a quoted string.
    fn contain(&mut self, char: char) -> bool {
        let inside = self.open;
        match char {
            _ if self.escaped => self.escaped = false,
            '\\' if inside => self.escaped = true,
            '"' => self.open = !inside,
            _ => {}
        }
        inside || self.open
    }
}

/// Returns the text of a token or of a quoted string. A token may have characters that strictly
/// need quotes: many proxies write ports and brackets without them.
fn unquoted(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(text),
            '\\' => text.push(chars.next()?),
            char => text.push(char),
        }
    }
}

/// Reads a node (RFC 7239, section 6): an address, perhaps with a port. IPv6 is in brackets, except
/// in X-Forwarded-For. `unknown` and invented names are no address.
fn address(node: &str) -> Hop {
    if let Ok(bare) = node.parse::<IpAddr>() {
        return Some(bare.to_canonical());
    }
    let (host, port) = split_port(node);
    if !is_node_port(port) {
        return None;
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address = match bracketed {
        Some(host) => host.parse::<Ipv6Addr>().map(IpAddr::from),
        None => host.parse::<Ipv4Addr>().map(IpAddr::from),
    };
    Some(address.ok()?.to_canonical())
}

/// Tells whether a node's port is valid. RFC 7239 6: digits, or an invented name.
fn is_node_port(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| !port.is_empty() && port.bytes().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hops: &[Hop]) -> String {
        let shown = |hop: &Hop| hop.map_or("-".to_owned(), |address| address.to_string());
        // As they stand in the line: the farthest first.
        hops.iter().rev().map(shown).collect::<Vec<_>>().join(" ")
    }

    /// Forwarded names an address with `for`, quoted or not, with or without port; a hop that names
    /// none, or not clearly, stays a hop.
    #[test]
    fn forwarded() {
        let table = [
            ("", ""),
            (" , ", ""),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            (
                "FOR=192.0.2.43, for=198.51.100.17",
                "192.0.2.43 198.51.100.17",
            ),
            (
                "proto=https; For=\"[2001:db8:cafe::17]:4711\"",
                "2001:db8:cafe::17",
            ),
            (
                "for=\"192.0.2.1:80\", for=192.0.2.2:_p",
                "192.0.2.1 192.0.2.2",
            ),
            (
                "for=[2001:db8::1], for=\"2001:db8::2\"",
                "2001:db8::1 2001:db8::2",
            ),
            ("for=\"\\1\\9\\2.0.2.1\"", "192.0.2.1"),
            ("for=\"::ffff:192.0.2.1\"", "192.0.2.1"),
            (
                "for=unknown, for=_hidden, for=\"_S;E,C\", by=1.2.3.4",
                "- - - -",
            ),
            ("by=\"a,b;for=1.1.1.1\";for=2.2.2.2", "2.2.2.2"),
            ("for=1.1.1.1;for=2.2.2.2, for=3.3.3.3", "- 3.3.3.3"),
            // Quotes that a client leaves open cannot hide what a proxy adds.
            ("for=9.9.9.9;x=\", for=1.2.3.4", "-"),
            ("for=9.9.9.9;x=\", for=\"[2001:db8::1]\"", "-"),
            ("for=9.9.9.9;x=\"\\\", for=1.2.3.4;by=\"b\"", "- "),
            ("for=\"1.2.3.4", "-"),
            ("for=1.2.3.4\"\"", "-"),
            ("for=\"1.2.3.4\"x", "-"),
            ("for=\"1.2.3.4\\\"", "-"),
            ("for=\"[fe80::1%eth0]\"", "-"),
            ("for=\"[1.2.3.4]\"", "-"),
            ("for=[]:], for=]:[, for=:, for=, for", "- - - - -"),
            ("for=1.2.3.4:, for=1.2.3.4:é, for=é]é", "- - -"),
            ("for = 1.2.3.4 ; by=x", "1.2.3.4"),
        ];
        for (line, expected) in table {
            assert_eq!(shown(&forwarded_hops(line)), expected.trim(), "{line}");
        }
    }

    /// X-Forwarded-For is a list of addresses, some with ports.
    #[test]
    fn x_forwarded_for() {
        let table = [
            ("", ""),
            ("192.0.2.1", "192.0.2.1"),
            (
                "192.0.2.1,198.51.100.7 ,, 2001:db8::1",
                "192.0.2.1 198.51.100.7 2001:db8::1",
            ),
            (
                "192.0.2.1:80, [2001:db8::1]:443, [2001:db8::2]",
                "192.0.2.1 2001:db8::1 2001:db8::2",
            ),
            (
                "unknown, 1.2.3, 1.2.3.4.5, 01.2.3.4, \"1.2.3.4\", 1.2.3.4 5.6.7.8",
                "- - - - - -",
            ),
        ];
        for (line, expected) in table {
            assert_eq!(shown(&x_forwarded_for_hops(line)), expected, "{line}");
        }
    }
}
