//! Records for the program's logger. All records of the library are written here.
//!
//! No record above TRACE holds a header's value, and none is written for each message. A logger
//! that panics, such as a `println!` on a closed pipe, ends no thread and no connection.

use std::fmt::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use log::Level;
use log::{Record, STATIC_MAX_LEVEL, logger, max_level};

/// Defines a macro for records of one level. Its arguments are those of `format!`, and are
/// evaluated and formatted only where the level is on.
macro_rules! level {
    ($dollar:tt $name:ident, $level:ident) => {
        macro_rules! $name {
            ($dollar($text:tt)+) => {
                if $crate::record::is_on($crate::record::Level::$level) {
                    $crate::record::write(
                        $crate::record::Level::$level,
                        module_path!(),
                        format_args!($dollar($text)+),
                    );
                }
            };
        }
    };
}

level!($ debug_record, Debug);
level!($ info_record, Info);
level!($ warn_record, Warn);
level!($ error_record, Error);

// Under their own names they would be taken for the attributes of these names.
pub(crate) use {
    debug_record as debug, error_record as error, info_record as info, warn_record as warn,
};

/// Tells whether records of a level are wanted at all.
pub(crate) fn is_on(level: Level) -> bool {
    level <= STATIC_MAX_LEVEL && level <= max_level()
}

/// Hands a record to the program's logger, which may panic.
///
/// L1: a logger is foreign code, so no lock is held here.
#[cold]
pub(crate) fn write(level: Level, target: &'static str, text: fmt::Arguments<'_>) {
    let logged = catch_unwind(AssertUnwindSafe(|| {
        let text = Bounded(text, MAX_RECORD);
        let mut record = Record::builder();
        record
            .level(level)
            .target(target)
            .module_path_static(Some(target));
        logger().log(&record.args(format_args!("{text}")).build());
    }));
    if let Err(panic) = logged {
        // Dropping the panic's payload may panic again.
        mem::forget(panic);
    }
}

/// The longest record, in characters.
const MAX_RECORD: usize = 4096;
/// The longest foreign text within a record or an error, in characters.
const MAX_FOREIGN: usize = 512;

/// A text that someone else wrote, such as a peer or a panic. It is shown on one line, with all
/// characters escaped that a terminal or a reader could misread, and cut if it is long.
///
/// Showing the result in this way again does not change it.
pub(crate) struct Foreign<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bounded(&self.0, MAX_FOREIGN).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Debug for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A text to escape, and the number of characters after which it is cut.
struct Bounded<T>(T, usize);

impl<T: fmt::Display> fmt::Display for Bounded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaping = Escaping {
            out: f,
            room: self.1,
            cut: 0,
        };
        write!(escaping, "{}", self.0)?;
        match escaping.cut {
            0 => Ok(()),
            cut => write!(f, "... ({cut} bytes more)"),
        }
    }
}

/// A formatter that escapes text as long as there is room.
struct Escaping<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    /// The number of characters that still fit.
    room: usize,
    /// The number of bytes that did not fit.
    cut: usize,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (at, character) in text.char_indices() {
            if self.room == 0 {
                self.cut += text.len() - at;
                break;
            }
            self.room -= 1;
            if is_misleading(character) {
                write!(self.out, "{}", character.escape_default())?;
            } else {
                self.out.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Tells whether a character moves the cursor, rings, begins a line, turns the direction of the
/// text behind it, or is invisible.
fn is_misleading(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{AD}'
                | '\u{61C}'
                | '\u{200B}'
                | '\u{200E}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E007F}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Foreign text keeps its letters, and nothing that moves a cursor, forges a line or turns text
    /// around. Shown again it stays the same.
    #[test]
    fn foreign_text_is_escaped() {
        for (raw, shown) in [
            (
                "plain, caf\u{e9} \u{5e9}\u{5dc}",
                "plain, caf\u{e9} \u{5e9}\u{5dc}",
            ),
            ("\"quoted\" C:\\dir", "\"quoted\" C:\\dir"),
            ("\x1b[31m\x07\0\x7f", "\\u{1b}[31m\\u{7}\\u{0}\\u{7f}"),
            ("a\r\nWARN forged\t", "a\\r\\nWARN forged\\t"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            (
                "a\u{202e}b\u{2066}c\u{200f}",
                "a\\u{202e}b\\u{2066}c\\u{200f}",
            ),
            (
                "a\u{2028}b\u{2029}c\u{feff}",
                "a\\u{2028}b\\u{2029}c\\u{feff}",
            ),
        ] {
            assert_eq!(Foreign(raw).to_string(), shown);
            assert_eq!(Foreign(shown).to_string(), shown);
            assert_eq!(format!("{:?}", Foreign(raw)), format!("\"{shown}\""));
        }
    }

    /// However long a foreign text is, what is shown of it is short, and tells how much is left out.
    #[test]
    fn foreign_text_is_cut() {
        let fits = "\u{e9}".repeat(MAX_FOREIGN);
        assert_eq!(Foreign(&fits).to_string(), fits);
        let long = Foreign("\u{e9}".repeat(1_000_000)).to_string();
        assert_eq!(long, format!("{fits}... (1998976 bytes more)"));
    }
}
