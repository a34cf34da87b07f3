//! A route, and the choice among the routes of a path: [`Route`], [`choose`].

use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode};

use super::middleware::{Hook, Layer, Next};
use super::paths::Paths;
use super::pattern::Pattern;
use super::{Reply, Request};
use crate::Config;

/// A path, and the handler that answers there.
pub(super) struct Route {
    pub(super) pattern: Pattern,
    pub(super) accepts: Accepts,
    pub(super) answer: Hook,
    /// The settings of its WebSockets, instead of the router's.
    pub(super) config: Option<Arc<Config>>,
}

/// The requests that a route is for.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Accepts {
    WebSocket,
    Method(Method),
}

impl Route {
    /// Puts the route into a scope: adds the scope's prefix and middleware, and its settings unless
    /// the route is in an inner scope that has its own.
    pub(super) fn enter(
        mut self,
        prefix: &Pattern,
        layers: &Arc<[Layer]>,
        config: Option<&Arc<Config>>,
    ) -> Self {
        let pattern = prefix.join(&self.pattern);
        self.config = self.config.or_else(|| config.cloned());
        if layers.is_empty() {
            return Self { pattern, ..self };
        }
        let (layers, inner) = (Arc::clone(layers), self.answer);
        let answer = Box::new(move |request: &mut Request| Next::new(&layers, &inner).run(request));
        Self {
            pattern,
            answer,
            ..self
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.accepts {
            Accepts::WebSocket => write!(f, "WebSocket {}", self.pattern),
            Accepts::Method(method) => write!(f, "{method} {}", self.pattern),
        }
    }
}

/// Sorts the routes into a tree. The error is the problem of a route.
pub(super) fn sort(routes: &[Route]) -> Result<Paths, String> {
    let mut paths = Paths::default();
    for (number, route) in routes.iter().enumerate() {
        route.pattern.check_whole()?;
        let place = paths.place(&route.pattern);
        let mut others = place.iter().map(|other| &routes[*other]);
        if let Some(other) = others.find(|other| other.accepts == route.accepts) {
            return Err(format!(
                "there are two routes for the same: {other} and {route}"
            ));
        }
        place.push(number);
    }
    Ok(paths)
}

/// Chooses the route of a path that answers the request.
pub(super) fn choose<'a>(routes: &[&'a Route], request: &Request) -> Option<&'a Route> {
    let find = |accepts: &Accepts| {
        routes
            .iter()
            .copied()
            .find(|route| route.accepts == *accepts)
    };
    let by_method = |method: &Method| find(&Accepts::Method(method.clone()));
    let method = request.method();
    let socket = find(&Accepts::WebSocket).filter(|_| reads(method));
    // RFC 9110 7.8: a server may ignore Upgrade. So if the path has no WebSocket, a page answers
    // the request.
    let asked = socket.filter(|_| request.is_upgrade());
    // RFC 9110 9.3.2: HEAD is GET without the content. A WebSocket's path without a page answers
    // 426.
    let by_get = || by_method(&Method::GET).filter(|_| reads(method));
    asked
        .or_else(|| by_method(method))
        .or_else(by_get)
        .or(socket)
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Makes the reply for a path without routes, or without a route for the method.
pub(super) fn refuse(routes: &[&Route]) -> Reply {
    if routes.is_empty() {
        return Reply::error(StatusCode::NOT_FOUND);
    }
    // RFC 9110 15.5.6: a 405 names the methods that are allowed.
    let reply = Reply::error(StatusCode::METHOD_NOT_ALLOWED);
    reply.header("Allow", allowed(routes).join(", "))
}

fn allowed<'a>(routes: &[&'a Route]) -> Vec<&'a str> {
    let mut methods = Vec::new();
    for route in routes {
        match &route.accepts {
            Accepts::Method(method) if *method != Method::GET => methods.push(method.as_str()),
            _ => methods.extend(["GET", "HEAD"]),
        }
    }
    methods.sort_unstable();
    methods.dedup();
    methods
}
