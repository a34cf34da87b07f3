//! Origins: the page that a request comes from (RFC 6454).

use url::Host;

use super::host::{HostPattern, HostPort};

/// The origin of a page: scheme, host and port. `null` is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    /// The host. `None` for pages of files.
    host: Option<Host>,
    /// The port, by default the scheme's own. `None` for schemes without one.
    port: Option<u16>,
}

impl Origin {
    /// Reads the value of Origin (RFC 6454, section 7.1). A list of several origins is not read. A
    /// slash at the end, which no browser sends, makes no difference.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = split_scheme(text)?;
        if rest.is_empty() && !is_web(&scheme) {
            return Some(Self {
                scheme,
                host: None,
                port: None,
            });
        }
        let HostPort { host, port } = if is_web(&scheme) {
            HostPort::parse(rest)
        } else {
            HostPort::parse_opaque(rest)
        }?;
        Some(Self {
            port: port.or(default_port(&scheme)),
            host: Some(host),
            scheme,
        })
    }

    /// Tells whether the page comes from the host that its request goes to. The scheme is not
    /// compared: behind a proxy that ends TLS, the request of an `https` page reaches us in plain
    /// text. So the origin's scheme also gives the port of a Host without one.
    pub(super) fn is_same_host(&self, host: &HostPort) -> bool {
        default_port(&self.scheme).is_some_and(|default| {
            self.host.as_ref() == Some(&host.host)
                && self.port == Some(host.port.unwrap_or(default))
        })
    }
}

/// Splits off the scheme, in lower case, and a slash at the end. `ws` and `wss` stand for `http`
/// and `https`.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    // RFC 3986, section 3.1.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    if !is_scheme || !scheme.bytes().all(allowed) {
        return None;
    }
    let scheme = match scheme.to_ascii_lowercase() {
        scheme if scheme == "ws" => "http".to_owned(),
        scheme if scheme == "wss" => "https".to_owned(),
        scheme => scheme,
    };
    Some((scheme, rest.strip_suffix('/').unwrap_or(rest)))
}

/// Tells whether hosts of the scheme are those of the Internet.
fn is_web(scheme: &str) -> bool {
    default_port(scheme).is_some()
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The origins that a setting allows.
#[derive(Debug)]
pub(super) struct OriginPattern {
    scheme: String,
    hosts: Hosts,
    ports: Ports,
}

#[derive(Debug)]
enum Hosts {
    /// The scheme has no hosts: `file://`.
    None,
    /// `*`, for schemes of programs, whose hosts cannot be known beforehand.
    Any,
    Like(HostPattern),
}

#[derive(Debug)]
enum Ports {
    Any,
    Only(Option<u16>),
}

impl OriginPattern {
    /// Reads an origin. `*` stands for every port, and `*.` for subdomains. `*` alone stands for
    /// every host, but not of a web scheme, in which anyone can have a page.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = split_scheme(text)?;
        let (rest, any_port) = match rest.strip_suffix(":*") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (hosts, port) = match rest {
            "" | "*" if is_web(&scheme) => return None,
            "" if any_port => return None,
            "" => (Hosts::None, None),
            "*" => (Hosts::Any, None),
            _ => Hosts::parse(rest, &scheme)?,
        };
        if any_port && port.is_some() {
            return None;
        }
        let ports = if any_port {
            Ports::Any
        } else {
            Ports::Only(port.or(default_port(&scheme)))
        };
        Some(Self {
            scheme,
            hosts,
            ports,
        })
    }

    pub(super) fn matches(&self, origin: &Origin) -> bool {
        let right_host = match (&self.hosts, &origin.host) {
            (Hosts::None, None) => true,
            (Hosts::Any, Some(_)) => true,
            (Hosts::Like(pattern), Some(host)) => pattern.matches(host),
            _ => false,
        };
        let right_port = match self.ports {
            Ports::Any => true,
            Ports::Only(port) => port == origin.port,
        };
        self.scheme == origin.scheme && right_host && right_port
    }

    /// Tells whether pages of this origin come from that host, whatever the port.
    pub(super) fn is_of_host(&self, host: &Host) -> bool {
        is_web(&self.scheme) && matches!(&self.hosts, Hosts::Like(pattern) if pattern.matches(host))
    }
}

impl Hosts {
    fn parse(text: &str, scheme: &str) -> Option<(Self, Option<u16>)> {
        let (pattern, port) = if is_web(scheme) {
            HostPattern::parse(text)
        } else {
            HostPattern::parse_opaque(text)
        }?;
        Some((Self::Like(pattern), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of the same host and port as the request's is no stranger, with the defaults of its
    /// own scheme; everything else is.
    #[test]
    fn same_host() {
        let table = [
            (
                "http://a.example",
                "a.example a.example:80 A.EXAMPLE",
                "a.example:443 b.example",
            ),
            (
                "https://a.example",
                "a.example a.example:443 a.example:",
                "a.example:80 b.a.example",
            ),
            (
                "HTTP://A.Example:80",
                "a.example a.example:80",
                "a.example:8080",
            ),
            (
                "ws://a.example:8080",
                "a.example:8080",
                "a.example a.example:80",
            ),
            ("wss://a.example", "a.example a.example:443", "a.example:80"),
            (
                "http://localhost:9001",
                "localhost:9001",
                "127.0.0.1:9001 localhost:9002 localhost",
            ),
            (
                "http://[::1]:9001",
                "[::1]:9001 [0::1]:9001",
                "[::2]:9001 [::1]",
            ),
            ("https://a.example:8443", "a.example:8443", "a.example"),
            ("tauri://localhost", "", "localhost localhost:80"),
            ("tauri://localhost:80", "", "localhost localhost:80"),
        ];
        for (origin, same, foreign) in table {
            let origin = Origin::parse(origin).unwrap();
            let is_same = |host: &str| origin.is_same_host(&HostPort::parse(host).unwrap());
            assert!(
                same.split_terminator(' ').all(is_same),
                "{origin:?}: {same}"
            );
            assert!(
                !foreign.split_terminator(' ').any(is_same),
                "{origin:?}: {foreign}"
            );
        }
    }

    /// A text that is not one scheme, host and port is no origin.
    #[test]
    fn no_origins() {
        let table = [
            "",
            "null",
            "a.example",
            "//a.example",
            "://a",
            "http:a",
            "http:/a",
            "http://",
            "1a://b",
            "http://a/b",
            "http://u@a",
            "http://a b",
            "http://a http://b",
            "h ttp://a",
            "http://a?",
            "http://a#",
            "http://a:x",
            "http:///",
            "http://a//",
            "http://a, http://b",
            "é://a",
        ];
        for text in table {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }

    /// An allowed origin is compared with scheme, host and port; `*.` stands for subdomains.
    #[test]
    fn patterns() {
        let table = [
            (
                "https://a.example",
                "https://a.example https://A.EXAMPLE:443",
                "http://a.example",
            ),
            (
                "https://a.example",
                "wss://a.example",
                "https://a.example:8443 https://b.a.example",
            ),
            (
                "https://*.a.example",
                "https://b.a.example https://c.b.a.example",
                "https://a.example",
            ),
            (
                "https://*.a.example",
                "https://b.a.example:443",
                "http://b.a.example https://ba.example",
            ),
            (
                "http://*.a.example:81",
                "http://b.a.example:81",
                "http://b.a.example https://b.a.example:81",
            ),
            (
                "http://localhost:3000",
                "http://localhost:3000",
                "http://localhost",
            ),
            (
                "tauri://localhost",
                "tauri://localhost",
                "http://localhost tauri://localhost:80",
            ),
            (
                "chrome-extension://abcdef",
                "chrome-extension://abcdef",
                "chrome-extension://abcdeg",
            ),
            (
                "vscode-webview://*",
                "vscode-webview://1k0abc vscode-webview://0x123456789abcdef/",
                "vscode-webview:// https://1k0abc",
            ),
            ("file://", "file:// file:/// FILE://", "file://a http://a"),
            (
                "http://localhost:*",
                "http://localhost http://localhost:3000 ws://localhost:1/",
                "https://localhost:3000 http://a.localhost:3000 http://127.0.0.1",
            ),
            (
                "https://*.a.example:*/",
                "https://b.a.example:1 https://b.a.example",
                "https://a.example:1 http://b.a.example",
            ),
            (
                "https://a.example/",
                "https://a.example https://a.example/",
                "https://b.example/",
            ),
        ];
        for (pattern, good, bad) in table {
            let pattern = OriginPattern::parse(pattern).unwrap();
            let matches = |text: &str| pattern.matches(&Origin::parse(text).unwrap());
            assert!(good.split(' ').all(matches), "{pattern:?}: {good}");
            assert!(!bad.split(' ').any(matches), "{pattern:?}: {bad}");
        }
    }
}
