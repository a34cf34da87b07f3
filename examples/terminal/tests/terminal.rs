//! The program as people and scripts run it: in a pipe, and in a pseudo-terminal.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pseudo_terminal;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use landline::{BasicAuth, Compression, Config, Message, Server, ServerBuilder, Upgrade};

use self::pseudo_terminal::PseudoTerminal;

/// Starts what was built, and returns it with its URL.
#[track_caller]
fn start(builder: ServerBuilder) -> (Server, String) {
    let server = builder.bind("127.0.0.1:0").unwrap();
    let url = server.url();
    (server, url)
}

/// Starts a server that sends every message back, and ends at "end" with the code 4001.
fn echo() -> (Server, String) {
    start(echo_builder())
}

fn echo_builder() -> ServerBuilder {
    Server::builder().on_upgrade(|ws, _| {
        ws.on_message(|ws, message| match message.as_text() {
            Some("end") => ws.close_with(4001, "as you wish"),
            _ => ws.send(message),
        });
    })
}

/// Waits until the server reaches the program.
#[track_caller]
fn await_connection(server: &Server) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.connections().is_empty() {
        assert!(Instant::now() < deadline, "nobody comes");
        thread::sleep(Duration::from_millis(1));
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landline"));
    command.args(arguments).env("NO_COLOR", "");
    command
}

/// Runs the program in a pipe.
#[track_caller]
fn run(arguments: &[&str], input: &str) -> (String, String, i32) {
    let mut child = program(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // The program may end before it has read all.
    let writing = thread::spawn(move || _ = stdin.write_all(input.as_bytes()));
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code().unwrap())
}

/// In a pipe lines go out and messages come in, nothing else is on standard output, and the end of the
/// input ends it in order, once all has come.
#[test]
fn pipes_carry_messages_alone() {
    let (_server, url) = echo();
    let (out, err, status) = run(&[&url], "one\r\ntwo\n\nlast \x1b[31m");
    assert_eq!(out, "one\ntwo\n\nlast \x1b[31m\n");
    assert_eq!(status, 0);
    assert!(
        err.contains("connected to 127.0.0.1:") && err.contains("1000"),
        "{err}"
    );
    let (out, err, status) = run(&[&url, "--quiet"], "one\n");
    assert_eq!((&*out, &*err, status), ("one\n", "", 0));
    // The scheme may be left out.
    let (out, ..) = run(&[url.trim_start_matches("ws://")], "one\n");
    assert_eq!(out, "one\n");
}

/// A large input arrives whole. A Close that waits for no answers would have a slow server leave some out.
#[test]
fn large_inputs_arrive() {
    let (_server, url) = echo();
    let lines: String = (0..50_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    let (out, err, status) = run(&[&url, "-n", "50000"], &lines);
    assert!(
        out == lines && status == 0,
        "{} bytes of {}, {status}: {err}",
        out.len(),
        lines.len()
    );
}

/// Messages given as arguments are sent, as many answers printed, and the input is not touched.
#[test]
fn messages_are_given_as_arguments() {
    let (_server, url) = echo();
    let (out, _, status) = run(&[&url, "-x", "one"], "not read");
    assert_eq!((&*out, status), ("one\n", 0));
    let (out, _, status) = run(&[&url, "-x", "one", "-x", "two"], "");
    assert_eq!((&*out, status), ("one\ntwo\n", 0));
    let (out, err, status) = run(&[&url, "-x", "one", "-x", "end"], "");
    assert_eq!((&*out, status), ("one\n", 1));
    assert!(err.contains("1 of 2 messages came"), "{err}");
}

/// So many messages are waited for, also behind the end of the input.
#[test]
fn messages_are_waited_for() {
    let (_server, url) = start(Server::builder().on_upgrade(|ws, _| {
        for number in 1..=5 {
            ws.send(format!("{number}"))?;
        }
        landline::Outcome::Ok(())
    }));
    let (out, _, status) = run(&[&url, "-n", "2"], "");
    assert!(out.starts_with("1\n2\n") && status == 0, "{out}");
}

/// Binary messages go out of hexadecimal digits and come as such.
#[test]
fn binary_messages_are_digits() {
    let (_server, url) = echo();
    let (out, _, status) = run(&[&url, "--binary"], "00ff\nDE AD be ef\n\n");
    assert_eq!((&*out, status), ("00ff\ndeadbeef\n\n", 0));
    let (_, err, status) = run(&[&url, "--binary"], "00\n0\n");
    assert!(err.contains("line 2") && status == 1, "{err}");
}

/// An end that is not ordinary is the exit status 1, with the code on standard error; so are a server that
/// is not there and one that refuses.
#[test]
fn other_ends_fail() {
    let (server, url) = echo();
    let (out, err, status) = run(&[&url, "--keep-open"], "one\nend\n");
    assert_eq!((&*out, status), ("one\n", 1));
    assert!(err.contains("4001") && err.contains("as you wish"), "{err}");
    server.stop();
    server.wait().unwrap();
    let (_, err, status) = run(&[&url, "-q"], "");
    assert!(
        status == 1 && err.starts_with("landline: cannot connect to "),
        "{err}"
    );
    let (_, err, status) = run(&["--no-such-option"], "");
    assert!(status == 2 && err.contains("--help"), "{err}");
}

/// Headers, credentials, the origin and subprotocols are sent.
#[test]
fn requests_are_as_asked() {
    let auth = BasicAuth::new("staff").user("ada", "se:cret");
    let (_server, url) = start(
        Server::builder()
            .allow_origins(["https://app.example"])
            .subprotocols(["chat"])
            .should_upgrade(move |request| {
                auth.check(request)?;
                Ok(Upgrade::new())
            })
            .on_upgrade(|ws, request| {
                let header = |name| request.header(name).unwrap_or_default().to_owned();
                ws.send(format!("{} {}", header("X-One"), header("Origin")))
            }),
    );
    let (out, err, status) = run(
        &[
            &url,
            "-u",
            "ada:se:cret",
            "-H",
            "X-One: 1",
            "-o",
            "https://app.example",
            "-s",
            "chat",
            "-n",
            "1",
        ],
        "",
    );
    assert_eq!((&*out, status), ("1 https://app.example\n", 0), "{err}");
    assert!(err.contains("subprotocol chat"), "{err}");
    let (_, err, status) = run(&[&url], "");
    assert!(status == 1 && err.contains("401"), "{err}");
}

/// Compression is offered where that is asked for, and messages come and go as without.
#[test]
fn messages_are_compressed() {
    let (_server, url) = start(
        Server::builder()
            .config(Config::new().compression(Compression::new()))
            .on_upgrade(|ws, request| {
                let offered = request.header("Sec-WebSocket-Extensions").is_some();
                ws.on_message(move |ws, message: Message| ws.send(format!("{offered} {message}")));
            }),
    );
    let long = "long ".repeat(1_000);
    for (arguments, offered) in [(&[&*url][..], false), (&[&*url, "--compress"], true)] {
        let (out, _, status) = run(arguments, &long);
        assert!(out == format!("{offered} {long}\n") && status == 0, "{out}");
    }
}

/// Round trips are counted and told.
#[test]
fn pings_are_timed() {
    let (_server, url) = echo();
    let (out, err, status) = run(&[&url, "--ping", "2"], "");
    assert_eq!((&*out, status), ("", 0));
    assert!(
        err.contains("pong 1: ") && err.contains("pong 2: "),
        "{err}"
    );
    assert!(err.contains("2 pings: "), "{err}");
}

/// Times are whole where a program reads them.
#[test]
fn messages_have_their_times() {
    let (_server, url) = echo();
    let (out, ..) = run(&[&url, "-t", "-x", "one"], "");
    let (time, text) = out.split_once(' ').unwrap();
    assert_eq!(text, "one\n");
    assert!(
        time.len() == "2026-01-01T00:00:00.000+00:00".len() && time.contains('T'),
        "{out}"
    );
}

/// A connection that was not ended here is made again, and what was read meanwhile goes there.
#[test]
fn connections_are_made_again() {
    let count = AtomicU32::new(0);
    let (_server, url) = start(Server::builder().on_upgrade(move |ws, _| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        ws.on_message(move |ws, message: Message| {
            ws.send(format!("{number}: {message}"))?;
            if message.as_text() == Some("again") {
                ws.close_with(1012, "")?;
            }
            landline::Outcome::Ok(())
        });
    }));
    let mut child = program(&[&url, "--reconnect"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut expect = |text: &str| {
        let mut line = vec![0; text.len()];
        stdout.read_exact(&mut line).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), text);
    };
    stdin.write_all(b"again\n").unwrap();
    expect("1: again\n");
    // The connection may be closing: then it goes to the next.
    thread::sleep(Duration::from_millis(300));
    stdin.write_all(b"hello\n").unwrap();
    expect("2: hello\n");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// Ctrl-C ends the wait for a server that is gone, too.
#[test]
fn waits_for_the_next_connection_end() {
    let (server, url) = echo();
    let mut terminal = PseudoTerminal::run(program(&[&url, "--reconnect"]));
    terminal.expect("> ");
    server.stop();
    server.wait().unwrap();
    terminal.expect("waiting for ");
    terminal.write("\x03");
    assert_eq!(terminal.finish(), 0);
}

/// Keys count that are typed before the editor looks at them, a Ctrl-D too.
#[test]
fn keys_may_be_early() {
    let (typed, are_typed) = channel();
    let are_typed = Mutex::new(are_typed);
    let (_server, url) = start(echo_builder().should_upgrade(move |_| {
        are_typed.lock().unwrap().recv().unwrap();
        Ok(Upgrade::new())
    }));
    let mut terminal = PseudoTerminal::run(program(&[&url]));
    terminal.write("hello\r\x04");
    typed.send(()).unwrap();
    terminal.expect("36mhello\x1b[0m\r\n");
    terminal.expect("closed by this side: 1000");
    assert_eq!(terminal.finish(), 0);
}

/// While a line waits for its connection, the end of the input waits behind it, and Ctrl-C ends all.
#[test]
fn lines_wait_for_their_connection() {
    for key in ["\x04", "\x03"] {
        let (server, url) = echo();
        let mut terminal = PseudoTerminal::run(program(&[&url, "--reconnect"]));
        terminal.expect("> ");
        let address = server.local_addr();
        server.stop();
        server.wait().unwrap();
        terminal.expect("waiting for ");
        terminal.write("hello\r");
        // Until the editor is back, the terminal itself takes some keys.
        terminal.expect("hello\r\n");
        terminal.expect("\x1b[?2026h");
        terminal.write(key);
        if key == "\x04" {
            let _server = echo_builder().bind(address).unwrap();
            terminal.expect("36mhello\x1b[0m\r\n");
            terminal.expect("closed by this side: 1000");
        }
        assert_eq!(terminal.finish(), 0);
    }
}

/// A message that comes while the editor returns is shown, and the end leaves the terminal as it was, though
/// the editor is just about to read a line.
#[test]
fn messages_come_at_the_end() {
    let (_server, url) = echo();
    for _ in 0..20 {
        let mut terminal = PseudoTerminal::run(program(&[&url]));
        terminal.expect("> ");
        terminal.write("hello\r\x04");
        terminal.expect("36mhello\x1b[0m\r\n");
        terminal.expect("closed by this side: 1000");
        assert_eq!(terminal.finish(), 0);
        let mut terminal = PseudoTerminal::run(program(&[&url]));
        terminal.expect("> ");
        terminal.write("hello\rend\r\r\r\r");
        terminal.expect("36mhello\x1b[0m\r\n");
        terminal.expect("4001");
        assert_eq!(terminal.finish(), 1);
    }
}

/// Where the connection stays open, Ctrl-D ends nothing but the input: messages still come, further lines go
/// nowhere, and Ctrl-C ends it in order.
#[test]
fn keys_count_behind_the_input() {
    let (server, url) = echo();
    let mut terminal = PseudoTerminal::run(program(&[&url, "--keep-open"]));
    await_connection(&server);
    terminal.expect("> ");
    for text in ["one", "two"] {
        terminal.write("\x04");
        terminal.expect("\r\n\x1b[?2026h");
        server.broadcast(text);
        terminal.expect(&format!("36m{text}\x1b[0m\r\n"));
    }
    terminal.write("three\r\x03");
    terminal.expect("closed by this side: 1000");
    assert_eq!(terminal.finish(), 0);
}

/// A line that is wrong while more comes than the screen takes is answered.
#[test]
fn full_screens_block_no_keys() {
    let (_server, url) = start(Server::builder().on_upgrade(|ws, _| {
        ws.on_message(|ws, _: Message| {
            for _ in 0..1_000 {
                ws.send("a line that is not read at once")?;
            }
            landline::Outcome::Ok(())
        });
    }));
    let mut terminal = PseudoTerminal::run(program(&[&url, "--slash"]));
    terminal.expect("> ");
    terminal.write("go\r");
    terminal.expect("a line");
    // Nothing is read from here on, until the screen is full.
    terminal.await_full_screen();
    terminal.write("/what\r");
    terminal.expect("the commands are /ping and /close");
    terminal.write("\x04");
    terminal.expect("closed by this side: 1000");
    assert_eq!(terminal.finish(), 0);
}

/// Messages are shown behind an Escape, which may begin a key's sequence.
#[test]
fn escapes_hold_nothing_up() {
    let (server, url) = echo();
    let mut terminal = PseudoTerminal::run(program(&[&url]));
    await_connection(&server);
    terminal.expect("> ");
    terminal.write("hello\x1b");
    terminal.expect("hello");
    server.broadcast("one");
    terminal.expect("36mone\x1b[0m\r\n");
    terminal.write("\r");
    terminal.expect("36mhello\x1b[0m\r\n");
    terminal.write("\x04");
    assert_eq!(terminal.finish(), 0);
}

/// Behind a stop (Ctrl-Z) the editor goes on.
#[test]
fn stops_are_survived() {
    let (server, url) = echo();
    let mut command = program(&[&url]);
    // The stop is one of the whole group.
    command.process_group(0);
    let mut terminal = PseudoTerminal::run(command);
    await_connection(&server);
    terminal.expect("> ");
    terminal.write("hel\x1a");
    terminal.await_stop();
    server.broadcast("meanwhile");
    terminal.resume();
    terminal.expect("36mmeanwhile\x1b[0m\r\n");
    terminal.write("lo\r");
    // Until the editor is back, the terminal itself takes some keys.
    terminal.expect("36mhello\x1b[0m\r\n");
    terminal.expect("> ");
    terminal.write("\x1a");
    terminal.await_stop();
    server.stop();
    terminal.resume();
    terminal.expect("closed by the peer: 1001");
    assert_eq!(terminal.finish(), 0);
}

/// A terminal that hangs up ends it.
#[test]
fn lost_terminals_end_it() {
    let (_server, url) = echo();
    for arguments in [&[&*url][..], &[&*url, "--keep-open"]] {
        let mut terminal = PseudoTerminal::run(program(arguments));
        terminal.expect("> ");
        // The end of the input may come before the failure of the output.
        assert!([0, 1].contains(&terminal.hang_up()));
    }
}

/// A terminal that moves no cursor has its lines read as they are.
#[test]
fn plain_terminals_have_no_editor() {
    let (_server, url) = echo();
    let mut command = program(&[&url]);
    let mut terminal = PseudoTerminal::run_with(&mut command, |command| {
        command.env("TERM", "dumb");
    });
    terminal.expect("connected to 127.0.0.1:");
    terminal.write("hello\r");
    terminal.expect("< \x1b[36mhello\x1b[0m\r\n");
    terminal.write("\x04");
    assert_eq!(terminal.finish(), 0);
}

/// Lines that are pasted at once are as many messages.
#[test]
fn pasted_lines_are_messages() {
    let (_server, url) = echo();
    let mut terminal = PseudoTerminal::run(program(&[&url]));
    terminal.expect("> ");
    terminal.write("one\rtwo\rthree\r");
    for text in ["one", "two", "three"] {
        terminal.expect(&format!("36m{text}\x1b[0m\r\n"));
    }
    terminal.write("\x04");
    assert_eq!(terminal.finish(), 0);
}

/// A reader that has seen enough ends it in order.
#[test]
fn readers_may_leave() {
    let (_server, url) = echo();
    let mut child = program(&[&url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 4]).unwrap();
    drop(stdout);
    // A process that is just being started may still hold the pipe.
    let status = loop {
        let _ = stdin.write_all(b"two\n");
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success());
}

/// On a terminal lines are edited and kept, what comes is printed above them, nothing that comes moves the
/// cursor, and the end leaves the terminal as it was.
#[test]
fn terminals_have_an_editor() {
    let (_server, url) = echo();
    let mut terminal = PseudoTerminal::run(program(&[&url]));
    terminal.expect("connected to 127.0.0.1:");
    terminal.expect("> ");
    terminal.write("helo\x1b[Dl\r");
    terminal.expect("< \x1b[36mhello\x1b[0m\r\n");
    terminal.write("\x1b[A!\r");
    terminal.expect("36mhello!\x1b[0m\r\n");
    terminal.write("naïve 日本\r");
    terminal.expect("36mnaïve 日本\x1b[0m\r\n");
    terminal.write("end\r");
    terminal.expect("4001, \"as you wish\"");
    assert_eq!(terminal.finish(), 1);
}

/// Ctrl-D and Ctrl-C end it in order.
#[test]
fn keys_end_it() {
    let (_server, url) = echo();
    for key in ["\x04", "\x03"] {
        let mut terminal = PseudoTerminal::run(program(&[&url]));
        terminal.expect("> ");
        terminal.write(key);
        terminal.expect("closed by this side: 1000");
        assert_eq!(terminal.finish(), 0);
    }
}

/// A piped input shows how far it has come, on a terminal, and standard output stays clean.
#[test]
fn piped_inputs_show_their_progress() {
    let (_server, url) = echo();
    let folder = std::env::temp_dir();
    let [input, output] =
        ["in", "out"].map(|end| folder.join(format!("landline-{}-{end}", std::process::id())));
    let lines = "a line\n".repeat(20_000);
    std::fs::write(&input, &lines).unwrap();
    let mut command = program(&[&url]);
    let [from, to] = [File::open(&input), File::create(&output)].map(Result::unwrap);
    let mut terminal = PseudoTerminal::run_with(&mut command, |command| {
        command.stdin(from).stdout(to);
    });
    terminal.expect("20000 messages sent, 140.0 kB of 140.0 kB, 100 %\r\n");
    assert_eq!(terminal.finish(), 0);
    // The Close may have the server leave answers out.
    assert!(lines.starts_with(&std::fs::read_to_string(&output).unwrap()));
    for file in [input, output] {
        std::fs::remove_file(file).unwrap();
    }
}

/// Lines with a slash are commands where that is asked for.
#[test]
fn slashes_are_commands() {
    let (_server, url) = echo();
    let mut terminal = PseudoTerminal::run(program(&[&url, "--slash"]));
    terminal.expect("> ");
    terminal.write("/ping\r");
    terminal.expect("pong 1: ");
    terminal.write("/what\r");
    terminal.expect("the commands are /ping and /close");
    terminal.write("/close 4002 enough\r");
    terminal.expect("4002");
    terminal.finish();
}

/// Colours are for terminals that want them.
#[test]
fn colours_are_for_terminals() {
    let (_server, url) = echo();
    for (variable, coloured) in [("", true), ("1", false)] {
        let mut command = program(&[&url]);
        command.env("NO_COLOR", variable);
        let mut terminal = PseudoTerminal::run(command);
        terminal.expect("> ");
        terminal.write("hello\r");
        terminal.expect(if coloured {
            "< \x1b[36mhello\x1b[0m"
        } else {
            "< hello\r\n"
        });
        terminal.write("\x04");
        terminal.finish();
    }
}
