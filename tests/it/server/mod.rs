//! What a server takes, hands on, refuses and gives up.

#[cfg(unix)]
mod accepting;
mod building;
mod data;
mod forwarded;
mod incoming;
#[cfg(unix)]
mod limits;
#[cfg(unix)]
mod listening;
#[cfg(unix)]
mod proxies;
mod proxy_protocol;
mod reply_deadlines;
mod route_settings;
mod routing;
mod serving;
mod stopping;
#[cfg(unix)]
mod streams;
#[cfg(unix)]
mod unix_sockets;
