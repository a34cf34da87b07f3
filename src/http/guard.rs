//! The guard before the program: which pages, and under which names, may reach it.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};

use super::host::{HostPattern, HostPort, is_loopback};
use super::origin::{Origin, OriginPattern};
use super::{Reply, Request};
use crate::header::only_text;
use crate::record::debug;

/// Holds who may ask. Browsers let every page ask any server, and leave it to the server to say no:
/// to pages of other origins (RFC 6455, section 10.2), and to names that somebody's DNS has bound to
/// this machine.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    any_origin: bool,
    origins: Vec<OriginPattern>,
    hosts: Vec<HostPattern>,
}

impl Guard {
    /// Lets an origin in, or those of all subdomains.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn allow_origin(&mut self, text: &str) -> Result<(), String> {
        let pattern = OriginPattern::parse(text).ok_or_else(|| not_an_origin(text))?;
        self.origins.push(pattern);
        Ok(())
    }

    /// Lets every origin in.
    pub(crate) fn allow_any_origin(&mut self) {
        self.any_origin = true;
    }

    /// Lets requests in that are for this name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn allow_host(&mut self, text: &str) -> Result<(), String> {
        match HostPattern::parse(text) {
            Some((pattern, None)) => {
                self.hosts.push(pattern);
                Ok(())
            }
            _ => Err(format!(
                "{text:?} is not a host without a port, such as app.example.com"
            )),
        }
    }

    /// Judges a request before the program sees it; an error is what it gets instead.
    ///
    /// `on_loopback` says that the server listens only for this machine, so that a request for any
    /// other name can but come from a page whose DNS has been bound anew.
    pub(crate) fn judge(&self, request: &Request, on_loopback: bool) -> Result<(), Reply> {
        let headers = request.headers();
        let host = only_text(headers, HOST).and_then(HostPort::parse);
        if on_loopback && !self.allows_host(headers, host.as_ref()) {
            return Err(refuse(
                headers,
                HOST,
                "this host is not allowed",
                "allow_hosts",
            ));
        }
        if request.is_upgrade() && !self.allows_origin(headers, host.as_ref()) {
            return Err(refuse(
                headers,
                ORIGIN,
                "this origin is not allowed",
                "allow_origins",
            ));
        }
        Ok(())
    }

    fn allows_host(&self, headers: &HeaderMap, host: Option<&HostPort>) -> bool {
        let Some(HostPort { host, .. }) = host else {
            // Only HTTP/1.0 comes without a Host, and no browser without either.
            return !headers.contains_key(HOST) && !headers.contains_key(ORIGIN);
        };
        is_loopback(host)
            || self.hosts.iter().any(|allowed| allowed.matches(host))
            || self.origins.iter().any(|allowed| allowed.is_of_host(host))
    }

    fn allows_origin(&self, headers: &HeaderMap, host: Option<&HostPort>) -> bool {
        if self.any_origin || !headers.contains_key(ORIGIN) {
            return true;
        }
        let Some(origin) = only_text(headers, ORIGIN).and_then(Origin::parse) else {
            return false;
        };
        host.is_some_and(|host| origin.is_same_host(host))
            || self.origins.iter().any(|allowed| allowed.matches(&origin))
    }
}

/// So much of a refused header goes into the log.
const LOGGED: usize = 128;

fn refuse(headers: &HeaderMap, name: http::HeaderName, why: &str, setting: &str) -> Reply {
    let value = headers
        .get(&name)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let shown = value[..value.len().min(LOGGED)].escape_ascii();
    debug!("a request was refused: 403 {why}: \"{shown}\" (see ServerBuilder::{setting})");
    Reply::text(format!("{why}\n")).with_status(403)
}

fn not_an_origin(text: &str) -> String {
    let hint = match text {
        "null" | "*" => "; danger_allow_any_origin lets everybody in",
        _ => "",
    };
    format!("{text:?} is not an origin, such as https://example.com or https://*.example.com{hint}")
}

#[cfg(test)]
mod tests {
    use http::header::UPGRADE;

    use super::*;

    const NO_ORIGINS: &[&str] = &[];
    const NO_HOSTS: &[&str] = &[];

    fn guard(origins: &[&str], hosts: &[&str]) -> Guard {
        let mut guard = Guard::default();
        origins
            .iter()
            .for_each(|text| guard.allow_origin(text).unwrap());
        hosts
            .iter()
            .for_each(|text| guard.allow_host(text).unwrap());
        guard
    }

    /// A request with these fields; "-" stands for none.
    fn request(host: &[u8], origin: &[u8], upgrade: bool) -> Request {
        let mut request = http::Request::new(bytes::Bytes::new());
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if value != b"-" {
                request
                    .headers_mut()
                    .insert(name, HeaderValue::from_bytes(value).unwrap());
            }
        }
        if upgrade {
            request
                .headers_mut()
                .insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        Request::from(request)
    }

    #[track_caller]
    fn check(guard: &Guard, on_loopback: bool, expected: bool, host: &str, origin: &str) {
        let request = request(host.as_bytes(), origin.as_bytes(), true);
        let verdict = guard.judge(&request, on_loopback);
        assert_eq!(
            verdict.is_ok(),
            expected,
            "Host {host}, Origin {origin}, {guard:?}"
        );
        if let Err(reply) = verdict {
            assert_eq!(reply.status(), 403);
        }
    }

    /// An upgrade is for pages of the same host, for allowed origins, and for who is no page.
    #[test]
    fn origins() {
        let allowed: &[&str] = &["https://good.example", "https://*.wild.example"];
        let table = [
            (NO_ORIGINS, true, "a.example", "-"),
            (NO_ORIGINS, true, "a.example", "https://a.example"),
            (NO_ORIGINS, true, "a.example:9001", "http://a.example:9001"),
            (NO_ORIGINS, false, "a.example", "https://b.example"),
            (NO_ORIGINS, false, "a.example", "null"),
            (NO_ORIGINS, false, "a.example", ""),
            (NO_ORIGINS, false, "", "http://a.example"),
            (NO_ORIGINS, false, "-", "http://a.example"),
            (
                NO_ORIGINS,
                false,
                "a.example",
                "http://a.example http://a.example",
            ),
            (allowed, true, "a.example", "https://good.example"),
            (allowed, true, "-", "https://good.example"),
            (allowed, true, "a.example", "https://sub.wild.example"),
            (allowed, true, "a.example", "http://a.example"),
            (allowed, false, "a.example", "https://wild.example"),
            (allowed, false, "a.example", "http://good.example"),
            (allowed, false, "a.example", "https://good.example.evil"),
            (allowed, false, "a.example", "null"),
        ];
        for (origins, expected, host, origin) in table {
            check(&guard(origins, NO_HOSTS), false, expected, host, origin);
        }
    }

    /// An Origin that is no text, or there twice, is foreign, not missing.
    #[test]
    fn origins_that_cannot_be_read() {
        let mut twice = http::Request::new(bytes::Bytes::new());
        for (name, value) in [
            (HOST, "a"),
            (UPGRADE, "websocket"),
            (ORIGIN, "http://a"),
            (ORIGIN, "http://a"),
        ] {
            twice
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        for request in [request(b"a", b"http://a\xff", true), Request::from(twice)] {
            assert!(
                Guard::default().judge(&request, false).is_err(),
                "{request:?}"
            );
        }
    }

    /// Any origin is let in where the program says so, but not under any name.
    #[test]
    fn any_origin() {
        let mut guard = Guard::default();
        guard.allow_any_origin();
        for origin in ["https://b.example", "null", "", "-"] {
            check(&guard, false, true, "a.example", origin);
            check(&guard, true, true, "localhost", origin);
            check(&guard, true, false, "a.example", origin);
        }
    }

    /// A server that listens only for its own machine answers only to that machine's names, to
    /// allowed ones, and to those of allowed origins.
    #[test]
    fn hosts_on_loopback() {
        let origins: &[&str] = &["https://app.example", "https://*.wild.example"];
        let hosts: &[&str] = &["dev.example", "*.dev.example", "192.0.2.1"];
        let names = [
            (true, true, "localhost:9001"),
            (true, true, "127.0.0.1:9001"),
            (true, true, "[::1]:9001"),
            (true, true, "app.localhost"),
            (false, false, "evil.example:9001"),
            (false, false, ""),
            (false, true, "app.example:9001"),
            (false, true, "sub.wild.example"),
            (false, false, "wild.example"),
            (false, true, "dev.example:9001"),
            (false, true, "a.dev.example"),
            (false, true, "192.0.2.1"),
            (true, true, "-"),
        ];
        for (bare, listed, host) in names {
            check(&Guard::default(), true, bare, host, "-");
            check(&guard(origins, hosts), true, listed, host, "-");
            check(&Guard::default(), false, true, host, "-");
        }
        // The page of a rebound name is of the same host: the name gives it away.
        check(
            &Guard::default(),
            true,
            false,
            "evil.example",
            "http://evil.example",
        );
        check(
            &Guard::default(),
            false,
            true,
            "evil.example",
            "http://evil.example",
        );
        check(&Guard::default(), true, false, "-", "http://localhost");
    }

    /// Plain requests are judged by their Host alone.
    #[test]
    fn plain_requests() {
        let guard = Guard::default();
        let table = [
            (true, true, "localhost", "https://b.example"),
            (true, false, "evil.example", "-"),
            (true, false, "-", "http://localhost"),
            (false, true, "evil.example", "https://b.example"),
        ];
        for (on_loopback, expected, host, origin) in table {
            let request = request(host.as_bytes(), origin.as_bytes(), false);
            assert_eq!(
                guard.judge(&request, on_loopback).is_ok(),
                expected,
                "{host} {origin}"
            );
        }
    }

    /// What is not an origin or a host is said to be none.
    #[test]
    fn settings_that_cannot_be() {
        let mut guard = Guard::default();
        for text in [
            "",
            "*",
            "null",
            "example.com",
            "https://example.com/",
            "https://*",
            "a b://c",
        ] {
            let error = guard.allow_origin(text).unwrap_err();
            assert!(
                error.starts_with(&format!("{text:?} is not an origin")),
                "{error}"
            );
        }
        for text in ["", "*", "a.example:80", "http://a.example", "a/b"] {
            let error = guard.allow_host(text).unwrap_err();
            assert!(
                error.starts_with(&format!("{text:?} is not a host")),
                "{error}"
            );
        }
    }
}
