//! What compression costs a connection that is idle.

use std::net::SocketAddr;

use landline::Compression;

use super::*;

/// An idle connection whose messages stand alone in both directions costs what one without compression
/// does. What takeover costs is printed, and bounded.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes long: .ci/run cost")]
fn idle_connections_with_compression() {
    const TEST: &str = "cost::compression::idle_connections_with_compression";
    if let Some(asked) = part() {
        let (address, how) = asked.split_once(' ').unwrap();
        return hold(address.parse().unwrap(), Offer::of(how));
    }
    alone(|| {
        raise_descriptors();
        let each = [
            Offer::None,
            Offer::Alone,
            Offer::PeerTakeover,
            Offer::Takeover,
        ]
        .map(|offer| measure(TEST, offer));
        let [none, alone, peer, both] = each;
        println!(
            "KiB an idle connection: {none:.1} without compression, {alone:.1} alone, {peer:.1} with the peer's takeover, {both:.1} with both"
        );
        // Less than the page that is touched one time and not the other.
        assert!(alone < none + 1.0, "{each:?}");
        assert!(peer < none + 52.0 && both < none + 440.0, "{each:?}");
    });
}

#[derive(Clone, Copy, Debug)]
enum Offer {
    None,
    Alone,
    PeerTakeover,
    Takeover,
}

impl Offer {
    fn of(name: &str) -> Self {
        let all = [Self::None, Self::Alone, Self::PeerTakeover, Self::Takeover];
        let mut all = all.into_iter();
        all.find(|offer| format!("{offer:?}") == name).unwrap()
    }

    fn extensions(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Alone => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            }
            Self::PeerTakeover => "permessage-deflate; server_no_context_takeover",
            Self::Takeover => "permessage-deflate",
        }
    }

    fn count(self) -> usize {
        match self {
            Self::Takeover => 200,
            Self::PeerTakeover => addressable(1_000),
            _ => addressable(2_000),
        }
    }
}

/// Returns how many KiB each of many connections costs.
fn measure(test: &str, offer: Offer) -> f64 {
    let compression = Compression::new().context_takeover(true);
    let server = TestServer::echo_with(timeless().compression(compression));
    // What the first connections cost once is not what each costs.
    let warm: Vec<_> = (0..20)
        .map(|_| exchange(tcp_addr(&server), offer))
        .collect();
    let before = resident_kib();
    let part = format!("{} {offer:?}", tcp_addr(&server));
    let mut peers = Part::start(test, &part, &[]);
    assert_eq!(peers.hear(), "echoed");
    assert_eq!(server.connection_count(), offer.count() + warm.len());
    at_rest("the memory", resident_kib);
    let each = (resident_kib() - before) as f64 / offer.count() as f64;
    peers.release();
    settled("all are gone", || server.connection_count() == warm.len());
    each
}

fn hold(server: SocketAddr, offer: Offer) {
    raise_descriptors();
    let _peers: Vec<_> = (0..offer.count())
        .map(|_| exchange(server, offer))
        .collect();
    tell("echoed");
    until_released();
}

/// Opens a connection that echoes 2,000 bytes, compressed where that is agreed.
fn exchange(server: SocketAddr, offer: Offer) -> RawPeer {
    let line = format!(
        "\r\nSec-WebSocket-Extensions: {}\r\n\r\n",
        offer.extensions()
    );
    let mut peer = RawPeer::connect_to(server);
    peer.send_bytes(upgrade_request(server).replace("\r\n\r\n", &line));
    peer.read_head();
    let text: String = (0..150).map(|number| format!("{number}, ")).collect();
    let frame = match offer {
        Offer::None => Frame::text(&text),
        _ => Frame::new(TEXT, compress(text.as_bytes())).compressed(),
    };
    peer.send(&frame);
    let echo = peer.read_frame();
    assert_eq!(echo.rsv1, frame.rsv1);
    peer
}

fn compress(text: &[u8]) -> Vec<u8> {
    let mut stream = zlib_rs::Deflate::new(6, false, 15);
    let mut output = vec![0; text.len() + 100];
    let flush = zlib_rs::DeflateFlush::SyncFlush;
    stream.compress(text, &mut output, flush).unwrap();
    output.truncate(stream.total_out() as usize - 4);
    output
}
