//! Offers and answers as peers write them, and as they must not.

use http::HeaderValue;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use super::*;

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            SEC_WEBSOCKET_EXTENSIONS,
            HeaderValue::from_str(line).unwrap(),
        );
    }
    headers
}

/// Returns the text of a server's answer.
#[track_caller]
fn answered(offers: &[&str], settings: &Compression) -> Option<String> {
    answer_offers(&headers(offers), settings).map(|(_, text)| text)
}

/// Reads a server's answer, and writes down what is agreed: takeover and window of our direction, then
/// of the peer's.
fn taken(answer: &str) -> String {
    match read_answer(&headers(&[answer]), Some(&Compression::new())) {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(agreed)) => format!(
            "{} {} {} {}",
            agreed.context_takeover,
            agreed.window_bits,
            agreed.peer_context_takeover,
            agreed.peer_window_bits,
        ),
        Err(error) => error.to_string(),
    }
}

const PLAIN: &str = "permessage-deflate; server_no_context_takeover";

/// What a server answers to the offers that clients send, with default settings.
#[test]
fn answers() {
    let cnt = Some(format!("{PLAIN}; client_no_context_takeover"));
    let plain = Some(PLAIN.to_owned());
    let window = |bits| Some(format!("{PLAIN}; server_max_window_bits={bits}"));
    for (offer, expected) in [
        ("permessage-deflate", &plain),
        ("permessage-deflate; client_max_window_bits", &plain),
        ("permessage-deflate; client_max_window_bits=10", &plain),
        ("permessage-deflate; client_max_window_bits=8", &plain),
        ("permessage-deflate; client_max_window_bits=\"10\"", &plain),
        ("permessage-deflate; server_no_context_takeover", &plain),
        ("permessage-deflate; client_no_context_takeover", &cnt),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits",
            &cnt,
        ),
        ("permessage-deflate; server_max_window_bits=15", &window(15)),
        ("permessage-deflate; server_max_window_bits=9", &window(9)),
        (
            "permessage-deflate;server_max_window_bits = \"1\\2\"",
            &window(12),
        ),
        (" , permessage-deflate ,, ", &plain),
        (
            "foo; bar=\"a, permessage-deflate; c\", permessage-deflate",
            &plain,
        ),
        (
            "foo; bar=\"baz\", permessage-deflate; client_no_context_takeover",
            &cnt,
        ),
        // The first that can be taken.
        ("permessage-deflate; foo=1, permessage-deflate", &plain),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            &plain,
        ),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            &window(10),
        ),
        ("x-webkit-deflate-frame, permessage-deflate", &plain),
        // None that can.
        ("", &None),
        ("Permessage-Deflate", &None),
        ("permessage-deflate-2", &None),
        ("permessage-deflate; foo", &None),
        ("permessage-deflate; Server_No_Context_Takeover", &None),
        ("permessage-deflate; server_no_context_takeover=1", &None),
        ("permessage-deflate; client_no_context_takeover=true", &None),
        ("permessage-deflate; server_max_window_bits", &None),
        ("permessage-deflate; server_max_window_bits=8", &None),
        ("permessage-deflate; server_max_window_bits=7", &None),
        ("permessage-deflate; server_max_window_bits=16", &None),
        ("permessage-deflate; server_max_window_bits=09", &None),
        ("permessage-deflate; server_max_window_bits=+9", &None),
        ("permessage-deflate; server_max_window_bits=", &None),
        ("permessage-deflate; server_max_window_bits=\"1 0\"", &None),
        ("permessage-deflate; server_max_window_bits=\"10", &None),
        ("permessage-deflate; client_max_window_bits=16", &None),
        (
            "permessage-deflate; client_max_window_bits=10; client_max_window_bits",
            &None,
        ),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            &None,
        ),
        ("permessage-deflate;", &None),
        ("permessage-deflate; =1", &None),
        ("permessage-deflate server_no_context_takeover", &None),
    ] {
        assert_eq!(
            &answered(&[offer], &Compression::new()),
            expected,
            "{offer:?}"
        );
        let second = answered(&["unknown", offer], &Compression::new());
        assert_eq!(&second, expected, "{offer:?} on the second line");
    }
}

/// A server's settings show in its answer, and in what is agreed.
#[test]
fn answers_by_settings() {
    let offer = ["permessage-deflate; client_max_window_bits"];
    let takes_over = Compression::new().context_takeover(true);
    assert_eq!(answered(&offer, &takes_over).unwrap(), "permessage-deflate");
    let asked = ["permessage-deflate; server_no_context_takeover"];
    assert_eq!(answered(&asked, &takes_over).unwrap(), PLAIN);
    let saves = takes_over.peer_context_takeover(false).window_bits(11);
    assert_eq!(
        answered(&offer, &saves).unwrap(),
        "permessage-deflate; client_no_context_takeover"
    );
    let (agreed, text) = answer_offers(
        &headers(&["permessage-deflate; server_max_window_bits=13"]),
        &saves,
    )
    .unwrap();
    assert!(text.ends_with("server_max_window_bits=11"), "{text}");
    assert_eq!((agreed.context_takeover, agreed.window_bits), (true, 11));
    assert!(!agreed.peer_context_takeover);
}

/// A client makes one offer that every server takes.
#[test]
fn offers() {
    let defaults = offer(&Compression::new());
    assert_eq!(defaults, "permessage-deflate; client_max_window_bits");
    let saves = Compression::new().peer_context_takeover(false);
    assert_eq!(
        offer(&saves),
        "permessage-deflate; client_max_window_bits; server_no_context_takeover"
    );
}

/// What a client makes of the answers that servers give.
#[test]
fn agreements() {
    const WRONG: &str = "malformed";
    const FOREIGN: &str = "not offered";
    for (answer, expected) in [
        ("", "nothing"),
        (" , ", "nothing"),
        ("permessage-deflate", "true 15 true 15"),
        (
            "permessage-deflate; server_no_context_takeover",
            "true 15 false 15",
        ),
        (
            "permessage-deflate; client_no_context_takeover",
            "false 15 true 15",
        ),
        (
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            "true 12 true 12",
        ),
        (
            "permessage-deflate; client_max_window_bits=8",
            "true 8 true 15",
        ),
        (
            "permessage-deflate; client_max_window_bits=\"9\"",
            "true 9 true 15",
        ),
        (
            "permessage-deflate; server_max_window_bits=8",
            "true 15 true 8",
        ),
        ("permessage-deflate; client_max_window_bits", WRONG),
        ("permessage-deflate; client_max_window_bits=7", WRONG),
        ("permessage-deflate; server_max_window_bits", WRONG),
        ("permessage-deflate; server_max_window_bits=16", WRONG),
        ("permessage-deflate; foo=1", WRONG),
        ("permessage-deflate; server_no_context_takeover=0", WRONG),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            WRONG,
        ),
        ("permessage-deflate; foo bar", FOREIGN),
        ("permessage-deflate, permessage-deflate", FOREIGN),
        ("permessage-deflate, foo", FOREIGN),
        ("foo", FOREIGN),
        ("Permessage-Deflate", FOREIGN),
    ] {
        let got = taken(answer);
        let is_right = match expected {
            WRONG | FOREIGN => got.contains(expected),
            _ => got == expected,
        };
        assert!(is_right, "{answer:?}: {got}");
    }
}

/// An answer where nothing was offered fails the handshake.
#[test]
fn answers_to_nothing() {
    let answer = headers(&["permessage-deflate"]);
    assert!(read_answer(&answer, None).is_err());
    assert_eq!(read_answer(&headers(&[]), None).unwrap(), None);
}

/// A client's settings bound its own direction.
#[test]
fn agreements_by_settings() {
    let settings = Compression::new().context_takeover(false).window_bits(10);
    let agreed = read_answer(&headers(&["permessage-deflate"]), Some(&settings));
    let agreed = agreed.unwrap().unwrap();
    assert!(!agreed.context_takeover && agreed.peer_context_takeover);
    assert_eq!((agreed.window_bits, agreed.peer_window_bits), (10, 15));
}
