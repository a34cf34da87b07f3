//! The choice of a connection's subprotocol (RFC 6455, section 1.9).

use std::fmt;

use http::StatusCode;

use super::{Reply, Request};
use crate::handshake::check_subprotocols;
use crate::record::debug;

/// The rule that chooses a subprotocol for an upgrade in which the program has chosen none.
#[derive(Default)]
pub(crate) struct Subprotocols {
    choose: Option<Choose>,
    required: bool,
}

type Choose = Box<dyn Fn(&Request) -> Option<String> + Send + Sync>;

impl Subprotocols {
    /// Sets the rule: the first of these names that the client offers.
    ///
    /// # Errors
    /// Returns the name that cannot be a subprotocol.
    pub(crate) fn prefer(&mut self, names: Vec<String>) -> Result<(), String> {
        // The names of a server are not secrets.
        check_subprotocols(&names).map_err(|error| format!("{error}: {names:?}"))?;
        self.choose_by(move |request| {
            names
                .iter()
                .find(|name| request.subprotocols().contains(name))
                .cloned()
        });
        Ok(())
    }

    /// Sets the rule: the result of this closure.
    pub(crate) fn choose_by(
        &mut self,
        choose: impl Fn(&Request) -> Option<String> + Send + Sync + 'static,
    ) {
        self.choose = Some(Box::new(choose));
    }

    /// Sets that an upgrade without a subprotocol is answered with 400.
    pub(crate) fn require(&mut self) {
        self.required = true;
    }

    /// Completes the program's answer to an upgrade request. A reply that is no upgrade stays as it
    /// is.
    pub(crate) fn settle(&self, mut reply: Reply, request: &Request) -> Reply {
        let Some(upgrade) = reply.upgrade.as_mut().filter(|_| request.is_upgrade()) else {
            return reply;
        };
        if upgrade.subprotocol.is_none() {
            upgrade.subprotocol = self.choose.as_ref().and_then(|choose| choose(request));
        }
        if self.required && upgrade.subprotocol.is_none() {
            debug!(
                "connection {}: no subprotocol that is offered is spoken here",
                request.id()
            );
            return Reply::text("a subprotocol is required, none that is offered is spoken here\n")
                .with_status(StatusCode::BAD_REQUEST);
        }
        if upgrade.subprotocol.is_none() && !request.subprotocols().is_empty() {
            // Their names are not logged, as some clients put tokens there.
            let offered = request.subprotocols().len();
            debug!(
                "connection {}: none of the {offered} offered subprotocols is spoken here: the upgrade goes on \
                 without, and browsers fail the connection then",
                request.id()
            );
        }
        reply
    }
}

impl fmt::Debug for Subprotocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subprotocols")
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};

    use super::*;
    use crate::Upgrade;

    fn offering(names: &'static str) -> Request {
        let mut request = http::Request::new(bytes::Bytes::new());
        request
            .headers_mut()
            .insert(UPGRADE, HeaderValue::from_static("websocket"));
        if !names.is_empty() {
            let names = HeaderValue::from_static(names);
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, names);
        }
        Request::from(request)
    }

    /// An upgrade gets 101 with the subprotocol, or another status.
    fn outcome(subprotocols: &Subprotocols, upgrade: Upgrade, offered: &'static str) -> String {
        let reply = subprotocols.settle(upgrade.into(), &offering(offered));
        let chosen = reply
            .upgrade
            .as_ref()
            .and_then(|upgrade| upgrade.subprotocol.as_deref());
        format!("{} {}", reply.status().as_u16(), chosen.unwrap_or("-"))
    }

    /// The server's order decides among what is offered; none is a choice unless one is required.
    #[test]
    fn the_servers_order_decides() {
        let table = [
            ("b,a", "a, b", "101 b", "101 b"),
            ("a,b", "b,a", "101 a", "101 a"),
            ("a,b", "c,b", "101 b", "101 b"),
            ("a", "A", "101 -", "400 -"),
            ("a", "", "101 -", "400 -"),
            ("", "a", "101 -", "400 -"),
        ];
        for (own, offered, expected, expected_if_required) in table {
            let mut subprotocols = Subprotocols::default();
            let names = own.split_terminator(',').map(str::to_owned).collect();
            subprotocols.prefer(names).unwrap();
            assert_eq!(
                outcome(&subprotocols, Upgrade::new(), offered),
                expected,
                "{own} {offered}"
            );
            subprotocols.require();
            let required = outcome(&subprotocols, Upgrade::new(), offered);
            assert_eq!(required, expected_if_required, "{own} {offered}");
        }
    }

    /// The choice of the program's answer stands; without one the closure chooses.
    #[test]
    fn the_program_decides() {
        let mut subprotocols = Subprotocols::default();
        subprotocols.require();
        assert_eq!(
            outcome(&subprotocols, Upgrade::new().subprotocol("b"), "a, b"),
            "101 b"
        );
        subprotocols.choose_by(|request| request.subprotocols().last().cloned());
        assert_eq!(outcome(&subprotocols, Upgrade::new(), "a, b, c"), "101 c");
        assert_eq!(
            outcome(&subprotocols, Upgrade::new().subprotocol("b"), "a, b, c"),
            "101 b"
        );
        assert_eq!(outcome(&subprotocols, Upgrade::new(), ""), "400 -");
    }

    /// Only upgrades are completed.
    #[test]
    fn pages_stay_as_they_are() {
        let mut subprotocols = Subprotocols::default();
        subprotocols.require();
        let page = subprotocols.settle(Reply::text("hello"), &offering(""));
        assert_eq!(page.status(), 200);
    }

    /// A name that is no token, or there twice, is an error that says so.
    #[test]
    fn names_are_different_tokens() {
        for names in [
            vec![""],
            vec!["a b"],
            vec!["a,b"],
            vec!["a", "a"],
            vec!["é"],
        ] {
            let owned = names.iter().map(|name| (*name).to_owned()).collect();
            assert!(Subprotocols::default().prefer(owned).is_err(), "{names:?}");
        }
    }
}
