//! The peer that takes what is pushed.

use std::error::Error;
use std::net::TcpStream;

use rustix::net::RecvFlags;

use crate::shared::process::Program;
use crate::shared::servers::{accept_each, upgrade};
use crate::shared::stream::discard;

/// Reads to the end, and throws everything away.
pub(crate) const DRAIN: Program = Program {
    name: "drain",
    serve: || accept_each(drain),
};

fn drain(stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let stream = upgrade(stream)?;
    let mut nowhere = vec![0; 4 << 20];
    loop {
        discard(&stream, &mut nowhere, RecvFlags::empty())?;
    }
}
