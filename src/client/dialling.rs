//! Reaching a server, or the proxy before it: [`Dialling`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use url::Host;

use super::dial_hook::DialHook;
use crate::Address;
use crate::canceller::Canceller;
use crate::error::about;
use crate::transport::{Socket, dial, dial_unix, look_up, look_up_zone};

/// How a client gets a connected socket.
#[derive(Clone, Default)]
pub(super) enum Dialling {
    /// By the system: looking up the name, and connecting by TCP.
    #[default]
    System,
    /// To a Unix socket, whatever the host.
    Unix(PathBuf),
    /// By the program's own code.
    Hook(DialHook),
}

/// A host with its port, to be dialled.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) host: &'a Host<&'a str>,
    /// The zone of a link-local IPv6 address.
    pub(super) zone: Option<&'a str>,
    pub(super) port: u16,
}

impl Dialling {
    /// Dials, blocking.
    ///
    /// # Errors
    /// The error begins with what was dialled. Its kind is `TimedOut` at the deadline. It is any error
    /// once cancelled.
    pub(super) fn reach(
        &self,
        destination: Destination<'_>,
        deadline: Instant,
        canceller: &Canceller,
    ) -> io::Result<Socket> {
        match self {
            Self::System => destination.dial(deadline, canceller),
            Self::Unix(path) => reach_unix(path, deadline, canceller),
            Self::Hook(hook) => {
                let host = destination.bare_host();
                let dialled = hook.dial(&host, destination.port, deadline, canceller);
                dialled.map_err(|error| about(destination, error))
            }
        }
    }
}

/// Dials a Unix socket. The error begins with its address.
pub(super) fn reach_unix(
    path: &Path,
    deadline: Instant,
    canceller: &Canceller,
) -> io::Result<Socket> {
    let dialled = dial_unix(path, deadline, canceller);
    dialled.map_err(|error| about(Address::from_path(path), error))
}

impl Destination<'_> {
    fn dial(self, deadline: Instant, canceller: &Canceller) -> io::Result<Socket> {
        let addresses = match (self.host, self.zone) {
            (Host::Ipv6(ip), Some(zone)) => look_up_zone(*ip, zone, self.port, deadline, canceller),
            (host, _) => look_up(host, self.port, deadline, canceller),
        };
        let dialled = addresses.and_then(|addresses| dial(&addresses, deadline, canceller));
        dialled.map_err(|error| match self.host {
            // The error of an address that was tried begins with it already.
            Host::Ipv4(_) | Host::Ipv6(_) if error.get_ref().is_some() => error,
            _ => about(self, error),
        })
    }

    /// Returns the host as programs write it, an IPv6 address without brackets.
    pub(super) fn bare_host(self) -> String {
        let host = bare(self.host);
        self.zone
            .map_or(host.clone(), |zone| format!("{host}%{zone}"))
    }
}

/// Returns a host as it stands outside of URLs, where an IPv6 address is in brackets.
pub(super) fn bare(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => (*name).to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    }
}

impl fmt::Display for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::Ipv6(_) => write!(f, "[{}]:{}", self.bare_host(), self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}
