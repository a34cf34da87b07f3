//! The check of a request's Origin and Host, before the program sees the request: [`Guard`].

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

use super::host::{HostPattern, HostPort, is_this_machine};
use super::origin::{Origin, OriginPattern};
use super::warnings::Warnings;
use super::{Reply, Request};
use crate::header::only_text;
use crate::record::Foreign;

/// The origins and hosts from which and for which requests are allowed. A browser lets every page
/// send requests to any server. The server has to refuse those of pages of other origins (RFC 6455,
/// section 10.2), and those for a foreign name that an attacker's DNS has bound to this machine.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    any_origin: bool,
    null_origin: bool,
    origins: Vec<OriginPattern>,
    hosts: Vec<HostPattern>,
    warnings: Warnings,
}

impl Guard {
    /// Allows an origin, or all origins of a pattern.
    ///
    /// # Errors
    /// Returns the problem of the text.
    pub(crate) fn allow_origin(&mut self, text: &str) -> Result<(), String> {
        let pattern = OriginPattern::parse(text).ok_or_else(|| not_an_origin(text))?;
        self.origins.push(pattern);
        Ok(())
    }

    /// Allows every origin.
    pub(crate) fn allow_any_origin(&mut self) {
        self.any_origin = true;
    }

    /// Allows the origin `null`, which a browser sends for a page whose origin it hides.
    pub(crate) fn allow_null_origin(&mut self) {
        self.null_origin = true;
    }

    /// Allows requests for this host. From then on the Host of every request is checked.
    ///
    /// # Errors
    /// Returns the problem of the text.
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

    /// Judges a request before the program sees it. The error is the reply to it.
    ///
    /// `on_loopback` means that it came from this machine itself. A foreign name in its Host can
    /// then only be one that a page's DNS has bound to this machine.
    pub(crate) fn judge(&self, request: &Request, on_loopback: bool) -> Result<(), Reply> {
        let headers = request.headers();
        let host = only_text(headers, HOST).and_then(HostPort::parse);
        let judges_host = on_loopback || !self.hosts.is_empty();
        if judges_host && !self.allows_host(headers, host.as_ref()) {
            return Err(self.refuse_host(request));
        }
        // RFC 9110 9.2.1: safe methods change nothing, and browsers keep the replies to them from
        // foreign pages.
        let changes_something = request.is_upgrade() || !request.method().is_safe();
        if changes_something && !self.allows_origin(headers, host.as_ref()) {
            return Err(self.refuse_origin(request));
        }
        Ok(())
    }

    fn refuse_host(&self, request: &Request) -> Reply {
        let host = shown(request.headers(), HOST);
        let why = format!("its Host {host} is not allowed");
        let hint = "ServerBuilder::allow_hosts lets it in, where it is a name of this server";
        self.warnings.tell(request.id(), &why, hint);
        Reply::text("this host is not allowed\n").with_status(403)
    }

    fn refuse_origin(&self, request: &Request) -> Reply {
        let headers = request.headers();
        let (origin, host) = (shown(headers, ORIGIN), shown(headers, HOST));
        let why = format!("its Origin {origin} is not that of its Host {host}");
        let hint = "ServerBuilder::allow_origins lets it in; a proxy has to pass Host on with its \
            port (nginx: proxy_set_header Host $http_host)";
        self.warnings.tell(request.id(), &why, hint);
        Reply::text("this origin is not allowed\n").with_status(403)
    }

    fn allows_host(&self, headers: &HeaderMap, host: Option<&HostPort>) -> bool {
        let Some(HostPort { host, .. }) = host else {
            // Only requests of HTTP/1.0 come without a Host. Every browser sends a Host or an
            // Origin.
            return !headers.contains_key(HOST) && !headers.contains_key(ORIGIN);
        };
        is_this_machine(host)
            || self.hosts.iter().any(|allowed| allowed.matches(host))
            || self.origins.iter().any(|allowed| allowed.is_of_host(host))
    }

    fn allows_origin(&self, headers: &HeaderMap, host: Option<&HostPort>) -> bool {
        if self.any_origin || !headers.contains_key(ORIGIN) {
            return true;
        }
        let Some(text) = only_text(headers, ORIGIN) else {
            return false;
        };
        if text == "null" {
            return self.null_origin;
        }
        Origin::parse(text).is_some_and(|origin| {
            host.is_some_and(|host| origin.is_same_host(host))
                || self.origins.iter().any(|allowed| allowed.matches(&origin))
        })
    }
}

/// Returns a header's value for the log.
fn shown(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).map_or_else(
        || "(none)".to_owned(),
        |value| format!("{:?}", Foreign(value.as_bytes().escape_ascii())),
    )
}

fn not_an_origin(text: &str) -> String {
    let hint = match text {
        "null" => "; danger_allow_null_origin lets it in",
        "*" => "; danger_allow_any_origin lets everybody in",
        _ => "",
    };
    format!(
        "{text:?} is not an origin, such as https://example.com, https://*.example.com or \
         http://localhost:*{hint}"
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
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

    /// An upgrade is for pages of the same host, for allowed origins, and for clients that are no pages.
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

    /// A request from the own machine is for one of that machine's names, for an allowed one, or for
    /// that of an allowed origin. Where hosts are allowed, so is every request.
    #[test]
    fn hosts_on_loopback() {
        let origins: &[&str] = &["https://app.example", "https://*.wild.example"];
        let hosts: &[&str] = &["dev.example", "*.dev.example", "192.0.2.1"];
        let names = [
            (true, true, "localhost:9001"),
            (true, true, "127.0.0.1:9001"),
            (true, true, "[::1]:9001"),
            (true, true, "app.localhost"),
            (true, true, "0.0.0.0:9001"),
            (true, true, "[::]:9001"),
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
            check(&guard(origins, hosts), false, listed, host, "-");
            check(&guard(origins, NO_HOSTS), false, true, host, "-");
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
        check(
            &guard(NO_ORIGINS, &["a.example"]),
            false,
            false,
            "evil.example",
            "http://evil.example",
        );
        check(&Guard::default(), true, false, "-", "http://localhost");
        // The origins of programs name no hosts.
        let programs = &["vscode-webview://*", "tauri://evil.example", "file://"];
        check(&guard(programs, NO_HOSTS), true, false, "evil.example", "-");
    }

    /// `null` is let in by a setting of its own alone.
    #[test]
    fn null_origin() {
        let mut guard = guard(&["https://*.example", "file://", "app://*"], NO_HOSTS);
        check(&guard, false, false, "a.example", "null");
        guard.allow_null_origin();
        check(&guard, false, true, "a.example", "null");
        check(&guard, false, false, "a.example", "NULL");
        check(&guard, false, false, "a.example", "https://b.invalid");
    }

    /// Plain requests are judged by their Host, and those that may change something by their Origin.
    #[test]
    fn plain_requests() {
        let guard = Guard::default();
        let table = [
            (true, true, false, "localhost", "https://b.example"),
            (true, false, false, "evil.example", "-"),
            (true, false, false, "-", "http://localhost"),
            (false, true, false, "evil.example", "https://b.example"),
            (false, true, false, "a.example", "null"),
            (false, true, true, "a.example", "-"),
            (false, true, true, "a.example", "https://a.example"),
        ];
        for (on_loopback, safe, unsafe_too, host, origin) in table {
            for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
                let request = request_by(method, host, origin);
                let admitted = guard.judge(&request, on_loopback).is_ok();
                assert_eq!(admitted, safe, "{method} {host} {origin}");
            }
            for method in ["POST", "PUT", "PATCH", "DELETE", "get", "BREW"] {
                let request = request_by(method, host, origin);
                let admitted = guard.judge(&request, on_loopback).is_ok();
                assert_eq!(admitted, unsafe_too, "{method} {host} {origin}");
            }
        }
    }

    fn request_by(method: &str, host: &str, origin: &str) -> Request {
        let (mut parts, body) = http::Request::new(bytes::Bytes::new()).into_parts();
        parts.headers = request(host.as_bytes(), origin.as_bytes(), false)
            .headers()
            .clone();
        parts.method = method.parse().unwrap();
        Request::from(http::Request::from_parts(parts, body))
    }

    /// A text that is no origin, or no host, is an error that says so.
    #[test]
    fn settings_that_cannot_be() {
        let mut guard = Guard::default();
        for text in [
            "",
            "*",
            "null",
            "example.com",
            "https://example.com/a",
            "https://*",
            "http://*:*",
            "http://",
            "file://:*",
            "https://a.example:80:*",
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
