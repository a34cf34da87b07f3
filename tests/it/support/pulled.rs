//! A connection that is pulled, with a raw peer at its other end, in either role.

use std::sync::{Mutex, mpsc};
use std::thread;

use landline::{Client, Config, Messages, Server, WebSocket};

use super::{RawPeer, RawServer, Role, TestServer, next, settled};

/// A connection that landline's end pulls; when dropped, the peer goes first, so that nothing
/// waits for it.
pub(crate) struct Pulled {
    pub(crate) peer: RawPeer,
    pub(crate) ws: WebSocket,
    pub(crate) messages: Messages,
    /// Keeps the server's handler from returning.
    pub(crate) handler: Option<mpsc::Sender<()>>,
    _server: Option<TestServer>,
}

impl Pulled {
    #[track_caller]
    pub(crate) fn new(role: Role, config: Config) -> Self {
        match role {
            Role::Server => Self::of_server(config),
            Role::Client => {
                let raw = RawServer::new();
                let (peer, ws, messages) = raw.meet_open(&Client::new().config(config));
                Self {
                    peer,
                    ws,
                    messages,
                    handler: None,
                    _server: None,
                }
            }
        }
    }

    #[track_caller]
    fn of_server(config: Config) -> Self {
        let (give, given) = mpsc::channel();
        let (handler, over) = mpsc::channel::<()>();
        let over = Mutex::new(over);
        let builder = Server::builder().config(config);
        let server = TestServer::start(builder.serve(move |ws, messages, _| {
            give.send((ws, messages))?;
            let _ = over.lock().unwrap().recv();
            Ok(())
        }));
        let peer = RawPeer::client_of(&server);
        let (ws, messages) = next(&given);
        Self {
            peer,
            ws,
            messages,
            handler: Some(handler),
            _server: Some(server),
        }
    }

    /// Reads on a thread of its own, and plays the peer meanwhile.
    #[track_caller]
    pub(crate) fn play<R: Send + 'static>(
        mut self,
        read: impl FnOnce(&mut Messages) -> R + Send + 'static,
        play: impl FnOnce(&mut RawPeer),
    ) -> R {
        let reading = thread::spawn(move || read(&mut self.messages));
        play(&mut self.peer);
        settled("it has been read", || reading.is_finished());
        reading.join().unwrap()
    }
}
