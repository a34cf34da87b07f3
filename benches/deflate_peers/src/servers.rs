//! The servers that are compared.

use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use landline::{Compression, Config, Server};

use crate::by_hand::{Streams, serve_the_limit};
use crate::process::{EchoServer, announce};
use crate::workload::{Workload, level};
use crate::yawc_server::serve_yawc;

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[EchoServer] = &[
    EchoServer {
        name: "limit",
        serve: serve_the_limit,
    },
    EchoServer {
        name: "websockets",
        serve: serve_websockets,
    },
    EchoServer {
        name: "ws",
        serve: serve_ws,
    },
    EchoServer {
        name: "yawc",
        serve: serve_yawc,
    },
    EchoServer {
        name: "landline",
        serve: serve_landline,
    },
];

/// Those that can be started and are compared with nothing: none.
pub(crate) const OTHERS: &[EchoServer] = &[];

/// Tells whether a frame is the echo of a workload's message, however that was compressed.
pub(crate) fn is_echo(workload: &Workload, frame: &[u8]) -> Result<bool, Box<dyn Error>> {
    let payload = match frame[1] {
        126 => &frame[4..],
        127 => &frame[10..],
        _ => &frame[2..],
    };
    let expected = workload.payload();
    if frame[0] & 0x40 == 0 {
        return Ok(payload == expected);
    }
    // With room for one byte more than there may be.
    let mut message = vec![0; expected.len() + 1];
    let length = Streams::new().read(payload, &mut message)?;
    Ok(message[..length] == expected)
}

fn serve_landline() -> Result<(), Box<dyn Error>> {
    let compression = Compression::new().level(level()).min_size(1);
    let server = Server::builder()
        .config(Config::new().compression(compression))
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
        })
        .bind("127.0.0.1:0")?;
    announce(server.local_addr());
    server.wait()?;
    Ok(())
}

/// Becomes the interpreter that the variable `PYTHON` names.
fn serve_websockets() -> Result<(), Box<dyn Error>> {
    become_script(&variable("PYTHON")?, "websockets_server.py", &[])
}

/// Becomes node, with the package in the folder that the variable `WS` names.
fn serve_ws() -> Result<(), Box<dyn Error>> {
    become_script("node", "ws_server.js", &[&variable("WS")?])
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("the variable {name} is not set, as .ci/run does"))
}

fn become_script(interpreter: &str, script: &str, others: &[&str]) -> Result<(), Box<dyn Error>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let mut command = Command::new(interpreter);
    command.arg(script).arg(level().to_string()).args(others);
    Err(command.exec().into())
}
