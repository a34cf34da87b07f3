//! The program's own way to dial: [`DialHook`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::Socket;
use crate::canceller::Canceller;
use crate::connection::callbacks::catch;
use crate::error::about;
use crate::sync::{Condvar, Mutex, lock, wait};
use crate::transport;

/// A program's closure that dials. Each call runs on a thread that may be left behind: nothing can
/// interrupt it.
#[derive(Clone)]
pub(super) struct DialHook(Arc<Shared>);

struct Shared {
    dial: Box<Dial>,
    /// The number of running calls that nobody waits for any more.
    left_behind: AtomicUsize,
}

type Dial = dyn Fn(&str, u16, Instant) -> io::Result<Socket> + Send + Sync;

/// The number of calls that may be left behind. Each is a thread.
const MOST_LEFT_BEHIND: usize = 16;

/// A call of the hook.
#[derive(Default)]
struct Call {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Running,
    /// It still runs, and nobody waits for it.
    LeftBehind,
    Returned(io::Result<Socket>),
}

impl DialHook {
    pub(super) fn new<S: Into<Socket>>(
        dial: impl Fn(&str, u16, Instant) -> io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            dial: Box::new(move |host, port, deadline| dial(host, port, deadline).map(Into::into)),
            left_behind: AtomicUsize::new(0),
        }))
    }

    /// Calls the closure, and takes over the socket that it returns.
    ///
    /// # Errors
    /// The closure's own error, or that of a socket which cannot be used; `TimedOut` at the deadline;
    /// `ResourceBusy` while too many calls that were left behind still run; any error once
    /// cancelled.
    pub(super) fn dial(
        &self,
        host: &str,
        port: u16,
        deadline: Instant,
        canceller: &Canceller,
    ) -> io::Result<transport::Socket> {
        if self.0.left_behind.load(Ordering::Relaxed) >= MOST_LEFT_BEHIND {
            let what = format!("{MOST_LEFT_BEHIND} calls of the dial hook still run in vain");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
        let call = Arc::new(Call::default());
        self.begin(Arc::clone(&call), host.to_owned(), port, deadline)?;
        let socket = call.wait(deadline, canceller, &self.0.left_behind)?;
        transport::Socket::given(socket.into_fd())
    }

    fn begin(&self, call: Arc<Call>, host: String, port: u16, deadline: Instant) -> io::Result<()> {
        let hook = Arc::clone(&self.0);
        let builder = thread::Builder::new().name("landline-dial".into());
        let spawned = builder.spawn(move || {
            let dialled = catch(|| Ok((hook.dial)(&host, port, deadline)));
            let dialled = dialled.unwrap_or_else(|panic| {
                Err(io::Error::other(format!("dial_with: {}", panic.text())))
            });
            call.finish(dialled, &hook.left_behind);
        });
        spawned.map_err(|error| about("starting a thread for the dial hook", error))?;
        Ok(())
    }
}

impl Call {
    fn finish(&self, dialled: io::Result<Socket>, left_behind: &AtomicUsize) {
        let mut state = lock(&self.state);
        if matches!(*state, State::LeftBehind) {
            left_behind.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        *state = State::Returned(dialled);
        self.changed.notify_all();
    }

    /// Waits for the call's end, until the deadline or a cancel, and leaves it behind then.
    fn wait(
        self: &Arc<Self>,
        deadline: Instant,
        canceller: &Canceller,
        left_behind: &AtomicUsize,
    ) -> io::Result<Socket> {
        let call = Arc::clone(self);
        let _watch = canceller.on_cancel(move || {
            // A thread that looked before this statement is waiting by now.
            drop(lock(&call.state));
            call.changed.notify_all();
        });
        let mut state = lock(&self.state);
        while matches!(*state, State::Running)
            && Instant::now() < deadline
            && !canceller.is_cancelled()
        {
            state = wait(&self.changed, state, Some(deadline));
        }
        match std::mem::replace(&mut *state, State::LeftBehind) {
            State::Returned(dialled) => dialled,
            _ => {
                left_behind.fetch_add(1, Ordering::Relaxed);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}
