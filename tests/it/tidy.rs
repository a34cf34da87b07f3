//! The repository is tested too: what it says of itself is true of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One source file of the library, without its tests.
struct Source {
    /// Relative to `src`.
    path: String,
    /// Without comments and without the tests at its end.
    code: String,
}

/// Arrows between rooms point down: a room names only those that stand above it in the front page's list
/// of the source, but for the pairs that are known here.
#[test]
fn arrows_point_down() {
    let rooms = listed_rooms();
    let place = |room: &str| {
        let place = rooms.iter().position(|listed| listed == room);
        place.unwrap_or_else(|| panic!("the front page does not list {room}"))
    };
    let mut upward = BTreeMap::new();
    for source in sources() {
        let from = room(&source.path);
        for to in named_rooms(&source.code) {
            if place(&from) < place(&to) {
                upward.insert((from.clone(), to), source.path.clone());
            }
        }
    }
    let known = KNOWN_PAIRS.map(|(from, to)| (from.to_owned(), to.to_owned()));
    let found: BTreeSet<_> = upward.keys().cloned().collect();
    assert_eq!(found, BTreeSet::from(known), "{upward:#?}");
}

/// Rooms that name one which stands below them in the list: the front page says why.
const KNOWN_PAIRS: [(&str, &str); 3] = [
    ("connection", "websocket"),
    ("http", "server"),
    ("tls", "transport"),
];

/// Returns the rooms in the order of the front page's list of the source.
fn listed_rooms() -> Vec<String> {
    let front = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let list = front.split("//! ## The source\n//!\n//! ```text\n").nth(1);
    let list = list.expect("the front page has no list of the source");
    let lines = list.lines().take_while(|line| *line != "//! ```");
    let names = lines.map(|line| line[4..].split("  ").next().unwrap_or_default());
    let rooms = names.flat_map(|names| names.split(", "));
    let rooms = rooms.map(|room| room.trim_end_matches('/').to_owned());
    rooms.filter(|room| !room.is_empty()).collect()
}

/// Arrows between the files of a connection point down: each names only those behind it in the list at
/// the head of the room.
#[test]
fn arrows_within_the_connection_point_down() {
    let files = listed_files();
    let place = |file: &str| {
        let place = files.iter().position(|listed| listed == file);
        place.unwrap_or_else(|| panic!("the room does not list {file}"))
    };
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(file) = source.path.strip_prefix("connection/") else {
            continue;
        };
        // A file's own parts stand where it does.
        let from = room(file);
        for to in named_files(&source.code, &files) {
            if place(&from) > place(&to) {
                wrong.push(format!("{from} names {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the files of a connection in the order of the list at the head of their room.
fn listed_files() -> Vec<String> {
    let head = fs::read_to_string(root().join("src/connection/mod.rs")).unwrap();
    let lines = head.lines().take_while(|line| line.starts_with("//!"));
    let items = lines.filter_map(|line| line.strip_prefix("//! - `"));
    items.map(identifier).collect()
}

/// Returns the files of its own room that code names; what the room's head only hands on does not count.
fn named_files(code: &str, files: &[String]) -> BTreeSet<String> {
    let own = code
        .lines()
        .filter(|line| !line.starts_with("pub(crate) use "));
    let own = own.collect::<Vec<_>>().join("\n");
    let mut named = BTreeSet::new();
    for path in ["super::", "self::"] {
        for (at, _) in own.match_indices(path) {
            let names = first_names(&own[at + path.len()..]).into_iter();
            let file = |name: String| files.contains(&name).then_some(name);
            named.extend(names.map(|name| file(name).unwrap_or_else(|| "mod".to_owned())));
        }
    }
    named
}

/// Each dependency is named where it belongs, and nowhere else.
#[test]
fn dependencies_stay_in_their_rooms() {
    let rules: [(&str, &[&str]); 19] = [
        ("log", &["record.rs"]),
        (
            "crossbeam_channel",
            &[
                "outbox/channel.rs",
                "messages/receiver.rs",
                "client/kept.rs",
                "client/state_board.rs",
                "server/incoming.rs",
            ],
        ),
        ("tungstenite", &["protocol/frame.rs", "handshake/"]),
        ("rustix", &["transport/os/"]),
        ("native_tls", &["transport/"]),
        ("openssl", &["transport/"]),
        // The engine's own module has the crate's name beside it.
        ("rustls", &["transport/tls/rustls/", "transport/tls/mod.rs"]),
        ("rustls_native_certs", &["transport/tls/rustls/"]),
        (
            "rustls_pki_types",
            &["transport/tls/pem.rs", "transport/tls/native/pkcs8.rs"],
        ),
        ("pkcs8", &["transport/tls/native/pkcs8.rs"]),
        ("sec1", &["transport/tls/native/pkcs8.rs"]),
        ("httparse", &["handshake/"]),
        ("loom", &["sync.rs", "outbox/"]),
        ("zlib_rs", &["deflate/"]),
        ("rand", &["random.rs"]),
        (
            "bytes_utils",
            &["message.rs", "protocol/gathered.rs", "protocol/payloads.rs"],
        ),
        ("simdutf8", &["message.rs", "protocol/utf8.rs"]),
        ("yoke", &["message.rs"]),
        ("data_encoding", &["handshake/", "transport/", "http/"]),
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, homes) in rules {
            let at_home = homes.iter().any(|home| source.path.starts_with(home));
            if !at_home && names_path(&source.code, name) {
                wrong.push(format!("{} names {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The protocol and the handshake are arithmetic: they know no socket, clock, thread or lock.
#[test]
fn protocol_does_no_io() {
    let forbidden = [
        "std::net",
        "std::time",
        "std::thread",
        "std::sync",
        "std::fs",
        "std::os",
    ];
    let mut wrong = Vec::new();
    let pure = |source: &Source| ["protocol", "handshake"].contains(&&*room(&source.path));
    for source in sources().into_iter().filter(pure) {
        for name in forbidden
            .into_iter()
            .filter(|name| source.code.contains(name))
        {
            wrong.push(format!("{} names {name}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The library does not panic on purpose; what cannot be is `unreachable!` and says why.
#[test]
fn no_panic_on_purpose() {
    let forbidden = [
        ".unwrap()",
        ".expect(\"",
        ".expect(&",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "unreachable!()",
        "unreachable_unchecked",
        "process::abort",
        "process::exit",
    ];
    assert_absent(&forbidden);
}

/// Waiting is for an event: nothing in the library sleeps for a time.
#[test]
fn nothing_sleeps() {
    assert_absent(&["thread::sleep", "sleep("]);
}

/// A thread that cannot be had is an error: `thread::spawn` would panic.
#[test]
fn threads_are_named_and_may_be_refused() {
    assert_absent(&["thread::spawn(", "thread::scope("]);
}

/// What is kept for each thread is asked for by `try_with` alone: all else panics while the thread
/// ends, and that aborts the process.
#[test]
fn thread_locals_may_be_gone() {
    let mut wrong = Vec::new();
    for source in sources() {
        for name in thread_locals(&source.code) {
            let uses = source.code.match_indices(&name);
            let methods = uses.filter_map(|(at, _)| {
                let behind = source.code[at + name.len()..].trim_start();
                behind.strip_prefix('.').map(identifier)
            });
            let other = methods.filter(|method| method != "try_with");
            wrong.extend(other.map(|method| format!("{}: {name}.{method}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the names that a file's `thread_local!` declares.
fn thread_locals(code: &str) -> Vec<String> {
    let blocks = code.split("thread_local! {").skip(1);
    let bodies = blocks.filter_map(|block| block.split("\n}").next());
    let declared = bodies.flat_map(|body| body.split("static ").skip(1));
    declared.map(identifier).collect()
}

#[track_caller]
fn assert_absent(forbidden: &[&str]) {
    let mut wrong = Vec::new();
    for source in sources() {
        for name in forbidden {
            // `.sleep(` of a type's own is none of the system's.
            let found = source.code.match_indices(name);
            if found
                .clone()
                .any(|(at, _)| !is_own_method(&source.code, at))
            {
                wrong.push(format!("{} has {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn is_own_method(code: &str, at: usize) -> bool {
    let before = &code[..at];
    code[at..].starts_with("sleep(") && (before.ends_with("self.") || before.ends_with("fn "))
}

/// The README names every example.
#[test]
fn readme_names_every_example() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is no README.md");
    let mut missing = Vec::new();
    for example in fs::read_dir(root().join("examples")).unwrap() {
        let name = example.unwrap().file_name().into_string().unwrap();
        if !readme.contains(&format!("](examples/{name}")) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "README.md does not name {missing:?}");
}

/// Every test says in its documentation which rule it proves.
#[test]
fn every_test_states_its_rule() {
    let mut wrong = Vec::new();
    for path in files(&root().join("tests")) {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (at, _) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| **line == "#[test]")
        {
            let documented = at > 0 && lines[at - 1].starts_with("///");
            if !documented {
                wrong.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A test waits for events; where time itself is what it is about, it says so to `pause`.
#[test]
fn tests_pause_with_a_reason() {
    let support = root().join("tests/it/support");
    let outside = files(&root().join("tests/it")).into_iter();
    let outside = outside.filter(|path| !path.starts_with(&support) && !path.ends_with("tidy.rs"));
    let wrong: Vec<_> = outside
        .filter(|path| fs::read_to_string(path).unwrap().contains("thread::sleep("))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Rust files in a folder and below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the library's files but its tests.
fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let mut sources = Vec::new();
    for path in files(&folder) {
        let relative = path
            .strip_prefix(&folder)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let is_test = ["tests", "models", "mock"].iter().any(|name| {
            relative.contains(&format!("/{name}.rs")) || relative.contains(&format!("/{name}/"))
        });
        if !is_test && room(&relative) != "fuzzing" && relative != "lib.rs" {
            let code = without_tests(&fs::read_to_string(&path).unwrap());
            sources.push(Source {
                path: relative,
                code,
            });
        }
    }
    assert!(
        sources.len() > 20,
        "the library's files are not where they were"
    );
    sources
}

/// Cuts off the tests and what stands in for a thing under the models, at a file's end, and the
/// comments, which say what they like.
fn without_tests(text: &str) -> String {
    let tests = [
        "\n#[cfg(test)]\nmod tests {",
        "\n#[cfg(all(test, not(loom)))]\nmod tests {",
        "\n#[cfg(loom)]\nmod ",
    ];
    let end = tests.iter().filter_map(|begin| text.find(begin)).min();
    let lines = text[..end.unwrap_or(text.len())].lines();
    lines
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns the room that a file stands in: its folder, or itself.
fn room(path: &str) -> String {
    let end = path.find(['/', '.']).unwrap_or(path.len());
    path[..end].to_owned()
}

/// Tells whether code names a crate: as a path, or in a `use`.
fn names_path(code: &str, name: &str) -> bool {
    [
        format!("{name}::"),
        format!("use {name};"),
        format!("extern crate {name}"),
    ]
    .iter()
    .any(|path| {
        let mut found = code.match_indices(path.as_str());
        found.any(|(at, _)| {
            !code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before))
        })
    })
}

/// Returns the rooms that code names by `crate::`, those of re-exported types included.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let exports = exports();
    let mut rooms = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        if code[..at].ends_with("in ") {
            // `pub(in crate::room)` names nothing, it hides.
            continue;
        }
        for name in first_names(&code[at + path.len()..]) {
            match exports.iter().find(|(export, _)| *export == name) {
                Some((_, room)) => rooms.insert(room.clone()),
                None => rooms.insert(name),
            };
        }
    }
    rooms
}

/// Returns the names that directly follow a `::`: one, or those of a list.
fn first_names(rest: &str) -> Vec<String> {
    let Some(list) = rest.strip_prefix('{') else {
        return vec![identifier(rest)];
    };
    let mut names = Vec::new();
    let (mut depth, mut begins) = (0, true);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if depth == 0 && begins && !character.is_whitespace() => {
                names.push(identifier(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

/// Returns what the front door re-exports, and from which room.
fn exports() -> Vec<(String, String)> {
    let front = without_tests(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    let mut exports = Vec::new();
    for line in front.split(';') {
        let Some((_, path)) = line.split_once("pub use ") else {
            continue;
        };
        let path = path.strip_prefix("crate::").unwrap_or(path);
        let Some((room, names)) = path.split_once("::") else {
            continue;
        };
        for name in first_names(names) {
            exports.push((name, room.to_owned()));
        }
    }
    assert!(exports.len() > 20, "the front door's exports are not found");
    exports
}
