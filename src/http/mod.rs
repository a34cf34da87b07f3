//! What stands between an HTTP request and a WebSocket: a request comes in, a reply goes out, and a
//! reply may be an upgrade. Written on the server's one hook.

mod auth;
mod middleware;
mod paths;
mod pattern;
mod reply;
mod request;
mod route;
mod router;
mod upgrade;

pub use auth::BasicAuth;
pub use middleware::Next;
pub use reply::Reply;
pub use request::Request;
pub use router::Router;
pub(crate) use upgrade::Handler;
pub use upgrade::Upgrade;
