//! The spare streams of the process, for messages that stand alone. Making one costs time, and leaves
//! holes in the memory of each thread that makes one.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{DeflateSettings, Deflater, InflateError, Inflater};
use crate::sync::{Mutex, try_lock};

/// The number of spare streams of a kind that are kept: as many as are used at once on most machines.
const MOST: usize = 8;

/// The spare streams of a kind. Nobody waits for one: to make one takes microseconds, and in a forked child
/// a lock that a thread of the parent held is never given back.
struct Spare<T> {
    places: [Mutex<Option<T>>; MOST],
    /// The number of streams that found all places taken.
    too_many: AtomicUsize,
}

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
        Self {
            places: [const { Mutex::new(None) }; MOST],
            too_many: AtomicUsize::new(0),
        }
    }

    /// Takes one that is like this.
    fn take(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let mut places = self.places.iter().filter_map(try_lock);
        places.find_map(|mut place| place.take_if(|spare| is_it(spare)))
    }

    /// Keeps one more. Where all places are taken, each in turn makes room for it, as their streams may
    /// be such as nobody asks for any more.
    fn give_back(&self, stream: T) {
        let mut places = self.places.iter().filter_map(try_lock);
        let free = places.find(|place| place.is_none());
        let place = free.or_else(|| {
            let turn = self.too_many.fetch_add(1, Ordering::Relaxed);
            try_lock(&self.places[turn % MOST])
        });
        // Both are dropped without the lock.
        let _surplus = match place {
            Some(mut place) => place.replace(stream),
            None => Some(stream),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The streams of settings that are in use find a place among those of others, and nobody waits for a
    /// place that is held for good.
    #[test]
    fn places() {
        let spare = &Spare::new();
        let held: Vec<_> = spare.places[..2].iter().map(try_lock).collect();
        (0..MOST).for_each(|_| spare.give_back(1));
        assert_eq!(spare.take(|&kind| kind == 2), None);
        spare.give_back(2);
        drop(held);
        let took = |kind| (0..).take_while(move |_| spare.take(|&of| of == kind).is_some());
        assert_eq!((took(1).count(), took(2).count()), (MOST - 3, 1));
    }
}
