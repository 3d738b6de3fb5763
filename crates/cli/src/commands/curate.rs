//! `palestra curate`.

use std::path::Path;

use palestra_engine::curate::{self, Until};
use palestra_engine::dataset::{Dataset, Plan};
use palestra_engine::report::YieldReport;
use palestra_engine::shop::{Shop, Tools};

use crate::args::{Cli, Curate, Selection};
use crate::commands::mine;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

pub(crate) fn run(cli: &Cli, args: &Curate) -> Result<Code, CliError> {
    let progress = Progress::new(cli.quiet);
    let report =
        curate(cli, &args.repo, &args.out, &args.selection, context::jobs(args.jobs), &progress);
    progress.done();
    let report = report?;
    show(cli, &report, &args.out)?;
    Ok(match report.tasks {
        0 => Code::Found,
        _ => Code::Done,
    })
}

/// Mines, builds, gates and writes.
pub(crate) fn curate(
    cli: &Cli,
    source: &str,
    out: &Path,
    selection: &Selection,
    jobs: usize,
    progress: &Progress,
) -> Result<YieldReport, CliError> {
    let filters = mine::filters(&selection.preset)?;
    let options = mine::options(selection, jobs)?;
    let surroundings = context::surroundings(cli)?;
    let repo = mine::open(source, &surroundings.home, selection)?;
    let plan = Plan {
        repository: repo.name().to_owned(),
        source: source.to_owned(),
        preset: selection.preset.clone(),
    };
    let dataset = Dataset::open(out, Some(&plan))?;
    let (mined, summary) = curate::mine(&repo, &filters, &options, Some(&dataset), progress)?;
    let candidates = curate::candidates(mined, selection.limit);
    if candidates.is_empty() {
        return Err(CliError::Nothing(format!(
            "no candidate in {}: of {} commits, {} change source and tests; `palestra mine {source} \
             --json` says why each was rejected",
            repo.name(),
            summary.commits,
            summary.eligible,
        )));
    }
    let tools = Tools::open(surroundings)?;
    let shop = Shop::new(tools, repo);
    Ok(curate::work(&shop, &dataset, &candidates, &summary, Until::Tasks, jobs, progress)?)
}

/// The yield, for a person or a program.
pub(crate) fn show(cli: &Cli, report: &YieldReport, out: &Path) -> Result<(), CliError> {
    if cli.json {
        let mut json = serde_json::to_string_pretty(report).map_err(std::io::Error::other)?;
        json.push('\n');
        return result(&json);
    }
    result(&format!("\n{}\n{}\n", report.repository, report.table()))?;
    if report.tasks > 0 {
        result(&format!("  tasks are in {}\n", out.display()))?;
    }
    Ok(())
}
