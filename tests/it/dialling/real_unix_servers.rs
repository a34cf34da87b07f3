//! npm's `ws` and python's `websockets` as servers on Unix sockets. They must be installed, so
//! `.ci/tunnels` asks for these tests by name, with `LANDLINE_WS`, the folder of node's modules, and
//! `LANDLINE_PYTHON`, a python that has `websockets`.

use std::env;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};

use landline::{Client, Error};

use super::unix_sockets::Bound;
use super::{assert_echo, error_of};
use crate::support::*;

const WS: &str = "
    const {createServer} = require('http'), {WebSocketServer} = require('ws');
    const server = createServer((request, reply) => reply.writeHead(404).end('nothing here'));
    new WebSocketServer({server, path: '/ws'}).on('connection', (ws, request) => {
        ws.on('message', (data, binary) => ws.send(data, {binary}));
    });
    server.listen(process.argv[1]);";

const WEBSOCKETS: &str = "
import sys
from websockets.sync.server import unix_serve
def echo(ws):
    for message in ws:
        ws.send(message)
with unix_serve(echo, sys.argv[1]) as server:
    server.serve_forever()";

/// A server that ends when dropped.
struct Running(Child);

impl Running {
    #[track_caller]
    fn start(mut command: Command, path: &Path) -> Self {
        let running = Self(command.arg(path).spawn().unwrap());
        settled("the server accepts", || UnixStream::connect(path).is_ok());
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// npm's `ws` is reached by its own kind of URL, and by a client that knows the socket.
#[test]
#[ignore = "needs npm's ws, see .ci/tunnels"]
fn ws_is_reached() {
    let path = Bound::free_path();
    let mut command = Command::new("node");
    command.args(["-e", WS]);
    command.env("NODE_PATH", env::var_os("LANDLINE_WS").unwrap());
    let _running = Running::start(command, &path);
    let by_path = Client::new().unix_socket(&path);
    assert_echo(&by_path, "ws://example.com/ws");
    let url = format!("ws+unix:{}", path.display());
    assert_echo(&Client::new(), &format!("{url}:/ws?query"));
    // What is no WebSocket there answers as HTTP does.
    let error = error_of(&Client::new(), &format!("{url}:/other"));
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

/// python's `websockets` is reached.
#[test]
#[ignore = "needs python's websockets, see .ci/tunnels"]
fn websockets_is_reached() {
    let path = Bound::free_path();
    let mut command = Command::new(env::var_os("LANDLINE_PYTHON").unwrap());
    command.args(["-c", WEBSOCKETS]);
    let _running = Running::start(command, &path);
    assert_echo(&Client::new().unix_socket(&path), "ws://localhost/");
    assert_echo(&Client::new(), &format!("ws+unix:{}:/", path.display()));
}
