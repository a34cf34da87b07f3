//! Random numbers that nobody can foresee, without a system call for each.

use std::cell::RefCell;

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};

use crate::process::Process;

thread_local! {
    // rand's own is not to be had while its thread ends, and panics then.
    static GENERATOR: RefCell<(Process, StdRng)> = RefCell::new((Process::this(), seeded()));
}

/// Returns a random value, also while the thread ends.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    let drawn = GENERATOR.try_with(|generator| generator.borrow_mut().1.random());
    drawn.unwrap_or_else(|_| seeded().random())
}

/// Begins anew in a forked child: it would draw what its parent draws. Asked before a connection opens,
/// not for each number.
pub(crate) fn renew_after_fork() {
    // While the thread ends there is nothing to renew.
    let _ = GENERATOR.try_with(|generator| {
        let mut generator = generator.borrow_mut();
        if !generator.0.is_this() {
            *generator = (Process::this(), seeded());
        }
    });
}

fn seeded() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| rand::make_rng())
}
