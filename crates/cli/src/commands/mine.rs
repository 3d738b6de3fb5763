//! `palestra mine`.

use palestra_engine::EngineError;
use palestra_engine::curate;
use palestra_engine::dataset::{Dataset, Plan};
use palestra_engine::event::Silent;
use palestra_engine::home::Home;
use palestra_git::Repo;
use palestra_mine::{Filters, MineOptions};

use crate::args::{Cli, Mine, Selection};
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

pub(crate) fn run(cli: &Cli, args: &Mine) -> Result<Code, CliError> {
    let jobs = context::jobs(args.jobs);
    let filters = filters(&args.selection.preset)?;
    let options = options(&args.selection, jobs)?;
    let home = context::home(cli)?;
    let repo = open(&args.repo, &home, &args.selection)?;
    let dataset = match &args.out {
        Some(out) => {
            let plan = Plan {
                repository: repo.name().to_owned(),
                source: args.repo.clone(),
                preset: args.selection.preset.clone(),
            };
            Some(Dataset::open(out, Some(&plan))?)
        }
        None => None,
    };
    let (mined, summary) = if cli.json {
        curate::mine(&repo, &filters, &options, dataset.as_ref(), &Silent)?
    } else {
        let progress = Progress::new(cli.quiet);
        curate::mine(&repo, &filters, &options, dataset.as_ref(), &progress)?
    };
    if cli.json {
        let mut lines = String::new();
        for commit in &mined {
            lines.push_str(&serde_json::to_string(commit).map_err(std::io::Error::other)?);
            lines.push('\n');
        }
        result(&lines)?;
        return Ok(Code::Done);
    }
    let candidates = mined.iter().filter(|c| c.rejected.is_none()).count();
    let mut text = format!(
        "{}: {} commits, {} change source and tests, {candidates} candidates ({})\n",
        repo.name(),
        summary.commits,
        summary.eligible,
        args.selection.preset
    );
    let mut reasons: Vec<_> = summary.rejected.iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (reason, count) in reasons {
        text.push_str(&format!("{count:>8}  {reason}\n"));
    }
    result(&text)?;
    Ok(Code::Done)
}

/// Opens the repository under the name that was asked for.
pub(crate) fn open(source: &str, home: &Home, selection: &Selection) -> Result<Repo, CliError> {
    let repo = Repo::open(source, &home.repositories()).map_err(EngineError::from)?;
    Ok(match &selection.name {
        Some(name) => repo.with_name(name.clone()),
        None => repo,
    })
}

/// Filters by name, or from a file.
pub(crate) fn filters(preset: &str) -> Result<Filters, CliError> {
    let unknown = match Filters::preset(preset) {
        Ok(filters) => return Ok(filters),
        Err(unknown) => unknown,
    };
    let text = match std::fs::read_to_string(preset) {
        Ok(text) => text,
        Err(error) => {
            return Err(CliError::usage(format!(
                "--preset {preset}: {unknown}, and there is no such file ({error})"
            )));
        }
    };
    Filters::from_toml(&text)
        .map_err(|error| CliError::usage(format!("--preset {preset}: {error}")))
}

/// Dates and threads.
pub(crate) fn options(selection: &Selection, jobs: usize) -> Result<MineOptions, CliError> {
    let date = |flag: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => palestra_mine::parse_date(text)
            .map(Some)
            .map_err(|error| CliError::usage(format!("--{flag}: {error}"))),
    };
    Ok(MineOptions {
        since: date("since", &selection.since)?,
        until: date("until", &selection.until)?,
        jobs,
        ..MineOptions::default()
    })
}
