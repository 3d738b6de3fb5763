//! `palestra curate`.

use std::path::Path;

use palestra_engine::curate::{self, Order, Until};
use palestra_engine::dataset::{Dataset, Plan};
use palestra_engine::report::{MineSummary, YieldReport};
use palestra_engine::shop::{Shop, Tools};
use palestra_engine::synth::{Author, BugReport, GenerateReport};
use palestra_mine::MinedCommit;

use crate::args::{Cli, Curate, Selection};
use crate::args_synth::Kind;
use crate::commands::{mine, synth};
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

pub(crate) fn run(cli: &Cli, args: &Curate) -> Result<Code, CliError> {
    let progress = Progress::new(cli.quiet);
    let made = make(cli, args, &progress);
    progress.done();
    let Made { commits, tests, bugs } = made?;
    let mut tasks = bugs.iter().map(|report| report.tasks).sum::<usize>();
    if args.synth.synth.is_empty() {
        if let Some(report) = &commits {
            show(cli, report, &args.out)?;
        }
    } else if cli.json {
        let json = serde_json::json!({"commits": commits, "tests": tests, "bugs": bugs});
        result(&format!("{json:#}\n"))?;
    } else {
        if let Some(report) = &commits {
            result(&format!("\n{}\n{}", report.repository, report.table()))?;
        }
        if let Some(report) = &tests {
            result(&format!("\ntests written\n{}", report.table()))?;
        }
        for report in &bugs {
            let commit = report.commit.get(..12).unwrap_or(&report.commit);
            result(&format!("\nbugs at {commit} of {}\n{}", report.repository, report.table()))?;
        }
        result(&format!("\n  tasks are in {}\n", args.out.display()))?;
    }
    tasks += commits.map_or(0, |report| report.tasks) + tests.map_or(0, |report| report.tasks);
    Ok(if tasks == 0 { Code::Found } else { Code::Done })
}

/// What came of each source of tasks.
struct Made {
    commits: Option<YieldReport>,
    tests: Option<GenerateReport>,
    bugs: Vec<BugReport>,
}

fn make(cli: &Cli, args: &Curate, progress: &Progress) -> Result<Made, CliError> {
    let jobs = context::jobs(args.jobs);
    let site = Site::open(cli, &args.repo, &args.out, &args.selection)?;
    let (shop, dataset, asked) = (&site.shop, &site.dataset, &args.synth);
    let cache = shop.tools.home().cache().join("answers");
    let (author, model) = synth::author(asked, dataset, cache, progress)?;
    let wants = |kind| asked.synth.contains(&kind);
    let commits = match (asked.no_commits, wants(Kind::Tests)) {
        (false, _) => Some(site.commits(&args.selection, jobs, &author, progress)?),
        (true, true) => site.mine(&args.selection, jobs, progress).map(|_| None)?,
        (true, false) => None,
    };
    let tests = match wants(Kind::Tests) {
        true => {
            let how = (jobs, args.selection.limit);
            synth::tests(shop, dataset, asked, how, (&author, model.as_ref()), progress)?
        }
        false => None,
    };
    let bugs = match wants(Kind::Bugs) {
        true => synth::bugs(shop, dataset, asked, jobs, &author, progress)?,
        false => Vec::new(),
    };
    Ok(Made { commits, tests, bugs })
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
    let site = Site::open(cli, source, out, selection)?;
    site.commits(selection, jobs, &Author::nobody(), progress)
}

/// A repository, and where its tasks are written.
struct Site {
    shop: Shop,
    dataset: Dataset,
    source: String,
}

impl Site {
    fn open(cli: &Cli, source: &str, out: &Path, selection: &Selection) -> Result<Self, CliError> {
        mine::filters(&selection.preset)?;
        let surroundings = context::surroundings(cli)?;
        let repo = mine::open(source, &surroundings.home, selection)?;
        let plan = Plan {
            repository: repo.name().to_owned(),
            source: source.to_owned(),
            preset: selection.preset.clone(),
        };
        let dataset = Dataset::open(out, Some(&plan))?;
        let tools = Tools::open(surroundings)?;
        Ok(Self { shop: Shop::new(tools, repo), dataset, source: source.to_owned() })
    }

    fn mine(
        &self,
        selection: &Selection,
        jobs: usize,
        progress: &Progress,
    ) -> Result<(Vec<MinedCommit>, MineSummary), CliError> {
        let filters = mine::filters(&selection.preset)?;
        let options = mine::options(selection, jobs)?;
        let (repo, dataset) = (&self.shop.repo, &self.dataset);
        Ok(curate::mine(repo, &filters, &options, Some(dataset), progress)?)
    }

    /// Tasks from commits with their own tests.
    fn commits(
        &self,
        selection: &Selection,
        jobs: usize,
        author: &Author,
        progress: &Progress,
    ) -> Result<YieldReport, CliError> {
        let (mined, summary) = self.mine(selection, jobs, progress)?;
        let (repo, dataset) = (&self.shop.repo, &self.dataset);
        let candidates = curate::candidates(mined, selection.limit);
        if candidates.is_empty() {
            return Err(CliError::Nothing(format!(
                "no candidate in {}: of {} commits, {} change source and tests; \
                 `palestra mine {} --json` says why each was rejected",
                repo.name(),
                summary.commits,
                summary.eligible,
                self.source,
            )));
        }
        let (candidates, summary) = (&candidates[..], &summary);
        let order = Order { candidates, summary, until: Until::Tasks, jobs };
        Ok(curate::work(&self.shop, dataset, &order, author, progress)?)
    }
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
