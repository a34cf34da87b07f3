//! The proxy that the environment names.

use std::env;
use std::ffi::OsString;

use url::Host;

use super::Proxy;
use super::no_proxy::lists;
use crate::Error;
use crate::transport::is_own_name;

/// Returns the proxy that the environment names for a host and port, if any.
///
/// # Errors
/// Returns [`Error::Invalid`] for a variable that is no proxy's URL. The text does not show it: it may
/// hold credentials.
pub(in crate::client) fn from_environment(
    secure: bool,
    host: &Host<&str>,
    port: u16,
) -> Result<Option<Proxy>, Error> {
    choose(secure, host, port, |name| env::var_os(name))
}

/// The variables for `wss`, then for `ws`, in order. A CGI program finds a request's header `Proxy` in
/// `HTTP_PROXY`, so that is never read.
const SECURE: [&str; 6] = [
    "wss_proxy",
    "WSS_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];
const PLAIN: [&str; 5] = [
    "ws_proxy",
    "WS_PROXY",
    "http_proxy",
    "all_proxy",
    "ALL_PROXY",
];
const EXCEPT: [&str; 2] = ["no_proxy", "NO_PROXY"];

fn choose(
    secure: bool,
    host: &Host<&str>,
    port: u16,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Proxy>, Error> {
    if is_own_machine(host) {
        return Ok(None);
    }
    let names: &[&str] = if secure { &SECURE } else { &PLAIN };
    let Some((name, text)) = first_set(names, &variable)? else {
        return Ok(None);
    };
    if first_set(&EXCEPT, &variable)?.is_some_and(|(_, list)| lists(&list, host, port)) {
        return Ok(None);
    }
    let proxy = Proxy::parse(text.trim());
    proxy.map(Some).map_err(|what| of_variable(name, &what))
}

/// Returns the first variable that is set and not empty.
fn first_set<'a>(
    names: &[&'a str],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(&'a str, String)>, Error> {
    for name in names {
        match variable(name).map(OsString::into_string) {
            None => {}
            Some(Ok(text)) if text.trim().is_empty() => {}
            Some(Ok(text)) => return Ok(Some((name, text))),
            Some(Err(_)) => return Err(of_variable(name, "it is not UTF-8")),
        }
    }
    Ok(None)
}

fn of_variable(name: &str, what: &str) -> Error {
    Error::Invalid(format!("the environment's {name}: {what}"))
}

/// Tells whether a host is this machine. A proxy elsewhere could not reach it.
fn is_own_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_own_name(name),
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::Ipv6(ip) => {
            let ip = std::net::IpAddr::from(*ip).to_canonical();
            ip.is_loopback() || ip.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    /// Returns the proxy for a URL by an environment, written as a shell has it.
    fn chosen(environment: &str, url: &str) -> Result<Option<String>, Error> {
        let set: Vec<_> = environment
            .split(';')
            .filter_map(|set| set.trim().split_once('='))
            .collect();
        let variable = |name: &str| {
            let mut values = set.iter().filter(|(set, _)| *set == name);
            values.next().map(|(_, value)| value.into())
        };
        let url = Url::parse(url).unwrap();
        let (host, port) = (url.host().unwrap(), url.port_or_known_default().unwrap());
        let proxy = choose(url.scheme() == "wss", &host, port, variable)?;
        Ok(proxy.map(|proxy| proxy.name()))
    }

    /// Each scheme has its variables, in their order; what is empty is not set.
    #[test]
    fn schemes_have_their_variables() {
        let (ws, wss) = ("ws://example.com/", "wss://example.com/");
        for (environment, url, proxy) in [
            ("", ws, None),
            ("", wss, None),
            ("ws_proxy=a:1", ws, Some("a:1")),
            ("ws_proxy=a:1", wss, None),
            ("WS_PROXY=a:1", ws, Some("a:1")),
            ("WS_PROXY=a:1; ws_proxy=b:1", ws, Some("b:1")),
            ("wss_proxy=a:1", wss, Some("a:1")),
            ("wss_proxy=a:1", ws, None),
            ("WSS_PROXY=a:1; https_proxy=b:1", wss, Some("a:1")),
            ("http_proxy=a:1", ws, Some("a:1")),
            ("http_proxy=a:1", wss, None),
            ("HTTP_PROXY=a:1", ws, None),
            ("HTTP_PROXY=a:1", wss, None),
            ("HTTP_PROXY=a:1; ALL_PROXY=b:1", ws, Some("b:1")),
            ("https_proxy=a:1", wss, Some("a:1")),
            ("https_proxy=a:1", ws, None),
            ("HTTPS_PROXY=a:1", wss, Some("a:1")),
            ("HTTPS_PROXY=a:1; https_proxy=b:1", wss, Some("b:1")),
            ("http_proxy=a:1; ws_proxy=b:1", ws, Some("b:1")),
            ("https_proxy=a:1; wss_proxy=b:1", wss, Some("b:1")),
            ("all_proxy=a:1", ws, Some("a:1")),
            ("all_proxy=a:1", wss, Some("a:1")),
            ("ALL_PROXY=a:1; all_proxy=b:1", wss, Some("b:1")),
            ("ALL_PROXY=a:1; https_proxy=b:1", wss, Some("b:1")),
            ("wss_proxy=; https_proxy=a:1", wss, Some("a:1")),
            ("wss_proxy= ; https_proxy=; all_proxy=", wss, None),
            ("https_proxy=; HTTPS_PROXY=a:1", wss, Some("a:1")),
            ("all_proxy=socks5h://a", wss, Some("a:1080")),
            ("all_proxy=https://a", wss, Some("a:443")),
            ("all_proxy=a", wss, Some("a:80")),
        ] {
            let chosen = chosen(environment, url).unwrap();
            assert_eq!(chosen.as_deref(), proxy, "{environment} {url}");
        }
    }

    /// `no_proxy` names hosts with those below them, addresses, networks and ports.
    #[test]
    fn exceptions_go_directly() {
        let table = [
            ("*", "example.com 10.0.0.1 [2001:db8::1]", ""),
            (
                "example.com",
                "example.com EXAMPLE.com example.com. a.b.example.com",
                "anexample.com example.org example.com.evil",
            ),
            (".example.com", "example.com a.example.com", "anexample.com"),
            (
                "*.example.com",
                "example.com a.example.com",
                "anexample.com",
            ),
            ("Example.COM.", "example.com a.example.com", "com"),
            ("a.com,b.com", "a.com b.com", "c.com"),
            (" a.com , b.com\tc.com ", "a.com b.com c.com", "d.com"),
            ("com", "example.com", "example.org"),
            (
                "example.com:8443",
                "example.com:8443 a.example.com:8443",
                "example.com example.com:443",
            ),
            ("*:8443", "example.com:8443", "example.com"),
            (
                "10.0.0.1",
                "10.0.0.1 [::ffff:10.0.0.1]",
                "10.0.0.2 10.0.0.1.example",
            ),
            ("10.0.0.0/8", "10.1.2.3", "11.0.0.1"),
            ("10.0.0.0/8:81", "10.1.2.3:81", "10.1.2.3"),
            ("10.0.0.1:81", "10.0.0.1:81", "10.0.0.1"),
            ("2001:db8::/32", "[2001:db8::1]", "[2001:db9::1]"),
            ("2001:db8::1", "[2001:db8::1]", "[2001:db8::2]"),
            ("[2001:db8::1]", "[2001:db8::1]", "[2001:db8::2]"),
            ("[2001:db8::1]:81", "[2001:db8::1]:81", "[2001:db8::1]"),
            ("", "", "example.com 10.0.0.1"),
            (", ,", "", "example.com"),
            (".", "", "example.com"),
            ("10.0.0.0/99 x/8 :80 [", "", "example.com 10.0.0.1"),
        ];
        for (list, direct, proxied) in table {
            let environment = format!("all_proxy=proxy:1; no_proxy={list}");
            let goes = |host: &str| chosen(&environment, &format!("wss://{host}/")).unwrap();
            for host in direct.split_whitespace() {
                assert_eq!(goes(host), None, "{list:?}: {host}");
            }
            for host in proxied.split_whitespace() {
                assert!(goes(host).is_some(), "{list:?}: {host}");
            }
        }
        let upper = "all_proxy=proxy:1; NO_PROXY=a.com";
        assert_eq!(chosen(upper, "ws://a.com").unwrap(), None);
        let both = "all_proxy=proxy:1; NO_PROXY=a.com; no_proxy=b.com";
        assert!(chosen(both, "ws://a.com").unwrap().is_some());
    }

    /// This machine is reached directly, whatever the environment says: even what cannot be read.
    #[test]
    fn this_machine_is_reached_directly() {
        for host in [
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
        ] {
            for environment in ["all_proxy=proxy:1", "all_proxy=socks4://proxy"] {
                assert_eq!(chosen(environment, &format!("ws://{host}/")).unwrap(), None);
            }
        }
    }

    /// A variable that cannot be used is an error with its name and without its value.
    #[test]
    fn unusable_variables_are_named() {
        let error = chosen("https_proxy=ftp://secret@proxy", "wss://a.com").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("https_proxy") && !text.contains("secret"),
            "{text}"
        );
        assert!(chosen("https_proxy=ftp://secret@proxy", "ws://a.com").is_ok());
    }
}
