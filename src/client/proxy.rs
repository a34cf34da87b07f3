//! Proxies between a client and its server: [`Proxy`].

mod environment;
mod http_connect;
mod no_proxy;
mod socks5;
mod tunnel;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

pub(super) use self::environment::from_environment;
pub(super) use self::tunnel::Tunnel;
use super::dialling::Destination;
use crate::handshake::basic_credentials;

/// A proxy: how it is spoken to, where it is, and what it is told of us.
// No Debug: it may hold credentials.
#[derive(Clone)]
pub(super) struct Proxy {
    protocol: Protocol,
    host: Host<String>,
    port: u16,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// HTTP's CONNECT (RFC 9110, section 9.3.6).
    Http,
    /// The same, within TLS to the proxy.
    Https,
    /// SOCKS5 (RFC 1928) with an address that was looked up here.
    Socks5,
    /// SOCKS5 with a name that the proxy looks up.
    Socks5h,
}

#[derive(Clone)]
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

/// The proxy that a client was told to use.
#[derive(Clone, Default)]
pub(super) enum ProxySetting {
    /// The one that the environment names for the URL, if any.
    #[default]
    Environment,
    None,
    Given(Box<Proxy>),
}

impl Proxy {
    /// Reads the URL of a proxy. Without a scheme it is that of an HTTP proxy.
    ///
    /// # Errors
    /// Returns what is wrong with it, without showing it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let url = url.map_err(|error| format!("the URL of the proxy cannot be used: {error}"))?;
        let (protocol, default_port) = match url.scheme() {
            "http" => (Protocol::Http, 80),
            "https" => (Protocol::Https, 443),
            "socks5" => (Protocol::Socks5, 1080),
            "socks5h" => (Protocol::Socks5h, 1080),
            scheme => {
                return Err(format!(
                    "the proxy's scheme is {scheme}, not http, https, socks5 or socks5h"
                ));
            }
        };
        // Of another scheme than HTTP's, the parser takes the host for any text.
        let host = url.host_str().and_then(|host| Host::parse(host).ok());
        Ok(Self {
            protocol,
            host: host.ok_or("the URL of the proxy has no host")?,
            port: url.port().unwrap_or(default_port),
            credentials: Credentials::of(&url, protocol)?,
        })
    }

    /// Tells whether TLS is spoken with the proxy itself.
    pub(super) fn is_secure(&self) -> bool {
        self.protocol == Protocol::Https
    }

    /// Tells whether names are looked up here, and addresses are asked for.
    pub(super) fn wants_addresses(&self) -> bool {
        self.protocol == Protocol::Socks5
    }

    pub(super) fn host(&self) -> Host<&str> {
        match &self.host {
            Host::Domain(name) => Host::Domain(name),
            Host::Ipv4(ip) => Host::Ipv4(*ip),
            Host::Ipv6(ip) => Host::Ipv6(*ip),
        }
    }

    /// Returns its name in errors: host and port.
    pub(super) fn name(&self) -> String {
        self.destination(&self.host()).to_string()
    }

    pub(super) fn destination<'a>(&self, host: &'a Host<&'a str>) -> Destination<'a> {
        Destination {
            host,
            zone: None,
            port: self.port,
        }
    }
}

impl Credentials {
    fn of(url: &Url, protocol: Protocol) -> Result<Option<Self>, String> {
        if url.username().is_empty() && url.password().is_none() {
            return Ok(None);
        }
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<_>>();
        let credentials = Self {
            user: decoded(url.username()),
            password: decoded(url.password().unwrap_or_default()),
        };
        let fits = match protocol {
            Protocol::Http | Protocol::Https => credentials.basic().is_some(),
            // RFC 1929 2: the lengths are bytes.
            _ => credentials.user.len() < 256 && credentials.password.len() < 256,
        };
        match fits {
            true => Ok(Some(credentials)),
            false => Err("the user or password of the proxy cannot be sent".into()),
        }
    }

    /// Returns the value of `Proxy-Authorization`.
    fn basic(&self) -> Option<String> {
        basic_credentials(&self.user, &self.password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy is a URL, or without a scheme an HTTP proxy's host and port.
    #[test]
    fn proxies_have_urls() {
        for (text, name, secure, here) in [
            ("http://10.0.0.1:3128", "10.0.0.1:3128", false, false),
            ("http://proxy.example:80/", "proxy.example:80", false, false),
            ("http://proxy.example", "proxy.example:80", false, false),
            ("10.0.0.1:3128", "10.0.0.1:3128", false, false),
            ("u:p@proxy.example:3128", "proxy.example:3128", false, false),
            ("proxy.example", "proxy.example:80", false, false),
            ("https://proxy.example", "proxy.example:443", true, false),
            ("HTTPS://[::1]:8443", "[::1]:8443", true, false),
            ("socks5://127.0.0.1", "127.0.0.1:1080", false, true),
            ("socks5://127.0.0.1:80", "127.0.0.1:80", false, true),
            ("socks5h://[::1]:9050", "[::1]:9050", false, false),
            ("socks5h://u%40:p%3a@tor", "tor:1080", false, false),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.name(), name, "{text}");
            assert_eq!(proxy.is_secure(), secure, "{text}");
            assert_eq!(proxy.wants_addresses(), here, "{text}");
        }
    }

    /// What cannot be used is an error that does not repeat the text.
    #[test]
    fn unusable_proxies_are_not_shown() {
        for text in [
            "",
            "http://",
            "socks4://secret:secret@host",
            "socks://secret@host",
            "http://secret:secret@host:99999",
            "http://se%0acret:secret@host",
            "http://secret%3a:secret@host",
            &format!("socks5://secret:{}@host", "secret".repeat(50)),
            "socks5://secret@ho st",
        ] {
            let Err(error) = Proxy::parse(text) else {
                panic!("{text}")
            };
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
