//! The servers that are compared.

use std::error::Error;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, PoisonError, RwLock};

use landline::{Config, Group, Server};

use crate::shared::frames::answer_batches;
use crate::shared::process::Program;
use crate::shared::servers::{accept_each, serve_landline, upgrade};

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[Program] = &[
    Program {
        name: "limit",
        serve: serve_by_hand,
    },
    Program {
        name: "landline",
        serve: join_a_group,
    },
];

/// Tells a connection that it is a member, by an empty text.
const GREETING: &[u8] = &[0x81, 0];

type Members = Arc<RwLock<Vec<TcpStream>>>;

fn serve_by_hand() -> Result<(), Box<dyn Error>> {
    let members = Members::default();
    accept_each(move |stream| pass_on(stream, &members))
}

fn pass_on(stream: TcpStream, members: &Members) -> Result<(), Box<dyn Error>> {
    let mut stream = upgrade(stream)?;
    let member = stream.try_clone()?;
    members
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .push(member);
    stream.write_all(GREETING)?;
    answer_batches(stream, |_, frames| {
        let members = members.read().unwrap_or_else(PoisonError::into_inner);
        let mut members = members.iter();
        Ok(members.try_for_each(|mut member| member.write_all(frames))?)
    })
}

fn join_a_group() -> Result<(), Box<dyn Error>> {
    let group = Group::new();
    let builder = Server::builder()
        // The load answers none, and would count them.
        .config(Config::new().ping_interval(None))
        .on_upgrade(move |ws, _request| {
            group.join(ws);
            let group = group.clone();
            ws.on_message(move |_, message| {
                group.send(message);
            });
            ws.send("")
        });
    serve_landline(builder)
}
