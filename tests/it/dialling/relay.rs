//! A proxy by hand: it speaks CONNECT or SOCKS5, with or without TLS, and passes bytes on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::*;

/// The protocol of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Socks5,
}

/// A proxy that leads everybody to one server, whatever they ask for, and notes it.
pub(super) struct Relay {
    address: SocketAddr,
    asked: Receiver<Asked>,
    /// Dropped, it ends the relay.
    _alive: Arc<Mutex<()>>,
}

/// What a relay was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The server, as `name:port`.
    pub(super) server: String,
    /// User and password, as `user:password`.
    pub(super) credentials: Option<String>,
}

impl Relay {
    /// Starts a relay. With credentials, it lets nobody else through.
    pub(super) fn start(protocol: Protocol, secure: bool, wants: bool, server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asking, asked) = channel();
        let alive = Arc::new(Mutex::new(()));
        let watched = Arc::downgrade(&alive);
        thread::spawn(move || {
            for client in listener.incoming() {
                if watched.strong_count() == 0 {
                    return;
                }
                let (asking, client) = (asking.clone(), client.unwrap());
                thread::spawn(move || {
                    // A client may hang up at any time.
                    let _ = serve(protocol, secure, wants, server, client, &asking);
                });
            }
        });
        Self {
            address,
            asked,
            _alive: alive,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    #[track_caller]
    pub(super) fn next(&self) -> Asked {
        next(&self.asked)
    }

    /// Tells whether anybody has asked since.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.try_recv().is_ok()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self._alive = Arc::default();
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    protocol: Protocol,
    secure: bool,
    wants: bool,
    server: SocketAddr,
    client: TcpStream,
    asking: &Sender<Asked>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    if !secure {
        return lead(protocol, wants, server, client, asking, |client| client);
    }
    #[cfg(feature = "tls")]
    if let Ok(client) = acceptor().accept(client) {
        return lead(protocol, wants, server, client, asking, |client| {
            client.get_ref()
        });
    }
    Ok(())
}

fn lead<S: Read + Write>(
    protocol: Protocol,
    wants: bool,
    server: SocketAddr,
    mut client: S,
    asking: &Sender<Asked>,
    tcp: impl Fn(&S) -> &TcpStream,
) -> io::Result<()> {
    let asked = match protocol {
        Protocol::Http => read_connect(&mut client)?,
        Protocol::Socks5 => read_socks5(&mut client, wants)?,
    };
    let refused = wants && asked.credentials.is_none();
    let _ = asking.send(asked);
    if refused {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\
            Content-Length: 9\r\n\r\nwho's it?";
        return client.write_all(answer.as_bytes());
    }
    let server = TcpStream::connect(server)?;
    server.set_nodelay(true)?;
    client.write_all(match protocol {
        Protocol::Http => b"HTTP/1.0 200 Connection established\r\n\r\n",
        Protocol::Socks5 => b"\x05\0\0\x01\0\0\0\0\0\0",
    })?;
    pass_on(client, server, tcp)
}

/// Passes bytes on in both directions, on this thread: TLS cannot be split.
fn pass_on<S: Read + Write>(
    mut client: S,
    mut server: TcpStream,
    tcp: impl Fn(&S) -> &TcpStream,
) -> io::Result<()> {
    tcp(&client).set_nonblocking(true)?;
    server.set_nonblocking(true)?;
    let (mut going_up, mut going_down) = (Vec::new(), Vec::new());
    let mut open = 2;
    while open > 0 {
        let up = step(&mut client, &mut server, &mut going_up)?;
        let down = step(&mut server, &mut client, &mut going_down)?;
        if up == Some(0) {
            let _ = server.shutdown(Shutdown::Write);
            open = 0;
        }
        if down == Some(0) {
            return tcp(&client).shutdown(Shutdown::Write);
        }
        if up.is_none() && down.is_none() {
            pause(ms(1), "nothing has come");
        }
    }
    Ok(())
}

/// Passes on what has come and is `going`; 0 at the end, `None` if nothing could be done. It waits for
/// no room: the other direction goes on meanwhile, without which there may be none.
fn step(
    from: &mut impl Read,
    to: &mut impl Write,
    going: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    let done = if going.is_empty() {
        let mut buffer = [0; 16 << 10];
        uninterrupted(|| from.read(&mut buffer))
            .inspect(|length| going.extend_from_slice(&buffer[..*length]))
    } else {
        uninterrupted(|| to.write(going)).inspect(|written| drop(going.drain(..*written)))
    };
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        done => done.map(Some),
    }
}

fn read_connect(client: &mut impl Read) -> io::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(read_byte(client)?);
    }
    let head = String::from_utf8(head).unwrap();
    let server = head.split(' ').nth(1).unwrap().to_owned();
    assert!(
        head.starts_with(&format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n")),
        "{head}"
    );
    let basic = field(&head, "proxy-authorization").map(|value| {
        let code = value.strip_prefix("Basic ").unwrap();
        decode_base64(code)
    });
    Ok(Asked {
        server,
        credentials: basic,
    })
}

/// Decodes base64: the tests know no crate for it.
fn decode_base64(code: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in code.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|known| *known == digit).unwrap();
        (bits, count) = ((bits << 6 | value as u32) & 0xffff, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn read_socks5(client: &mut (impl Read + Write), wants: bool) -> io::Result<Asked> {
    let [version, count] = read_array(client)?;
    let methods = read_many(client, usize::from(count))?;
    assert_eq!(version, 5);
    let mut credentials = None;
    if wants && methods.contains(&2) {
        client.write_all(b"\x05\x02")?;
        let [_, length] = read_array(client)?;
        let user = read_many(client, usize::from(length))?;
        let length = read_byte(client)?;
        let password = read_many(client, usize::from(length))?;
        client.write_all(b"\x01\0")?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        credentials = Some(format!("{}:{}", text(user), text(password)));
    } else if wants {
        client.write_all(b"\x05\xff")?;
        return Err(io::ErrorKind::PermissionDenied.into());
    } else {
        client.write_all(b"\x05\0")?;
    }
    let [_, command, _, kind] = read_array(client)?;
    assert_eq!(command, 1);
    let host = match kind {
        1 => std::net::Ipv4Addr::from(read_array::<4>(client)?).to_string(),
        4 => format!("[{}]", std::net::Ipv6Addr::from(read_array::<16>(client)?)),
        _ => {
            let length = read_byte(client)?;
            String::from_utf8(read_many(client, usize::from(length))?).unwrap()
        }
    };
    let port = u16::from_be_bytes(read_array(client)?);
    Ok(Asked {
        server: format!("{host}:{port}"),
        credentials,
    })
}

fn read_byte(from: &mut impl Read) -> io::Result<u8> {
    read_array::<1>(from).map(|[byte]| byte)
}

fn read_array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_many(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
