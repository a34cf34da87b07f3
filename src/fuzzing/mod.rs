//! What must hold for whatever bytes come: a property for each parser of them, and one for two
//! endpoints that talk.
//!
//! `tests/fuzz` searches for bytes that break one, and `cargo test` replays those it has found worth
//! keeping. A property that does not hold panics.
#![allow(missing_docs, reason = "for tests/fuzz alone")]

mod chance;
mod decoder;
// The outbox has locks of its own under the models.
#[cfg(not(loom))]
mod endpoints;
mod frames;
mod input;
mod requests;
mod responses;
#[cfg(test)]
mod tests;
mod text;

pub use decoder::decoder;
#[cfg(not(loom))]
pub use endpoints::endpoints;
pub use frames::frames;
pub use requests::requests;
pub use responses::responses;
pub use text::text;

pub(crate) use chance::Chance;
#[cfg(test)]
pub(crate) use {requests::check as check_request, responses::check as check_response};
