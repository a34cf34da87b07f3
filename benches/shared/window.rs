//! The short windows in which everything is measured.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use crate::shared::usage::Usage;

/// What one window has shown of one that is compared.
pub(crate) struct Window {
    /// Messages, or whatever else is counted.
    pub(crate) count: usize,
    pub(crate) took: Duration,
    /// By the side that is compared.
    pub(crate) used: Usage,
    /// By the thread that makes the load.
    pub(crate) load: Usage,
}

impl Window {
    /// Measures a run, which returns how much it counted and how long it took; `usage` reads that of
    /// the compared side.
    pub(crate) fn measure(
        usage: impl Fn() -> io::Result<Usage>,
        run: impl FnOnce() -> Result<(usize, Duration), Box<dyn Error>>,
    ) -> Result<Self, Box<dyn Error>> {
        let (load_before, before) = (Usage::of_this_thread()?, usage()?);
        let (count, took) = run()?;
        let (load_after, after) = (Usage::of_this_thread()?, usage()?);
        Ok(Self {
            count,
            took,
            used: after - before,
            load: load_after - load_before,
        })
    }

    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// Returns the processor time of one message, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.used.cpu_ns as f64 / 1e3 / self.count as f64
    }
}

/// Takes steps for as long as `length`.
///
/// Returns the sum of what they return, and how long that took.
pub(crate) fn repeat<E>(
    length: Duration,
    mut step: impl FnMut() -> Result<usize, E>,
) -> Result<(usize, Duration), E> {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < length {
        count += step()?;
    }
    Ok((count, begin.elapsed()))
}

/// Measures all in turn, each in so many windows after one that does not count; the result has one
/// list for each.
pub(crate) fn take_turns<T>(
    all: &mut [T],
    windows: usize,
    mut measure: impl FnMut(&mut T) -> Result<Window, Box<dyn Error>>,
) -> Result<Vec<Vec<Window>>, Box<dyn Error>> {
    for one in all.iter_mut() {
        measure(one)?;
    }
    let mut measured: Vec<_> = all.iter().map(|_| Vec::new()).collect();
    for round in 0..windows {
        for turn in 0..all.len() {
            // Everyone comes after everyone else, so that nobody always inherits the same caches.
            let index = (round + turn) % all.len();
            measured[index].push(measure(&mut all[index])?);
        }
    }
    Ok(measured)
}
