//! What the examples do at their edges, as processes of their own.

use std::env;
use std::io::{BufRead, BufReader};
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
