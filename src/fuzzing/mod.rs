//! The properties that hold for any input: one for each parser, and one for two endpoints that
//! talk.
//!
//! `tests/fuzz` searches for input that breaks one, and `cargo test` replays the input that is
//! kept. A property that does not hold panics.
#![allow(missing_docs, reason = "for tests/fuzz alone")]

mod chance;
#[cfg(feature = "deflate")]
mod compression;
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

#[cfg(feature = "deflate")]
pub use compression::compression;
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
