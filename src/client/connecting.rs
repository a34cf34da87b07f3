//! The way to a connection, through redirects.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Response};
use url::{ParseError, Url};

use super::Client;
use super::attempt::Attempt;
use crate::Error;
use crate::connection::{Agreed, Connection};
use crate::handshake::redirect;
use crate::opening::{Answer, OpeningGuard};
use crate::protocol::Role;
use crate::reader::Reader;
use crate::transport::Socket;

/// A connection that is being made: which server is asked next, what it is sent, and until when.
pub(super) struct Connecting<'a> {
    pub(super) client: &'a Client,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) subprotocols: Vec<String>,
    redirects_left: usize,
    pub(super) deadline: Instant,
}

impl<'a> Connecting<'a> {
    /// Begins with a URL; the time runs from here.
    pub(super) fn new(client: &'a Client, url: &str) -> Result<Self, Error> {
        Ok(Self {
            client,
            url: parse_url(url)?,
            headers: client.headers.clone(),
            subprotocols: [&client.subprotocols[..], &client.sensitive_subprotocols].concat(),
            redirects_left: client.redirects,
            deadline: Instant::now() + client.config.handshake_timeout,
        })
    }

    /// Asks one server after the other, as far as redirects lead.
    pub(super) fn establish(mut self) -> Result<Box<Reader>, Error> {
        loop {
            let (socket, opening, answer) = Attempt::new(&self)?.take_steps()?;
            match answer {
                Answer::Upgraded { agreed, pipelined } => {
                    return self.open_connection(socket, opening, agreed, pipelined);
                }
                Answer::Other(response, behind) => {
                    if !self.follow(&response)? {
                        return Err(opening.refused(response, behind));
                    }
                }
            }
        }
    }

    /// Goes where the response leads, if it leads anywhere and that is allowed.
    fn follow(&mut self, response: &Response<()>) -> Result<bool, Error> {
        if self.redirects_left == 0 {
            return Ok(false);
        }
        let Some(next) = redirect::target(&self.url, response)? else {
            return Ok(false);
        };
        self.redirects_left -= 1;
        if !redirect::is_same_origin(&self.url, &next) {
            // What is left out stays out, though a later redirect leads back to the first origin.
            self.headers = redirect::for_strangers(&self.headers);
            self.subprotocols.clone_from(&self.client.subprotocols);
        }
        self.url = next;
        Ok(true)
    }

    /// Makes a connection of an accepted upgrade.
    pub(super) fn open_connection(
        &self,
        socket: Arc<Socket>,
        opening: OpeningGuard,
        agreed: Agreed,
        pipelined: Vec<u8>,
    ) -> Result<Box<Reader>, Error> {
        let timer = opening.finish()?;
        let (id, config) = (Connection::next_id(), &self.client.config);
        let connection = Connection::open(id, Role::Client, &socket, config, agreed, timer);
        Ok(Reader::new(&connection, socket, config, pipelined))
    }
}

/// Parses a URL. The error does not show it: it may hold credentials.
fn parse_url(url: &str) -> Result<Url, Error> {
    Url::parse(url).map_err(|error| {
        Error::Invalid(match error {
            ParseError::RelativeUrlWithoutBase => {
                "the URL has no scheme: write ws:// or wss:// before it".into()
            }
            error => format!("the URL cannot be used: {error}"),
        })
    })
}
