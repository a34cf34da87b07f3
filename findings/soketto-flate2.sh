#!/usr/bin/env bash
# soketto cannot read a compressed message of its own since a patch release of the library that inflates for it.
#
# flate2 1.1.11 demands the end of the deflate stream where 1.1.10 did not; a WebSocket's message never has one
# (RFC 7692 7.2.1). soketto asks for any flate2 1, so a `cargo update` is enough.
source "$(dirname "$0")/common.sh"

mkdir src
cat >src/main.rs <<'RUST'
use soketto::extension::deflate::Deflate;
use soketto::handshake::{server::Response, Client, Server};
use soketto::Mode;

fn main() {
    smol::block_on(async {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiving = smol::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = Server::new(stream);
            server.add_extension(Box::new(Deflate::new(Mode::Server)));
            let key = server.receive_request().await.unwrap().key();
            server.send_response(&Response::Accept { key, protocol: None }).await.unwrap();
            let (_, mut receiver) = server.into_builder().finish();
            let mut message = Vec::new();
            match receiver.receive_data(&mut message).await {
                Ok(_) => println!("received {:?}", String::from_utf8_lossy(&message)),
                Err(error) => println!("failed: {error}"),
            }
        });
        let stream = smol::net::TcpStream::connect(address).await.unwrap();
        let mut client = Client::new(stream, "localhost", "/");
        client.add_extension(Box::new(Deflate::new(Mode::Client)));
        client.handshake().await.unwrap();
        let (mut sender, _receiver) = client.into_builder().finish();
        sender.send_text("the same words, the same words, said twice").await.unwrap();
        sender.flush().await.unwrap();
        receiving.await;
    });
}
RUST

for flate2 in 1.1.10 1.1.11; do
    cat >Cargo.toml <<CARGO
[package]
name = "seen"
version = "0.0.0"
edition = "2021"

[dependencies]
soketto = { version = "=0.8.1", features = ["deflate"] }
flate2 = "=$flate2"
smol = "=2.0.2"
CARGO
    rm -f Cargo.lock
    CARGO_TARGET_DIR=target cargo run --quiet | sed "s/^/soketto 0.8.1 with flate2 $flate2 /" >>seen
done

expect seen <<'SEEN'
soketto 0.8.1 with flate2 1.1.10 received "the same words, the same words, said twice"
soketto 0.8.1 with flate2 1.1.11 failed: extension error: incomplete deflate stream
SEEN
