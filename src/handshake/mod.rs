//! The opening handshake as text (RFC 6455, section 4; RFC 9112): bytes go in, verdicts and bytes come
//! out. It knows no socket and no clock.
//!
//! A server calls [`RequestHead::parse`] whenever bytes have come. For an upgrade request
//! [`UpgradeRequest::of`] gives the verdict, and [`UpgradeRequest::accept`] the 101. For a plain one a
//! [`RequestBody`] reads the body, and [`reply::write`] makes the answer. A request that is refused is a
//! [`BadRequest`], which writes its own reply.
//!
//! A client sends [`ClientHandshake::bytes`] and calls [`ResponseHead::parse`] whenever bytes have come.
//! [`ClientHandshake::verify`] gives the verdict of a 101, and [`Negotiated`] what both sides have agreed
//! on. Any other answer may be a [`redirect`];
//! otherwise a [`ResponseBody`] reads its body for the error.

mod chunked;
mod client;
mod deflate;
mod extensions;
mod fields;
mod framing;
mod head;
mod negotiated;
pub(crate) mod redirect;
pub(crate) mod reply;
mod request_body;
mod request_head;
mod request_line;
mod response_body;
mod response_head;
mod server;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use client::{ClientHandshake, basic_credentials, check_subprotocols, is_secure};
pub(crate) use deflate::answer_offers;
pub(crate) use head::is_tls_record;
pub(crate) use negotiated::Negotiated;
pub(crate) use reply::BadRequest;
pub(crate) use request_body::{CONTINUE, RequestBody};
pub(crate) use request_head::RequestHead;
pub(crate) use response_body::ResponseBody;
pub(crate) use response_head::ResponseHead;
pub(crate) use server::{UpgradeRequest, offered_subprotocols, wants_upgrade};
