//! Unpredictable random numbers, without a system call for each.

use std::cell::RefCell;

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};

use crate::process::Process;

thread_local! {
    // rand's own generator is gone while its thread ends, and panics then. Boxed, because most
    // threads, which serve a connection, never need one.
    static GENERATOR: RefCell<Option<Box<Seeded>>> = const { RefCell::new(None) };
}

/// A generator, and the process that has seeded it.
struct Seeded {
    process: Process,
    generator: StdRng,
}

impl Seeded {
    fn new() -> Box<Self> {
        Box::new(Self {
            process: Process::this(),
            generator: seeded(),
        })
    }
}

/// Returns a random value, also while the thread ends.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    let drawn = GENERATOR.try_with(|generator| {
        let mut generator = generator.borrow_mut();
        generator.get_or_insert_with(Seeded::new).generator.random()
    });
    drawn.unwrap_or_else(|_| seeded().random())
}

/// Makes a new generator in a forked child, which would otherwise draw its parent's numbers. Called
/// before a connection opens, not for each number.
pub(crate) fn renew_after_fork() {
    // A thread that ends has no generator to renew.
    let _ = GENERATOR.try_with(|generator| {
        let mut generator = generator.borrow_mut();
        generator.take_if(|seeded| !seeded.process.is_this());
    });
}

fn seeded() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| rand::make_rng())
}

/// A row of random numbers of its own.
pub(crate) struct Generator(StdRng);

impl Generator {
    pub(crate) fn new() -> Self {
        Self(seeded())
    }

    /// Makes the row that belongs to a seed, the same each time.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Returns a random number from 0 up to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.0.random()
    }
}
