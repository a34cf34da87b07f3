//! What the documentation says of peers that surprise, re-enacted by their bytes.

use std::fs;
use std::path::Path;

use landline::{CloseCode, Config};

use crate::support::opcode::*;
use crate::support::*;

/// Each setting that the page names is one that some test sets.
#[test]
fn settings_that_the_page_names_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("src/peers.md")).unwrap();
    let links = page.split("(crate::").skip(1);
    let names = links.filter_map(|link| link.split(')').next()?.split_once("::"));
    let tests = ["tests/it", "src/transport"].map(|folder| all_text(&root.join(folder)));
    let tests = tests.concat();
    let untested: Vec<_> = names
        .filter(|(_, name)| !tests.contains(&format!(".{name}(")))
        .filter(|(owner, _)| *owner != "Error")
        .collect();
    assert!(untested.is_empty(), "{untested:?}");
}

fn all_text(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let texts = entries.map(|entry| match entry.path() {
        path if path.is_dir() => all_text(&path),
        path => fs::read_to_string(path).unwrap(),
    });
    texts.collect()
}

/// A peer that hangs up at any ping is lost with pings, and lives without.
#[test]
fn peers_that_know_no_pings_live_without() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, Config::new().ping_interval(ms(20)));
        assert_eq!(met.peer.read_frame().opcode, PING);
        met.peer.hang_up(HangUp::Close);
        assert_eq!(met.events.next_close().code(), CloseCode::ABNORMAL);
        let mut met = AnyMeeting::deaf(way, Config::new().ping_interval(None));
        for number in 0..20 {
            pause(ms(5), "for so long altogether no ping comes");
            let text = Frame::text(&number.to_string());
            met.peer.send(&text);
            assert_eq!(met.peer.read_frame(), text, "{way:?}: no ping");
        }
    }
}

/// A client that pongs without a mask is closed with 1002 by the letter (RFC 6455, section 5.1); it
/// has no reason to where nobody pings it.
#[test]
fn pongs_without_a_mask_are_violations() {
    let config = Config::new().ping_interval(ms(20));
    let (mut met, events) = Meeting::recorded(Role::Server, config);
    let ping = met.peer.read_frame();
    assert_eq!(ping.opcode, PING);
    met.peer
        .send_bytes(Frame::new(PONG, ping.payload).bytes(false));
    assert_eq!(met.peer.read_close(), Some(1002));
    assert_eq!(events.next_close().code(), CloseCode::PROTOCOL_ERROR);
}
