//! What several benches do alike; the bench `echo` says how they measure.

#![allow(dead_code, reason = "each bench needs a part of this")]
#![allow(clippy::print_stdout, reason = "a bench reports there")]

pub(crate) mod comparison;
pub(crate) mod frames;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod servers;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod usage;
pub(crate) mod window;
pub(crate) mod workload;
