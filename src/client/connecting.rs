//! The way to a connection, through redirects.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Response};

use super::Client;
use super::asking::{Answer, Asking};
use super::attempt::Attempt;
use super::target::Target;
use crate::Error;
use crate::connection::Connection;
use crate::connection::handshake::OpeningGuard;
use crate::connection::reader::Reader;
use crate::handshake::{Negotiated, redirect};
use crate::protocol::Role;
use crate::transport::Socket;

/// A connection that is being made: the server to ask next, the request, and the deadline.
pub(super) struct Connecting<'a> {
    pub(super) client: &'a Client,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) subprotocols: Vec<String>,
    redirects_left: usize,
    pub(super) deadline: Instant,
}

impl<'a> Connecting<'a> {
    /// Begins with a URL. The time begins here.
    pub(super) fn new(client: &'a Client, url: &str) -> Result<Self, Error> {
        Ok(Self {
            client,
            target: Target::parse(url)?,
            headers: client.headers.clone(),
            subprotocols: [&client.subprotocols[..], &client.sensitive_subprotocols].concat(),
            redirects_left: client.redirects,
            deadline: Instant::now() + client.config.handshake_timeout,
        })
    }

    /// Asks one server after the other while redirects lead on.
    pub(super) fn establish(mut self) -> Result<Box<Reader>, Error> {
        loop {
            let (socket, opening, answer) = Attempt::new(&self)?.take_steps()?;
            match answer {
                Answer::Upgraded {
                    negotiated,
                    pipelined,
                } => {
                    return self.open_connection(socket, opening, negotiated, pipelined);
                }
                Answer::Other(response, behind) => {
                    if !self.follow(&response)? {
                        return Err(Asking(&opening).refused(response, behind));
                    }
                }
            }
        }
    }

    /// Follows the response if it is a redirect that may be followed. Returns whether it was.
    fn follow(&mut self, response: &Response<()>) -> Result<bool, Error> {
        if self.redirects_left == 0 {
            return Ok(false);
        }
        let Some(next) = redirect::target(&self.target.url, response)? else {
            return Ok(false);
        };
        self.redirects_left -= 1;
        if !redirect::is_same_origin(&self.target.url, &next) {
            // The headers stay left out, even if a later redirect leads back to the first origin.
            self.headers = redirect::for_other_origin(&self.headers);
            self.subprotocols.clone_from(&self.client.subprotocols);
        }
        self.target.redirect(next);
        Ok(true)
    }

    /// Makes a connection of an accepted upgrade.
    pub(super) fn open_connection(
        &self,
        socket: Arc<Socket>,
        opening: OpeningGuard,
        mut negotiated: Negotiated,
        pipelined: Vec<u8>,
    ) -> Result<Box<Reader>, Error> {
        negotiated.path = self.target.url.path().into();
        let (id, config) = (opening.id(), &self.client.config);
        let timer = opening.finish()?;
        let connection = Connection::open(id, Role::Client, &socket, config, negotiated, timer);
        Ok(Reader::new(&connection, socket, config, pipelined))
    }
}
