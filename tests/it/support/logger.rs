//! A logger that keeps what is logged. A process has one logger, so its tests are each alone in one.

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};

/// Keeps every record, as `LEVEL text`.
pub(crate) struct Logger {
    records: Mutex<Vec<String>>,
    /// Runs for each record before it is kept.
    before: fn(&Record<'_>),
}

impl Logger {
    /// Becomes the logger of this process; `before` runs for each record before it is kept.
    pub(crate) fn install(before: fn(&Record<'_>)) -> &'static Self {
        let logger = Box::leak(Box::new(Self {
            records: Mutex::default(),
            before,
        }));
        log::set_logger(logger).unwrap();
        log::set_max_level(LevelFilter::Trace);
        logger
    }

    /// Adds a line that the test itself has to say.
    pub(crate) fn add(&self, line: String) {
        self.records.lock().unwrap().push(line);
    }

    /// Returns what has been logged so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.records.lock().unwrap().clone()
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        (self.before)(record);
        self.add(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}
