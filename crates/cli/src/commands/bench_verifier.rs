//! `palestra bench verifier`: what every way to choose would have reached, with true verdicts.

use std::path::Path;

use palestra_core::disk;
use palestra_engine::dataset::Dataset;
use palestra_engine::shop::{Tools, limits};
use palestra_engine::verify::{
    Execution, PoolReport, PoolRequest, StandIn, leave_one_out, pool as make_pool,
};
use palestra_verify::bench::{BenchOptions, BenchReport, Pool, bench};
use palestra_verify::critic::TrainOptions;
use serde_json::json;

use crate::args::Cli;
use crate::args_verify::BenchVerifier;
use crate::commands::rank::{read, wrong};
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, note, result};

pub(crate) fn run(cli: &Cli, args: &BenchVerifier) -> Result<Code, CliError> {
    let (pool, made) = match args.tasks.is_empty() {
        true => (given(cli, args)?, None),
        false => {
            let (pool, report) = made(cli, args)?;
            (pool, Some(report))
        }
    };
    let mut options = BenchOptions::presets(args.seed).map_err(|error| wrong(&error))?;
    options.bootstrap.resamples = args.resamples;
    let report = bench(&pool, &options).map_err(|error| wrong(&error))?;
    if let Some(out) = &args.out {
        write(out, &pool, &report, made.as_ref())?;
    }
    if cli.json {
        let all = json!({ "pool": made, "bench": report });
        let text = serde_json::to_string_pretty(&all).map_err(std::io::Error::other)?;
        result(&format!("{text}\n"))?;
    } else {
        result(&text(&report, made.as_ref()))?;
    }
    Ok(Code::Done)
}

fn text(report: &BenchReport, made: Option<&PoolReport>) -> String {
    let mut text = made.map(head).unwrap_or_default();
    text.push_str(&report.tables());
    text
}

fn head(made: &PoolReport) -> String {
    let mut text = format!("{}\n\n", made.what);
    match made.stand_in {
        Some(StandIn { rate, toxic }) => text.push_str(&format!(
            "Generated tests: a stand-in for a testing agent that takes {rate} of the hidden tests that \
             show the issue, and {toxic} wrong ones for each.\n\n"
        )),
        None => text.push_str("Generated tests: none.\n\n"),
    }
    let groups: Vec<String> = made.groups.iter().map(|(g, n)| format!("{g} {n}")).collect();
    text.push_str(&format!("Attempts by repository: {}.\n\n", groups.join(", ")));
    if let Some((median, worst)) = made.cost {
        text.push_str(&format!(
            "Verification takes {median:.2} times what the tests take on the attempts (median of {} \
             tasks; {worst:.2} at most).\n\n",
            made.costs.len()
        ));
    }
    for note in &made.notes {
        text.push_str(&format!("Note: {note}\n\n"));
    }
    text
}

fn write(
    out: &Path,
    pool: &Pool,
    report: &BenchReport,
    made: Option<&PoolReport>,
) -> Result<(), CliError> {
    fs_err::create_dir_all(out)?;
    disk::write_atomic(&out.join("pool.jsonl"), pool.write().as_bytes())?;
    disk::write_json(&out.join("report.json"), report)?;
    if let Some(made) = made {
        disk::write_json(&out.join("made.json"), made)?;
    }
    disk::write_atomic(&out.join("report.md"), text(report, made).as_bytes())?;
    for figure in report.figures() {
        let path = |end: &str| out.join(format!("{}.{end}", figure.name));
        disk::write_atomic(&path("svg"), figure.svg().as_bytes())?;
        let png = figure.png().map_err(|error| wrong(&error))?;
        disk::write_atomic(&path("png"), &png)?;
    }
    Ok(())
}

fn given(cli: &Cli, args: &BenchVerifier) -> Result<Pool, CliError> {
    let mut pool = Pool::default();
    for path in &args.pools {
        let (read, problems) = Pool::read(&read(path)?);
        for problem in problems.iter().filter(|_| !cli.quiet) {
            note(&format!("warning: {}: line {}: {}", path.display(), problem.line, problem.what));
        }
        pool.rows.extend(read.rows);
    }
    Ok(pool)
}

fn made(cli: &Cli, args: &BenchVerifier) -> Result<(Pool, PoolReport), CliError> {
    let share = |name: &str, value: f64, most: f64| match (0.0..=most).contains(&value) {
        true => Ok(()),
        false => Err(CliError::usage(format!("{name} is from 0 to {most}"))),
    };
    share("--stand-in", args.stand_in, 1.0)?;
    share("--toxic", args.toxic, 10.0)?;
    if args.attempts == 0 {
        return Err(CliError::usage("--attempts is at least 1"));
    }
    let progress = Progress::new(cli.quiet);
    let datasets: Vec<Dataset> =
        args.tasks.iter().map(|dir| Dataset::open(dir, None)).collect::<Result<_, _>>()?;
    let tools = Tools::open(context::surroundings(cli)?)?;
    let request = PoolRequest {
        attempts: args.attempts,
        seed: args.seed,
        execution: Execution {
            jobs: context::jobs(args.jobs),
            limits: limits(),
            cache: args.out.as_ref().map(|out| out.join(".verify")),
            ..Execution::default()
        },
        stand_in: (args.stand_in > 0.0)
            .then_some(StandIn { rate: args.stand_in, toxic: args.toxic }),
        limit: args.limit,
    };
    let made = make_pool(&tools, &datasets, &request, &progress);
    progress.done();
    let (mut pool, mut report) = made?;
    if pool.rows.is_empty() {
        return Err(CliError::Nothing(
            "no task can be measured: `palestra audit` grades wrong fixes first".to_owned(),
        ));
    }
    report.notes.extend(leave_one_out(&mut pool, &TrainOptions::default())?);
    Ok((pool, report))
}
