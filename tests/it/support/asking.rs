//! Clients whose requests are answered by hand.

use std::thread;

use landline::{Client, Error, Refusal};

use crate::support::*;

/// Has a client ask, answers its requests by hand, each there and with these bytes, and returns the
/// heads of the requests and what came of them: the subprotocol or an error.
#[track_caller]
pub(crate) fn ask(
    client: &Client,
    url: &str,
    answers: &[(&RawServer, &str)],
) -> (Vec<String>, Result<Option<String>, Error>) {
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let opened = client.open(url);

            opened.map(|(ws, _messages)| ws.subprotocol().map(str::to_owned))
        });

        let answered = answers.iter().map(|(raw, answer)| raw.answer_with(answer));

        let (_peers, requests): (Vec<_>, _) = answered.unzip();

        (requests, asking.join().unwrap())
    })
}

/// Returns the head of the request that a client makes.
#[track_caller]
pub(crate) fn request_of(client: &Client, raw: &RawServer, url: &str) -> String {
    let (mut requests, outcome) = ask(client, url, &[(raw, SWITCHING)]);
    outcome.unwrap();
    requests.remove(0)
}

/// Returns the error of a client that is answered like this.
#[track_caller]
pub(crate) fn refused(client: &Client, answer: &str) -> Error {
    let raw = RawServer::new();
    ask(client, &raw.url(), &[(&raw, answer)]).1.unwrap_err()
}

#[track_caller]
pub(crate) fn refusal_of(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => *refusal,
        other => panic!("{other:?}"),
    }
}

/// Returns a redirect to there.
pub(crate) fn found(location: &str) -> String {
    redirect(302, location)
}

/// Returns an answer that leads elsewhere, with this status.
pub(crate) fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// Returns all values of a field in a head.
pub(crate) fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
