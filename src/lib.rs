//! Blocking WebSockets, client and server: one thread per connection, no async runtime.
//!
//! - **A server**: call [`Server::builder()`], set a handler, and call
//!   [`bind`](ServerBuilder::bind). The handler [`on_upgrade`](ServerBuilder::on_upgrade) sets
//!   callbacks on each new connection. The handler [`serve`](ServerBuilder::serve) runs blocking
//!   code for each. A [`Router`] has handlers for paths, and serves pages beside them.
//! - **A client**: call [`connect`], and a thread of the connection calls your callbacks. Or call
//!   [`open`], and receive the messages yourself. [`Client`] has the settings.
//! - **You get** a [`WebSocket`]: a handle that sends from any thread, inside callbacks and
//!   outside, and is as cheap to clone as the sending half of a channel. [`open`] and `serve` also
//!   give you [`Messages`]: an iterator that ends with the connection. A [`Group`] sends one
//!   message to many connections.
//! - **A client that stays connected** is a loop over [`Client::sessions`], or a handle that outlives
//!   its connections, [`Client::keep`]. A [`Canceller`] ends their waits from another thread.
//! - **To wait for several things at once**, turn messages into a channel for `select!`:
//!   [`Messages::into_receiver`].
//! - The library does pings, limits and deadlines. Each connection ends with one [`CloseEvent`],
//!   which tells how.
//!
//! A server with callbacks, and a client that receives the messages itself:
//!
//! ```
//! use landline::Server;
//!
//! let server = Server::builder()
//!     .on_upgrade(|ws, _request| {
//!         ws.on_text(|ws, text| ws.send(text));
//!     })
//!     .bind("127.0.0.1:0")?;
//!
//! let (ws, mut messages) = landline::open(server.url())?;
//! ws.send("hello")?;
//! assert_eq!(messages.recv()?.as_text(), Some("hello"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server with blocking code, and a client with callbacks:
//!
//! ```
//! use landline::Server;
//! use std::sync::mpsc;
//!
//! let server = Server::builder()
//!     .serve(|ws, messages, request| {
//!         ws.send(format!("welcome to {}", request.path()))?;
//!         for message in messages {
//!             ws.send(message?)?;
//!         }
//!         Ok(())
//!     })
//!     .bind("127.0.0.1:0")?;
//!
//! let (heard, texts) = mpsc::channel();
//! let ws = landline::connect(server.url() + "/lobby", |ws| {
//!     ws.on_text(move |_, text| heard.send(text));
//! })?;
//! assert_eq!(texts.recv()?, "welcome to /lobby");
//! ws.send("hello")?;
//! assert_eq!(texts.recv()?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Requests
//!
//! Every connection begins as an HTTP request, and one hook answers it: a [`Request`] comes in, a
//! [`Reply`] goes out, and a reply may be an [`Upgrade`]. [`on_request`](ServerBuilder::on_request)
//! is that hook, and all other handlers are written on it.
//! [`should_upgrade`](ServerBuilder::should_upgrade) accepts or refuses an upgrade:
//!
//! ```
//! use landline::{Reply, Server, Upgrade};
//!
//! let server = Server::builder()
//!     .should_upgrade(|request| match request.path() {
//!         "/deny" => Err(Reply::forbidden()),
//!         _ => Ok(Upgrade::new().header("X-Served-By", "landline")),
//!     })
//!     .on_upgrade(|ws, _request| {
//!         ws.on_text(|ws, text| ws.send(text.chars().rev().collect::<String>()));
//!         ws.send("Connected")
//!     })
//!     .bind("127.0.0.1:0")?;
//!
//! assert!(landline::open(server.url() + "/deny").is_err());
//! let (ws, mut messages) = landline::open(server.url())?;
//! assert_eq!(messages.recv()?.as_text(), Some("Connected"));
//! ws.send("hello")?;
//! assert_eq!(messages.recv()?.as_text(), Some("olleh"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Before any of the program's code runs, two kinds of requests get 403. The first are requests of
//! pages of other origins, if they ask for a WebSocket or have a method that may change something.
//! The second are requests from this machine itself for the name of another.
//! [`allow_origins`](ServerBuilder::allow_origins) and [`allow_hosts`](ServerBuilder::allow_hosts)
//! let them in. If hosts are named, the Host of every request is checked.
//!
//! The head of a request may have 16 KiB, 100 header lines, 8 KiB of path and query, and a hundred
//! subprotocols.
//!
//! Behind a proxy, set up three things. The proxy speaks HTTP/1.1 to the server and passes on
//! Upgrade, Connection, and Host with its port as it came. The program lists the names that the
//! proxy serves by [`allow_hosts`](ServerBuilder::allow_hosts), because a proxy on the same machine
//! sends its requests from there. And [`trusted_proxies`](ServerBuilder::trusted_proxies) with
//! [`client_addr_header`](ServerBuilder::client_addr_header) set which header names the clients.
//!
//! Plain requests are for a page, a health check or a JSON status beside the WebSockets. Each gets
//! one reply, and its connection ends. For more, use a web framework, such as axum or actix-web, on
//! a port of its own.
//!
//! Such a proxy is named `unix` on a Unix socket. One that speaks the PROXY protocol is listed by
//! [`proxy_protocol`](ServerBuilder::proxy_protocol) instead, and each of its connections must begin
//! with that. [`Request::client_addr`] is the client's address in all of these ways.
//!
//! # Running a server
//!
//! **Listening.** [`bind`](ServerBuilder::bind) takes one place or several: addresses, `unix:/path`,
//! and listening sockets that the program has made, or got from systemd or another process
//! ([`BindTo`]). [`serve_stream`](Server::serve_stream) serves a connection that the program has, and
//! [`ServerBuilder::serve_stream`] one alone, as a program of inetd's does.
//!
//! **Taking.** The handler [`on_upgrade`](ServerBuilder::on_upgrade) or
//! [`serve`](ServerBuilder::serve) gets each connection on a thread of its own. Or
//! [`bind_incoming`](ServerBuilder::bind_incoming) gives an iterator, [`Incoming`], for a program
//! that takes them one by one.
//!
//! **Keeping.** What a program knows of a connection goes with it:
//! [`set_data`](WebSocket::set_data) stores a value, and [`data`](WebSocket::data) returns it by any
//! handle, those of [`Server::connections`] too. What middleware has put into a request's
//! [`extensions`](Request::extensions_mut) is there from the beginning. State that connections share
//! belongs to the handler. With `serve` it needs no clone, because one function runs for the whole
//! connection; with callbacks, give each connection an [`Arc`](std::sync::Arc) of it as its data:
//!
//! ```
//! use landline::{Group, Messages, Outcome, Request, Server, WebSocket};
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! #[derive(Default)]
//! struct Hall {
//!     people: Group,
//!     said: AtomicUsize,
//! }
//!
//! impl Hall {
//!     fn visit(&self, ws: WebSocket, messages: Messages, _: Request) -> Outcome {
//!         self.people.join(&ws);
//!         for message in messages {
//!             self.said.fetch_add(1, Ordering::Relaxed);
//!             self.people.send(message?);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let hall = Hall::default();
//! let server = Server::builder()
//!     .serve(move |ws, messages, request| hall.visit(ws, messages, request))
//!     .bind("127.0.0.1:0")?;
//! # Ok::<(), landline::Error>(())
//! ```
//!
//! **Stopping.** [`stop`](Server::stop) and [`stop_within`](Server::stop_within) only begin, from
//! anywhere, such as a handler of Ctrl-C; [`wait`](Server::wait) returns a [`StopReport`] of the
//! connections that closed in order, were cut, or are still in the program's code.
//! [`stop_accepting`](Server::stop_accepting) leaves all but the listening sockets alone.
//!
//! **Restarting without refusing anybody.** The new process gets the listening socket of the old one,
//! from systemd, which keeps it, or over a Unix socket; once it accepts, the old one calls
//! `stop_accepting` and ends with its last connection. The example `restart` does so. Two sockets with
//! [`reuse_port`](ServerBuilder::reuse_port) are not seamless: what waits in the old one is reset.
//!
//! # TLS
//!
//! [`ServerBuilder::tls`] takes an [`Identity`], and the server speaks `wss://` and `https://`. A
//! client speaks it if the URL says so; [`TlsOptions`] sets which servers it trusts.
//!
//! ```no_run
//! use landline::{Client, Identity, Server, TlsOptions};
//!
//! let identity = Identity::from_pem(std::fs::read("chain.pem")?, std::fs::read("key.pem")?);
//! let server = Server::builder()
//!     .tls(identity)
//!     .on_upgrade(|ws, _request| ws.send("welcome"))
//!     .bind("127.0.0.1:9443")?;
//! let client = Client::new().tls(TlsOptions::new().add_roots(std::fs::read("chain.pem")?));
//! let (ws, messages) = client.open("wss://localhost:9443")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There are two engines. The feature `tls`, on by default, uses the system's own by native-tls.
//! Use the feature `rustls` if there is no system library, and for servers that speak TLS 1.3,
//! demand client certificates or have several certificates, which native-tls on OpenSSL cannot.
//! With both features, [`TlsEngine`] chooses; its page tells which certificates only one of them
//! trusts. The feature `tls-vendored` builds OpenSSL from source.
//!
//! A certificate, key or setting that cannot be used is an error at [`bind`](ServerBuilder::bind),
//! [`set_tls`](Server::set_tls) or when connecting, and tells what is wrong with it.
//!
//! # Getting there
//!
//! A client looks the URL's host up and connects by TCP. Of several addresses it tries the next after a
//! quarter of a second, and takes the one that answers first. Other ways to a server:
//!
//! - **Through a proxy**, by HTTP or SOCKS5: [`Client::proxy`] sets one, [`Client::no_proxy`] none. By
//!   default the environment names it, as with curl; this machine itself is reached directly.
//! - **Over a Unix socket**: [`Client::unix_socket`], or a URL such as `ws+unix:/run/app.sock:/path`.
//! - **Over any stream** that the program has or makes, such as a tunnel: [`Client::dial_with`] takes a
//!   [`Socket`], made of a `TcpStream`, a `UnixStream` or a descriptor (on Windows, an `OwnedSocket`).
//! - **By a link-local address**: `ws://[fe80::1%25eth0]:9001/`.
//!
//! All share one deadline, TLS goes over all of them, and an error names the step that failed and the
//! address. [`Error::Proxy`] and [`Error::ProxyRefused`] tell failures of the proxy from those of the
//! server.
//!
//! # Sending
//!
//! How a program learns what has become of a message:
//!
//! | the message is | call |
//! |---|---|
//! | queued, and in all but the busiest moments with the kernel | [`send`](WebSocket::send) |
//! | with the kernel, or why not | [`send_tracked`](WebSocket::send_tracked) and its [`Delivery`] |
//! | with the kernel, and so is all that was queued | [`wait_drained`](WebSocket::wait_drained) |
//! | taken by the peer's endpoint | [`confirm`](WebSocket::confirm) |
//! | understood by the program at the other end | have that program answer |
//!
//! [`CloseEvent::undelivered`] counts the messages that were queued and not sent when the connection
//! ended.
//!
//! ```
//! use landline::{Client, Config, Overflow};
//! use std::time::Duration;
//!
//! # let server = landline::Server::builder().on_upgrade(|_, _| {}).bind("127.0.0.1:0")?;
//! # let url = server.url();
//! // A reading of a moment ago is worth nothing now: newer ones take the place of what waits.
//! let config = Config::new()
//!     .overflow(Overflow::DropOldest)
//!     .max_queue_messages(4)
//!     .send_buffer(16 << 10);
//! let ws = Client::new().config(config).connect(url, |_| {})?;
//! for reading in 0..100 {
//!     ws.send(format!("{reading} degrees"))?;
//! }
//! ws.send_tracked("that is with the kernel")?.wait()?;
//! ws.confirm(Duration::from_secs(5))?; // and now with the peer
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **A peer that does not keep up** fills the kernel's buffers first, then its queue, which is
//! bounded in bytes and messages. [`Overflow`] decides what a send does then: it waits, hands the
//! message back, drops it or the oldest, or closes the connection. [`Config::overflow`] sets the
//! policy for all connections, [`set_overflow`](WebSocket::set_overflow) for one,
//! [`send_with`](WebSocket::send_with) for one message.
//! [`buffered_amount`](WebSocket::buffered_amount) tells how far behind a peer is, without the
//! bytes that the kernel holds for it: a program that pushes sets [`Config::send_buffer`].
//!
//! **One message to many** goes by a [`Group`], which never waits, or by [`Server::broadcast`].
//! [`SlowPeers`] decides what becomes of a member that does not keep up: its connection is closed, or
//! it misses the message, or its oldest one.
//!
//! **A message that is too large to hold** is written piece by piece by a [`MessageWriter`]
//! ([`text_writer`](WebSocket::text_writer), [`binary_writer`](WebSocket::binary_writer)), and read
//! so by a [`MessageReader`] ([`recv_reader`](Messages::recv_reader)). Whole messages leave as one frame
//! each, or in fragments of at most [`Config::max_outgoing_frame`].
//!
//! # Blocking
//!
//! Every call that waits, what it waits for, and for how long:
//!
//! | call | waits for | at most |
//! |---|---|---|
//! | [`connect`], [`open`] | lookup, TCP, the proxy, TLS, HTTP | [`handshake_timeout`](Config::handshake_timeout), [`connect_timeout`](Client::connect_timeout); a [`Canceller`] ends them |
//! | [`send`](WebSocket::send), [`send_all`](WebSocket::send_all), [`send_tracked`](WebSocket::send_tracked), [`text_writer`](WebSocket::text_writer), [`binary_writer`](WebSocket::binary_writer) and writing to their writers | room in a full queue; else nothing | [`write_timeout`](Config::write_timeout), for each message or fragment |
//! | [`try_send`](WebSocket::try_send), [`ping`](WebSocket::ping), [`close`](WebSocket::close), [`close_with`](WebSocket::close_with), [`abort`](WebSocket::abort), [`Group::send`], [`Server::broadcast`], [`Server::stop`], [`stop_accepting`](Server::stop_accepting), [`serve_stream`](Server::serve_stream), [`try_recv`](Messages::try_recv), [`Kept::stop`], [`Canceller::cancel`] | nothing | |
//! | [`Delivery::wait`] | the kernel to take the message | the connection's end, which `write_timeout` sees to |
//! | [`confirm`](WebSocket::confirm), [`wait_drained`](WebSocket::wait_drained), [`Delivery::wait_timeout`] | the peer | the time you give |
//! | [`recv`](Messages::recv), iterating, [`recv_reader`](Messages::recv_reader) and reading from it, [`dispatch`](Messages::dispatch) | the peer | the connection's end |
//! | a step of [`Sessions`], [`Kept::wait`] | the server, for as long as it is away | none; a [`Canceller`] ends them |
//! | [`Kept::send_timeout`], [`Kept::wait_connected`] | a connection | the time you give |
//! | receiving from [`into_receiver`](Messages::into_receiver)'s channel | the peer | the connection's end |
//! | [`recv_timeout`](Messages::recv_timeout), [`wait_closed_timeout`](WebSocket::wait_closed_timeout) | the peer | the time you give, whatever else the peer sends |
//! | [`wait_closed`](WebSocket::wait_closed) | the connection's end | that end |
//! | [`Messages::close`], dropping the last handle of a client or a [`Kept`] client | the closing handshake | [`close_timeout`](Config::close_timeout), and a second for the peer to hang up; a drop waits for `on_close` a quarter of a second more |
//! | [`Server::wait`] | a stop of the server | a moment more than that stop's deadline |
//! | the next of an [`Incoming`] | a client | the server's stop |
//!
//! Backpressure needs no code. A `send` waits for a peer that does not read. If the program does
//! not read, because a callback is busy or no thread calls `recv`, the bytes stay with the kernel,
//! and TCP slows the peer down.
//!
//! [`send_all`](WebSocket::send_all) takes an iterator, which may be slow: the messages it has
//! given leave within about two milliseconds, so it may even wait for an answer to them.
//!
//! A `send` that waits inside a callback stops that connection's reading meanwhile. For an echo
//! that is right: a peer that does not read is not read either.
//!
//! Keepalive judges the peer, not the program: while a callback runs, or while no thread calls
//! `recv`, the peer's silence does not count. But the peer's pings are not answered then, so it may
//! give up on us, most after 40 s, Deno after 30: a callback that computes for long hands the
//! message to another thread first. The same holds for peers: many libraries answer no ping while
//! their program works, and such a peer is cut after [`ping_timeout`](Config::ping_timeout), 40 s
//! by default. [`peers`] lists them.
//!
//! # Processes
//!
//! A process that forks without `exec`, as daemons do, may use this library before and after. The
//! connections belong to the process that opened them. In the child, reading from them fails, a
//! drop, [`close`](WebSocket::close) or [`Server::stop`] ends nothing, and waits fail. **A child
//! must not send on a connection of its parent, nor ping it**: both have the same socket, and the
//! child's bytes would come between the frames of the parent. A check of the process at each send
//! would cost a system call. Connections that the child opens itself work as usual.
//!
//! # Design
//!
//! A connection is a channel into a socket and one thread that reads it. The rest of this section
//! tells how that is done, for readers who want to know or to change it.
//!
//! **One thread for each connection, asleep in `recv`** (or in `poll`, see [Platforms](#platforms)). It
//! reads, decodes, and calls the callbacks. Nothing looks again and again, and only its own ping wakes
//! an idle connection. A client from [`open`]
//! does not even have that thread: the thread that calls `recv` takes its place, until the
//! [`Messages`] are dropped before the handle is.
//!
//! **The sender writes.** A connection's sending side is a queue and a writer. The queue lies
//! behind one short lock: the connection's state, the messages that wait in a channel, the control
//! frames, and the senders that wait for room. The writer is a value: an encoder, a write buffer
//! and the socket. A sender takes the lock, is admitted, takes the writer if it is there, and
//! unlocks. It writes without blocking. It takes the lock again, counts what has left, and takes
//! the messages that wait by then, or puts the writer back. If the writer is not there, another
//! thread is writing, and looks into the queue under the same lock before putting the writer back,
//! so no message is left behind. So there is no writer thread and no hand-over, the messages that
//! many threads send at once leave in few writes, and the lock is never held across a system call
//! or foreign code. A message that finds the queue empty is written directly.
//!
//! When the socket takes no more, the writer goes back into the queue, and one thread waits for the
//! socket: the connection's own thread instead of its sleep, a sender that waits for room, or else
//! the background. A turn of writing ends after 256 KiB beyond the thread's own message, so no
//! connection delays another.
//!
//! **A full queue is full for every sender alike.** A send that never waits (`try_send`, groups,
//! the policies that drop or close) is judged by the limits alone. Senders that wait stand in line
//! with their messages, and are admitted in order once the queue is half empty. The first of them
//! is admitted at the latest when as much has left as the queue may hold, beyond the limits if need
//! be.
//!
//! **Bursts leave in one write.** While more complete messages lie in the read buffer, messages
//! that callbacks send to any connection are only queued, and encoded already if they are short and
//! plain. They leave when the buffer is used up, when enough has gathered, when the thread is about
//! to wait, or within about two milliseconds. Without more input at hand, a send writes at once. What
//! they send to a group is gathered once for all its members, as the same frames, and each member
//! writes the burst as one piece. Its queue has the place of the burst, so the messages to all and
//! those to it alone keep their order.
//!
//! **A streamed message has its place in the channel, and a lane for its fragments.** When its turn
//! comes, the messages behind it wait for its end; control frames pass. The lane has a budget of
//! its own, because the queue may be full of the messages that wait behind.
//!
//! **One thread keeps the time.** The background keeps every deadline of the process. When one
//! passes, it records the reason and shuts the socket down, and the blocked thread wakes and ends
//! the connection in the ordinary way. No socket has a timeout set. Each process has a background
//! of its own, also one that was forked without `exec`. A socket is read, closed and shut down only
//! by the process that made it.
//!
//! Deadlines judge the peer by what it did, and only after a look at the socket. A pong counts from
//! before its ping has left. Bytes that our own kernel takes are no sign of life of the peer,
//! unless the socket had refused bytes. Before a verdict of silence the background checks whether
//! the socket is readable, and before one of a stall whether it is writable. It tries a full socket
//! again at each look, because Linux reports it writable later than it takes bytes. A look that
//! comes late, because the process or the machine stood still, begins each running watch anew,
//! once. The progress of a message is its own payload, and nothing else. Every socket has
//! `TCP_NOTSENT_LOWAT` ([`Config::tcp_notsent_lowat`]), so that few bytes are ahead of a ping, and
//! the reads of a slow peer are noticed.
//!
//! An idle timeout and a greatest lifetime ([`Config::idle_timeout`], [`Config::max_lifetime`]) are
//! limits of the program's own: they close in the ordinary way, also while a callback runs. No
//! message looks at a clock for them. At each look the background compares how many messages have
//! come and gone, and checks whether one is half received or waits to leave.
//!
//! **TLS is a codec, not a stream.** A TLS stream cannot be split, and a lock around its blocking
//! read would starve every writer. So the engine runs over a pipe in memory, under a short lock:
//! bytes from the socket go in and plain bytes come out, or plain bytes go in and bytes for the
//! socket come out. The socket itself is read and written without that lock. Above and below,
//! everything is as without TLS. At most 64 KiB are encrypted ahead of the socket, by the holder of
//! the writer alone, so that records keep their order. An engine's own records leave at once, also
//! before the 101, and are bounded. A TLS 1.2 server may begin its handshake anew: OpenSSL goes
//! along, and a message that meets it waits for input; Rustls refuses by an alert. An engine that
//! takes bytes and sends none, as Rustls does once the keys of a TLS 1.2 connection are used up, is
//! an error.
//!
//! TLS to a proxy is a second such codec between the first and the socket, so TLS within TLS needs no
//! stream that pretends to be a socket.
//!
//! **A client that stays is one loop.** [`Sessions`] are the only place that decides when to connect
//! again; a [`Kept`] client is a thread that runs them. No close code ends them by itself, because
//! none tells a server that fails or restarts from one that means it. A [`Canceller`] is one flag and a
//! list of what to do: each waiting step of a client puts its own end there. It wakes the wait for
//! a look-up and for a back-off, and a connect that polls; it cuts the socket of a handshake; and it
//! closes an open session.
//!
//! **A channel of messages is a thread that reads.** While it waits for room in a full channel, it
//! waits for a second channel too, which a cut disconnects.
//!
//! **The protocol does no I/O.** Bytes go in and events come out, or messages go in and bytes come
//! out, and so in the handshake. Neither knows a socket, a clock or a thread, and both roles share
//! all of it.
//!
//! ## The life of a connection
//!
//! ```text
//!                        ┌─ sending: open ──▶ closing ──▶ Close encoded ──▶ over ─┐
//! handshake ──▶ (101) ──▶┤                                                        ├──▶ finished
//!                        └─ reading: open ─────────────────────▶ over or cut ─────┘
//! ```
//!
//! Sending and reading end separately. One type, behind the queue's lock, holds how far each has
//! ended.
//!
//! - *handshake*: on the connection's thread (a client: the calling one). TLS and the request are
//!   under one deadline; a server's program decides in its own time, and the answer is under the
//!   write deadline. Everything that can fail in opening fails before the 101, which goes out whole
//!   before anything else may. From then on `on_close` will run. The set-up closure runs before
//!   anything is read, so no message is missed.
//! - *closing*: begun by either side. Every send is admitted before it or fails. The program's own
//!   Close leaves after the admitted messages. A reply to the peer's Close, and a Close that
//!   reports a failure, overtake the messages that still wait, which are given up at once. Messages
//!   that come after our Close are still delivered, until the peer's.
//! - *sending over*: once, and the reason is kept. The queue is discarded and counted, and all
//!   waiting threads are woken. After a failed write the connection is read on, to the end of the
//!   peer's input, to its Close, or to a silence of [`close_timeout`](Config::close_timeout).
//! - *reading over*: by the peer's Close, or by the end of its input, after which the queue still
//!   leaves. A deadline, `abort` and `stop` *cut*: they end both at once and discard input.
//! - *finished*: by the thread that drives the reading end. It gives up the socket, leaves all
//!   groups, runs `on_error` if something failed, then `on_close`, empties the callbacks, and lets
//!   `wait_closed` return.
//!
//! The code of the close event is that of a failure, if the peer could still be told; else that of
//! the first Close received, whichever side began (RFC 6455, sections 7.1.5 and 7.1.6); else 1006.
//!
//! ## The laws
//!
//! Comments in the code cite them by number.
//!
//! - **L1** No lock is held across a call that blocks, nor across foreign code: callbacks, the drop
//!   of a closure or a payload, a logger.
//! - **L2** Only the thread that drives the reading end reads the socket. Only the holder of the
//!   writer writes it, and never blocks while it does.
//! - **L3** The callbacks of a connection run on the thread that drives it, one at a time, in the
//!   order of the wire. `on_close` runs exactly once, last, after the connection has given up its
//!   socket. One that is set after that runs once, in its setter.
//! - **L4** What one thread sends leaves in that order. No message is torn or doubled. Control
//!   frames may overtake messages, never split a frame.
//! - **L5** At most one Close is sent, and nothing after it. 1005, 1006 and 1015 are never on the
//!   wire.
//! - **L6** Every send resolves: queued, or an error that says why and hands the message back; and so
//!   does every [`Delivery`]. What was queued is discarded by the connection's end alone, and counted
//!   in its [`CloseEvent`], or by the [`Overflow`] policy that the program chose, and counted as
//!   dropped.
//! - **L7** What a connection can cost in memory follows from its [`Config`], whatever the peer
//!   does. A declared length is never allocated ahead of its bytes.
//! - **L8** Every wait has a deadline or is ended by a cut, but those that a program asks for by
//!   name: `recv`, `wait_closed`, `Server::wait`, `Kept::wait`, and staying connected, which a canceller
//!   ends.
//! - **L9** Any method may be called from any callback. What could never return there is an error at
//!   once.
//! - **L10** The accept thread accepts, and spawns or refuses without waiting, nothing else. It
//!   neither dies nor spins, whatever accepting and waiting fail with; a dead listening socket ends the
//!   server. At the limit of handshakes whose request has not come, the oldest that waits for its
//!   client is cut and the newcomer served.
//! - **L11** A peer costs only itself: slow, silent, hostile or gone, it delays no other connection,
//!   unless the program waits for it.
//! - **L12** No `unsafe`. No panic on input, settings or misuse.
//!
//! ## What wrong input gets
//!
//! | what | the peer gets | the program gets |
//! |---|---|---|
//! | a frame against the rules (mask, reserved bits, opcode, length, order) | Close 1002, at its header | `on_error`, `on_close` 1002 |
//! | text that is not UTF-8 | Close 1007, at the first byte that cannot be right | `on_error`, `on_close` 1007 |
//! | a frame, message or number of fragments over the limit | Close 1009, at the header that shows it | `on_error`, `on_close` 1009 |
//! | a compressed message that is no deflate stream, or breaks off | Close 1007 | `on_error`, `on_close` 1007 |
//! | a compressed message that becomes larger than the limit | Close 1009, as soon as it does | `on_error`, `on_close` 1009 |
//! | a mark of compression where there is none to be | Close 1002 | `on_error`, `on_close` 1002 |
//! | an offer of compression that cannot be taken | 101 without it, or with the next one | nothing |
//! | a message for which there is no memory, or no room among those of others for `message_timeout` | Close 1009 | `on_error`, `on_close` 1009 |
//! | a request for whose body there is no room | 503 | a DEBUG record |
//! | a Close with a code that may not be sent, or a reason that is not UTF-8 | Close 1002 or 1007 | `on_error`, `on_close` with that code |
//! | any of these once our own Close has left | nothing more | `on_error` as above, `on_close` 1006 |
//! | the connection lost without a Close | nothing | `on_close` 1006, not clean; no `on_error` |
//! | silence after a ping | Close 1011 "keepalive ping timeout", if its socket takes that at once; then the cut | `on_error`, `on_close` 1006 with [`CloseEvent::timeout`] |
//! | another deadline missed | a cut, without a Close | `on_error`, `on_close` 1006 with [`CloseEvent::timeout`] |
//! | plain HTTP where TLS is spoken, or the reverse | 400, and what was probably meant | a DEBUG record; a client: [`Error`] |
//! | a certificate that is not trusted | an alert | [`Error::Tls`], in words, with the engine's own text behind them |
//! | TLS that asks for answers and does not read them | the end of the connection | `on_close` 1006 |
//! | an upgrade, or a method that may change something, from a page of another origin | 403 | a WARN record for the first eight, then DEBUG |
//! | a foreign Host from this machine itself, or from anywhere once hosts are named | 403 | the same |
//! | an upgrade by HTTP/1.0 | the page that is there, or 426 that names HTTP/1.1 | nothing, or a DEBUG record |
//! | a request for no route, or none for its method | 404, or 405 with Allow | nothing |
//! | a malformed request, or an invalid upgrade | 400, 405, 413, 414, 417, 426, 431, 501 or 505, and the reason in a line of text | a DEBUG record |
//! | an upgrade that offers no subprotocol of the server's | 101 without one, or 400 where one is required | a DEBUG record |
//! | a proxy's header that does not name the client clearly | nothing | no [`Request::client_addr`] |
//! | a listed proxy's connection that does not begin with the PROXY protocol | the end of the connection | a DEBUG record |
//! | a connection beyond the limit, or while stopping | 503 | a DEBUG record |
//! | an upgrade while 128 connections wait to be taken from an [`Incoming`] | 503 | a DEBUG record |
//! | an answer that is no right 101 | an end without a Close | [`Error::Refused`], or [`Error::Handshake`] |
//! | a proxy's answer that is no tunnel | the end of the connection | [`Error::ProxyRefused`], or [`Error::Proxy`] |
//! | a peer that falls behind, with [`Overflow::Close`], in a [`Group`] or a broadcast | Close 1008, "too slow" | `on_error`, `on_close` 1008 |
//! | a [`MessageWriter`] dropped before its end | Close 1011 | `on_error`, `on_close` 1011 |
//! | a callback or handler that fails or panics | Close 1011 | a WARN record, `on_error`, `on_close` 1011 |
//! | a hook, route or middleware that panics, or whose reply cannot be sent | 500 | a WARN record |
//! | a call with a value that may not be sent, a bad URL or header | nothing | an error |
//!
//! The side that fails a connection reads on for a moment after its Close, so that the code
//! arrives: a socket that is closed over unread input resets the connection.
//!
//! ## Defaults
//!
//! Each default stands in the documentation of its setting: in [`Config`], [`ServerBuilder`],
//! [`Client`], [`Backoff`], [`TlsOptions`], [`ServerTls`] and [`set_memory_budget`].
//!
//! ## Memory
//!
//! An idle connection costs at most 20 KiB of resident memory on 64-bit Linux, most of it touched
//! pages of its thread's stack, and at most 60 KiB over TLS by OpenSSL, which takes the difference.
//! After a burst of short messages it costs some 10 KiB more, which is not held: its read buffer of
//! 4 KiB lies in memory that was used before, and the rest are small pieces that glibc keeps for the
//! thread. For all connections together the process keeps up to 32 read buffers of 128 KiB.
//! Beyond that, a connection holds at most, on its heap:
//!
//! - *to be written*: twice [`max_queue_bytes`](Config::max_queue_bytes) of payload, or twice the
//!   largest message sent, if that is larger, and one message that was taken over the limit: what waits, and what has just left and is let go when
//!   its writer is done; some 100 bytes for each of
//!   [`max_queue_messages`](Config::max_queue_messages); and 640 KiB under way, with what waits of a
//!   streamed message. A payload in several queues is there once: clones share it.
//!   So is a burst to a group, of at most 48 KiB.
//! - *being read*: twice [`max_message_size`](Config::max_message_size) while a message grows, or
//!   128 KiB of one that is read through a [`MessageReader`], and 256 KiB of input behind it. What
//!   all connections hold of messages half received, each from its second 64 KiB on, shares one
//!   budget of the process: see [`set_memory_budget`].
//! - *for compression*, where it is agreed: some 48 KiB for the peer's messages, from its first
//!   compressed one on, unless the two have agreed that these stand alone; and for our own, if they refer
//!   back to those before, the compressor whose size [`Compression`] tells, while it is used and up to a
//!   minute longer. Messages that stand alone take theirs from a few that the process keeps, eight at
//!   most, beside those in use at the moment. By default a server's messages stand alone and a client's
//!   do not.
//! - *what the program keeps*: messages that callbacks or `recv` have handed out are the program's.
//!
//! So all connections together hold the budget, 320 KiB each beside it (368 KiB with compression), and
//! their queues. The
//! program bounds the queues by [`max_queue_bytes`](Config::max_queue_bytes) and
//! [`max_connections`](ServerBuilder::max_connections): twice the one times the other.
//!
//! The kernel's buffers of the socket come on top, in both directions. The system bounds them,
//! except for [`send_buffer`](Config::send_buffer).
//!
//! ## Threads
//!
//! | name | how many | does |
//! |---|---|---|
//! | `landline-accept` | one a server | accepts |
//! | `landline-<id>` | one a connection; clients of [`open`] only once their [`Messages`] are dropped, or a channel | the handshake on servers; reads, calls back |
//! | `landline-background` | one a process, while there are connections or handshakes | deadlines, pings, full sockets that no other thread waits for |
//! | `landline-keep` | one a [`Kept`] client | connects, waits to connect again, reads, calls back |
//! | `landline-lookup` | one a name being looked up | may be left behind: the system's resolver cannot be interrupted |
//! | `landline-dial` | one a call of [`Client::dial_with`]'s closure | may be left behind too |
//!
//! The id is [`WebSocket::id`]. Callbacks run on `landline-<id>`; with `open`, [`Incoming`] and
//! [`serve`](ServerBuilder::serve), on the thread that drives the [`Messages`]. The closure given
//! to [`connect`] runs on the caller's thread.
//!
//! ## Logging
//!
//! All records go through the [`log`](https://docs.rs/log) crate.
//!
//! - ERROR: a foreign destructor that panicked; a server that ends because its listening socket is
//!   dead.
//! - WARN: a client that stays connected and cannot connect (the first time in a row, then DEBUG); a
//!   failed callback; a message without a callback (once a connection); a server that cannot accept,
//!   for example for want of descriptors, threads or memory; a request that the program's code failed
//!   to answer; each of the first eight Hosts and Origins that a server refuses (once).
//! - INFO: a server that can accept again.
//! - DEBUG: a server's start, and the system's limits that it has found; of each connection that it is
//!   accepted, what it asks for, whether it opens or which status it gets, and how it ends.
//!
//! All records of a connection name it by its id, as in `connection 17 asks: GET /feed`. A program's
//! own records do the same with [`WebSocket::id`] and [`Request::id`].
//!
//! No message has a record of its own, and no record contains a header's value except that of a
//! Host or an Origin that is not allowed. Rustls has records of its own, with the target `rustls`:
//! ERROR and WARN for what a peer does wrong and for keys that are used up, DEBUG and TRACE for its
//! handshakes.
//!
//! Each record is one line, whatever texts of peers, panics and failures it quotes: control
//! characters and those that turn text around are escaped, and long texts are cut. The `Display`
//! and `Debug` of errors and events do the same; the program gets the text as it came by name, as
//! by [`CloseEvent::reason`]. A logger that panics, such as a `println!` on a closed pipe, ends
//! nothing.
//!
//! ## Platforms
//!
//! Unix and Windows; elsewhere it does not compile. The README's table says how each is tested. What
//! differs:
//!
//! | | Linux, FreeBSD | macOS, other Unixes | Windows |
//! |---|---|---|---|
//! | a connection's thread sleeps | in `recv` | in `poll` | in `WSAPoll` |
//! | system calls for an echo of 32 bytes | 2 | 3 | 3 |
//! | is cut by | `shutdown` | `shutdown` | an alarm of its own: a UDP socket, and so one port of the dynamic range (16,384) for each connection |
//! | the background waits for full sockets | Linux in `epoll`, else in `poll` | in `poll` | in `WSAPoll` |
//! | Unix sockets | yes | yes | no: [`Unsupported`](std::io::ErrorKind::Unsupported) |
//! | [`max_connections`](ServerBuilder::max_connections) by default follows from | descriptors, threads, memory maps, control groups, address space | descriptors (macOS allows 256 until a program raises the limit), threads, address space | the ports of the alarms |
//! | [`tcp_notsent_lowat`](Config::tcp_notsent_lowat) | Linux | no | no |
//!
//! An idle connection makes no system call. The calls were counted on Linux, in its own way and in that of
//! macOS; those of Windows follow from the code. On 32-bit systems the address space bounds
//! the connections: 2 MiB for each thread's stack, of 3 GiB, or of 2 on Windows and MIPS.
//!
//! On Windows take the feature `rustls`: native-tls works there for clients, and is not tested for servers.
//!
//! ## The source
//!
//! ```text
//! sync, process                      locks and atomics; the identity of this process
//! record, random                     log records; random numbers
//! buffer_pool                        the large buffers into which connections read bursts
//! deflate/                           streams that compress and decompress
//! address, network, timeout          the address of one end of a connection; networks of addresses;
//!                                    the deadlines by name
//! message, close, error/             messages, close codes and events, errors
//! canceller                          the handle that ends the waits of a client
//! time_limit, slow_peers             settings of their own types
//! compression, config                the settings
//! send_options                       the options of one message
//! counters                           the counters of connections and servers
//! tls                                the settings of TLS: identities and trust
//! header                             headers that programs give
//! protocol/                          bytes <-> events: frames, masks, UTF-8; no I/O
//! handshake/                         requests and responses as text; no I/O
//! life                               the state of a connection, up to its close event
//! transport/                         the system: sockets, waiting, dialling, limits, TLS engines; in `os`
//!                                    all that differs between operating systems
//! held/                              the memory that peers make the process hold
//! background/                        the one thread that keeps the time
//! outbox/                            the sending side: queue, writer, line, cork, deliveries, streams,
//!                                    bursts to many, pings of our own
//! connection/                        one connection: its state, opening handshake, reader, callbacks,
//!                                    waits and end
//! message_reader, message_writer     a message that is read or written piece by piece
//! websocket, messages                the sending and the reading handle of a connection
//! pair                               two ends in one process
//! group                              one message to many connections
//! http/                              requests, replies, routes, and the checks before them
//! client/, server/                   connecting; accepting, serving, stopping
//! fuzzing/                           for tests and fuzz targets alone: properties that hold for any input
//! ```
//!
//! A room in this list does not name one below it, except for three pairs:
//!
//! - [`tls`](ServerTls) and transport: settings may hold what an engine has already made of them.
//! - connection and websocket: callbacks get the [`WebSocket`] that they belong to.
//! - http and server: a [`Request`] knows its [`Server`].
//!
//! The page [`peers`] is `peers.md`.

#[cfg(not(any(unix, windows)))]
compile_error!("landline runs on Unix and on Windows");

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[doc = include_str!("peers.md")]
pub mod peers {}

#[doc = include_str!("guide.md")]
pub mod guide {}

mod address;
mod background;
mod buffer_pool;
mod canceller;
mod client;
mod close;
mod compression;
mod config;
mod connection;
mod counters;
mod deflate;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod handshake;
mod header;
mod held;
mod http;
mod life;
mod message;
mod message_reader;
mod message_writer;
mod messages;
mod network;
mod outbox;
mod pair;
mod process;
mod protocol;
mod random;
mod record;
mod send_options;
mod server;
mod slow_peers;
mod sync;
mod time_limit;
mod timeout;
mod tls;
mod transport;
mod websocket;

pub use crate::http::{BasicAuth, Next, Reply, Request, Router, Upgrade};
pub use address::Address;
pub use canceller::Canceller;
pub use client::{Backoff, Client, Kept, SessionState, Sessions, Socket, connect, open};
pub use close::{CloseCode, CloseEvent, Initiator};
pub use compression::{AgreedCompression, Compression};
pub use config::{Config, Overflow};
pub use counters::{Counters, ServerCounters};
pub use error::{
    DeliveryError, Error, Failure, IntoOutcome, Outcome, RecvError, RecvTimeoutError, Refusal,
    SendError, SendErrorKind, TryRecvError, WaitError,
};
pub use group::Group;
pub use held::{memory_budget, set_memory_budget};
pub use message::{Message, Text};
pub use message_reader::MessageReader;
pub use message_writer::MessageWriter;
pub use messages::Messages;
pub use outbox::Delivery;
pub use pair::pair;
pub use send_options::SendOptions;
pub use server::{BindTo, Incoming, Server, ServerBuilder, Stage, StopReport, StuckThread};
pub use slow_peers::SlowPeers;
pub use time_limit::TimeLimit;
pub use timeout::Timeout;
pub use tls::{Identity, ServerTls, TlsEngine, TlsOptions, TlsVersion};
pub use websocket::WebSocket;
