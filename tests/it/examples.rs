//! What the examples do at their edges, as processes of their own.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::*;

/// Returns an example's program, which `cargo test` builds beside the tests; `None` where the tests
/// alone were built, and it is missing or old.
fn example(name: &str) -> Option<PathBuf> {
    let this = env::current_exe().unwrap();
    let path = this.ancestors().nth(2)?.join("examples").join(name);
    let source = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified());
    let is_new = changed(&path).ok()? >= changed(source.as_ref()).ok()?;
    is_new.then_some(path)
}

/// To the client, an output that nobody reads any more is an end like any other: the server is told
/// 1000.
#[test]
fn closed_output_is_no_failure_of_the_client() {
    let Some(client) = example("client") else {
        return println!("the example is not built");
    };
    let raw = RawServer::new();
    let mut running = Command::new(client)
        .arg(raw.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peer = raw.upgrade_with(&[]);
    peer.send_text("seen");
    let mut output = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "seen\n");
    drop(output);
    peer.send_text("not seen");
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    drop(peer);
    let status = running.wait().unwrap();
    assert!(status.success(), "{status:?}");
}

/// The feed's client subscribes to all symbols in each session, goes on after any end, and closes in order
/// when its input ends.
#[test]
fn market_subscribes_in_each_session() {
    let Some(market) = example("market") else {
        return println!("the example is not built");
    };
    let raw = RawServer::new();
    let mut running = Command::new(market)
        .args([&raw.url(), "EURUSD", "USDJPY"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap()).lines();
    let session = || {
        let mut peer = raw.upgrade_with(&[]);
        assert_eq!(peer.read_frame(), Frame::text("subscribe EURUSD"));
        assert_eq!(peer.read_frame(), Frame::text("subscribe USDJPY"));
        peer
    };
    for price in ["1.0842", "1.0843"] {
        let mut peer = session();
        peer.send_text(price);
        assert_eq!(output.next().unwrap().unwrap(), price);
        peer.reset();
    }
    let mut peer = session();
    drop(running.stdin.take());
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    drop(peer);
    let status = running.wait().unwrap();
    assert!(status.success(), "{status:?}");
}

/// The bridge passes lines on from its input and from TCP, and messages to its output and to TCP.
#[test]
fn bridge_joins_three_sides() {
    let Some(bridge) = example("bridge") else {
        return println!("the example is not built");
    };
    let raw = RawServer::new();
    let mut running = Command::new(bridge)
        .arg(raw.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = running.stdin.take().unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
    let listening = said.next().unwrap().unwrap();
    let mut peer = raw.upgrade_with(&[]);
    let address = listening.trim_start_matches("listening on ");
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(b"by tcp\n").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("by tcp"));
    input.write_all(b"typed\n").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("typed"));
    peer.send_text("heard");
    assert_eq!(output.next().unwrap().unwrap(), "heard");
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = BufReader::new(tcp).lines();
    assert_eq!(heard.next().unwrap().unwrap(), "heard");
    drop(input);
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    drop(peer);
    assert!(running.wait().unwrap().success());
    assert!(said.next().unwrap().unwrap().contains("1000"));
}
