//! Replies to peers that read slowly, or not at all: the write deadline is theirs.

use std::io::{self, Read};
use std::time::Duration;

use landline::{Config, Reply, Request, Server, ServerBuilder, Upgrade};

use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PAGE: usize = 6 << 20;
/// Much less than it takes to read a page slowly.
const SHORT: Duration = ms(2_000);

fn config() -> Config {
    Config::new()
        .handshake_timeout(SHORT)
        .write_timeout(PATIENCE)
}

/// Serves one large page.
fn pages(config: Config) -> ServerBuilder {
    let page = |_: &mut Request| Reply::text("x".repeat(PAGE));
    Server::builder().config(config).on_request(page)
}

/// Connects with a receive buffer that holds little of the page.
fn dial(server: &Server) -> RawPeer {
    RawPeer::dial_with_buffer(server, 32 << 10)
}

/// A peer that reads slowly gets the whole page, however long that takes.
#[test]
fn slow_reader_gets_its_whole_page() {
    let server = TestServer::start(pages(config()));
    let mut peer = dial(&server);
    peer.send_bytes(GET);
    peer.read_head();
    assert_eq!(peer.read_slowly(ms(40)), (PAGE, End::Eof));
}

/// So it does over TLS, with a `close_notify` behind the page.
#[test]
#[cfg(feature = "tls")]
fn slow_reader_gets_its_whole_page_over_tls() {
    let server = secure(pages(config().handshake_timeout(2 * SHORT)));
    let mut peer = TlsPeer::over(dial(&server));
    peer.send_bytes(GET);
    peer.read_head();
    assert_eq!(peer.read_slowly(ms(15)), (PAGE, TlsEnd::Notified));
}

/// A peer that takes nothing any more is cut by the write deadline, whatever is written to it, and
/// one record says who, what, why and how much was left.
#[test]
fn reader_that_stops_is_cut_and_recorded() {
    let Some(_) = part() else {
        let test = "server::reply_deadlines::reader_that_stops_is_cut_and_recorded";
        return Part::start(test, "all", &[]).release();
    };
    let logger = Logger::install(|_| {});
    let config = Config::new()
        .handshake_timeout(4 * PATIENCE)
        .write_timeout(ms(500));
    let long = "x".repeat(16 << 10);
    let upgrade = move |_: &mut Request| {
        // The 101 is written under the same deadline.
        let headers = (0..400).map(|number| format!("X-{number}"));
        let upgrade = headers.fold(Upgrade::new(), |upgrade, name| upgrade.header(name, &long));
        Ok(upgrade)
    };
    let refusal = |_: &mut Request| Err(Reply::forbidden().body("x".repeat(PAGE)));
    let builder = || Server::builder().config(config.clone());
    let upgrading = || upgrade_request("127.0.0.1:1");
    for (status, builder, request) in [
        ("HTTP/1.1 200 OK", pages(config.clone()), GET.to_owned()),
        (
            "HTTP/1.1 403 Forbidden",
            builder().should_upgrade(refusal).on_upgrade(|_, _| ()),
            upgrading(),
        ),
        (
            "HTTP/1.1 101 Switching Protocols",
            builder().should_upgrade(upgrade).on_upgrade(|_, _| ()),
            upgrading(),
        ),
    ] {
        let server = TestServer::start(builder);
        let mut peer = dial(&server);
        peer.send_bytes(request);
        let name = peer.stream.local_addr().unwrap().to_string();
        let told = |record: &String| record.contains(&name) && record.contains("not written");
        settled("it is recorded", || logger.so_far().iter().any(told));
        let records: Vec<_> = logger.so_far().into_iter().filter(told).collect();
        let [record] = &records[..] else {
            panic!("{records:#?}")
        };
        assert!(record.starts_with("DEBUG "), "{record}");
        for part in [status, "timed out writing", " bytes left"] {
            assert!(record.contains(part), "{record}");
        }
        // What is left in the kernel goes with the connection.
        settled("its thread has ended", || {
            let number = |name: &str| name.strip_prefix("landline-")?.parse::<u64>().ok();
            threads()
                .iter()
                .all(|thread| number(&thread.name).is_none())
        });
        // Who has cut it holds the socket for a moment longer.
        settle_asleep_unless("landline-backgr", || {
            threads_named("landline-backgr").is_empty()
        });
        let end = io::copy(&mut peer.stream, &mut io::sink());
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    until_released();
}

/// A reader that is too slow for 64 KiB within the write deadline is cut, though it reads.
#[test]
fn reader_of_drops_is_cut() {
    let config = Config::new()
        .handshake_timeout(4 * PATIENCE)
        .write_timeout(ms(500));
    let server = TestServer::start(pages(config));
    let mut peer = dial(&server);
    peer.send_bytes(GET);
    peer.stream.set_read_timeout(Some(ms(50))).unwrap();
    settled("it is cut", || {
        let mut drops = [0; 1 << 10];
        let end = uninterrupted(|| peer.stream.read(&mut drops));
        pause(ms(20), "the peer reads a KiB at a time, too slowly");
        end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    });
}
