//! The arguments of a bench.

use std::env;
use std::error::Error;
use std::time::Duration;

/// The options that every bench has.
const COMMON: [&str; 2] = ["--only <words>", "--windows <count>"];

/// What was asked for.
pub(crate) struct Options {
    /// How often each is measured.
    pub(crate) windows: usize,
    /// Cargo says `--bench` when it wants measurements and no mere test.
    is_measured: bool,
    /// Names with their values, which are empty where none belongs.
    given: Vec<(String, String)>,
}

impl Options {
    /// Reads the arguments. A bench's own options are written as the common ones are.
    pub(crate) fn from_args(own: &[&'static str]) -> Result<Self, Box<dyn Error>> {
        let known = [&COMMON[..], own].concat();
        let is_measured = env::args().any(|arg| arg == "--bench");
        let mut args = env::args().skip(1).filter(|arg| arg != "--bench");
        let mut given = Vec::new();
        while let Some(arg) = args.next() {
            match known.iter().find(|known| name(known) == arg) {
                Some(known) if known.contains(' ') => {
                    let value = args.next().ok_or(format!("{known} wants a value"))?;
                    given.push((arg, value));
                }
                Some(_) => given.push((arg, String::new())),
                // What cargo tells every test binary, filters included, is not for this one.
                None if !is_measured => {}
                None => {
                    let known = known.join(", ");
                    return Err(format!("unknown argument {arg}: there are {known}").into());
                }
            }
        }
        let mut options = Self {
            windows: if is_measured { 30 } else { 1 },
            is_measured,
            given,
        };
        if let Some(windows) = options.number("--windows")? {
            options.windows = windows.max(1);
        }
        Ok(options)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().rev().find(|(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, String> {
        let number = self.value(name).map(str::parse).transpose();
        number.map_err(|error| format!("{name}: {error}"))
    }

    /// Returns those whose name contains the words of `--only`.
    pub(crate) fn choose<T>(
        &self,
        all: &'static [T],
        name: fn(&T) -> &str,
    ) -> Result<Vec<&'static T>, String> {
        let only = self.value("--only").unwrap_or_default();
        let chosen: Vec<_> = all.iter().filter(|one| name(one).contains(only)).collect();
        if chosen.is_empty() {
            let names: Vec<_> = all.iter().map(name).collect();
            return Err(format!(
                "nothing is called {only:?}: there are {}",
                names.join("; ")
            ));
        }
        Ok(chosen)
    }

    /// Returns how long a window is that takes `length` when it is measured.
    pub(crate) fn window(&self, length: Duration) -> Duration {
        if self.is_measured {
            length
        } else {
            length / 20
        }
    }
}

fn name(known: &str) -> &str {
    known.split(' ').next().unwrap_or_default()
}
