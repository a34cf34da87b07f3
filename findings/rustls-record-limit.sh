#!/usr/bin/env bash
# rustls over TLS 1.2 with AES-GCM: after 2^24 records every write is Ok and nothing leaves any more.
#
# At a thousand small messages a second that is after 4.7 hours. TLS 1.3 renews its keys unseen. Takes some minutes.
source "$(dirname "$0")/common.sh"

mkdir src
cat >Cargo.toml <<'CARGO'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"

[dependencies]
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std", "tls12"] }
rcgen = { version = "=0.14.5", default-features = false, features = ["pem", "ring"] }
CARGO
cat >src/main.rs <<'RUST'
use std::io::{Read, Write};
use std::ops::DerefMut;
use std::sync::Arc;

use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection};

const WRITES: u32 = (1 << 24) + 1000;

/// Each write leaves as a record of its own, as small messages do.
fn main() {
    let (mut client, mut server) = connect();
    println!("{:?}, {:?}", client.protocol_version().unwrap(), client.negotiated_cipher_suite().unwrap().suite());
    let mut arrived = 0;
    let mut plain = [0; 64];
    for _ in 0..WRITES {
        client.writer().write_all(b"x").unwrap();
        pass(&mut client, &mut server);
        arrived += server.reader().read(&mut plain).unwrap_or(0);
    }
    println!("{WRITES} bytes were written one by one, each Ok; {arrived} arrived");
}

fn connect() -> (ClientConnection, ServerConnection) {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
        ..ring::default_provider()
    });
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    (client, server)
}

/// Passes on what one side has for the other.
fn pass<A, B>(
    from: &mut impl DerefMut<Target = ConnectionCommon<A>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<B>>,
) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut rest = &wire[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets().unwrap();
    }
}
RUST
CARGO_TARGET_DIR=target cargo run --quiet --release >seen

expect seen <<'SEEN'
TLSv1_2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
16778216 bytes were written one by one, each Ok; 16777215 arrived
SEEN
