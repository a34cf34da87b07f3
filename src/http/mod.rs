//! What stands between an HTTP request and a WebSocket: a request comes in, a reply goes out, and a
//! reply may be an upgrade. Written on the server's one hook.

mod reply;
mod request;
mod upgrade;

pub use reply::Reply;
pub use request::Request;
pub(crate) use upgrade::Handler;
pub use upgrade::Upgrade;
