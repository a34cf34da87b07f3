//! Middleware: code that runs before handlers. [`Next`] passes a request on.

use std::fmt;

use super::{Reply, Request};

/// A function that answers a request, as handlers and routers do.
pub(crate) type Hook = Box<dyn Fn(&mut Request) -> Reply + Send + Sync>;
/// A middleware, which answers a request or passes it on.
pub(super) type Layer = Box<dyn Fn(&mut Request, Next<'_>) -> Reply + Send + Sync>;

/// Boxes a handler of any type that makes a reply.
pub(crate) fn hook_of<R: Into<Reply>>(
    handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
) -> Hook {
    Box::new(move |request| {
        let answer = handler(request);
        Reply::of(request, answer)
    })
}

/// The rest of the chain behind a [middleware](crate::Router::middleware): the next middleware, and at
/// the end the handler.
pub struct Next<'a> {
    layers: &'a [Layer],
    answer: &'a dyn Fn(&mut Request) -> Reply,
}

impl<'a> Next<'a> {
    pub(super) fn new(layers: &'a [Layer], answer: &'a dyn Fn(&mut Request) -> Reply) -> Self {
        Self { layers, answer }
    }

    /// Passes the request on and returns the reply.
    #[must_use = "the reply is what the client gets"]
    pub fn run(self, request: &mut Request) -> Reply {
        match self.layers.split_first() {
            None => (self.answer)(request),
            Some((layer, layers)) => layer(request, Self { layers, ..self }),
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}
