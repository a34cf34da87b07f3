//! The servers that are compared.

use std::error::Error;

use landline::{Compression, Config, Server};

use crate::by_hand::echo_at_the_limit;
use crate::messages::level;
use crate::shared::process::Program;
use crate::shared::servers::{accept_each, echo_by_landline};

pub(crate) const LIMIT: Program = Program {
    name: "limit",
    serve: || accept_each(echo_at_the_limit),
};

pub(crate) const LANDLINE: Program = Program {
    name: "landline",
    serve: serve_landline,
};

/// Compresses each message of the load.
fn serve_landline() -> Result<(), Box<dyn Error>> {
    let compression = Compression::new().level(level()).min_size(1);
    echo_by_landline(Server::builder().config(Config::new().compression(compression)))
}
