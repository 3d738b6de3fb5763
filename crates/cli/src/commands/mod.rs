//! One file for each command. Each gives an exit code or an error that knows its own.

mod bench;
mod curate;
mod demo;
mod doctor;
mod mine;
mod stages;

use crate::args::{Bench, Cli, Command};
use crate::outcome::{CliError, Code};

/// Runs what was asked for.
pub(crate) fn run(cli: &Cli) -> Result<Code, CliError> {
    match &cli.command {
        Command::Curate(args) => curate::run(cli, args),
        Command::Mine(args) => mine::run(cli, args),
        Command::Build(args) => stages::build(cli, args),
        Command::Gate(args) => stages::gate(cli, args),
        Command::Demo(args) => demo::run(cli, args),
        Command::Doctor => doctor::run(cli),
        Command::Bench(Bench::Mine { repo, runs }) => bench::mine(cli, repo, *runs),
    }
}
