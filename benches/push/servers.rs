//! The peer that takes what is pushed.

use std::error::Error;
use std::net::TcpStream;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};

use crate::by_hand::{accept_each, upgrade};
use crate::process::EchoServer;

/// The only one.
pub(crate) const SERVERS: &[EchoServer] = &[EchoServer {
    name: "drain",
    serve: || accept_each(discard),
}];

pub(crate) const OTHERS: &[EchoServer] = &[];

/// Reads to the end, and leaves it to the kernel to throw the bytes away.
fn discard(stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let stream = upgrade(stream)?;
    let mut nowhere = vec![0; 4 << 20];
    while let (1.., _) = retry_on_intr(|| recv(&stream, &mut nowhere[..], RecvFlags::TRUNC))? {}
    Ok(())
}
