//! One file for each command. Each gives an exit code or an error that knows its own.

mod bench;
mod bench_rollout;
mod bench_verifier;
mod critic;
mod curate;
mod demo;
mod doctor;
mod export;
mod gateway;
mod gc;
mod globs;
mod grade;
mod mine;
mod models;
mod named;
mod rank;
mod run;
mod sandbox;
mod stages;
mod synth;

use std::process::ExitCode;

use crate::args::{Bench, Cli, Command};
use crate::outcome::CliError;

/// Runs what was asked for.
pub(crate) fn run(cli: &Cli) -> Result<ExitCode, CliError> {
    let code = match &cli.command {
        Command::Sandbox(args) => return sandbox::run(cli, args),
        Command::Gc(args) => gc::run(cli, args),
        Command::Curate(args) => curate::run(cli, args),
        Command::Mine(args) => mine::run(cli, args),
        Command::Build(args) => stages::build(cli, args),
        Command::Gate(args) => stages::gate(cli, args),
        Command::Grade(args) => grade::grade(cli, args),
        Command::Regrade(args) => grade::regrade(cli, args),
        Command::Audit(args) => synth::audit(cli, args),
        Command::Prompts(args) => synth::prompts(cli, args),
        Command::Run(args) => run::run(cli, args),
        Command::Job(command) => run::job(cli, command),
        Command::Rank(args) => rank::run(cli, args),
        Command::Critic(command) => critic::run(cli, command),
        Command::Export(args) => export::run(cli, args),
        Command::Gateway(args) => gateway::run(cli, args),
        Command::Demo(args) => demo::run(cli, args),
        Command::Doctor => doctor::run(cli),
        Command::Bench(Bench::Mine { repo, runs }) => bench::mine(cli, repo, *runs),
        Command::Bench(Bench::Sandbox(args)) => bench::sandbox(cli, args),
        Command::Bench(Bench::Rollout(args)) => bench_rollout::run(cli, args),
        Command::Bench(Bench::Verifier(args)) => bench_verifier::run(cli, args),
        Command::Bench(Bench::ScriptedModel { steps, latency }) => {
            bench_rollout::serve(*steps, *latency)
        }
    };
    code.map(ExitCode::from)
}

/// Whether the command line is that of a command whose exit code is another command's.
pub(crate) fn runs_commands() -> bool {
    let words: Vec<_> = std::env::args_os().skip(1).take(8).collect();
    let at = words.iter().position(|word| word == "sandbox");
    at.and_then(|at| words.get(at + 1))
        .is_some_and(|word| ["run", "exec", "shell"].iter().any(|one| word == one))
}
