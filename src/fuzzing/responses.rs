//! Responses: heads, verdicts, redirects and bodies.

use http::{HeaderMap, Response};
use tungstenite::handshake::derive_accept_key;
use url::Url;

use super::Chance;
use super::input::Input;
use super::requests::check_fields;
use crate::Error;
use crate::handshake::{ClientHandshake, ResponseBody, ResponseHead, redirect};

/// Checks responses: a response gets one verdict, wherever its bytes are cut, and so does its body.
/// No error repeats bytes that cannot be printed, and no redirect leads to a forbidden URL.
///
/// The word `ACCEPT` in it stands for the right Sec-WebSocket-Accept.
pub fn responses(data: &[u8]) {
    let mut input = Input::new(data);
    let mut chance = Chance::new(input.number().into());
    let from = input.choose(&["wss://a.example/b/c?d", "ws://u:p@a.example:81/"]);
    check(input.rest(), from, &mut chance);
}

/// Reads the response to a request for `from`.
pub(crate) fn check(bytes: &[u8], from: &str, chance: &mut Chance) {
    let from = Url::parse(from).expect("a URL");
    let offered = ["chat".to_owned()];
    let handshake =
        ClientHandshake::new(&from, &HeaderMap::new(), &offered, None).expect("a request");
    let bytes = &accept(bytes, &handshake)[..];
    let whole = told(ResponseHead::default().parse(bytes));
    let mut coming = ResponseHead::default();
    let cuts = chance.cuts(bytes.len());
    let mut verdicts = cuts.iter().map(|end| told(coming.parse(&bytes[..*end])));
    let first = verdicts.find_map(|verdict| verdict);
    assert_eq!(first, whole, "{}", bytes.escape_ascii());
    let Ok(Some((response, length))) = ResponseHead::default().parse(bytes) else {
        return;
    };
    assert!(length <= bytes.len().min(32 << 10), "{length}");
    check_fields(response.headers(), 128);
    check_verdict(&handshake, &response);
    check_redirect(&from, &response);
    check_body(&response, &bytes[length..], chance);
}

/// Puts the right key in the place of the word `ACCEPT`.
fn accept(bytes: &[u8], handshake: &ClientHandshake) -> Vec<u8> {
    const NAME: &[u8] = b"ACCEPT";
    let request = String::from_utf8_lossy(handshake.bytes());
    let behind = request.split_once("Sec-WebSocket-Key: ");
    let key = behind.and_then(|(_, behind)| behind.lines().next());
    let key = derive_accept_key(key.expect("a key").as_bytes());
    match bytes.windows(NAME.len()).position(|window| window == NAME) {
        Some(at) => [&bytes[..at], key.as_bytes(), &bytes[at + NAME.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

fn told(parsed: Result<Option<(Response<()>, usize)>, Error>) -> Option<Result<String, String>> {
    match parsed {
        Ok(parsed) => parsed.map(|(response, length)| Ok(format!("{length} {response:?}"))),
        Err(error) => {
            check_printable(&error);
            Some(Err(error.to_string()))
        }
    }
}

fn check_printable(error: &Error) {
    assert!(matches!(error, Error::Handshake(_)), "{error:?}");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}

/// Checks the verdict. RFC 6455 4.1: only a 101 that upgrades, with at most one subprotocol, opens
/// a connection.
fn check_verdict(handshake: &ClientHandshake, response: &Response<()>) {
    match handshake.verify(response.clone()) {
        Ok(negotiated) => {
            assert_eq!(response.status(), 101);
            assert!(matches!(
                negotiated.subprotocol.as_deref(),
                None | Some("chat")
            ));
            assert!(response.headers().contains_key("sec-websocket-accept"));
        }
        Err(error) => check_printable(&error),
    }
}

fn check_redirect(from: &Url, response: &Response<()>) {
    match redirect::target(from, response) {
        Ok(None) => {}
        Ok(Some(to)) => {
            assert!(matches!(to.scheme(), "ws" | "wss"), "{to}");
            assert!(from.scheme() != "wss" || to.scheme() == "wss", "{to}");
            assert!(to.has_host() && to.fragment().is_none(), "{to}");
            let keeps = redirect::is_same_origin(from, &to);
            assert!(keeps || to.username().is_empty() && to.password().is_none());
        }
        Err(error) => check_printable(&error),
    }
}

fn check_body(response: &Response<()>, received: &[u8], chance: &mut Chance) {
    let mut whole = ResponseBody::announced_by(response);
    whole.take(received);
    let mut pieces = ResponseBody::announced_by(response);
    let mut begin = 0;
    for end in chance.cuts(received.len()) {
        pieces.take(&received[begin..end]);
        begin = end;
    }
    assert_eq!(
        pieces.is_over(),
        whole.is_over(),
        "{}",
        received.escape_ascii()
    );
    let (pieces, whole) = (pieces.into_bytes(), whole.into_bytes());
    assert!(pieces == whole && whole.len() <= 16 << 10);
}
