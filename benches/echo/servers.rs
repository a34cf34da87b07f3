//! The servers that are compared.

use landline::Server;

use crate::shared::process::Program;
use crate::shared::servers::{
    accept_each, echo_at_the_limit, echo_by_landline, echo_by_tungstenite,
};

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[Program] = &[
    Program {
        name: "limit",
        serve: || accept_each(echo_at_the_limit),
    },
    Program {
        name: "tungstenite",
        serve: || accept_each(echo_by_tungstenite),
    },
    Program {
        name: "landline",
        serve: || echo_by_landline(Server::builder()),
    },
];
