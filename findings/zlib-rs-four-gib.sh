#!/usr/bin/env bash
# zlib-rs with overflow checks, as in debug builds: a raw stream panics behind 4 GiB where C's long has 32 bits.
#
# That is on Windows too. The counters that it shows are of 64 bits. Takes a minute, and an x86-64 Linux with rustup.
source "$(dirname "$0")/common.sh"

mkdir src
cat >Cargo.toml <<'CARGO'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"

[dependencies]
zlib-rs = { version = "=0.6.8", default-features = false, features = ["std"] }

[profile.release]
overflow-checks = true
CARGO
cat >src/main.rs <<'RUST'
use std::panic::{self, AssertUnwindSafe};

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush};

/// A message that does not shrink, in stored blocks without a final one, and what it says.
fn message() -> (Vec<u8>, Vec<u8>) {
    let plain = vec![7; 256 * 65_535];
    let mut packed = Vec::new();
    for block in plain.chunks(65_535) {
        packed.extend_from_slice(&[0, 0xff, 0xff, 0, 0]);
        packed.extend_from_slice(block);
    }
    (packed, plain)
}

/// Does it again and again. Tells in which GiB it has panicked.
fn repeat(what: &str, size: usize, mut once: impl FnMut()) {
    for count in 1..=2 * (4 << 30) / size as u64 {
        if panic::catch_unwind(AssertUnwindSafe(&mut once)).is_err() {
            return println!("{what}: panics in GiB {}", 1 + (count * size as u64 - 1 >> 30));
        }
    }
    println!("{what}: 8 GiB are no trouble");
}

fn main() {
    panic::set_hook(Box::new(|_| ()));
    println!("c_ulong has {} bits", std::ffi::c_ulong::BITS);
    let (packed, mut plain) = message();
    let mut inflate = Inflate::new(false, 15);
    repeat("inflate", packed.len(), || {
        inflate.decompress(&packed, &mut plain, InflateFlush::SyncFlush).unwrap();
    });
    let mut room = vec![0; packed.len() + 100_000];
    let mut deflate = Deflate::new_with_config(DeflateConfig { window_bits: -15, level: 0, ..DeflateConfig::default() });
    repeat("deflate", plain.len(), || {
        deflate.compress(&plain, &mut room, DeflateFlush::SyncFlush).unwrap();
    });
}
RUST
rustup --quiet target add i686-unknown-linux-musl
for system in i686-unknown-linux-musl x86_64-unknown-linux-gnu; do
    [[ $system != i686* ]] || export RUSTFLAGS="-C linker=rust-lld" # there may be no C compiler for 32 bits
    CARGO_TARGET_DIR=target cargo run --quiet --release --target "$system" >>seen
    unset RUSTFLAGS
done

expect seen <<'SEEN'
c_ulong has 32 bits
inflate: panics in GiB 5
deflate: panics in GiB 5
c_ulong has 64 bits
inflate: 8 GiB are no trouble
deflate: 8 GiB are no trouble
SEEN
