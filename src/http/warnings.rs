//! Records of refused requests: the first few at WARN, for the person who sets a server up, and all
//! others at DEBUG, so that no client can fill the log.

use crate::record::{debug, warn};
use crate::sync::{Mutex, lock};

/// The number of different refusals that are logged at WARN, each once.
const MAX_WARNINGS: usize = 8;

/// The refusals that have been logged at WARN.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Logs a connection's refused request: at WARN if this is one of the first eight different refusals and was
    /// not logged before, otherwise at DEBUG.
    pub(super) fn tell(&self, id: u64, why: &str, hint: &str) {
        if self.is_new(why) {
            warn!("connection {id}: a request was refused with 403: {why} ({hint})");
        } else {
            debug!("connection {id}: a request was refused with 403: {why}");
        }
    }

    // L1: the logger runs when the lock is free again.
    fn is_new(&self, why: &str) -> bool {
        let mut told = lock(&self.0);
        let new = told.len() < MAX_WARNINGS && !told.iter().any(|one| one == why);
        if new {
            told.push(why.to_owned());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of the first eight refusals is loud once; more of them are kept by nobody.
    #[test]
    fn the_first_eight_are_loud_once() {
        let warnings = Warnings::default();
        let numbers = |numbers: std::ops::Range<u32>| {
            let loud = numbers.filter(|number| warnings.is_new(&number.to_string()));
            loud.collect::<Vec<_>>()
        };
        assert_eq!(numbers(0..5), [0, 1, 2, 3, 4]);
        assert_eq!(numbers(0..100), [5, 6, 7]);
        assert_eq!(numbers(0..100), [0; 0]);
        assert_eq!(lock(&warnings.0).len(), MAX_WARNINGS);
    }
}
