//! What a client asks for, and what it makes of the answers.

mod cancelling;
mod connecting;
mod redirects;
mod refusals;
mod requests;

pub(crate) use self::cancelling::full_listener;
