//! What a server takes, hands on, refuses and gives up.

mod accepting;
mod building;
mod data;
mod forwarded;
mod incoming;
mod limits;
mod listening;
mod proxies;
mod proxy_protocol;
mod reply_deadlines;
mod route_settings;
mod routing;
mod serving;
mod stopping;
mod streams;
mod unix_sockets;
