//! From a repository to tasks: mine, then build and gate candidate by candidate.

use std::collections::BTreeSet;
use std::time::Instant;

use palestra_core::{Candidate, CommitId, disk, ledger};
use palestra_mine::{Filters, MineOptions, MinedCommit};
use palestra_sandbox::Store;

use crate::dataset::{Dataset, Decisions, Stage};
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::gold::counts;
use crate::parallel::parallel;
use crate::report::{Bytes, MineSummary, YieldReport};
use crate::shop::Shop;
use crate::synth::Author;
use crate::work::Workshop;

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Environments only.
    Build,
    /// Tasks, from what was built before.
    Gate,
    /// Tasks, from the candidates.
    Tasks,
}

/// Mines and keeps every commit with its decisions in the dataset. A limit keeps the newest
/// candidates.
pub fn mine(
    repo: &palestra_git::Repo,
    filters: &Filters,
    options: &MineOptions,
    dataset: Option<&Dataset>,
    sink: &dyn Sink,
) -> Result<(Vec<MinedCommit>, MineSummary), EngineError> {
    let begin = Instant::now();
    let mut mined = Vec::new();
    palestra_mine::mine(repo, filters, options, |commit| {
        mined.push(commit);
        Ok(())
    })?;
    let mut summary = MineSummary { commits: mined.len(), ..MineSummary::default() };
    summary.count(&mined);
    summary.seconds = begin.elapsed().as_secs_f64();
    if let Some(dataset) = dataset {
        let mut lines = Vec::new();
        for commit in &mined {
            serde_json::to_writer(&mut lines, commit).map_err(std::io::Error::other)?;
            lines.push(b'\n');
        }
        disk::write_atomic(&dataset.mined(), &lines)?;
    }
    sink.event(&Event::Mined {
        commits: summary.commits,
        eligible: summary.eligible,
        candidates: mined.iter().filter(|c| c.rejected.is_none()).count(),
        seconds: summary.seconds,
    });
    Ok((mined, summary))
}

/// Reads what an earlier `mine` kept.
pub fn mined(dataset: &Dataset) -> Result<(Vec<MinedCommit>, MineSummary), EngineError> {
    let (mined, problems) = ledger::read::<MinedCommit>(&dataset.mined())?;
    if let Some(why) = problems.into_iter().next() {
        return Err(EngineError::Corrupt { path: dataset.mined(), why });
    }
    let mut summary = MineSummary { commits: mined.len(), ..MineSummary::default() };
    summary.count(&mined);
    Ok((mined, summary))
}

/// The candidates among the mined commits, newest first, at most `limit`.
pub fn candidates(mined: Vec<MinedCommit>, limit: Option<usize>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> =
        mined.into_iter().filter(|c| c.rejected.is_none()).map(|c| c.candidate).collect();
    candidates.sort_by(|a, b| b.timestamp.cmp(&a.timestamp).then(a.commit.cmp(&b.commit)));
    candidates.truncate(limit.unwrap_or(usize::MAX));
    candidates
}

/// The commits among the mined that lack nothing but tests, newest first, at most `limit`.
pub fn without_tests(mined: Vec<MinedCommit>, limit: Option<usize>) -> Vec<Candidate> {
    let lacks = |commit: &MinedCommit| {
        commit.rejected.as_ref().is_some_and(|rejection| rejection.reason == "no_test_change")
    };
    let mut found: Vec<Candidate> =
        mined.into_iter().filter(lacks).map(|commit| commit.candidate).collect();
    found.sort_by(|a, b| b.timestamp.cmp(&a.timestamp).then(a.commit.cmp(&b.commit)));
    found.truncate(limit.unwrap_or(usize::MAX));
    found
}

/// What is to be worked on.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The candidates.
    pub candidates: &'a [Candidate],
    /// How they were found.
    pub summary: &'a MineSummary,
    /// How far to go.
    pub until: Until,
    /// Candidates at a time.
    pub jobs: usize,
}

/// Works on every candidate that is not decided yet, and writes the report.
pub fn work(
    shop: &Shop,
    dataset: &Dataset,
    order: &Order<'_>,
    author: &Author,
    sink: &dyn Sink,
) -> Result<YieldReport, EngineError> {
    let Order { candidates, summary, until, .. } = *order;
    let plan = dataset.plan()?;
    let begin = Instant::now();
    let (decisions, problems) = dataset.decisions()?;
    for problem in problems {
        sink.event(&Event::Warning { message: format!("a line of the ledger is cut: {problem}") });
    }
    let open: Vec<&Candidate> =
        candidates.iter().filter(|c| is_open(&decisions, dataset, &c.commit, until)).collect();
    sink.event(&Event::Planned {
        candidates: candidates.len(),
        done: candidates.len() - open.len(),
    });
    let failure = if open.is_empty() {
        None
    } else {
        run_all(shop, dataset, &open, order, author, sink).err()
    };
    let ids: Vec<CommitId> = candidates.iter().map(|c| c.commit.clone()).collect();
    let (decisions, _) = dataset.decisions()?;
    let mut report = YieldReport::tally(summary, &ids, &decisions);
    report.repository.clone_from(&plan.repository);
    report.preset.clone_from(&plan.preset);
    let wall = begin.elapsed().as_secs_f64() + summary.seconds;
    report.seconds.insert("wall".to_owned(), (wall * 1000.0).round() / 1000.0);
    report.bytes_on_disk = bytes_on_disk(shop, dataset, &decisions)?;
    if let Some(error) = failure {
        return Err(error);
    }
    dataset.write_manifest(&plan.repository)?;
    disk::write_json(&dataset.dir().join("report.json"), &report)?;
    Ok(report)
}

/// Whether a stage still has to decide about the commit. A task whose directory is gone is made
/// again.
fn is_open(decisions: &Decisions, dataset: &Dataset, commit: &CommitId, until: Until) -> bool {
    let build = decisions.get(&(Stage::Build, commit.clone()));
    let gate = decisions.get(&(Stage::Gate, commit.clone()));
    let rejected = build.is_some_and(|entry| entry.rejected.is_some());
    let gated = gate.is_some_and(|entry| match &entry.instance_id {
        Some(id) => dataset.task_dir(id).join("task.toml").is_file(),
        None => true,
    });
    match until {
        Until::Build => build.is_none(),
        Until::Gate => build.is_some() && !rejected && !gated,
        Until::Tasks => !rejected && !gated,
    }
}

/// The first error of any worker stops all of them.
fn run_all(
    shop: &Shop,
    dataset: &Dataset,
    open: &[&Candidate],
    order: &Order<'_>,
    author: &Author,
    sink: &dyn Sink,
) -> Result<(), EngineError> {
    let builder = shop.tools.builder(&shop.repo);
    let workshop = shop.workshop(dataset, &builder, sink, author);
    parallel(open, order.jobs, |candidate| one(&workshop, candidate, order.until))
}

fn one(shop: &Workshop<'_>, candidate: &Candidate, until: Until) -> Result<(), EngineError> {
    shop.check_stop()?;
    let begin = Instant::now();
    let commit = candidate.commit.to_string();
    shop.sink.event(&Event::Started { commit: commit.clone(), subject: candidate.subject.clone() });
    let (outcome, detail) = match until {
        Until::Build => match shop.build(candidate)? {
            Ok(prepared) => ("built".to_owned(), counts(&prepared.gold_run.report)),
            Err(rejected) => (rejected.reason, rejected.detail),
        },
        Until::Gate | Until::Tasks => match shop.curate(candidate)? {
            Ok(task) => ("task".to_owned(), candidate.subject.clone() + &lists(&task)),
            Err(rejected) => (rejected.reason, rejected.detail),
        },
    };
    let seconds = begin.elapsed().as_secs_f64();
    shop.sink.event(&Event::Decided { commit, outcome, detail, seconds });
    Ok(())
}

fn lists(task: &palestra_core::Task) -> String {
    format!(" [{} F2P, {} P2P]", task.fail_to_pass.len(), task.pass_to_pass.len())
}

/// Bytes of everything that the decided candidates use, every inode once.
fn bytes_on_disk(
    shop: &Shop,
    dataset: &Dataset,
    decisions: &Decisions,
) -> Result<Bytes, EngineError> {
    let layers: BTreeSet<&str> =
        decisions.values().flat_map(|e| e.layers.iter().map(String::as_str)).collect();
    let names: Vec<&str> =
        layers.into_iter().filter(|name| shop.tools.store.layer(name).is_some()).collect();
    Ok(Bytes {
        repository: crate::usage::tree(shop.repo.git_dir()),
        environments: usage(&shop.tools.store, &names)?,
        tasks: crate::usage::once(dataset.dir()),
    })
}

fn usage(store: &Store, names: &[&str]) -> Result<u64, EngineError> {
    Ok(store.usage(names)?)
}
