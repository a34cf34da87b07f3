//! Replays what the fuzzer has found worth keeping.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use super::*;

/// Every property holds for every input of its corpus, and for the empty one.
#[test]
fn properties_hold_for_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    if !corpus.exists() {
        // A packaged crate is without it.
        return;
    }
    #[cfg(feature = "deflate")]
    check(&corpus.join("compression"), compression);
    check(&corpus.join("decoder"), decoder);
    #[cfg(not(loom))]
    check(&corpus.join("endpoints"), endpoints);
    check(&corpus.join("frames"), frames);
    check(&corpus.join("requests"), requests);
    check(&corpus.join("responses"), responses);
    check(&corpus.join("text"), text);
}

fn check(inputs: &Path, property: fn(&[u8])) {
    property(b"");
    let paths: Vec<_> = fs::read_dir(inputs)
        .unwrap()
        .map(|input| input.unwrap().path())
        .collect();
    assert!(!paths.is_empty(), "nothing in {}", inputs.display());
    for path in paths {
        let input = fs::read(&path).unwrap();
        let held = catch_unwind(|| property(&input));
        assert!(held.is_ok(), "{}", path.display());
    }
}
