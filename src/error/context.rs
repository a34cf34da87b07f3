//! The context of a system's error: what it was about.

use std::fmt;
use std::io;

/// A system's error with its subject. Its kind stays the system's.
#[derive(Debug)]
struct About {
    what: String,
    error: io::Error,
}

/// Adds the subject of a system's error, such as an address.
pub(crate) fn about(what: impl fmt::Display, error: io::Error) -> io::Error {
    let kind = error.kind();
    let what = what.to_string();
    io::Error::new(kind, About { what, error })
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for About {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
