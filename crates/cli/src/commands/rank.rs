//! `palestra rank`.

use std::path::Path;

use palestra_engine::rollout::Job;
use palestra_engine::shop::{Tools, limits};
use palestra_engine::verify::{
    Execution, GivenTests, ModelJudge, ModelWriter, RankRequest, Ranking, TestWriter, rank,
};
use palestra_verify::critic::Critic;
use palestra_verify::free::{Judge, View};
use palestra_verify::{Cascade, VerifyError};

use crate::args::Cli;
use crate::args_synth::Served;
use crate::args_verify::Rank;
use crate::commands::synth::model;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

/// Bytes of sources that a model is shown that writes tests.
const SHOWN: usize = 120_000;
/// Its temperature where none is given: samples have to differ.
const TEMPERATURE: f64 = 0.8;

pub(crate) fn run(cli: &Cli, args: &Rank) -> Result<Code, CliError> {
    let progress = Progress::new(cli.quiet);
    let cascade = cascade(&args.preset)?;
    let critic = match &args.critic {
        Some(path) => critic(path)?,
        None => Critic::built_in().map_err(|error| wrong(&error))?,
    };
    let job = Job::open(&args.job)?;
    let writer = writer(args, job.dir())?;
    let execution =
        Execution { jobs: context::jobs(args.jobs), limits: limits(), ..Execution::default() };
    let tools = match args.no_execution {
        true => None,
        false => Some(Tools::open(context::surroundings(cli)?)?),
    };
    let judge = judge(args, job.dir())?;
    let request = RankRequest {
        judge,
        cascade,
        critic: Some(critic),
        execution: tools.is_some().then_some(execution),
        writer: writer.as_deref(),
        seed: args.seed,
    };
    let ranking = rank(&job, tools.as_ref(), &request, &progress);
    progress.done();
    show(cli, &ranking?)
}

fn show(cli: &Cli, ranking: &Ranking) -> Result<Code, CliError> {
    match cli.json {
        true => {
            let json = serde_json::to_string_pretty(ranking).map_err(std::io::Error::other)?;
            result(&format!("{json}\n"))?;
        }
        false => result(&format!("\n{}", ranking.table()))?,
    }
    let none = ranking.tasks.values().any(|task| task.choice.chosen.is_none());
    Ok(if none { Code::Found } else { Code::Done })
}

/// A preset by its name, or a file.
fn cascade(name: &str) -> Result<Cascade, CliError> {
    if !name.ends_with(".toml") {
        return Cascade::preset(name).map_err(|error| wrong(&error));
    }
    let text = read(Path::new(name))?;
    Cascade::parse(name, &text).map_err(|error| wrong(&error))
}

/// A critic from its file.
pub(crate) fn critic(path: &Path) -> Result<Critic, CliError> {
    let text = read(path)?;
    let critic = Critic::from_json(&text);
    critic.map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
}

/// A file that the user named.
pub(crate) fn read(path: &Path) -> Result<String, CliError> {
    fs_err::read_to_string(path).map_err(|error| CliError::usage(error.to_string()))
}

pub(crate) fn wrong(error: &VerifyError) -> CliError {
    CliError::usage(error.to_string())
}

/// The model that scores.
fn judge(args: &Rank, dir: &Path) -> Result<Option<ModelJudge>, CliError> {
    let Some(name) = &args.judge else { return Ok(None) };
    let view = match args.view.as_str() {
        "both" => View::Both,
        "patch" => View::Patch,
        "trajectory" => View::Trajectory,
        other => {
            let what = format!("{other:?} cannot be shown: there are both, patch and trajectory");
            return Err(CliError::usage(what));
        }
    };
    let served = Served { model: name.clone(), ..args.served.clone() };
    let Some(model) = model(&served, dir)? else {
        return Err(CliError::usage("--judge wants the name of a model"));
    };
    let judge = Judge {
        samples: args.judge_samples,
        temperature: args.served.temperature.unwrap_or(0.0),
        continuations: true,
        ..Judge::new(name)
    };
    let (tokens, jobs) = (args.judge_context, context::jobs(args.jobs));
    Ok(Some(ModelJudge { model, judge, form: args.form, view, tokens, jobs }))
}

fn writer(args: &Rank, dir: &Path) -> Result<Option<Box<dyn TestWriter>>, CliError> {
    if let Some(tests) = &args.tests {
        if !tests.is_dir() {
            return Err(CliError::usage(format!("{} is no directory", tests.display())));
        }
        return Ok(Some(Box::new(GivenTests { dir: tests.clone() })));
    }
    if args.samples == 0 {
        return Ok(None);
    }
    let Some(model) = model(&args.served, dir)? else {
        return Err(CliError::usage("--samples needs a model: give --model"));
    };
    Ok(Some(Box::new(ModelWriter {
        model,
        name: args.served.model.clone(),
        samples: args.samples,
        temperature: args.served.temperature.unwrap_or(TEMPERATURE),
        bytes: SHOWN,
        cache: Some(dir.join(".verify")),
    })))
}
