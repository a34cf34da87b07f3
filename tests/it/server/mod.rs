//! What a server takes, hands on, refuses and gives up.

mod accepting;
mod forwarded;
mod listening;
mod proxies;
mod reply_deadlines;
mod route_settings;
mod routing;
mod stopping;
