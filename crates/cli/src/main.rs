//! The `palestra` binary: parses arguments, shows what happens, knows exit codes.

mod args;
mod commands;
mod context;
mod outcome;
mod progress;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    palestra_sandbox::init();
    let args = args::Cli::parse();
    match commands::run(&args) {
        Ok(code) => code.into(),
        Err(error) => {
            progress::error(&error);
            error.code().into()
        }
    }
}
