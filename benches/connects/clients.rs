//! The clients that connect.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Opens a connection, closes it, and waits for its end.
pub(crate) type Connect = fn(SocketAddr) -> Result<(), Box<dyn Error>>;

/// A client's Close with the code 1000, under a mask of zeros.
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// The server's, which has no mask.
const CLOSED: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];

/// Reads no more than where the answers end.
pub(crate) fn connect_raw(peer: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(peer)?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET / HTTP/1.1\r\n\
         Host: {peer}\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::with_capacity(1 << 10);
    let mut buffer = [0; 1 << 10];
    while !received.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err("the server has hung up".into()),
            read => received.extend_from_slice(&buffer[..read]),
        }
    }
    stream.write_all(&CLOSE)?;
    received.clear();
    stream.read_to_end(&mut received)?;
    if received != CLOSED {
        return Err(format!("the server closes with {received:?}").into());
    }
    Ok(())
}

pub(crate) fn connect_by_tungstenite(peer: SocketAddr) -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect(peer)?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tungstenite::client(format!("ws://{peer}/"), stream)?;
    socket.close(None)?;
    loop {
        match socket.read() {
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) fn connect_by_landline(peer: SocketAddr) -> Result<(), Box<dyn Error>> {
    let ws = landline::connect(format!("ws://{peer}/"), |_| {})?;
    ws.close();
    clean(&ws.wait_closed()?)
}

pub(crate) fn open_by_landline(peer: SocketAddr) -> Result<(), Box<dyn Error>> {
    let (_ws, messages) = landline::open(format!("ws://{peer}/"))?;
    clean(&messages.close())
}

fn clean(event: &landline::CloseEvent) -> Result<(), Box<dyn Error>> {
    if event.is_clean() {
        Ok(())
    } else {
        Err(event.to_string().into())
    }
}
