//! The clients that are compared.
//!
//! Each is a process that is told by a connection, with a line, where the feed is. An empty message of
//! the client's starts the feed, and answers the empty one at its end.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use landline::{Client, Message, TlsOptions, WebSocket};

use crate::shared::frames::frame_lengths;
use crate::shared::process::Program;
use crate::shared::servers::accept_each;
use crate::shared::stream::upgrade;
use crate::tls::open_tls;

/// All of them. The last is measured against the others.
pub(crate) const CLIENTS: &[Program] = &[
    Program {
        name: "limit",
        serve: || receive_each(receive_at_the_limit),
    },
    Program {
        name: "tungstenite",
        serve: || receive_each(receive_by_tungstenite),
    },
    Program {
        name: "pull",
        serve: || receive_each(pull),
    },
    Program {
        name: "channel",
        serve: || receive_each(receive_by_channel),
    },
    Program {
        name: "landline",
        serve: || receive_each(receive_by_callback),
    },
];

/// Receives each feed that it is told of on a thread of its own, until that ends.
fn receive_each(
    receive: fn(url: &str) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    accept_each(move |control| {
        let mut url = String::new();
        BufReader::new(control).read_line(&mut url)?;
        receive(url.trim())
    })
}

fn receive_at_the_limit(url: &str) -> Result<(), Box<dyn Error>> {
    let mut stream = upgrade(open(url)?)?.into_inner();
    stream.write_all(EMPTY_TEXT)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        filled += match stream.read(&mut buffer[filled..])? {
            0 => return Ok(()),
            read => read,
        };
        let mut consumed = 0;
        while let Some((header, payload)) = frame_lengths(&buffer[consumed..filled]) {
            let end = consumed + header + payload;
            if end > filled {
                break;
            }
            consumed = end;
            if payload == 0 {
                stream.write_all(EMPTY_TEXT)?;
            }
        }
        buffer.copy_within(consumed..filled, 0);
        filled -= consumed;
    }
}

/// A masked frame.
const EMPTY_TEXT: &[u8] = &[0x81, 0x80, 0, 0, 0, 0];

fn receive_by_tungstenite(url: &str) -> Result<(), Box<dyn Error>> {
    let mut socket = upgrade(open(url)?)?;
    socket.send("".into())?;
    loop {
        let message = socket.read()?;
        if message.is_empty() {
            socket.send(message)?;
        }
    }
}

fn pull(url: &str) -> Result<(), Box<dyn Error>> {
    let (ws, mut messages) = client().open(url)?;
    ws.send("")?;
    loop {
        let message = messages.recv()?;
        answer_mark(&ws, message)?;
    }
}

fn receive_by_channel(url: &str) -> Result<(), Box<dyn Error>> {
    let (ws, messages) = client().open(url)?;
    let messages = messages.into_receiver(1024);
    ws.send("")?;
    loop {
        let message = messages.recv()?;
        answer_mark(&ws, message)?;
    }
}

fn receive_by_callback(url: &str) -> Result<(), Box<dyn Error>> {
    let ws = client().connect(url, |ws| ws.on_message(answer_mark))?;
    ws.send("")?;
    ws.wait_closed()?;
    Ok(())
}

fn answer_mark(ws: &WebSocket, message: Message) -> Result<(), landline::SendError> {
    if message.is_empty() {
        ws.send(message)?;
    }
    Ok(())
}

fn client() -> Client {
    Client::new().tls(TlsOptions::new().danger_accept_invalid_certs())
}

/// A blocking stream of either kind.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

fn open(url: &str) -> Result<Box<dyn Stream>, Box<dyn Error>> {
    let (scheme, address) = url.split_once("://").ok_or("no URL")?;
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(match scheme {
        "wss" => Box::new(open_tls(stream)?),
        "ws" => Box::new(stream),
        _ => return Err(io::Error::other("an unknown scheme").into()),
    })
}
