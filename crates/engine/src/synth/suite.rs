//! A commit with the whole of its suite: what bugs are put into, and what generated tests are
//! written beside.

use std::collections::{BTreeMap, BTreeSet};

use palestra_build::Built;
use palestra_core::{CommitId, TestStatus};
use palestra_git::{HistoryOptions, TreeEntry};
use palestra_grade::{RunLimits, TestRun};
use palestra_sandbox::{FileOp, SandboxSpec};

use crate::error::EngineError;
use crate::gold::one_line;
use crate::material::is_runnable;
use crate::settle::{Settled, Site};
use crate::work::{GATE_RUNS, Rejected, Workshop, spec};

/// No source or test file that is read may be larger, bytes.
const FILE_LIMIT: u64 = 2 << 20;
/// The share of a suite that has to pass for the suite to count as green: real suites have tests
/// that want what a sandbox lacks.
const GREEN: f64 = 0.95;
/// Seconds that a run may take besides five times what the suite takes.
const SLACK: f64 = 10.0;

/// A tree whose suite passes.
#[derive(Debug)]
pub(crate) struct Suite {
    /// The commit.
    pub(crate) commit: CommitId,
    /// Its date, RFC 3339.
    pub(crate) date: String,
    /// Where it runs.
    pub(crate) built: Built,
    /// The same, as a sandbox.
    pub(crate) spec: SandboxSpec,
    /// Source files with their contents, by path.
    pub(crate) sources: BTreeMap<String, Vec<u8>>,
    /// Modes of all files of the tree.
    pub(crate) modes: BTreeMap<String, u32>,
    /// Test files with their contents, by path.
    pub(crate) tests: BTreeMap<String, Vec<u8>>,
    /// Those that hold tests.
    pub(crate) test_paths: Vec<String>,
    /// Every run of the whole suite on the tree.
    pub(crate) runs: Vec<TestRun>,
    /// The tests that passed in each of them.
    pub(crate) stable: BTreeSet<String>,
    /// Bounds of a run in which something may be broken.
    pub(crate) limits: RunLimits,
}

impl Suite {
    /// Makes the environment of a commit, and runs its suite in it as often as the gate does.
    pub(crate) fn open(
        shop: &Workshop<'_>,
        commit: &CommitId,
    ) -> Result<Result<Self, Rejected>, EngineError> {
        let options =
            HistoryOptions { from: Some(commit.clone()), limit: Some(1), ..Default::default() };
        let walked = shop.repo.history(&options)?;
        let date = shop.repo.changes(&walked, 0)?.read()?.map(|changes| changes.date);
        let date = date.unwrap_or_default();
        let mut blobs = shop.repo.blobs()?;
        let (mut sources, mut tests) = (BTreeMap::new(), BTreeMap::new());
        let (mut modes, mut test_paths) = (BTreeMap::new(), Vec::new());
        for entry in shop.repo.tree(commit)? {
            let Ok(path) = String::from_utf8(entry.path.clone()) else { continue };
            modes.insert(path.clone(), entry.mode);
            if !of_interest(&entry) {
                continue;
            }
            if palestra_syntax::is_test_path(path.as_bytes()) {
                let content = blobs.read(&entry.oid)?;
                if is_runnable(&path, false, &content) {
                    test_paths.push(path.clone());
                }
                tests.insert(path, content);
            } else if palestra_syntax::is_source_code_path(path.as_bytes()) {
                sources.insert(path, blobs.read(&entry.oid)?);
            }
        }
        let rejected = |reason: &str, detail: String| {
            Ok(Err(Rejected { reason: reason.to_owned(), detail: one_line(&detail) }))
        };
        if test_paths.is_empty() {
            return rejected("no_runnable_test", "the tree has no file with tests".to_owned());
        }
        let site = Site {
            fix: commit,
            base: commit,
            date: &date,
            test_paths: &test_paths,
            contents: &tests,
        };
        let Settled { built, run, .. } = match shop.settle(&site, &[])? {
            Ok(settled) => settled,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if let Some((reason, detail)) = red(&run) {
            return rejected(reason, detail);
        }
        let spec = spec(&built);
        let mut suite = Self {
            commit: commit.clone(),
            date,
            limits: bounds(&shop.limits, run.seconds),
            built,
            spec,
            sources,
            modes,
            tests,
            test_paths,
            runs: vec![run],
            stable: BTreeSet::new(),
        };
        while suite.runs.len() < GATE_RUNS as usize {
            shop.check_stop()?;
            let run = suite.run(shop, &[], &suite.test_paths)?;
            suite.runs.push(run);
        }
        let first = suite.runs[0].report.tests.keys();
        let stable = |test: &&String| suite.runs.iter().all(|run| run.report.passed(test));
        suite.stable = first.filter(stable).cloned().collect();
        if suite.stable.is_empty() {
            return rejected("suite_is_red", "no test passes in every run".to_owned());
        }
        Ok(Ok(suite))
    }

    /// Runs tests with some files changed.
    pub(crate) fn run(
        &self,
        shop: &Workshop<'_>,
        changes: &[FileOp],
        test_paths: &[String],
    ) -> Result<TestRun, EngineError> {
        Ok(palestra_grade::run_tests(
            shop.host,
            &self.spec,
            &self.built.environment,
            changes,
            test_paths,
            &self.limits,
        )?)
    }

    /// Mode and content of a file that was read.
    pub(crate) fn file(&self, path: &str) -> Option<(u32, Vec<u8>)> {
        let content = self.sources.get(path).or_else(|| self.tests.get(path))?;
        Some((*self.modes.get(path)?, content.clone()))
    }
}

/// Whether a file of a tree is read at all: Python, and no link.
fn of_interest(entry: &TreeEntry) -> bool {
    !entry.is_submodule()
        && !entry.is_symlink()
        && entry.path.ends_with(b".py")
        && entry.size.is_some_and(|size| size <= FILE_LIMIT)
}

/// Why a suite is of no use.
fn red(run: &TestRun) -> Option<(&'static str, String)> {
    if !run.report.finished {
        let last = run.log_tail.lines().rev().find(|line| !line.trim().is_empty());
        let why = format!("the suite does not come to its end: {}", last.unwrap_or_default());
        return Some(("suite_does_not_end", why));
    }
    let failed: Vec<&String> = run
        .report
        .tests
        .iter()
        .filter(|(_, test)| matches!(test.status, TestStatus::Failed | TestStatus::Error))
        .map(|(name, _)| name)
        .chain(run.report.collection_errors.keys())
        .collect();
    let passed = run.report.passes();
    if (passed as f64) < GREEN * (passed + failed.len()) as f64 {
        let names: Vec<&str> = failed.iter().take(3).map(|name| name.as_str()).collect();
        let why = format!("{} tests fail and {passed} pass: {}", failed.len(), names.join(", "));
        return Some(("suite_is_red", why));
    }
    None
}

/// What is broken may hang: five times what the suite takes, and a little more.
fn bounds(limits: &RunLimits, seconds: f64) -> RunLimits {
    let seconds = (seconds * 5.0 + SLACK).ceil() as u64;
    RunLimits { seconds: seconds.min(limits.seconds), ..*limits }
}
