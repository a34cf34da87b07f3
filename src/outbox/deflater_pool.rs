//! The spare compressors of the process, for messages that refer to none before.

use crate::process::PerProcess;
use crate::protocol::{DeflateSettings, Deflater};
use crate::sync::{Mutex, lock};

/// The number of spare compressors that are kept: as many as are used at once on most machines.
const MOST: usize = 8;

type Spare = Vec<(DeflateSettings, Box<Deflater>)>;

/// In a forked child the parent's lock may be held for good.
static SPARE: PerProcess<Mutex<Spare>> =
    PerProcess::new(Mutex::new(Vec::new()), || Mutex::new(Vec::new()));

/// Returns a compressor that refers to nothing, or `None` if there is no memory.
pub(super) fn take(settings: DeflateSettings) -> Option<Box<Deflater>> {
    match take_spare(settings) {
        Some(mut deflater) => {
            deflater.forget();
            Some(deflater)
        }
        None => Deflater::new(settings).map(Box::new),
    }
}

fn take_spare(settings: DeflateSettings) -> Option<Box<Deflater>> {
    let mut spare = lock(SPARE.get());
    let position = spare.iter().rposition(|(of, _)| *of == settings)?;
    Some(spare.swap_remove(position).1)
}

/// Takes back a compressor. The one that was here longest makes room for it.
pub(super) fn give_back(settings: DeflateSettings, deflater: Box<Deflater>) {
    let mut spare = lock(SPARE.get());
    let oldest = (spare.len() == MOST).then(|| spare.remove(0));
    spare.push((settings, deflater));
    drop(spare);
    drop(oldest);
}
