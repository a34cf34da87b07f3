#!/usr/bin/env bash
# A small window and a low memory level save next to nothing with zlib-rs.
#
# The guess: what zlib's zconf.h says of its own deflate, 2^(window + 2) + 2^(level + 9) bytes, so that a server which
# keeps a compressor for each connection takes window 9 and memory level 1, and pays 3 KiB for it. zlib-rs takes 134 KiB:
# its hash table has 64 Ki places of two bytes, whatever the settings, and all of it is cleared at each reset.
source "$(dirname "$0")/common.sh"

mkdir src
cat >src/main.rs <<'RUST'
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use zlib_rs::{Deflate, DeflateConfig};

struct Counting;
static TAKEN: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    for (window, level) in [(9, 1), (9, 8), (12, 5), (15, 8), (15, 9)] {
        let config = DeflateConfig { level: 2, window_bits: -window, mem_level: level, ..DeflateConfig::default() };
        let before = TAKEN.load(Ordering::Relaxed);
        let stream = Deflate::new_with_config(config);
        let kib = (TAKEN.load(Ordering::Relaxed) - before) / 1024;
        drop(stream);
        let guess = ((1 << (window + 2)) + (1 << (level + 9))) / 1024;
        println!("window {window}, memory level {level}: {guess} KiB by zlib's formula, {kib} KiB");
    }
}
RUST
cat >Cargo.toml <<'CARGO'
[package]
name = "seen"
version = "0.0.0"
edition = "2024"

[dependencies]
zlib-rs = { version = "=0.6.8", default-features = false, features = ["std"] }
CARGO
CARGO_TARGET_DIR=target cargo run --quiet >seen

expect seen <<'SEEN'
window 9, memory level 1: 3 KiB by zlib's formula, 134 KiB
window 9, memory level 8: 130 KiB by zlib's formula, 245 KiB
window 12, memory level 5: 32 KiB by zlib's formula, 161 KiB
window 15, memory level 8: 256 KiB by zlib's formula, 371 KiB
window 15, memory level 9: 384 KiB by zlib's formula, 483 KiB
SEEN
