//! Authentication by name and password: [`BasicAuth`].

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use subtle::{Choice, ConstantTimeEq};

use super::{Next, Reply, Request};
use crate::header::only_text;

/// Authentication by a name and a password, by HTTP's Basic scheme (RFC 7617), before the 101 or the
/// page.
///
/// They are sent unencrypted, so this needs TLS.
///
/// ```
/// use landline::{BasicAuth, Reply, Router};
///
/// let staff = BasicAuth::new("staff only").user("ada", "correct horse");
/// let router = Router::new().scope("/admin", |scope| {
///     scope
///         .middleware(staff.into_middleware())
///         .get("/", |_request| Reply::text("Welcome"))
///         .websocket("/log", |ws, _request| ws.send("the log"))
/// });
/// # assert!(router.check().is_ok());
/// ```
///
/// Without a router:
///
/// ```
/// use landline::{BasicAuth, Server, Upgrade};
///
/// let auth = BasicAuth::new("staff only").user("ada", "correct horse");
/// let builder = Server::builder()
///     .should_upgrade(move |request| auth.check(request).map(|_name| Upgrade::new()))
///     .on_upgrade(|ws, _request| ws.send("Welcome"));
/// # let _ = builder;
/// ```
#[must_use = "it protects nothing by itself"]
pub struct BasicAuth {
    challenge: HeaderValue,
    users: Vec<(String, Vec<u8>)>,
    verify: Option<Verify>,
}

type Verify = Box<dyn Fn(&str, &[u8]) -> bool + Send + Sync>;

impl BasicAuth {
    /// Makes an authentication without users. The realm is the text that browsers show when they
    /// ask.
    pub fn new(realm: &str) -> Self {
        Self {
            challenge: challenge(realm),
            users: Vec::new(),
            verify: None,
        }
    }

    /// Adds a user. The password may be any bytes, as the keys of devices are. The time that comparing
    /// takes does not tell how much of a name or password was right.
    pub fn user(mut self, name: impl Into<String>, password: impl AsRef<[u8]>) -> Self {
        self.users.push((name.into(), password.as_ref().to_vec()));
        self
    }

    /// Sets a check for further users: it gets a name and a password, and returns whether they are right.
    /// It may block, on a database for example. It gets only passwords that are text without control
    /// characters (RFC 7617, section 2).
    ///
    /// ```
    /// # use landline::BasicAuth;
    /// # fn is_member(name: &str, password: &str) -> bool { name.len() > password.len() }
    /// let auth = BasicAuth::new("members").verify(|name, password| is_member(name, password));
    /// # let _ = auth;
    /// ```
    pub fn verify(self, verify: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.verify_bytes(move |name, password| {
            let text = std::str::from_utf8(password).ok();
            text.filter(|text| !text.contains(char::is_control))
                .is_some_and(|password| verify(name, password))
        })
    }

    /// Sets the check in place of [`verify`](Self::verify), for passwords of any bytes: charging
    /// stations, for example, have keys of 20 random bytes.
    pub fn verify_bytes(
        mut self,
        verify: impl Fn(&str, &[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.verify = Some(Box::new(verify));
        self
    }

    /// Returns the name of the user that the request comes from.
    ///
    /// # Errors
    /// A reply with 401 that asks for name and password, if they are missing or wrong.
    pub fn check(&self, request: &Request) -> Result<String, Reply> {
        let credentials = credentials(request);
        let known = credentials.filter(|(name, password)| self.lets_in(name, password));
        known
            .map(|(name, _)| name)
            .ok_or_else(|| self.unauthorized())
    }

    /// Turns it into a middleware.
    pub fn into_middleware(
        self,
    ) -> impl Fn(&mut Request, Next<'_>) -> Reply + Send + Sync + 'static {
        move |request, next| match self.check(request) {
            Ok(_) => next.run(request),
            Err(reply) => reply,
        }
    }

    fn lets_in(&self, name: &str, password: &[u8]) -> bool {
        let is_user = self.users.iter().fold(Choice::from(0), |found, user| {
            found | (is_same(user.0.as_bytes(), name.as_bytes()) & is_same(&user.1, password))
        });
        bool::from(is_user)
            || self
                .verify
                .as_ref()
                .is_some_and(|verify| verify(name, password))
    }

    fn unauthorized(&self) -> Reply {
        let reply = Reply::error(StatusCode::UNAUTHORIZED);
        reply.header(WWW_AUTHENTICATE, self.challenge.clone())
    }
}

/// Makes the challenge. RFC 9110 5.6.4: quotes and backslashes are escaped. A character that no
/// header can hold becomes a space.
fn challenge(realm: &str) -> HeaderValue {
    let mut quoted = String::new();
    for c in realm.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(if c.is_control() { ' ' } else { c });
    }
    // RFC 7617 2.1: the charset asks for name and password in UTF-8.
    let challenge = format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"");
    let value = HeaderValue::try_from(challenge);
    value.unwrap_or_else(|_| HeaderValue::from_static("Basic realm=\"\""))
}

/// Reads name and password, which come once or not at all.
fn credentials(request: &Request) -> Option<(String, Vec<u8>)> {
    let header = only_text(request.headers(), AUTHORIZATION)?;
    let (scheme, encoded) = header.split_once(' ')?;
    // RFC 9110 11.1: a scheme's case does not matter.
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let encoded = encoded.trim_matches(' ').as_bytes();
    // RFC 4648 3.2: padding may be left out only where a specification says so. Devices leave it
    // out.
    let decoded = BASE64
        .decode(encoded)
        .or_else(|_| BASE64_NOPAD.decode(encoded));
    let decoded = decoded.ok()?;
    // RFC 7617 2: the name has neither a colon nor control characters.
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&decoded[..colon]).ok()?;
    let allowed = !name.contains(char::is_control);
    allowed.then(|| (name.to_owned(), decoded[colon + 1..].to_vec()))
}

/// Compares in a time that depends on the given text alone.
fn is_same(expected: &[u8], given: &[u8]) -> Choice {
    let filled = expected
        .iter()
        .chain(std::iter::repeat(&0))
        .take(given.len());
    let same = filled
        .zip(given)
        .fold(Choice::from(1), |same, (a, b)| same & a.ct_eq(b));
    same & expected.len().ct_eq(&given.len())
}

impl fmt::Debug for BasicAuth {
    /// Shows no passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("challenge", &self.challenge)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(headers: &[&str]) -> Request {
        let mut request = http::Request::new(Bytes::new());
        for header in headers {
            request
                .headers_mut()
                .append(AUTHORIZATION, header.parse().unwrap());
        }
        Request::from(request)
    }

    fn basic(credentials: &[u8]) -> String {
        format!("Basic {}", BASE64.encode(credentials))
    }

    fn check(auth: &BasicAuth, headers: &[&str]) -> Option<String> {
        auth.check(&request(headers)).ok()
    }

    /// A user comes in with name and password only, both whole.
    #[test]
    fn lets_in_by_name_and_password() {
        let auth = BasicAuth::new("r")
            .user("ada", "pass:word")
            .user("bob", "ä")
            .user("eve", "");
        for (credentials, name) in [("ada:pass:word", "ada"), ("bob:ä", "bob"), ("eve:", "eve")] {
            let header = basic(credentials.as_bytes());
            assert_eq!(check(&auth, &[&header]).as_deref(), Some(name));
        }
        for wrong in [
            "ada:pass",
            "ada:pass:wordy",
            "ada:",
            "ada",
            "",
            ":",
            "ada:ä",
            "ada:pass:wor\0",
        ] {
            assert_eq!(check(&auth, &[&basic(wrong.as_bytes())]), None, "{wrong}");
        }
    }

    /// RFC 9110 11.4: the scheme's case does not matter; anything malformed is as good as nothing.
    #[test]
    fn reads_the_header() {
        let auth = BasicAuth::new("r").verify(|name, password| (name, password) == ("a", "b"));
        for good in ["Basic YTpi", "basic YTpi", "BASIC  YTpi"] {
            assert!(check(&auth, &[good]).is_some(), "{good}");
        }
        for bad in [
            "",
            "Basic",
            "Basic ",
            "Bearer YTpi",
            "BasicYTpi",
            "Basic YTpi=",
            "Basic Y*pi",
        ] {
            assert_eq!(check(&auth, &[bad]), None, "{bad}");
        }
        assert_eq!(check(&auth, &[]), None);
        assert_eq!(check(&auth, &["Basic YTpi", "Basic YTpi"]), None);
        let all = BasicAuth::new("r").verify(|_, _| true);
        for malformed in [
            &b"a\xFF:b"[..],
            b"no colon",
            b"a\n:b",
            b"a:b\x7F",
            b"a:b\xFF",
        ] {
            assert_eq!(check(&all, &[&basic(malformed)]), None);
        }
    }

    /// A password of any bytes is compared and shown to a closure as such; padding may be missing
    /// (RFC 4648, section 3.2).
    #[test]
    fn keys_of_devices() {
        const KEY: [u8; 20] = *b"\0\x01:\xff\xfe\x7f\n0123456789abc";
        let credentials = [b"station-7:", &KEY[..]].concat();
        let other = [&credentials[..29], b"d"].concat();
        let known = BasicAuth::new("r").user("station-7", KEY);
        let asked = BasicAuth::new("r").verify_bytes(|name, key| name == "station-7" && key == KEY);
        for auth in [known, asked] {
            for header in [
                basic(&credentials),
                basic(&credentials).trim_end_matches('=').to_owned(),
            ] {
                assert_eq!(check(&auth, &[&header]).as_deref(), Some("station-7"));
            }
            assert_eq!(check(&auth, &[&basic(&other)]), None);
        }
        for (unpadded, comes_in) in [("YWI6Yw", true), ("YWI6Yw==", true), ("YWI6Yw=", false)] {
            let auth = BasicAuth::new("r").user("ab", "c");
            let header = format!("Basic {unpadded}");
            assert_eq!(check(&auth, &[&header]).is_some(), comes_in, "{unpadded}");
        }
    }

    /// RFC 7617 2: a 401 asks by a challenge, whose realm cannot break out of its quotes.
    #[test]
    fn challenges_safely() {
        let realms = [
            ("staff", "Basic realm=\"staff\", charset=\"UTF-8\""),
            ("a\"\\b", "Basic realm=\"a\\\"\\\\b\", charset=\"UTF-8\""),
            (
                "a\r\nX: y\0\u{85}",
                "Basic realm=\"a  X: y  \", charset=\"UTF-8\"",
            ),
            ("größe", "Basic realm=\"größe\", charset=\"UTF-8\""),
        ];
        for (realm, challenge) in realms {
            let reply = BasicAuth::new(realm).check(&request(&[])).unwrap_err();
            assert_eq!(reply.status(), 401);
            assert_eq!(
                reply.headers()[WWW_AUTHENTICATE].as_bytes(),
                challenge.as_bytes()
            );
        }
    }

    /// Nobody comes in where nobody is known, and no password is shown.
    #[test]
    fn knows_nobody_by_itself() {
        assert_eq!(check(&BasicAuth::new("r"), &[&basic(b":")]), None);
        assert!(!format!("{:?}", BasicAuth::new("r").user("ada", "secret")).contains("secret"));
    }
}
