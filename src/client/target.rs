//! The server that a URL names: [`Target`].

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::{ParseError, Position, Url};

use crate::Error;
use crate::handshake::redirect::is_same_origin;
use crate::transport::{is_socket_path, path_of};

/// The server that a URL names, and what the URL says of the way to it.
pub(super) struct Target {
    /// The URL for the request and for TLS: of `ws`, `wss`, `http` or `https`, if it can be used.
    pub(super) url: Url,
    /// The zone of a link-local IPv6 address.
    zone: Option<String>,
    unix: Option<PathBuf>,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] for what is none. The text does not show it: it may hold credentials.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let url = match (Url::parse(text), without_zone(text)) {
            (Err(ParseError::InvalidIpv6Address), Some((text, zone))) => {
                let url = Url::parse(&text).map_err(unusable)?;
                return Ok(Self {
                    url,
                    zone: Some(zone),
                    unix: None,
                });
            }
            (url, _) => url.map_err(unusable)?,
        };
        match url.scheme() {
            "ws+unix" => Self::on_unix_socket(&url, "ws"),
            "wss+unix" => Self::on_unix_socket(&url, "wss"),
            _ => Ok(Self {
                url,
                zone: None,
                unix: None,
            }),
        }
    }

    /// Reads `ws+unix:/path/of.sock:/path?query`. The request's Host is `localhost`, as servers accept
    /// it from their own machine.
    fn on_unix_socket(url: &Url, scheme: &str) -> Result<Self, Error> {
        if url.host_str().is_some_and(|host| !host.is_empty()) {
            let what = "the URL of a Unix socket has no host: ws+unix:/path/of.sock:/path";
            return Err(Error::Invalid(what.into()));
        }
        let (socket, path) = url.path().split_once(':').unwrap_or((url.path(), ""));
        let query = &url[Position::AfterPath..Position::AfterQuery];
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}://localhost{slash}{path}{query}");
        let socket = path_of(percent_decode_str(socket).collect());
        Ok(Self {
            url: Url::parse(&url).map_err(unusable)?,
            zone: None,
            unix: Some(checked_socket_path(socket)?),
        })
    }

    /// Goes on to the URL of a redirect. The zone and the Unix socket are the origin's.
    pub(super) fn redirect(&mut self, url: Url) {
        if !is_same_origin(&self.url, &url) {
            (self.zone, self.unix) = (None, None);
        }
        self.url = url;
    }

    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    pub(super) fn unix(&self) -> Option<&Path> {
        self.unix.as_deref()
    }
}

/// Fails for a path that cannot be a Unix socket's.
pub(super) fn checked_socket_path(path: PathBuf) -> Result<PathBuf, Error> {
    if is_socket_path(&path) {
        return Ok(path);
    }
    let what = "the path of the Unix socket is empty, or too long for the system";
    Err(Error::Invalid(what.into()))
}

/// Takes the zone out of `[fe80::1%25eth0]`, as RFC 6874 writes it, or of `[fe80::1%eth0]`, as people
/// do. RFC 6874 1: the zone means something on this machine alone, and is not sent.
fn without_zone(text: &str) -> Option<(String, String)> {
    let begin = text.find("://")? + "://".len();
    let authority = text[begin..].split(['/', '?', '#']).next()?;
    let open = begin + authority.rfind('[')?;
    let percent = open + text[open..].find('%')?;
    let close = percent + text[percent..].find(']')?;
    let zone = &text[percent + 1..close];
    let zone = zone
        .strip_prefix("25")
        .filter(|zone| !zone.is_empty())
        .unwrap_or(zone);
    let zone = percent_decode_str(zone).decode_utf8().ok()?;
    let text = [&text[..percent], &text[close..]].concat();
    (!zone.is_empty()).then(|| (text, zone.into_owned()))
}

fn unusable(error: ParseError) -> Error {
    Error::Invalid(match error {
        ParseError::RelativeUrlWithoutBase => {
            "the URL has no scheme: write ws:// or wss:// before it".into()
        }
        error => format!("the URL cannot be used: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The URL of a Unix socket is a path, and behind a colon that of the request, as npm's `ws` has it.
    #[test]
    fn unix_sockets_have_urls() {
        for (text, path, url) in [
            ("ws+unix:/a.sock:/b?c=d", "/a.sock", "ws://localhost/b?c=d"),
            ("WS+UNIX:/a.sock", "/a.sock", "ws://localhost/"),
            ("ws+unix:///a.sock:/b", "/a.sock", "ws://localhost/b"),
            ("ws+unix:/a.sock?c", "/a.sock", "ws://localhost/?c"),
            ("ws+unix:a.sock:/b", "a.sock", "ws://localhost/b"),
            (
                "ws+unix:/a%20%3Ab.sock:/b:c#d",
                "/a :b.sock",
                "ws://localhost/b:c",
            ),
            ("wss+unix:/a.sock:/b", "/a.sock", "wss://localhost/b"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.unix(), Some(Path::new(path)), "{text}");
            assert_eq!(target.url.as_str(), url, "{text}");
        }
        let long = format!("ws+unix:/{}:/", "x".repeat(200));
        for text in ["ws+unix:", "ws+unix::/b", "ws+unix://host/a.sock:/b", &long] {
            assert!(
                matches!(Target::parse(text), Err(Error::Invalid(_))),
                "{text}"
            );
        }
    }

    /// A zone stands behind `%25` or `%`, is no part of the URL, and stays while the origin does.
    #[test]
    fn zones_are_taken_out() {
        for (text, zone) in [
            ("ws://[fe80::1%25eth0]:9001/a?b", "eth0"),
            ("ws://[fe80::1%eth0]:9001/a?b", "eth0"),
            ("ws://[fe80::1%2]:9001/a?b", "2"),
            ("ws://[fe80::1%25en%2d0]:9001/a?b", "en-0"),
        ] {
            let mut target = Target::parse(text).unwrap();
            assert_eq!(target.zone(), Some(zone), "{text}");
            assert_eq!(target.url.as_str(), "ws://[fe80::1]:9001/a?b");
            let next = |url: &str| Url::parse(url).unwrap();
            target.redirect(next("ws://[fe80::1]:9001/c"));
            assert_eq!(target.zone(), Some(zone));
            target.redirect(next("ws://[fe80::1]:9002/c"));
            assert_eq!(target.zone(), None);
        }
        for text in [
            "ws://[fe80::1%]/",
            "ws://[fe80::1/",
            "ws://[fe80::x%25eth0]/",
            "ws://[%25a]/",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        let other = Target::parse("ws://host/[fe80::1%25eth0]").unwrap();
        assert_eq!(other.zone(), None);
    }
}
