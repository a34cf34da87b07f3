//! HTTP before a WebSocket: a request comes in, a reply goes out, and a reply may be an upgrade.
//! All of it is built on the server's one hook.

mod auth;
mod forwarded;
mod guard;
mod host;
mod middleware;
mod origin;
mod paths;
mod pattern;
mod proxies;
mod query;
mod reply;
mod request;
mod route;
mod router;
mod subprotocols;
mod upgrade;
mod warnings;

pub use auth::BasicAuth;
pub(crate) use guard::Guard;
pub use middleware::Next;
pub(crate) use middleware::{Hook, hook_of};
pub(crate) use proxies::{Proxied, TrustedProxies};
pub use reply::Reply;
pub use request::Request;
pub use router::Router;
pub(crate) use subprotocols::Subprotocols;
pub use upgrade::Upgrade;
pub(crate) use upgrade::{Attach, Handler, SetUp, StraightLine};
