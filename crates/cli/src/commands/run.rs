//! `palestra run` and `palestra job`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use palestra_agent::{Agent, ContextPolicy, Limits};
use palestra_engine::evaluate::Sources;
use palestra_engine::rollout::{
    self, Branching, Job, JobPlan, PlannedTask, Report, Request, Rows, Search, Variant,
    VariantReport, tasks_below, tasks_of,
};
use palestra_engine::shop::{self, Tools};
use palestra_grade::GradeOptions;
use palestra_model::Sampling;
use palestra_verify::critic::Critic;
use serde_json::{Map, Value};

use super::models::{self, Asked};
use crate::args::Cli;
use crate::args_run::{Again, Job as JobCommand, Resume, Run};
use crate::commands::globs::Globs;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

/// What is needed to go on with a job and is no part of its plan: written beside it.
const HOW: &str = "run.json";

pub(crate) fn run(cli: &Cli, args: &Run) -> Result<Code, CliError> {
    let args = match &args.config {
        None => args.clone(),
        Some(path) => args.clone().or(read_config(path)?),
    };
    let plan = plan(&args)?;
    let agents = agents(&plan)?;
    let name = args.job_name.clone().unwrap_or_else(context::stamp);
    let dir = args.jobs_dir.clone().unwrap_or_else(|| PathBuf::from("jobs")).join(&name);
    if args.dry_run {
        return dry(cli, &plan, &dir);
    }
    let how = Asked::of(&args)?;
    let job = Job::create(&dir, plan)?;
    palestra_core::disk::write_json(&job.dir().join(HOW), &how)?;
    start(cli, &job, agents, &how)
}

pub(crate) fn job(cli: &Cli, command: &JobCommand) -> Result<Code, CliError> {
    match command {
        JobCommand::Resume(args) => resume(cli, args),
        JobCommand::Regrade(args) => regrade(cli, args),
        JobCommand::Show(args) => show(cli, &rollout::report(&Job::open(&args.job)?)?),
    }
}

fn resume(cli: &Cli, args: &Resume) -> Result<Code, CliError> {
    let (job, mut how) = open(&args.job)?;
    how.concurrency = args.concurrency.unwrap_or(how.concurrency);
    let agents = agents(&job.plan)?;
    start(cli, &job, agents, &how)
}

fn regrade(cli: &Cli, args: &Again) -> Result<Code, CliError> {
    let (job, how) = open(&args.job)?;
    let agents = agents(&job.plan)?;
    let tools = Tools::open(context::surroundings(cli)?)?;
    let mut request = request(agents, &how, Vec::new(), critic(&job.plan)?);
    request.grading = context::jobs(args.grading);
    let progress = Progress::new(cli.quiet);
    let report = rollout::regrade(&tools, &job, &request, &progress);
    progress.done();
    show(cli, &report?)
}

fn open(dir: &Path) -> Result<(Job, Asked), CliError> {
    let job = Job::open(dir)?;
    let path = dir.join(HOW);
    let bytes = fs_err::read(&path)?;
    let how = serde_json::from_slice(&bytes)
        .map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
    Ok((job, how))
}

fn start(cli: &Cli, job: &Job, agents: Vec<Arc<dyn Agent>>, how: &Asked) -> Result<Code, CliError> {
    let surroundings = context::surroundings(cli)?;
    let models = models::of(job, &agents, how)?;
    let tools = Tools::open(surroundings)?;
    let request = request(agents, how, models, critic(&job.plan)?);
    let progress = Progress::new(cli.quiet);
    let report = rollout::run(&tools, job, &request, &progress);
    progress.done();
    show(cli, &report?)
}

fn request(
    agents: Vec<Arc<dyn Agent>>,
    how: &Asked,
    models: Vec<Arc<dyn palestra_model::Model>>,
    critic: Critic,
) -> Request {
    Request {
        agents,
        models,
        concurrency: how.concurrency,
        grading: how.grading,
        retries: how.retries,
        run_limits: shop::limits(),
        options: GradeOptions::default(),
        critic,
    }
}

/// The critic of a plan, or the built-in one.
fn critic(plan: &JobPlan) -> Result<Critic, CliError> {
    match &plan.critic {
        Some(path) => super::rank::critic(path),
        None => Critic::built_in().map_err(|error| super::rank::wrong(&error)),
    }
}

fn read_config(path: &Path) -> Result<Run, CliError> {
    let text = fs_err::read_to_string(path)?;
    toml::from_str(&text).map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
}

fn agents(plan: &JobPlan) -> Result<Vec<Arc<dyn Agent>>, CliError> {
    plan.variants
        .iter()
        .map(|variant| {
            palestra_agent::agent(&variant.agent, &variant.options)
                .map_err(|error| CliError::usage(error.to_string()))
        })
        .collect()
}

fn plan(args: &Run) -> Result<JobPlan, CliError> {
    let (tasks, rows) = match (&args.path, &args.dataset) {
        (Some(path), _) => (tasks_below(path)?, None),
        (None, Some(dataset)) => {
            let rows = rows(args)?;
            (tasks_of(dataset, &rows)?, Some(rows))
        }
        (None, None) => {
            let what = "say which tasks: -p DIR (`palestra demo` makes some), or -d DATASET";
            return Err(CliError::usage(what));
        }
    };
    let tasks = chosen(tasks, args)?;
    let mut plan = JobPlan::new(tasks, variants(args)?, args.attempts.unwrap_or(1));
    plan.rows = rows;
    plan.grade = !args.no_grade;
    let seconds = |value: Option<f64>, default: Duration| match value {
        None => Ok(default),
        Some(value) => Duration::try_from_secs_f64(value)
            .map_err(|error| CliError::usage(format!("{value} seconds: {error}"))),
    };
    let default = Limits::default();
    plan.limits = Limits {
        steps: args.max_steps.unwrap_or(default.steps),
        time: seconds(args.max_seconds, default.time)?,
        tokens: args.max_total_tokens,
        context: args.max_context,
        cost: args.max_cost,
        command: seconds(args.command_seconds, default.command)?,
        ..default
    };
    plan.context = policy(args.context.as_deref().unwrap_or("none"))?;
    plan.branching = args.branch_at.as_deref().map(branching).transpose()?;
    plan.search = args.search.as_deref().map(|kind| search(kind, args)).transpose()?;
    plan.enough = args.enough;
    if let Some(path) = &args.critic {
        // Now, and not when the first attempt is over.
        super::rank::critic(path)?;
        plan.critic = Some(fs_err::canonicalize(path)?);
    }
    plan.check()?;
    Ok(plan)
}

/// Where rows get what they need.
fn rows(args: &Run) -> Result<Rows, CliError> {
    let url = args.clone.clone().unwrap_or_else(|| "https://github.com/{repo}.git".to_owned());
    let dialect = args.dialect.as_deref().map(str::parse).transpose();
    let wrong = |error: palestra_dialect::UnknownDialect| CliError::Usage(error.to_string());
    let mirrors = args.mirrors.iter().map(fs_err::canonicalize).collect::<Result<_, _>>()?;
    Ok(Rows {
        sources: Sources { mirrors, url: (url != "none").then_some(url), images: args.images },
        dialect: dialect.map_err(wrong)?,
        split: args.split.clone(),
    })
}

/// The tasks that the globs leave.
fn chosen(tasks: Vec<PlannedTask>, args: &Run) -> Result<Vec<PlannedTask>, CliError> {
    let wanted = Globs::new(&args.include, &args.exclude)?;
    let kept = tasks.into_iter().filter(|task| wanted.take(&task.id));
    Ok(kept.take(args.n_tasks.unwrap_or(usize::MAX)).collect())
}

/// Every agent with every model at every temperature.
fn variants(args: &Run) -> Result<Vec<Variant>, CliError> {
    let options: Map<String, Value> = args.agent_options.iter().cloned().collect();
    let named = |list: &[String]| -> Vec<Option<String>> {
        if list.is_empty() { vec![None] } else { list.iter().cloned().map(Some).collect() }
    };
    let temperatures: Vec<Option<f64>> = match args.temperature.as_slice() {
        [] => vec![None],
        list => list.iter().copied().map(Some).collect(),
    };
    let mut variants = Vec::new();
    for agent in named(&args.agent) {
        let mut agent = agent.unwrap_or_else(|| "editor".to_owned());
        let mut options = options.clone();
        if agent.ends_with(".toml") {
            let text = fs_err::read_to_string(&agent)?;
            options.insert("spec".to_owned(), text.into());
            agent = "external".to_owned();
        }
        let mut replays = None;
        if agent == "replay" {
            let from =
                options.shift_remove("from").and_then(|from| Some(PathBuf::from(from.as_str()?)));
            let from = from.ok_or_else(|| {
                CliError::usage("say which job is to be replayed: --ak from=jobs/NAME")
            })?;
            replays = Some(fs_err::canonicalize(from)?);
        }
        let plain = !palestra_agent::agent(&agent, &options)
            .map_err(|error| CliError::usage(error.to_string()))?
            .needs_model();
        for model in named(&args.model) {
            if model.is_none() && !plain {
                return Err(CliError::usage(format!(
                    "agent {agent} needs a model: -m NAME (and --base-url for your own server)"
                )));
            }
            for temperature in &temperatures {
                let sampling = Sampling {
                    temperature: *temperature,
                    top_p: args.top_p,
                    max_tokens: args.max_tokens,
                    seed: args.seed,
                    logprobs: args.logprobs,
                    token_ids: args.token_ids,
                    ..Sampling::default()
                };
                let (agent, options, replays) = (agent.clone(), options.clone(), replays.clone());
                variants.push(if plain {
                    Variant { agent, options, model: None, sampling: Sampling::default(), replays }
                } else {
                    Variant { agent, options, model: model.clone(), sampling, replays }
                });
                if plain {
                    break;
                }
            }
            if plain {
                break;
            }
        }
    }
    Ok(variants)
}

fn policy(text: &str) -> Result<ContextPolicy, CliError> {
    let wrong = || {
        CliError::usage(format!(
            "{text:?} is no context policy: none, mask:KEEP or summarise:TOKENS:KEEP"
        ))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    Ok(match parts.as_slice() {
        ["none"] => ContextPolicy::None,
        ["mask", keep] => ContextPolicy::MaskObservations { keep: number(keep)? as usize },
        ["summarise", above, keep] => {
            ContextPolicy::Summarise { above: number(above)?, keep: number(keep)? as usize }
        }
        _ => return Err(wrong()),
    })
}

fn branching(text: &str) -> Result<Branching, CliError> {
    let parsed = text.split_once(':').and_then(|(at, width)| {
        Some(Branching { at: at.parse().ok()?, width: width.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        CliError::usage(format!("{text:?} does not say where and how: write it like 10:4"))
    })
}

fn search(kind: &str, args: &Run) -> Result<Search, CliError> {
    if kind != "best-first" {
        return Err(CliError::usage(format!("{kind:?} is no way to search: there is best-first")));
    }
    Ok(Search {
        width: args.width.unwrap_or(3),
        depth: args.depth.unwrap_or(4),
        budget: args.search_calls.unwrap_or(100),
        every: args.every.unwrap_or(1),
    })
}

fn dry(cli: &Cli, plan: &JobPlan, dir: &Path) -> Result<Code, CliError> {
    if cli.json {
        let mut json = serde_json::to_string_pretty(plan).map_err(std::io::Error::other)?;
        json.push('\n');
        result(&json)?;
        return Ok(Code::Done);
    }
    let trials: usize = plan.groups().iter().map(Vec::len).sum();
    let variants: Vec<String> = plan.variants.iter().map(Variant::label).collect();
    result(&format!(
        "{} tasks, {} ({}), {} attempts each: {trials} attempts\njob: {}\n",
        plan.tasks.len(),
        if variants.len() == 1 {
            "1 variant".to_owned()
        } else {
            format!("{} variants", variants.len())
        },
        variants.join("; "),
        plan.attempts,
        dir.display()
    ))?;
    Ok(Code::Done)
}

fn show(cli: &Cli, report: &Report) -> Result<Code, CliError> {
    if cli.json {
        let mut json = serde_json::to_string_pretty(report).map_err(std::io::Error::other)?;
        json.push('\n');
        result(&json)?;
    } else {
        let mut text = String::new();
        for variant in &report.variants {
            text += &lines(variant);
        }
        let spared = match report.spared {
            0 => String::new(),
            spared => format!("{spared} were not made: another one at the task was good enough\n"),
        };
        text += &format!(
            "\n{} of {} attempts are over; {} were made again; {:.1} s\n{spared}job: {}\n",
            report.over, report.planned, report.retries, report.seconds, report.job
        );
        result(&text)?;
    }
    let invalid: u64 = report.variants.iter().map(|variant| variant.invalid).sum();
    Ok(if invalid > 0 { Code::Found } else { Code::Done })
}

fn lines(report: &VariantReport) -> String {
    let mut text = format!("\n{}\n", report.label);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    if let (Some(rate), Some((low, high))) = (report.rate, report.interval) {
        text += &format!(
            "  resolved    {} of {}: {} (95 %: {} to {})\n",
            report.resolved,
            report.resolved + report.unresolved,
            percent(rate),
            percent(low),
            percent(high)
        );
    }
    let passes = report.pass_at_k.iter().filter(|(k, _)| **k > 1);
    let passes: Vec<String> = passes
        .map(|(k, (rate, tasks))| format!("pass@{k} {} ({tasks} tasks)", percent(*rate)))
        .collect();
    if !passes.is_empty() {
        text += &format!("  at k        {}\n", passes.join(", "));
    }
    if report.invalid + report.ungraded > 0 {
        text +=
            &format!("  apart       {} invalid, {} not graded\n", report.invalid, report.ungraded);
    }
    let exits: Vec<String> = report.exits.iter().map(|(exit, n)| format!("{exit} {n}")).collect();
    text += &format!("  ended       {}\n", exits.join(", "));
    if report.steps > 0 {
        let cost = report.cost.map(|cost| format!(", ${cost:.4}")).unwrap_or_default();
        text += &format!(
            "  took        {} calls, {} tokens in ({} cached), {} out{cost}\n",
            report.steps, report.usage.prompt, report.usage.cached, report.usage.completion
        );
    }
    let phases: Vec<String> = report
        .phases
        .iter()
        .filter(|(_, phase)| phase.p95 > 0.0)
        .map(|(name, phase)| format!("{name} {:.2}/{:.2}", phase.p50, phase.p95))
        .collect();
    text += &format!("  s p50/p95   {}\n", phases.join(", "));
    text
}
