//! `palestra grade` and `palestra regrade`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use palestra_dataset::{
    Instance, InstanceOptions, Limits, Prediction, Predictions, read_instances, read_predictions,
};
use palestra_dialect::Dialect;
use palestra_engine::dataset::Dataset;
use palestra_engine::evaluate::{
    Evaluation, OwnRequest, Place, Request, Sources, Submission, evaluate, evaluate_own,
    own_instances, regrade as again, regrade_own,
};
use palestra_engine::shop::Tools;
use palestra_grade::GradeOptions;

use crate::args::Cli;
use crate::args_grade::{Grade, Graded, Regrade};
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, note, result};

pub(crate) fn grade(cli: &Cli, args: &Grade) -> Result<Code, CliError> {
    if is_own(&args.graded.dataset) {
        return own(cli, args);
    }
    let predictions = Predictions::parse(&args.predictions);
    let all = instances(&args.graded)?;
    let handed = match predictions {
        Predictions::Empty => None,
        other => Some(other.read(&all, &Limits::default())?),
    };
    let run_id = run_id(args, predictions);
    let model = model(args, handed.as_deref().unwrap_or_default())?;
    let mut by_id: BTreeMap<String, Submission> = match handed {
        None => all.iter().map(|i| (i.instance_id.to_string(), Submission::Nothing)).collect(),
        Some(handed) => handed
            .into_iter()
            .map(|one| {
                let submission = match predictions {
                    Predictions::Gold => Submission::Gold,
                    _ => Submission::Patch(one.model_patch.map(String::into_bytes)),
                };
                (one.instance_id, submission)
            })
            .collect(),
    };
    let dataset: Vec<String> = all.iter().map(|i| i.instance_id.to_string()).collect();
    let rows = chosen(all, &args.graded)?
        .into_iter()
        .map(|row| {
            let submission = by_id.remove(row.instance_id.as_str());
            (row, submission)
        })
        .collect();
    let request = Request {
        rows,
        dataset,
        dialect: dialect(&args.graded)?,
        timeout: args.timeout,
        memory: args.memory,
        sources: Sources {
            mirrors: args.mirrors.clone(),
            url: (args.clone != "none").then(|| args.clone.clone()),
            images: args.images,
        },
        jobs: context::jobs(args.jobs),
    };
    let place = Place::open(&out(&args.graded, &run_id), &model, &run_id)?;
    let tools = Tools::open(context::surroundings(cli)?)?;
    let progress = Progress::new(cli.quiet);
    let evaluation = evaluate(&tools, &request, &place, &progress);
    progress.done();
    show(cli, &evaluation?)
}

/// Whether a directory is one of our own tasks.
fn is_own(path: &Path) -> bool {
    path.join(".palestra").is_dir()
}

/// Grades predictions on our own tasks.
fn own(cli: &Cli, args: &Grade) -> Result<Code, CliError> {
    refuse_kinds(&args.graded)?;
    let dataset = Dataset::open(&args.graded.dataset, None)?;
    let all = own_instances(&dataset)?;
    let predictions = Predictions::parse(&args.predictions);
    let handed = match predictions {
        Predictions::File(path) => read_predictions(path, &Limits::default())?,
        _ => Vec::new(),
    };
    let ids: Vec<String> = all.iter().map(|(id, _)| id.clone()).collect();
    let asked = handed.iter().map(|one| &one.instance_id).chain(&args.graded.instance_ids);
    known_tasks(&args.graded, &all, asked)?;
    let mut by_id = BTreeMap::new();
    let (run_id, model) = (run_id(args, predictions), model(args, &handed)?);
    for one in handed {
        let patch = one.model_patch.map(String::into_bytes);
        if by_id.insert(one.instance_id.clone(), patch).is_some() {
            return Err(CliError::usage(format!(
                "{}: {} has more than one prediction",
                args.predictions, one.instance_id
            )));
        }
    }
    let tasks = all
        .into_iter()
        .filter(|(id, _)| {
            args.graded.instance_ids.is_empty() || args.graded.instance_ids.contains(id)
        })
        .filter_map(|(id, dir)| {
            let submission = match predictions {
                Predictions::Gold => Submission::Gold,
                Predictions::Empty => Submission::Nothing,
                Predictions::File(_) => Submission::Patch(by_id.remove(&id)?),
            };
            Some((dir, submission))
        })
        .collect();
    let mut limits = palestra_engine::shop::limits();
    if let Some(timeout) = args.timeout {
        limits.seconds = timeout.as_secs().max(1);
    }
    let request = OwnRequest {
        dataset: &dataset,
        tasks,
        ids,
        limits,
        options: GradeOptions::default(),
        jobs: context::jobs(args.jobs),
    };
    let place = Place::open(&out(&args.graded, &run_id), &model, &run_id)?;
    let tools = Tools::open(context::surroundings(cli)?)?;
    let progress = Progress::new(cli.quiet);
    let evaluation = evaluate_own(&tools, &request, &place, &progress);
    progress.done();
    show(cli, &evaluation?)
}

fn run_id(args: &Grade, predictions: Predictions<'_>) -> String {
    match (&args.graded.run_id, predictions) {
        (Some(id), _) => id.clone(),
        (None, Predictions::Gold) => "gold".to_owned(),
        (None, Predictions::Empty) => "empty".to_owned(),
        (None, Predictions::File(path)) => stem(path),
    }
}

/// Whose predictions they are. A run is of one model.
fn model(args: &Grade, handed: &[Prediction]) -> Result<String, CliError> {
    let models: BTreeSet<&str> = handed.iter().map(|one| one.model_name_or_path.as_str()).collect();
    match models.iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(args.predictions.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
        [one] => Ok((**one).to_owned()),
        several => Err(CliError::usage(format!(
            "{}: predictions of {} models ({}, …): give one model's at a time",
            args.predictions,
            several.len(),
            several[0]
        ))),
    }
}

pub(crate) fn regrade(cli: &Cli, args: &Regrade) -> Result<Code, CliError> {
    if is_own(&args.graded.dataset) {
        return regrade_tasks(cli, args);
    }
    let all = instances(&args.graded)?;
    let (run_id, dir, model) = graded_before(args)?;
    let dataset = all.iter().map(|i| i.instance_id.to_string()).collect();
    let rows = chosen(all, &args.graded)?.into_iter().map(|row| (row, None)).collect();
    let request = Request {
        rows,
        dataset,
        dialect: dialect(&args.graded)?,
        timeout: None,
        memory: 0,
        sources: Sources::default(),
        jobs: 1,
    };
    let place = Place::open(&dir, &model, &run_id)?;
    let progress = Progress::new(cli.quiet);
    let evaluation = again(&request, &place, &progress);
    progress.done();
    show(cli, &evaluation?)
}

/// The name of a run, its directory, and whose predictions it graded.
fn graded_before(args: &Regrade) -> Result<(String, PathBuf, String), CliError> {
    let run_id =
        args.graded.run_id.clone().ok_or_else(|| {
            CliError::usage("name the run that is to be graded again: --run-id NAME")
        })?;
    let dir = out(&args.graded, &run_id);
    let model = match &args.model {
        Some(model) => model.clone(),
        None => only_model(&dir)?,
    };
    Ok((run_id, dir, model))
}

/// Judges results on our own tasks again.
fn regrade_tasks(cli: &Cli, args: &Regrade) -> Result<Code, CliError> {
    refuse_kinds(&args.graded)?;
    let dataset = Dataset::open(&args.graded.dataset, None)?;
    let mut tasks = own_instances(&dataset)?;
    known_tasks(&args.graded, &tasks, &args.graded.instance_ids)?;
    let asked = &args.graded.instance_ids;
    tasks.retain(|(id, _)| asked.is_empty() || asked.contains(id));
    let (run_id, dir, model) = graded_before(args)?;
    let place = Place::open(&dir, &model, &run_id)?;
    let progress = Progress::new(cli.quiet);
    let rejudged = regrade_own(&dataset, &tasks, &place, &progress);
    progress.done();
    let rejudged = rejudged?;
    for (id, why) in &rejudged.kept {
        note(&format!(
            "{id} is not judged again: {why}; its verdict stays, `palestra grade` runs it anew"
        ));
    }
    let code = show(cli, &rejudged.evaluation)?;
    Ok(if rejudged.kept.is_empty() { code } else { Code::Found })
}

/// Our own tasks have rules of their own.
fn refuse_kinds(args: &Graded) -> Result<(), CliError> {
    if args.dialect.is_some() || args.kind.is_some() {
        return Err(CliError::usage(
            "our own tasks are graded by our own rules: leave --dialect and --kind out",
        ));
    }
    Ok(())
}

/// Refuses ids that are no tasks of the dataset.
fn known_tasks<'a>(
    args: &Graded,
    tasks: &[(String, PathBuf)],
    asked: impl IntoIterator<Item = &'a String>,
) -> Result<(), CliError> {
    let known = |id: &&String| tasks.iter().any(|(task, _)| task == *id);
    let unknown: Vec<&str> =
        asked.into_iter().filter(|id| !known(id)).map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let text = format!("{} has no task {}", args.dataset.display(), unknown.join(", "));
    Err(CliError::usage(text))
}

fn instances(args: &Graded) -> Result<Vec<Instance>, CliError> {
    let kind = args.kind.as_deref().map(str::parse).transpose().map_err(CliError::Usage)?;
    let options = InstanceOptions { kind, split: args.split.clone(), ..InstanceOptions::default() };
    Ok(read_instances(&args.dataset, &options)?)
}

/// The instances that were asked for by id or by repository.
fn chosen(all: Vec<Instance>, args: &Graded) -> Result<Vec<Instance>, CliError> {
    let unknown: Vec<&str> = args
        .instance_ids
        .iter()
        .map(String::as_str)
        .filter(|id| !all.iter().any(|one| one.instance_id.as_str() == *id))
        .collect();
    if !unknown.is_empty() {
        return Err(CliError::usage(format!(
            "{} has no instance {}",
            args.dataset.display(),
            unknown.join(", ")
        )));
    }
    let by_id = |one: &Instance| {
        args.instance_ids.is_empty()
            || args.instance_ids.iter().any(|id| id == one.instance_id.as_str())
    };
    let by_repo = |one: &Instance| args.repos.is_empty() || args.repos.contains(&one.repo);
    let rows: Vec<Instance> = all.into_iter().filter(|one| by_id(one) && by_repo(one)).collect();
    if rows.is_empty() {
        return Err(CliError::Nothing(format!("{} has no such instance", args.dataset.display())));
    }
    Ok(rows)
}

fn dialect(args: &Graded) -> Result<Option<Dialect>, CliError> {
    let named = args.dialect.as_deref().map(str::parse).transpose();
    named.map_err(|error: palestra_dialect::UnknownDialect| CliError::Usage(error.to_string()))
}

fn out(args: &Graded, run_id: &str) -> PathBuf {
    args.out.clone().unwrap_or_else(|| Path::new("runs").join(run_id.replace('/', "__")))
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The only model that a run was graded for.
fn only_model(dir: &Path) -> Result<String, CliError> {
    let mut models = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            models.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    match models.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(CliError::usage(format!("{} holds no graded predictions", dir.display()))),
        _ => Err(CliError::usage(format!(
            "{} holds runs of {}: choose one with --model",
            dir.display(),
            models.join(", ")
        ))),
    }
}

fn show(cli: &Cli, evaluation: &Evaluation) -> Result<Code, CliError> {
    if cli.json {
        let mut json = serde_json::to_string_pretty(evaluation).map_err(std::io::Error::other)?;
        json.push('\n');
        result(&json)?;
    } else {
        result(&format!(
            "\n{}\n{} submitted, {} resolved, {} could not be judged, {:.1} s\nsummary: {}\n",
            evaluation.table(),
            evaluation.submitted.max(evaluation.decided),
            evaluation.resolved,
            evaluation.invalid,
            evaluation.seconds,
            evaluation.summary
        ))?;
    }
    Ok(if evaluation.invalid > 0 { Code::Found } else { Code::Done })
}
