//! Random numbers that nobody can foresee, without a system call for each.

use std::cell::RefCell;

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};

thread_local! {
    // rand's own is not to be had while its thread ends, and panics then. Boxed, as most threads, which
    // serve a connection, never need one.
    static GENERATOR: RefCell<Option<Box<StdRng>>> = const { RefCell::new(None) };
}

/// Returns a random value, also while the thread ends.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    let drawn = GENERATOR.try_with(|generator| {
        let mut generator = generator.borrow_mut();
        generator.get_or_insert_with(|| Box::new(seeded())).random()
    });
    drawn.unwrap_or_else(|_| seeded().random())
}

fn seeded() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| rand::make_rng())
}
