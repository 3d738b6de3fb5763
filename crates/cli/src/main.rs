//! The `palestra` binary: parses arguments, shows what happens, knows exit codes.

mod args;
mod args_export;
mod args_grade;
mod args_run;
mod args_sandbox;
mod args_synth;
mod args_verify;
mod commands;
mod context;
mod outcome;
mod progress;
mod terminal;
mod units;

use std::process::ExitCode;

use clap::Parser;
use outcome::Code;

fn main() -> ExitCode {
    palestra_sandbox::init();
    let args = match args::Cli::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help is no error; wrong use of what runs commands has a status that no command has.
            let code = match commands::runs_commands() && error.use_stderr() {
                true => Code::Own.into(),
                false => u8::try_from(error.exit_code()).unwrap_or(2).into(),
            };
            let _ = error.print();
            return code;
        }
    };
    match commands::run(&args) {
        Ok(code) => code,
        Err(error) => {
            progress::error(&error);
            error.exit_code()
        }
    }
}
