//! The servers that are connected to.

use landline::Server;

use crate::shared::process::Program;
use crate::shared::servers::{accept_each, echo_by_landline, echo_by_tungstenite};

pub(crate) const TUNGSTENITE: Program = Program {
    name: "tungstenite",
    serve: || accept_each(echo_by_tungstenite),
};

pub(crate) const LANDLINE: Program = Program {
    name: "landline",
    serve: || echo_by_landline(Server::builder()),
};
