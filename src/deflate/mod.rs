//! The deflate streams of permessage-deflate (RFC 7692, section 7.2), one for each direction, and the
//! spare ones of the process.
//!
//! By zlib-rs: it needs no C, and unlike flate2 it lets a program choose the memory level.

#[cfg(feature = "deflate")]
mod deflater;
#[cfg(feature = "deflate")]
mod inflater;
mod spare;
#[cfg(not(feature = "deflate"))]
mod stub;
#[cfg(feature = "deflate")]
#[cfg(test)]
mod tests;

#[cfg(feature = "deflate")]
pub(crate) use deflater::Deflater;
#[cfg(feature = "deflate")]
pub(crate) use inflater::Inflater;
pub(crate) use spare::{give_back_deflater, give_back_inflater, take_deflater, take_inflater};
#[cfg(not(feature = "deflate"))]
pub(crate) use stub::{Deflater, Inflater};

/// The end of each message's data, which is not sent (RFC 7692, section 7.2.1): an empty stored block.
#[cfg(feature = "deflate")]
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The settings of a compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeflateSettings {
    /// From 0 to 9.
    pub(crate) level: u8,
    /// From 9 to 15.
    pub(crate) window_bits: u8,
    /// From 1 to 9.
    pub(crate) memory_level: u8,
}

/// The reason why a message cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "deflate"), expect(dead_code))]
pub(crate) enum InflateError {
    /// It is no deflate stream, in words for people.
    Data(&'static str),
    /// There is no memory.
    NoMemory,
}

/// The place of a part in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// More parts follow.
    Inner,
    Last,
}

/// Tells whether the system has this number of bytes: zlib-rs panics if it has not.
#[cfg(feature = "deflate")]
fn has_memory(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}
