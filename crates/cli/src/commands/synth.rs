//! `palestra audit` and `prompts`, and what `curate --synth` does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use palestra_agent::Limits;
use palestra_engine::curate;
use palestra_engine::dataset::Dataset;
use palestra_engine::event::{Event, Sink};
use palestra_engine::shop::{Shop, Tools, limits};
use palestra_engine::synth::{
    AuditRequest, Author, BugReport, BugRequest, Generate, GenerateReport, Writing,
};
use palestra_engine::{EngineError, synth};
use palestra_model::Model;
use palestra_mutate::{CombineOptions, InjectOptions, Modifier, MutantOptions};
use palestra_synth::statement::Issues;
use palestra_synth::{Asker, AskerConfig, PromptSet};

use crate::args::Cli;
use crate::args_run::Run;
use crate::args_synth::{Audit, Kind, Prompts, Served, Synth};
use crate::commands::globs::Globs;
use crate::commands::models::Asked;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

/// What is asked of a model, as `run` asks it.
fn asked(served: &Served) -> Run {
    Run {
        base_url: served.base_url.clone(),
        api: served.api.clone(),
        key_env: served.key_env.clone(),
        prices: served.prices.clone(),
        budget: served.budget,
        record: served.record.clone(),
        replay: served.replay.clone(),
        ..Run::default()
    }
}

/// The model, if one is named. Its calls are booked in `dir`.
pub(crate) fn model(served: &Served, dir: &Path) -> Result<Option<Arc<dyn Model>>, CliError> {
    if served.model == "none" {
        return Ok(None);
    }
    Asked::of(&asked(served))?.model(dir).map(Some)
}

/// Who writes what is asked for.
pub(crate) fn author(
    args: &Synth,
    dataset: &Dataset,
    cache: PathBuf,
    progress: &Progress,
) -> Result<(Author, Option<Arc<dyn Model>>), CliError> {
    let wrong = |error: &dyn std::fmt::Display| CliError::usage(error.to_string());
    let mut prompts = PromptSet::builtin();
    if let Some(dir) = &args.prompts {
        prompts = prompts.with_directory(dir).map_err(|error| wrong(&error))?;
    }
    let mut author = Author::nobody();
    author.prompts = prompts;
    if let Some(path) = &args.issues {
        let (issues, problems) = Issues::read(path)?;
        for message in problems {
            progress.event(&Event::Warning { message });
        }
        author.issues = issues;
    }
    author.writes = args.synth.contains(&Kind::Issues);
    (author.rewrites, author.repairs) = (args.repairs, args.repairs);
    let asked = model(&args.served, &dataset.dir().join(".palestra"))?;
    if let Some(model) = &asked {
        let mut config = AskerConfig::new(Arc::clone(model), &args.served.model);
        config.cache = Some(cache);
        config.sampling.temperature = args.served.temperature;
        config.sampling.seed = Some(args.seed);
        if let Some(path) = &args.served.prices {
            let prices = palestra_model::Prices::read(path).map_err(|error| wrong(&error))?;
            config.prices = Arc::new(prices);
        }
        author.asker = Asker::new(config);
        author.model = Some(args.served.model.clone());
    }
    Ok((author.booked(dataset)?, asked))
}

/// Tests for commits that have none, the newest first.
pub(crate) fn tests(
    shop: &Shop,
    dataset: &Dataset,
    args: &Synth,
    (jobs, limit): (usize, Option<usize>),
    (author, model): (&Author, Option<&Arc<dyn Model>>),
    progress: &Progress,
) -> Result<Option<GenerateReport>, CliError> {
    let Some(model) = model else {
        let message = "tests need a model, and none is named: see --model".to_owned();
        progress.event(&Event::Warning { message });
        return Ok(None);
    };
    let (mined, _) = curate::mined(dataset)?;
    let writing = match &args.tests_by {
        None => None,
        Some(name) => {
            let agent = palestra_agent::agent(name, &serde_json::Map::new())
                .map_err(|error| CliError::usage(error.to_string()))?;
            Some(Writing { agent, model: Arc::clone(model), limits: Limits::default() })
        }
    };
    let request = Generate {
        candidates: curate::without_tests(mined, limit),
        jobs,
        seed: args.seed,
        writing,
    };
    let builder = shop.tools.builder(&shop.repo);
    let workshop = shop.workshop(dataset, &builder, progress, author);
    Ok(Some(synth::generate(&workshop, &request)?))
}

/// Bugs for every commit that is named.
pub(crate) fn bugs(
    shop: &Shop,
    dataset: &Dataset,
    args: &Synth,
    jobs: usize,
    author: &Author,
    progress: &Progress,
) -> Result<Vec<BugReport>, CliError> {
    let head = ["HEAD".to_owned()];
    let revisions = if args.at.is_empty() { &head[..] } else { &args.at };
    let mut reports = Vec::new();
    for revision in revisions {
        let commit = shop.repo.resolve(revision).map_err(EngineError::from)?;
        let request = BugRequest {
            commit: commit.clone(),
            inject: InjectOptions {
                seed: args.seed,
                modifiers: if args.bug_kinds.is_empty() {
                    Modifier::ALL.to_vec()
                } else {
                    args.bug_kinds.clone()
                },
                likelihood: args.likelihood,
                per_entity: args.per_entity,
                max: Some(args.max_bugs),
                ..InjectOptions::default()
            },
            combine: (args.combine > 0).then(|| CombineOptions {
                seed: args.seed,
                max: Some(args.combine),
                ..CombineOptions::default()
            }),
            by_model: args.model_bugs,
            jobs,
        };
        let builder = shop.tools.builder(&shop.repo);
        let workshop = shop.workshop(dataset, &builder, progress, author);
        match synth::bugs(&workshop, &request)? {
            Ok(report) => reports.push(report),
            Err(rejected) => {
                return Err(CliError::Nothing(format!(
                    "no bug can be put into {commit}: {}: {}",
                    rejected.reason, rejected.detail
                )));
            }
        }
    }
    Ok(reports)
}

pub(crate) fn audit(cli: &Cli, args: &Audit) -> Result<Code, CliError> {
    let progress = Progress::new(cli.quiet);
    let wanted = Globs::new(&args.include, &[])?;
    let dataset = Dataset::open(&args.tasks, None)?;
    let tools = Tools::open(context::surroundings(cli)?)?;
    let request = AuditRequest {
        mutants: MutantOptions { seed: args.seed, max: Some(args.max), ..MutantOptions::default() },
        jobs: context::jobs(args.jobs),
        weak_below: args.weak_below,
        limits: limits(),
    };
    let report = synth::audit(&tools, &dataset, &|id| wanted.take(id), &request, &progress);
    progress.done();
    let report = report?;
    if cli.json {
        let mut json = serde_json::to_string_pretty(&report).map_err(std::io::Error::other)?;
        json.push('\n');
        result(&json)?;
    } else {
        result(&format!("\n{}", report.table()))?;
    }
    let weak = report.tasks.iter().any(|task| task.strength.weak);
    Ok(if weak || !report.failed.is_empty() { Code::Found } else { Code::Done })
}

pub(crate) fn prompts(cli: &Cli, args: &Prompts) -> Result<Code, CliError> {
    let mut prompts = PromptSet::builtin();
    if let Some(dir) = &args.prompts {
        prompts = prompts.with_directory(dir).map_err(|e| CliError::usage(e.to_string()))?;
    }
    if let Some(name) = &args.name {
        let Some(text) = prompts.text(name) else {
            return Err(CliError::usage(format!(
                "no prompt is named {name:?}: `palestra prompts` lists them"
            )));
        };
        // As it would stand in a file that takes its place.
        let info = prompts.list().into_iter().find(|info| info.prompt.name == *name);
        let (version, about) = info.map_or((1, String::new()), |i| (i.prompt.version, i.about));
        let head = toml::Table::from_iter([
            ("name".to_owned(), name.clone().into()),
            ("version".to_owned(), i64::from(version).into()),
            ("about".to_owned(), about.into()),
        ]);
        result(&format!("+++\n{head}+++\n{text}"))?;
        return Ok(Code::Done);
    }
    let list = prompts.list();
    if cli.json {
        let list = serde_json::to_string_pretty(&list).map_err(std::io::Error::other)?;
        result(&format!("{list}\n"))?;
        return Ok(Code::Done);
    }
    let mut text = String::new();
    for info in list {
        let hash = info.prompt.hash.get(..12).unwrap_or(&info.prompt.hash);
        let place = info.file.map(|file| format!("  ({})", file.display())).unwrap_or_default();
        text.push_str(&format!(
            "{:<20} {:>3}  {hash}  {}{place}\n",
            info.prompt.name, info.prompt.version, info.about
        ));
    }
    result(&text)?;
    Ok(Code::Done)
}
