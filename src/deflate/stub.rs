//! What stands for the streams without the feature `deflate`: there are none, as no peer is offered
//! any.

use super::{DeflateSettings, InflateError, Part};

/// A compressor that there is none of.
#[derive(Debug)]
pub(crate) enum Deflater {}

impl Deflater {
    pub(crate) fn new(_: DeflateSettings) -> Option<Self> {
        None
    }

    pub(crate) fn compress(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(crate) fn compress_part(&mut self, _: &[u8], _: Part) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn forget(&mut self) {
        match *self {}
    }
}

/// A decompressor that there is none of.
#[derive(Debug)]
pub(crate) enum Inflater {}

impl Inflater {
    pub(crate) fn new() -> Result<Self, InflateError> {
        Err(InflateError::NoMemory)
    }

    pub(crate) fn begin(&mut self, _: bool) {
        match *self {}
    }

    pub(crate) fn inflate(
        &mut self,
        _: &[u8],
        _: &mut Vec<u8>,
        _: usize,
    ) -> Result<usize, InflateError> {
        match *self {}
    }

    pub(crate) fn has_more(&self) -> bool {
        match *self {}
    }

    pub(crate) fn finish(&mut self) -> Result<(), InflateError> {
        match *self {}
    }
}
