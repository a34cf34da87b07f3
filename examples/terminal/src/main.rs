//! A terminal client for WebSockets: `landline URL`. What it can do, `landline --help` says.

mod input;
mod options;
mod prompt;
mod screen;
mod talk;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;

fn main() -> ExitCode {
    match talk::run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            screen::say(&format!("landline: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
