//! The choice of the handler for a request: [`Router`].

use std::fmt;
use std::iter;
use std::sync::{Arc, OnceLock};

use http::{Method, StatusCode};

use super::middleware::{Hook, Layer, Next, hook_of};
use super::paths::Paths;
use super::pattern::Pattern;
use super::route::{Accepts, Route, choose, refuse, sort};
use super::upgrade::Attach;
use super::{Reply, Request, Upgrade};
use crate::record::warn;
use crate::{Config, Error, IntoOutcome, Messages, Outcome, WebSocket};

/// A table of paths and their handlers: WebSockets, and pages beside them.
///
/// ```no_run
/// use landline::{Reply, Router, Server};
///
/// let router = Router::new()
///     .get("/", |_request| Reply::html("<h1>Hello</h1>"))
///     .websocket("/rooms/{room}", |ws, request| {
///         let room = request.parameter("room").unwrap_or_default();
///         ws.send(format!("Welcome to {room}"))
///     });
/// Server::builder().router(router).bind("127.0.0.1:9001")?.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Paths
/// A path is text, with `{name}` for one segment and `{*name}` at its end for all the rest. Neither
/// may be empty. [`Request::parameter`] returns their values, percent-decoded: a value may hold
/// anything then, slashes and `..` too. The text is compared with the path as it came, not decoded.
/// A slash at the end makes another path.
///
/// If several paths match, the most specific one wins, in whatever order they were added: text goes
/// before `{name}`, that before `{*name}`, and a segment further left counts more.
///
/// # Requests
/// - A WebSocket and a page may share a path. A request for a WebSocket goes to the first; where
///   there is none, it is a GET like any other (RFC 9110, section 7.8), and the client gets the page
///   as a refusal. A GET handler may also answer with an [`Upgrade`] of its own making.
/// - A plain GET of a WebSocket's path gets 426.
/// - HEAD is answered by the GET handler; the body stays behind.
/// - An unknown path gets 404, or the answer of the [`fallback`](Self::fallback). A method that nothing
///   at the path is for, OPTIONS as any other, gets 405 with `Allow`.
///
/// # Threads
/// Handlers and middleware run on the connection's own thread, many at once, so they may block, as
/// [`should_upgrade`](crate::ServerBuilder::should_upgrade) may. A panic answers 500.
///
/// # Misuse
/// Setters never fail; [`bind`](crate::ServerBuilder::bind) reports what cannot be used, and so does
/// [`check`](Self::check).
#[derive(Default)]
#[must_use = "a router is for `ServerBuilder::router`"]
pub struct Router {
    routes: Vec<Route>,
    layers: Vec<Layer>,
    fallback: Option<Hook>,
    config: Option<Arc<Config>>,
    problem: Option<String>,
    /// The routes by path, or the problem with them. Made at the first use.
    sorted: OnceLock<Result<Paths, String>>,
}

impl Router {
    /// Makes a router that answers 404 to everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a WebSocket, set up as by
    /// [`ServerBuilder::on_upgrade`](crate::ServerBuilder::on_upgrade).
    ///
    /// ```
    /// # use landline::Router;
    /// let router = Router::new().websocket("/echo", |ws, _request| {
    ///     ws.on_text(|ws, text| ws.send(text));
    /// });
    /// # assert!(router.check().is_ok());
    /// ```
    pub fn websocket<R: IntoOutcome>(
        self,
        path: &str,
        set_up: impl Fn(&WebSocket, Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.upgrade(path, Upgrade::for_each_set_up(set_up))
    }

    /// Adds a WebSocket as a straight line of blocking code, run as by
    /// [`ServerBuilder::serve`](crate::ServerBuilder::serve).
    ///
    /// ```
    /// # use landline::Router;
    /// let router = Router::new().serve("/echo", |ws, messages, _request| {
    ///     for message in messages {
    ///         ws.send(message?)?;
    ///     }
    ///     Ok(())
    /// });
    /// # assert!(router.check().is_ok());
    /// ```
    pub fn serve(
        self,
        path: &str,
        handler: impl Fn(WebSocket, Messages, Request) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.upgrade(path, Upgrade::for_each_serve(handler))
    }

    fn upgrade(self, path: &str, attach: Attach) -> Self {
        let answer = hook_of(move |_| attach(Upgrade::new()));
        self.add(path, Accepts::WebSocket, answer)
    }

    /// Adds a page: the answer to GET and HEAD.
    ///
    /// ```
    /// # use landline::{Reply, Request, Router};
    /// let router = Router::new().get("/hello/{name}", |request| {
    ///     format!("Hello {}", request.parameter("name").unwrap_or("you"))
    /// });
    /// let request = http::Request::get("/hello/Ada").body(Default::default())?;
    /// assert_eq!(router.reply(&mut Request::from(request)).status(), 200);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn get<R: Into<Reply>>(
        self,
        path: &str,
        handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// Adds the answer to POST.
    pub fn post<R: Into<Reply>>(
        self,
        path: &str,
        handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route(Method::POST, path, handler)
    }

    /// Adds the answer to PUT.
    pub fn put<R: Into<Reply>>(
        self,
        path: &str,
        handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route(Method::PUT, path, handler)
    }

    /// Adds the answer to PATCH.
    pub fn patch<R: Into<Reply>>(
        self,
        path: &str,
        handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route(Method::PATCH, path, handler)
    }

    /// Adds the answer to DELETE.
    pub fn delete<R: Into<Reply>>(
        self,
        path: &str,
        handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route(Method::DELETE, path, handler)
    }

    /// Adds the answer to any method, an [`http::Method`] or its name, whose case matters.
    pub fn route<R: Into<Reply>>(
        self,
        method: impl TryInto<Method>,
        path: &str,
        handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        match method.try_into() {
            Ok(method) => self.add(path, Accepts::Method(method), hook_of(handler)),
            Err(_) => self.note_problem(format!("the method for {path:?} is none")),
        }
    }

    /// Adds routes whose paths begin with a prefix, and which may have middleware of their own.
    /// The prefix does not end with a slash; it may have parameters, and may be empty. Inside, an
    /// empty path is that of the prefix alone.
    ///
    /// ```
    /// # use landline::{Reply, Router};
    /// let router = Router::new().scope("/api/v1", |scope| {
    ///     scope
    ///         .middleware(|request, next| match request.header("X-Key") {
    ///             Some("secret") => next.run(request),
    ///             _ => Reply::forbidden(),
    ///         })
    ///         .get("/status", |_request| Reply::json(r#"{"up":true}"#))
    ///         .websocket("/events", |ws, _request| ws.send("hello"))
    /// });
    /// # assert!(router.check().is_ok());
    /// ```
    pub fn scope(mut self, prefix: &str, routes: impl FnOnce(Self) -> Self) -> Self {
        let scope = routes(Self::new());
        if let Some(problem) = scope.problem {
            self = self.note_problem(format!("in the scope {prefix:?}: {problem}"));
        }
        if scope.fallback.is_some() {
            self = self.note_problem(format!("the scope {prefix:?} has a fallback"));
        }
        let prefix = match Pattern::parse_prefix(prefix) {
            Ok(prefix) => prefix,
            Err(problem) => return self.note_problem(problem),
        };
        let layers = Arc::from(scope.layers);
        let entered = scope
            .routes
            .into_iter()
            .map(|route| route.enter(&prefix, &layers, scope.config.as_ref()));
        self.routes.extend(entered);
        self.sorted = OnceLock::new();
        self
    }

    /// Adds a function that runs before handlers. It may answer by itself, which for a WebSocket is
    /// before the 101; it may store a value in [`extensions_mut`](Request::extensions_mut) for the
    /// functions behind it; and it may change the reply.
    ///
    /// It runs before all handlers of the router or scope, whether they were added before it or
    /// after. A router's middleware also sees the replies to unknown paths and methods, a scope's
    /// only the replies of its routes. The first one added is the outermost, and a scope's runs
    /// after the router's.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use landline::Router;
    ///
    /// let router = Router::new().get("/", |_request| "hello").middleware(|request, next| {
    ///     let mut reply = next.run(request);
    ///     reply.headers_mut().insert("X-Served-By", HeaderValue::from_static("landline"));
    ///     reply
    /// });
    /// # assert!(router.check().is_ok());
    /// ```
    pub fn middleware<R: Into<Reply>>(
        mut self,
        middleware: impl Fn(&mut Request, Next<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Box::new(move |request, next| {
            let answer = middleware(request, next);
            Reply::of(request, answer)
        }));
        self
    }

    /// Sets the limits and deadlines of the WebSockets of this router or scope, instead of the
    /// server's. Those of an inner scope, or of an [`Upgrade`] itself, go before those of an outer
    /// one. For a path with settings of its own, add a scope of its own.
    ///
    /// The settings are taken as a whole: a setting that is not set here is the default, not the
    /// server's. Three are the server's alone, see [`Upgrade::config`];
    /// [`bind`](crate::ServerBuilder::bind) reports those and any that cannot be used.
    ///
    /// ```
    /// # use landline::{Config, Router};
    /// let router = Router::new()
    ///     .websocket("/chat", |ws, _request| ws.on_text(|ws, text| ws.send(text)))
    ///     .scope("/upload", |scope| {
    ///         let large = Config::new().max_message_size(64 << 20);
    ///         scope.config(large).websocket("", |ws, _request| {
    ///             ws.on_binary(|ws, bytes| ws.send(format!("{} bytes", bytes.len())));
    ///         })
    ///     });
    /// # assert!(router.check().is_ok());
    /// ```
    pub fn config(mut self, config: Config) -> Self {
        if let Err(Error::Invalid(problem)) = config.check() {
            self = self.note_problem(problem);
        }
        self.config = Some(Arc::new(config));
        self
    }

    /// Sets the answer to paths that match no route, instead of the plain 404. It is for a whole
    /// router, not for a scope.
    pub fn fallback<R: Into<Reply>>(
        mut self,
        handler: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.fallback = Some(hook_of(handler));
        self
    }

    fn add(mut self, path: &str, accepts: Accepts, answer: Hook) -> Self {
        match Pattern::parse(path) {
            Ok(pattern) => self.routes.push(Route {
                pattern,
                accepts,
                answer,
                config: None,
            }),
            Err(problem) => return self.note_problem(problem),
        }
        self.sorted = OnceLock::new();
        self
    }

    /// Keeps the first problem for `bind`.
    fn note_problem(mut self, problem: String) -> Self {
        self.problem.get_or_insert(problem);
        self
    }
}

impl Router {
    /// Tells whether the router can be used, as `bind` does.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a path that is malformed or can never match, a scope that cannot be
    /// used, and two routes for the same requests.
    pub fn check(&self) -> Result<(), Error> {
        self.paths()
            .map(|_| ())
            .map_err(|problem| Error::Invalid(problem.to_owned()))
    }

    /// Returns the settings that it gives to WebSockets.
    pub(crate) fn configs(&self) -> Vec<Arc<Config>> {
        let routes = self.routes.iter().filter_map(|route| route.config.clone());
        routes.chain(self.config.clone()).collect()
    }

    /// Answers a request: what a server does with each one, for a program's own tests too. An
    /// upgrade is answered with 101 and has not happened yet; of a reply to HEAD the server drops
    /// the body, and for a plain request it makes an upgrade 426. A router that cannot be used
    /// answers 500.
    ///
    /// ```
    /// use landline::{Request, Router};
    ///
    /// let router = Router::new().get("/", |_request| "hello");
    /// let request = http::Request::get("/nowhere").body(Default::default())?;
    /// assert_eq!(router.reply(&mut Request::from(request)).status(), 404);
    /// # Ok::<(), http::Error>(())
    /// ```
    #[must_use]
    pub fn reply(&self, request: &mut Request) -> Reply {
        match self.paths() {
            Ok(paths) => self.answer(paths, request),
            Err(problem) => {
                warn!("a router cannot be used: {problem}");
                Reply::error(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    fn paths(&self) -> Result<&Paths, &str> {
        let sorted = self.sorted.get_or_init(|| sort(&self.routes));
        match (&self.problem, sorted) {
            (Some(problem), _) | (None, Err(problem)) => Err(problem),
            (None, Ok(paths)) => Ok(paths),
        }
    }

    fn answer(&self, paths: &Paths, request: &mut Request) -> Reply {
        let path = request.path().to_owned();
        let (numbers, values) = paths.find(&path);
        let routes: Vec<_> = numbers.iter().map(|number| &self.routes[*number]).collect();
        let Some(route) = choose(&routes, request) else {
            request.set_parameters(iter::empty());
            return self.answer_without_route(&routes, request);
        };
        request.set_parameters(route.pattern.names().zip(values));
        let reply = self.run(request, &route.answer);
        reply.with_config(route.config.as_ref().or(self.config.as_ref()))
    }

    fn answer_without_route(&self, others: &[&Route], request: &mut Request) -> Reply {
        match &self.fallback {
            Some(fallback) if others.is_empty() => {
                let reply = self.run(request, fallback);
                reply.with_config(self.config.as_ref())
            }
            _ => self.run(request, &|_| refuse(others)),
        }
    }

    fn run(&self, request: &mut Request, answer: &dyn Fn(&mut Request) -> Reply) -> Reply {
        Next::new(&self.layers, answer).run(request)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<_> = self.routes.iter().map(ToString::to_string).collect();
        f.debug_struct("Router")
            .field("routes", &routes)
            .field("middleware", &self.layers.len())
            .finish_non_exhaustive()
    }
}
