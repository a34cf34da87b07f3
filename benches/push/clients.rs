//! The clients that are compared.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use landline::Config;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::Data;

use crate::shared::frames::append_frame;
use crate::shared::stream::{open, upgrade};
use crate::shared::workload::{MASK, alphabet};

/// So many messages leave together, where messages do.
pub(crate) const TOGETHER: usize = 100;

/// Sends so many messages, a multiple of [`TOGETHER`].
pub(crate) type Push = Box<dyn FnMut(usize) -> Result<(), Box<dyn Error>>>;

/// A way to push messages.
pub(crate) struct Client {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// Connects to push messages with this many bytes of payload.
    pub(crate) connect: fn(SocketAddr, usize) -> Result<Push, Box<dyn Error>>,
}

pub(crate) const CLIENTS: &[Client] = &[
    Client {
        name: "raw",
        connect: push_raw,
    },
    Client {
        name: "tungstenite-send",
        connect: send_by_tungstenite,
    },
    Client {
        name: "tungstenite-write",
        connect: write_by_tungstenite,
    },
    Client {
        name: "landline-send",
        connect: send_by_landline,
    },
    Client {
        name: "landline-all",
        connect: send_all_by_landline,
    },
];

fn push_raw(peer: SocketAddr, size: usize) -> Result<Push, Box<dyn Error>> {
    let mut stream = upgrade(open(peer)?)?.into_inner();
    let mut frame = Vec::new();
    append_frame(&alphabet(size), Data::Binary, false, Some(MASK), &mut frame);
    Ok(Box::new(move |messages| {
        Ok((0..messages).try_for_each(|_| stream.write_all(&frame))?)
    }))
}

fn send_by_tungstenite(peer: SocketAddr, size: usize) -> Result<Push, Box<dyn Error>> {
    let mut socket = upgrade(open(peer)?)?;
    let payload = Bytes::from(alphabet(size));
    Ok(Box::new(move |messages| {
        Ok((0..messages).try_for_each(|_| socket.send(Message::Binary(payload.clone())))?)
    }))
}

fn write_by_tungstenite(peer: SocketAddr, size: usize) -> Result<Push, Box<dyn Error>> {
    let mut socket = upgrade(open(peer)?)?;
    let payload = Bytes::from(alphabet(size));
    Ok(Box::new(move |messages| {
        for _ in 0..messages / TOGETHER {
            for _ in 0..TOGETHER {
                socket.write(Message::Binary(payload.clone()))?;
            }
            socket.flush()?;
        }
        Ok(())
    }))
}

fn send_by_landline(peer: SocketAddr, size: usize) -> Result<Push, Box<dyn Error>> {
    let (ws, messages) = landline_to(peer)?;
    let payload = Bytes::from(alphabet(size));
    Ok(Box::new(move |count| {
        let _open = &messages;
        Ok((0..count).try_for_each(|_| ws.send(&payload))?)
    }))
}

fn send_all_by_landline(peer: SocketAddr, size: usize) -> Result<Push, Box<dyn Error>> {
    let (ws, messages) = landline_to(peer)?;
    let payload = Bytes::from(alphabet(size));
    Ok(Box::new(move |count| {
        let _open = &messages;
        let hundred = || (0..TOGETHER).map(|_| &payload);
        Ok((0..count / TOGETHER).try_for_each(|_| ws.send_all(hundred()))?)
    }))
}

fn landline_to(
    peer: SocketAddr,
) -> Result<(landline::WebSocket, landline::Messages), Box<dyn Error>> {
    // The peer answers nothing.
    let quiet = Config::new().ping_interval(None);
    let client = landline::Client::new().config(quiet);
    Ok(client.open(format!("ws://{peer}/"))?)
}
