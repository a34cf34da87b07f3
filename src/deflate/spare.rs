//! The spare streams of the process, for messages that stand alone. Making one costs time, and leaves
//! holes in the memory of each thread that makes one.

use super::{DeflateSettings, Deflater, InflateError, Inflater};
use crate::process::PerProcess;
use crate::sync::{Mutex, lock};

/// The number of spare streams of a kind that are kept: as many as are used at once on most machines.
const MOST: usize = 8;

/// The spare streams of a kind. In a forked child the parent's lock may be held for good.
struct Spare<T>(PerProcess<Mutex<Vec<T>>>);

static DEFLATERS: Spare<(DeflateSettings, Box<Deflater>)> = Spare::new();
static INFLATERS: Spare<Box<Inflater>> = Spare::new();

/// Returns a compressor that refers to nothing, or `None` if there is no memory.
pub(crate) fn take_deflater(settings: DeflateSettings) -> Option<Box<Deflater>> {
    let Some((_, mut spare)) = DEFLATERS.take(|(of, _)| *of == settings) else {
        return Deflater::new(settings).map(Box::new);
    };
    spare.forget();
    Some(spare)
}

/// Takes back a compressor of these settings.
pub(crate) fn give_back_deflater(settings: DeflateSettings, deflater: Box<Deflater>) {
    DEFLATERS.give_back((settings, deflater));
}

/// Returns a decompressor, whose first message is to refer to nothing.
///
/// # Errors
/// [`NoMemory`](InflateError::NoMemory).
pub(crate) fn take_inflater() -> Result<Box<Inflater>, InflateError> {
    match INFLATERS.take(|_| true) {
        Some(spare) => Ok(spare),
        None => Inflater::new().map(Box::new),
    }
}

/// Takes back a decompressor.
pub(crate) fn give_back_inflater(inflater: Box<Inflater>) {
    INFLATERS.give_back(inflater);
}

impl<T> Spare<T> {
    const fn new() -> Self {
        let make = || Mutex::new(Vec::new());
        Self(PerProcess::new(Mutex::new(Vec::new()), make))
    }

    /// Takes the newest that is like this.
    fn take(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let mut spare = lock(self.0.get());
        let position = spare.iter().rposition(is_it)?;
        Some(spare.remove(position))
    }

    /// Keeps one more. The oldest makes room for it.
    fn give_back(&self, stream: T) {
        let mut spare = lock(self.0.get());
        let oldest = (spare.len() == MOST).then(|| spare.remove(0));
        spare.push(stream);
        drop(spare);
        drop(oldest);
    }
}
