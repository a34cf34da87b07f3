//! The limits of heads: 16 KiB, 100 lines, 8 KiB of target; of responses 32 KiB and 128 lines.

use super::{FIELDS, feed, parse_request, parse_response};

const MAX_HEAD: usize = 16 << 10;

/// Returns 200 for a whole head, 0 for one that is not, or the status of its refusal.
fn status(bytes: &[u8]) -> u16 {
    let verdict = feed(bytes, |bytes| match parse_request(bytes) {
        Ok(None) => None,
        Ok(Some(_)) => Some(200),
        Err(bad) => Some(bad.status.as_u16()),
    });
    verdict.unwrap_or(0)
}

/// A good head of exactly this many bytes.
fn head_of(length: usize) -> Vec<u8> {
    let head = format!("GET / HTTP/1.1\r\n{FIELDS}X: ");
    let filler = "a".repeat(length - head.len() - 4);
    format!("{head}{filler}\r\n\r\n").into_bytes()
}

fn head_with_lines(lines: usize) -> Vec<u8> {
    let own = FIELDS.lines().count();
    let filler = "X: a\r\n".repeat(lines - own);
    format!("GET / HTTP/1.1\r\n{FIELDS}{filler}\r\n").into_bytes()
}

/// A head may have 16 KiB, and what follows it does not count.
#[test]
fn head_size() {
    assert_eq!(status(&head_of(MAX_HEAD)), 200);
    assert_eq!(status(&[head_of(MAX_HEAD), vec![b'a'; 100]].concat()), 200);
    assert_eq!(status(&head_of(MAX_HEAD + 1)), 431);
    assert_eq!(status(&head_of(MAX_HEAD)[..MAX_HEAD - 1]), 0);
    assert_eq!(status(&head_of(4 * MAX_HEAD)), 431);
}

/// A head may have 100 header lines.
#[test]
fn header_lines() {
    assert_eq!(status(&head_with_lines(99)), 200);
    assert_eq!(status(&head_with_lines(100)), 200);
    assert_eq!(status(&head_with_lines(101)), 431);
    assert_eq!(status(&head_with_lines(1_000)), 431);
}

/// A target may have 8 KiB; a longer one is refused before it ends.
#[test]
fn target_size() {
    let line = |length: usize| format!("GET /{} ", "a".repeat(length - 1));
    let head = |length| format!("{}HTTP/1.1\r\n{FIELDS}\r\n", line(length));
    assert_eq!(status(head(8192).as_bytes()), 200);
    assert_eq!(status(head(8193).as_bytes()), 414);
    assert_eq!(status(head(20_000).as_bytes()), 414);
    assert_eq!(status(line(8193).trim_end().as_bytes()), 414);
    assert_eq!(status(line(8192).trim_end().as_bytes()), 0);
}

/// A head that comes byte by byte is read once, not once for each byte.
#[cfg(unix)]
#[test]
fn dripping_heads_are_read_once() {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    use crate::handshake::RequestHead;

    let long = "a".repeat(7_000);
    let slow = [
        format!("GET /{long} HTTP/1.1\r\n{FIELDS}X: {long}"),
        "\n".repeat(16_000),
        format!("GET / HTTP/1.1\r\n{}", "a\r\n".repeat(5_000)),
    ];
    for head in slow {
        let before = clock_gettime(ClockId::ThreadCPUTime);
        let mut coming = RequestHead::default();
        for length in 0..head.len() {
            assert!(coming.parse(&head.as_bytes()[..length]).unwrap().is_none());
        }
        let cost = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - before).unwrap();
        // Read anew with each byte they take seconds, without optimization.
        assert!(cost < Duration::from_millis(500), "{cost:?}");
    }
}

/// Bombs are refused at the limit, whatever they are made of.
#[test]
fn bombs() {
    let line = "GET / HTTP/1.1\r\n";
    for bomb in [
        format!("{line}{}", "X: a\r\n".repeat(20_000)),
        format!("{line}X: {}", "a".repeat(1 << 20)),
        format!("{line}{}", "a".repeat(1 << 20)),
        "\r\n".repeat(1 << 16),
        format!("{}\x16", "\n".repeat(MAX_HEAD)),
    ] {
        let bomb = &bomb.as_bytes()[..bomb.len().min(2 * MAX_HEAD)];
        assert_eq!(status(bomb), 431, "{}", bomb[..40].escape_ascii());
    }
}

/// The head of a response may have 32 KiB and 128 header lines, and interim ones count.
#[test]
fn responses() {
    const MAX_HEAD: usize = 32 << 10;
    let verdict = |bytes: &[u8]| {
        feed(bytes, |bytes| match parse_response(bytes) {
            Ok(None) => None,
            Ok(Some((_, length))) => Some(Ok(length)),
            Err(error) => Some(Err(error.to_string())),
        })
    };
    let head = |filler: usize| format!("HTTP/1.1 101 OK\r\nX: {}\r\n\r\n", "a".repeat(filler));
    let own = head(0).len();
    assert_eq!(verdict(head(MAX_HEAD - own).as_bytes()), Some(Ok(MAX_HEAD)));
    assert!(
        verdict(head(MAX_HEAD - own + 1).as_bytes())
            .unwrap()
            .is_err()
    );
    let lines = |lines| format!("HTTP/1.1 101\r\n{}\r\n", "X: a\r\n".repeat(lines));
    assert!(verdict(lines(128).as_bytes()).unwrap().is_ok());
    assert!(verdict(lines(129).as_bytes()).unwrap().is_err());
    let interim = |times| "HTTP/1.1 100\r\n\r\n".repeat(times);
    assert_eq!(verdict(interim(8).as_bytes()), None);
    assert!(verdict(interim(9).as_bytes()).unwrap().is_err());
    let long = format!("{}{}", interim(1), head(MAX_HEAD - own));
    assert!(verdict(long.as_bytes()).unwrap().is_err());
}
