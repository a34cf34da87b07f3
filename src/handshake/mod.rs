//! The opening handshake as text (RFC 6455, section 4; RFC 9112): bytes in, verdicts and bytes
//! out. It knows no socket and no clock.
//!
//! A server asks a [`RequestHead`] whenever bytes have come. Of an upgrade request it asks
//! [`UpgradeRequest::of`] for its verdict and [`UpgradeRequest::response`] for the 101; of a plain one
//! it takes the [`RequestBody`], and [`reply::write`] makes the answer. Whatever is refused is a
//! [`BadRequest`], which writes its own reply.
//!
//! A client sends [`Ask::bytes`], asks a [`ResponseHead`] whenever bytes have come, and
//! [`Ask::verify`] for its verdict; an answer other than 101 may be a [`redirect`], otherwise its
//! [`Body`] goes into the error.

mod body;
mod chunked;
mod client;
mod fields;
mod framing;
mod head;
pub(crate) mod redirect;
pub(crate) mod reply;
mod request_body;
mod request_head;
mod request_line;
mod response_head;
mod server;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use body::Body;
pub(crate) use client::{Ask, check_subprotocols, is_secure};
pub(crate) use head::is_tls_record;
pub(crate) use reply::BadRequest;
pub(crate) use request_body::{CONTINUE, RequestBody};
pub(crate) use request_head::RequestHead;
pub(crate) use response_head::ResponseHead;
pub(crate) use server::{UpgradeRequest, offered_subprotocols, wants_upgrade};
