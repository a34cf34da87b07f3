//! How connections begin and end: what still arrives, which code is told, what is given back.

mod closing;
mod codes;
mod cuts;
mod descriptors;
mod half_closed;
mod handles;
mod last_words;
mod on_close;
mod panics;
mod unread;
mod waiting;

/// Gathers what went wrong in the rows of a table, so that one does not hide the others.
#[derive(Default)]
struct Verdicts {
    rows: usize,
    wrong: Vec<String>,
}

impl Verdicts {
    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, row: &str, seen: T, expected: T) {
        self.rows += 1;
        if seen != expected {
            self.wrong
                .push(format!("{row}: {seen:?} instead of {expected:?}"));
        }
    }

    #[track_caller]
    fn assert_right(self) {
        let Self { rows, wrong } = self;
        assert!(wrong.is_empty(), "{} of {rows}: {wrong:#?}", wrong.len());
    }
}
