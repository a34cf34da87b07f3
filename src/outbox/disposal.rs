//! The end of used payloads, whose owners may run any code: where no lock is held.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::record::error;

/// Drops payloads, each by itself.
#[inline]
pub(super) fn dispose_all(payloads: Vec<Bytes>) {
    if payloads.is_empty() {
        return;
    }
    let mut payloads = payloads.into_iter();
    while payloads.len() > 0 {
        guarded(|| payloads.by_ref().for_each(drop));
    }
}

/// Drops a payload.
pub(super) fn dispose<T>(payload: T) {
    guarded(|| drop(payload));
}

/// Runs a drop. A panic of a payload's owner must neither end this thread, which may be any thread,
/// nor meet the panic of the next owner.
fn guarded(drop: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(drop)) {
        error!("a payload panicked when it was dropped");
        mem::forget(panic);
    }
}
