//! The threads that drive connections, and what each knows of itself.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use super::Connection;

thread_local! {
    static ON_CONNECTION_THREAD: Cell<bool> = const { Cell::new(false) };
    /// The id of this thread, cached because each `recv` asks for it.
    static THREAD: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

/// Returns the calling thread's number.
pub(super) fn this_thread() -> ThreadId {
    let known = THREAD.try_with(Cell::get).ok().flatten();
    known.unwrap_or_else(|| {
        let thread = thread::current().id();
        let _ = THREAD.try_with(|known| known.set(Some(thread)));
        thread
    })
}

/// Tells whether the calling thread is a connection's own, or runs a callback of one.
pub(crate) fn on_connection_thread() -> bool {
    ON_CONNECTION_THREAD.try_with(Cell::get).unwrap_or_default()
}

/// Sets whether the calling thread is a connection's own, and returns whether it was.
fn set_connection_thread(is_own: bool) -> bool {
    ON_CONNECTION_THREAD
        .try_with(|own| own.replace(is_own))
        .unwrap_or_default()
}

/// Marks the calling thread as a connection's own while `run` runs.
pub(crate) fn as_connection_thread<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_connection_thread(self.0);
        }
    }
    let _restore = Restore(set_connection_thread(true));
    run()
}

/// Starts a connection's own thread, which drives it to its end.
pub(super) fn start(
    connection: &Arc<Connection>,
    drive: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    // Set before the thread starts: if no thread can be had, the connection ends.
    connection.reading.stay();
    let name = format!("landline-{}", connection.id);
    let thread = thread::Builder::new().name(name).spawn(drive)?;
    connection.set_driver(Some(thread.thread().id()));
    Ok(())
}
