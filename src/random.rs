//! Random numbers that nobody can foresee, without a system call for each.

use std::cell::RefCell;

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};

thread_local! {
    // rand's own is not to be had while its thread ends, and panics then.
    static GENERATOR: RefCell<StdRng> = RefCell::new(seeded());
}

/// Returns a random value, also while the thread ends.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    let drawn = GENERATOR.try_with(|generator| generator.borrow_mut().random());
    drawn.unwrap_or_else(|_| seeded().random())
}

fn seeded() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| rand::make_rng())
}
