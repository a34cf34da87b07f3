//! Many connections in turn. By the time that it is a connection's turn again, no cache of the processor
//! holds anything of it, and a message to many spends much of its time waiting for memory. So several
//! connections are looked at together, and these waits become one.

use std::iter;
use std::sync::{Arc, Weak};

/// The number of connections that are looked at together.
const TOGETHER: usize = 32;

/// Upgrades references, and passes over those to what is gone.
pub(crate) fn upgrade_each<'a, T: 'a>(
    mut weak: impl Iterator<Item = &'a Weak<T>>,
) -> impl Iterator<Item = Arc<T>> {
    let mut near = Vec::new().into_iter();
    iter::from_fn(move || {
        loop {
            if let Some(found) = near.find_map(Weak::upgrade) {
                return Some(found);
            }
            let next: Vec<_> = weak.by_ref().take(TOGETHER).collect();
            if next.is_empty() {
                return None;
            }
            for weak in &next {
                let _ = weak.strong_count();
            }
            near = next.into_iter();
        }
    })
}

/// Does this with each.
pub(super) fn for_each<T>(all: &[Arc<T>], mut act: impl FnMut(&Arc<T>)) {
    for near in all.chunks(TOGETHER) {
        for each in near {
            let _ = Arc::strong_count(each);
        }
        near.iter().for_each(&mut act);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each that lives is found once and in order, whatever number of others are gone.
    #[test]
    fn upgrades_each() {
        for (lasts, count) in [(100, 0), (100, 5), (1, 100), (40, 40), (7, 64)] {
            let all: Vec<_> = (0..count).map(Arc::new).collect();
            let weak: Vec<_> = all.iter().map(Arc::downgrade).collect();
            let kept: Vec<_> = all.into_iter().filter(|of| **of % lasts == 0).collect();
            let found: Vec<_> = upgrade_each(weak.iter()).collect();
            assert_eq!(found, kept, "{lasts} {count}");
            let mut seen = Vec::new();
            for_each(&kept, |each| seen.push(Arc::clone(each)));
            assert_eq!(seen, kept, "{lasts} {count}");
        }
    }
}
