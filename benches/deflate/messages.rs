//! The messages that are compressed.

use std::env;

/// Returns the level of all compressors: landline's default, or what the variable `LEVEL` says.
pub(crate) fn level() -> u8 {
    let asked = env::var("LEVEL").ok();
    asked.and_then(|level| level.parse().ok()).unwrap_or(2)
}

/// Makes JSON, cut off at that size.
pub(crate) fn json(size: usize) -> Vec<u8> {
    let mut text = String::from("[");
    for number in 0_u32.. {
        if text.len() >= size {
            break;
        }
        let chance = number.wrapping_mul(2_654_435_761) >> 8;
        text += &format!(
            "{{\"id\":{number},\"user\":\"user{}\",\"price\":{}.{:02},\"active\":{}}},",
            chance % 5_000,
            chance % 997,
            chance % 100,
            chance % 2 == 0,
        );
    }
    text.truncate(size);
    text.into_bytes()
}

/// Makes bytes that do not shrink.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..size).map(next).collect()
}
