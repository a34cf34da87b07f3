//! The settings of a server, and its start: [`ServerBuilder`].

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use super::access::Access;
use super::bind_to::BindTo;
use super::connections::Connections;
use super::incoming::{Incoming, Intake};
use super::{Server, Shared, counted, start};
use crate::held::memory_budget;
use crate::http::{Attach, Hook, hook_of};
use crate::process::Process;
use crate::record::debug;
use crate::sync::Mutex;
use crate::transport::{Acceptor, Limits, ListenOptions, Listener};
use crate::{
    Config, Error, IntoOutcome, Messages, Outcome, Reply, Request, Router, ServerTls, Socket,
    Upgrade, WebSocket,
};

/// The settings of a server; [`bind`](Self::bind) starts it.
///
/// Setters never fail; `bind` reports settings that cannot be used. Exactly one of
/// [`on_upgrade`](Self::on_upgrade), [`serve`](Self::serve), [`router`](Self::router) and
/// [`on_request`](Self::on_request) must be set, and none for
/// [`bind_incoming`](Self::bind_incoming).
#[must_use = "a server starts with `bind`"]
pub struct ServerBuilder {
    config: Config,
    max_connections: Option<usize>,
    max_handshakes: usize,
    listening: ListenOptions,
    pub(super) access: Access,
    tls: Option<ServerTls>,
    decide: Option<Decide>,
    attach: Vec<Attach>,
    hooks: Vec<Hook>,
    /// The settings of routes.
    route_configs: Vec<Arc<Config>>,
    /// Set if the program takes the connections one by one.
    intake: Option<Intake>,
    invalid: Option<Error>,
}

/// Decides on an upgrade.
type Decide = Box<dyn Fn(&mut Request) -> Result<Upgrade, Reply> + Send + Sync>;

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: Config::new(),
            max_connections: None,
            max_handshakes: 256,
            listening: ListenOptions::default(),
            access: Access::default(),
            tls: None,
            decide: None,
            attach: Vec::new(),
            hooks: Vec::new(),
            route_configs: Vec::new(),
            intake: None,
            invalid: None,
        }
    }

    /// Sets the function that sets up a new connection, usually by setting its callbacks. Then the
    /// connection's thread reads and calls them until the connection closes.
    ///
    /// It runs on the connection's own thread, once the 101 has left, and nothing is read before it
    /// has returned. An error or a panic closes the connection with 1011. A closure that uses `?`
    /// names its type: `|ws, request| -> landline::Outcome { ... }`.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder().on_upgrade(|ws, request| {
    ///     println!("{} asked for {}", request.peer_addr(), request.path());
    ///     ws.on_text(|ws, text| ws.send(text));
    /// });
    /// # let _ = builder;
    /// ```
    pub fn on_upgrade<R: IntoOutcome>(
        mut self,
        set_up: impl Fn(&WebSocket, Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.attach.push(Upgrade::for_each_set_up(set_up));
        self
    }

    /// Sets the function that handles a new connection with blocking code. It runs on the
    /// connection's own thread; when it returns, the connection closes with 1000, or with 1011
    /// after an error or a panic.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder().serve(|ws, messages, _request| {
    ///     for message in messages {
    ///         ws.send(message?)?;
    ///     }
    ///     Ok(())
    /// });
    /// # let _ = builder;
    /// ```
    pub fn serve(
        mut self,
        handler: impl Fn(WebSocket, Messages, Request) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.attach.push(Upgrade::for_each_serve(handler));
        self
    }

    /// Sets the function that decides on an upgrade: `Ok` goes on, with the contents of the
    /// [`Upgrade`]; `Err` answers with that [`Reply`] instead, such as [`Reply::forbidden`]. It
    /// goes with [`on_upgrade`](Self::on_upgrade) or [`serve`](Self::serve), and is called only for
    /// valid upgrade requests of an allowed origin.
    ///
    /// It runs on the connection's own thread, so it may block, for example on a database. The
    /// [`handshake_timeout`](Config::handshake_timeout) is over by then: it is for the peer's part.
    /// Only a stop cuts the socket meanwhile, at its deadline; the thread is free when the closure
    /// returns. A panic answers 500.
    ///
    /// ```
    /// # use landline::{Reply, Server, Upgrade};
    /// let builder = Server::builder()
    ///     .should_upgrade(|request| match request.path() {
    ///         "/deny" => Err(Reply::forbidden()),
    ///         _ => Ok(Upgrade::new()),
    ///     })
    ///     .on_upgrade(|ws, _request| ws.send("Connected"));
    /// # let _ = builder;
    /// ```
    pub fn should_upgrade(
        mut self,
        decide: impl Fn(&mut Request) -> Result<Upgrade, Reply> + Send + Sync + 'static,
    ) -> Self {
        self.decide = Some(Box::new(decide));
        self
    }

    /// Sets the routes: which handler answers which path, with a WebSocket or a page.
    ///
    /// ```
    /// # use landline::{Error, Router, Server};
    /// let router = Router::new().get("/", |_request| "hello").get("/", |_request| "bye");
    /// let twice = Server::builder().router(router).bind("127.0.0.1:0");
    /// assert!(matches!(twice, Err(Error::Invalid(_))));
    /// ```
    pub fn router(mut self, router: Router) -> Self {
        self.route_configs.extend(router.configs());
        self.invalid = self.invalid.or(router.check().err());
        self.on_request(move |request| router.reply(request))
    }

    /// Sets the function that answers every request, with a page or with an [`Upgrade`].
    /// [`should_upgrade`](Self::should_upgrade), [`on_upgrade`](Self::on_upgrade),
    /// [`serve`](Self::serve) and [`router`](Self::router) are written on this hook. It runs where
    /// and when `should_upgrade` does. An `Upgrade` in answer to a plain request becomes 426.
    pub fn on_request<R: Into<Reply>>(
        mut self,
        answer: impl Fn(&mut Request) -> R + Send + Sync + 'static,
    ) -> Self {
        self.hooks.push(hook_of(answer));
        self
    }

    /// Makes the server speak `wss://` and `https://`, and nothing else.
    ///
    /// ```no_run
    /// use landline::{Identity, Server};
    ///
    /// let identity = Identity::from_pem(std::fs::read("chain.pem")?, std::fs::read("key.pem")?);
    /// let server = Server::builder()
    ///     .tls(identity)
    ///     .on_upgrade(|ws, _request| ws.send("welcome"))
    ///     .bind("127.0.0.1:9443")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tls(mut self, tls: impl Into<ServerTls>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Sets the limits and deadlines of the connections. A connection has these settings for life,
    /// unless its route ([`Router::config`]) or its [`Upgrade`] has others.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets how many connections there may be at once, those in their handshake included; further
    /// ones get 503. The default is 0.8 of what the system's limits for descriptors, threads,
    /// memory maps, control groups and the address space allow when binding, less the [memory
    /// budget](crate::set_memory_budget). A DEBUG record tells the limits.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Sets how many handshakes whose whole request has not come may be under way at once; 256 by
    /// default. At the limit the oldest handshake that waits for its client is cut and the newcomer
    /// served. A request that has come whole does not count, however long the program takes to
    /// answer.
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes.max(1);
        self
    }

    /// Sets the mode of the files of Unix sockets, such as `0o660`: who may connect. By default the
    /// umask decides. It is set before the server listens, so no one else can connect before.
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.listening.unix_mode = Some(mode);
        self
    }

    /// Lets other sockets listen at the same address and port, if they set `SO_REUSEPORT` too; the
    /// system then deals the new connections out among them, to processes of one user. Where there is no
    /// such option, as on Windows, binding fails.
    ///
    /// This is no way to restart without refusing anyone. When a process closes its socket, the
    /// connections that wait there are reset, while another process still accepts. Hand the
    /// listening socket itself to the new process: the example `restart` shows how.
    pub fn reuse_port(mut self) -> Self {
        self.listening.reuse_port = true;
        self
    }

    /// Binds the address and starts to accept, on a thread named `landline-accept`. Returns at
    /// once, unless the address is a name to be looked up. Port 0 lets the system choose;
    /// [`local_addr`](Server::local_addr) tells.
    ///
    /// A server listens at any number of addresses, and at sockets that the program has made or was
    /// handed: see [`BindTo`]. [`local_addrs`](Server::local_addrs) returns them all.
    ///
    /// - Of several IP addresses, as those of a name such as `localhost`, it listens at those that
    ///   this machine has. If the system chooses the port, it is the same for all.
    /// - `0.0.0.0:9001` stands for all IPv4 addresses of this machine. `[::]:9001` stands for all
    ///   of IPv6, and as the system is set up, usually, for those of IPv4 too; beside an IPv4 address
    ///   with the same port it stands for IPv6 alone.
    /// - `unix:/run/app.sock` is a Unix socket, whose file has the mode of
    ///   [`unix_mode`](Self::unix_mode). The server removes the file when it stops. A file that a
    ///   crashed server has left is replaced; that of a running one is an error. A lock on the file
    ///   `/run/app.sock.lock` tells the two apart, and servers that start at once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be used or contradict each other,
    /// [`Error::Bind`] for the address, [`Error::Io`] if no thread can be had.
    #[must_use = "the server stops when the last handle is dropped"]
    pub fn bind(self, to: impl BindTo) -> Result<Server, Error> {
        let options = self.listening.clone();
        self.start(|| Listener::bind(to.into_places()?.0, &options).map(Some))
    }

    /// Binds like [`bind`](Self::bind), for a program that takes the connections one by one, each open
    /// already: a test in its own thread, or a program with a loop of its own. [`Incoming`] tells
    /// the rest.
    ///
    /// Of the handlers only [`should_upgrade`](Self::should_upgrade) goes with it; without it every
    /// valid upgrade is let in.
    ///
    /// ```no_run
    /// let (server, incoming) = landline::Server::builder().bind_incoming("127.0.0.1:9001")?;
    /// println!("{}", server.url());
    /// for (ws, messages, request) in incoming {
    ///     println!("{} asks for {}", request.peer_addr(), request.path());
    ///     std::thread::spawn(move || -> landline::Outcome {
    ///         for message in messages {
    ///             ws.send(message?)?;
    ///         }
    ///         Ok(())
    ///     });
    /// }
    /// # Ok::<(), landline::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `bind`.
    pub fn bind_incoming(mut self, to: impl BindTo) -> Result<(Server, Incoming), Error> {
        let (intake, receiver) = Intake::new();
        self.intake = Some(intake);
        let server = self.bind(to)?;
        Ok((server.clone(), Incoming::new(server, receiver)))
    }

    /// Serves one connection, and listens nowhere: one that inetd or systemd (`Accept=yes`) has
    /// accepted, the end of an SSH tunnel, or one end of a socketpair in a test.
    /// [`Server::wait`] returns once it has ended. More can be handed in by
    /// [`Server::serve_stream`].
    ///
    /// ```
    /// use landline::{Client, Server};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (near, far) = UnixStream::pair()?;
    /// let server = Server::builder()
    ///     .on_upgrade(|ws, _| ws.on_text(|ws, text| ws.send(text)))
    ///     .serve_stream(far)?;
    ///
    /// let client = Client::new().dial_with(move |_, _, _| near.try_clone());
    /// let (ws, mut messages) = client.open("ws://localhost/")?;
    /// ws.send("hello")?;
    /// assert_eq!(messages.recv()?.as_text(), Some("hello"));
    /// messages.close();
    /// server.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be used or contradict each other, [`Error::Io`]
    /// for a socket that is no connected stream, and if no thread can be had.
    #[must_use = "the server stops when the last handle is dropped"]
    pub fn serve_stream(self, stream: impl Into<Socket>) -> Result<Server, Error> {
        let server = self.start(|| Ok(None))?;
        server.serve_stream(stream)?;
        server.stop_accepting();
        Ok(server)
    }
}

impl ServerBuilder {
    /// Checks the settings of connections.
    fn check(&self) -> Result<(), Error> {
        self.config.check()?;
        let routes = &mut self.route_configs.iter();
        routes.try_for_each(|config| config.check_for_route(&self.config))
    }

    /// Starts the server, once all settings are known to be usable, with the listener that `bind`
    /// gives.
    fn start(
        mut self,
        bind: impl FnOnce() -> io::Result<Option<Listener>>,
    ) -> Result<Server, Error> {
        self.check()?;
        let hook = self.hook()?;
        let access = self.access.checked()?;
        let tls = self.tls.as_ref().map(Acceptor::new).transpose()?;
        let listener = bind().map_err(Error::Bind)?;
        let limits = Limits::find();
        let shared = Arc::new(Shared {
            local_addrs: listener
                .as_ref()
                .map_or_else(Vec::new, Listener::local_addrs),
            config: Arc::new(self.config),
            max_connections: self
                .max_connections
                .unwrap_or_else(|| limits.max_connections(memory_budget())),
            max_handshakes: self.max_handshakes,
            max_lingering: limits.max_lingering(),
            access,
            tls: Mutex::new(tls.map(Arc::new)),
            hook,
            connections: Connections::new(self.intake),
            failure: OnceLock::new(),
            owner: Process::this(),
            wake: listener.as_ref().map(Listener::wake),
        });
        if let Some(listener) = listener {
            start(listener, &shared)?;
        }
        debug!(
            "the system allows {limits}; peers can make us hold {} bytes",
            memory_budget()
        );
        Ok(counted(shared))
    }
}

impl ServerBuilder {
    /// Makes the one hook from the settings.
    fn hook(&mut self) -> Result<Hook, Error> {
        if let Some(invalid) = self.invalid.take() {
            return Err(invalid);
        }
        let decide = self.decide.take();
        match (self.hooks.pop(), self.attach.pop(), decide) {
            (None, None, decide) if self.intake.is_some() => {
                Ok(upgrading(decide, Box::new(|upgrade| upgrade)))
            }
            _ if self.intake.is_some() => Err(Error::Invalid(
                "bind_incoming goes with should_upgrade alone".into(),
            )),
            (Some(hook), None, None) if self.hooks.is_empty() => Ok(hook),
            (None, Some(attach), decide) if self.attach.is_empty() => Ok(upgrading(decide, attach)),
            (Some(_), None, Some(_)) => Err(Error::Invalid(
                "should_upgrade goes with on_upgrade or serve".into(),
            )),
            _ => Err(Error::Invalid(
                "set exactly one of on_upgrade, serve, router and on_request".into(),
            )),
        }
    }
}

/// Answers upgrade requests as the program decides, and all others with an upgrade, which becomes
/// 426.
fn upgrading(decide: Option<Decide>, attach: Attach) -> Hook {
    Box::new(move |request| {
        let decided = match &decide {
            Some(decide) if request.is_upgrade() => decide(request),
            _ => Ok(Upgrade::new()),
        };
        decided.map_or_else(|reply| reply, |upgrade| attach(upgrade).into())
    })
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
