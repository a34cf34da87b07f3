//! The servers that are compared.

use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::messages::level;
use crate::servers::{LANDLINE, LIMIT};
use crate::shared::process::Program;
use crate::yawc_server::serve_yawc;

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[Program] = &[
    LIMIT,
    Program {
        name: "websockets",
        serve: serve_websockets,
    },
    Program {
        name: "ws",
        serve: serve_ws,
    },
    Program {
        name: "yawc",
        serve: serve_yawc,
    },
    LANDLINE,
];

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
