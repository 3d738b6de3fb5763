//! Walking a history with several threads.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

use palestra_core::{Candidate, CommitId};
use palestra_git::{GitError, HistoryOptions, Repo, Walked};
use palestra_syntax::Parser;
use serde::{Deserialize, Serialize};

use crate::analyse::{MAX_PATCH_BYTES, analyse};
use crate::cache::Modules;
use crate::features::Features;
use crate::filters::{Decision, Filters, Rejection, TestRule};

/// Commits that a thread takes at a time.
const CHUNK: usize = 48;

/// Chunks that may be ahead of the one that is waited for, for each thread.
const AHEAD: usize = 4;

/// Which commits to look at, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MineOptions {
    /// Where to start; `None` is `HEAD`.
    pub from: Option<CommitId>,
    /// Only commits committed at this time or later, seconds since 1970; see
    /// [`parse_date`](crate::parse_date).
    pub since: Option<i64>,
    /// Only commits committed before this time, seconds since 1970.
    pub until: Option<i64>,
    /// At most this many commits, the newest first.
    pub limit: Option<usize>,
    /// Threads; 0 is one.
    pub jobs: usize,
}

/// A commit with the numbers and the judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinedCommit {
    /// What it is and what it changes.
    pub candidate: Candidate,
    /// Numbers about it.
    pub features: Features,
    /// What every filter says.
    pub decisions: Vec<Decision>,
    /// The first reason to reject it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejection>,
    /// Whether it passes every filter.
    pub eligible: bool,
}

/// How a walk went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Commits looked at.
    pub commits: usize,
    /// Commits that pass every filter.
    pub eligible: usize,
    /// Rejected commits by reason.
    pub rejected: BTreeMap<String, usize>,
}

/// Why a walk could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MineError {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The receiver of the commits failed.
    #[error("cannot pass on a mined commit: {0}")]
    Sink(io::Error),
    /// A text is no date.
    #[error("{text:?} is no date; write `2016-01-01` or `2016-01-01T00:00:00Z`")]
    Date {
        /// The text.
        text: String,
    },
    /// A thread ended by a fault of this program.
    #[error("a mining thread ended unexpectedly; this is a bug")]
    Thread,
}

/// Looks at every commit of a history and hands each to `sink`, newest first. An error of the
/// sink ends the walk.
pub fn mine(
    repo: &Repo,
    filters: &Filters,
    options: &MineOptions,
    mut sink: impl FnMut(MinedCommit) -> io::Result<()>,
) -> Result<Summary, MineError> {
    let mut summary = Summary::default();
    let judge = |candidate: Candidate, features: Features| {
        let (decisions, rejected) = filters.decide(&features);
        let eligible = rejected.is_none();
        MinedCommit { candidate, features, decisions, rejected, eligible }
    };
    walk(repo, options, filters.tests, judge, |mined| {
        summary.commits += 1;
        summary.eligible += usize::from(mined.eligible);
        if let Some(rejection) = &mined.rejected {
            *summary.rejected.entry(rejection.reason.clone()).or_default() += 1;
        }
        sink(mined)
    })?;
    Ok(summary)
}

/// Analyses every commit in parallel, applies `judge` in the threads, and hands the results on
/// in the order of the history.
pub(crate) fn walk<T: Send>(
    repo: &Repo,
    options: &MineOptions,
    rule: TestRule,
    judge: impl Fn(Candidate, Features) -> T + Sync,
    mut sink: impl FnMut(T) -> io::Result<()>,
) -> Result<(), MineError> {
    let history = repo.history(&HistoryOptions {
        from: options.from.clone(),
        since: options.since,
        until: options.until,
        limit: options.limit,
    })?;
    let chunks: Vec<&[Walked]> = history.chunks(CHUNK).collect();
    let jobs = options.jobs.clamp(1, chunks.len().max(1));
    let taken = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    // The chunk that is handed on next: threads do not run far ahead of it.
    let front = (Mutex::new(0_usize), Condvar::new());
    let (sender, receiver) = mpsc::channel();
    let parser = Parser::new();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let mut parser = Some(parser.another());
            let (chunks, taken, stop, front, judge) = (&chunks, &taken, &stop, &front, &judge);
            scope.spawn(move || {
                let _release = Release { stop, front, only_on_panic: true };
                let mut modules = None;
                loop {
                    let number = taken.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = chunks.get(number) else { return };
                    let mut at = front.0.lock().unwrap_or_else(PoisonError::into_inner);
                    while number > *at + jobs * AHEAD && !stop.load(Ordering::Relaxed) {
                        at = front.1.wait(at).unwrap_or_else(PoisonError::into_inner);
                    }
                    drop(at);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = look_at(repo, chunk, rule, (&mut modules, &mut parser), judge);
                    let failed = result.is_err();
                    if sender.send((number, result)).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // However this block is left, no thread goes on waiting.
        let _release = Release { stop: &stop, front: &front, only_on_panic: false };
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for (number, result) in receiver {
            match result {
                Ok(results) => drop(waiting.insert(number, results)),
                Err(error) => return Err(error),
            }
            while let Some(results) = waiting.remove(&next) {
                next += 1;
                *front.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
                front.1.notify_all();
                for result in results {
                    sink(result).map_err(MineError::Sink)?;
                }
            }
        }
        if next == chunks.len() { Ok(()) } else { Err(MineError::Thread) }
    })
}

/// Ends the walk of every thread when it is dropped.
struct Release<'a> {
    stop: &'a AtomicBool,
    front: &'a (Mutex<usize>, Condvar),
    only_on_panic: bool,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if self.only_on_panic && !std::thread::panicking() {
            return;
        }
        self.stop.store(true, Ordering::Relaxed);
        // Taking the lock makes sure that nobody is between looking at `stop` and waiting.
        drop(self.front.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.front.1.notify_all();
    }
}

fn look_at<T>(
    repo: &Repo,
    chunk: &[Walked],
    rule: TestRule,
    (modules, parser): (&mut Option<Modules>, &mut Option<Parser>),
    judge: &impl Fn(Candidate, Features) -> T,
) -> Result<Vec<T>, MineError> {
    let modules = match modules {
        Some(modules) => modules,
        None => modules.insert(Modules::new(repo.blobs()?, parser.take().unwrap_or_default())),
    };
    let mut results = Vec::with_capacity(chunk.len());
    let mut changes = repo.changes(chunk, MAX_PATCH_BYTES)?;
    for walked in chunk {
        let commit = changes.read()?.filter(|c| c.commit == walked.commit);
        let commit = commit.ok_or_else(|| GitError::Malformed {
            what: "git diff-tree".into(),
            detail: format!("it said nothing about {}", walked.commit),
        })?;
        let (candidate, features) =
            analyse(walked, &commit, rule, modules).map_err(GitError::Io)?;
        results.push(judge(candidate, features));
    }
    Ok(results)
}
