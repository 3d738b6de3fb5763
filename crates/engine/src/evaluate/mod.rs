//! Grades predictions on the rows of the field's datasets, by the rules that each of them has.
//!
//! A run of a prediction (patch in, log out) and its grading (log in, verdict out) are two steps.
//! The first is kept under the hash of everything that decides it and is done once; the second is
//! done anew each time, so that [`regrade`] needs nothing but what a run wrote down.

mod attempt;
mod environment;
mod key;
mod outcome;
mod own;
mod place;
mod regrade;
mod run;
mod script;
pub(crate) mod single;
mod summary;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use palestra_build::rows::{RowBuilder, RowOptions};
use palestra_dataset::Instance;
use palestra_dialect::Dialect;

use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::parallel::parallel;
use crate::shop::Tools;

pub use environment::Sources;
pub use outcome::{Decision, Ending};
pub use own::{OwnRequest, Rejudged, evaluate_own, own_instances, regrade_own};
pub use place::Place;
pub use regrade::regrade;
pub use summary::{Evaluation, RepositoryRow};

/// What is handed in for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// The patch of the row itself.
    Gold,
    /// No patch; the tests run on the tree as it is.
    Nothing,
    /// A patch, byte for byte; `None` and no bytes are an empty prediction, which is not run.
    Patch(Option<Vec<u8>>),
}

/// What is graded, and how.
#[derive(Debug)]
pub struct Request {
    /// The rows, with what is handed in for each. Rows without a submission are only counted.
    pub rows: Vec<(Instance, Option<Submission>)>,
    /// Ids of all rows of the dataset, for the summary.
    pub dataset: Vec<String>,
    /// Whose rules; those that the row was made for where it is not given.
    pub dialect: Option<Dialect>,
    /// Wall time of the tests; the dialect's own where it is not given.
    pub timeout: Option<Duration>,
    /// Bytes of memory of a run.
    pub memory: u64,
    /// Where repositories and images come from.
    pub sources: Sources,
    /// Runs at a time.
    pub jobs: usize,
}

/// Grades everything that `place` does not hold decided already.
pub fn evaluate(
    tools: &Tools,
    request: &Request,
    place: &Place,
    sink: &dyn Sink,
) -> Result<Evaluation, EngineError> {
    let begin = Instant::now();
    let builder = builder(tools);
    let work = Work { tools, request, place, builder: &builder };
    let asked: Vec<_> = request
        .rows
        .iter()
        .filter_map(|(row, submission)| Some((row, submission.as_ref()?)))
        .collect();
    sink.event(&Event::Planned { candidates: asked.len(), done: 0 });
    let (decided, failure) =
        each(tools, request.jobs, &asked, sink, |(row, submission)| work.decide(row, submission));
    // What was done is told even where the run did not come to its end.
    let evaluation = Evaluation::of(&request.run(asked.len()), place, decided, begin.elapsed())?;
    failure.map_or(Ok(evaluation), Err)
}

/// What makes the environments of rows.
pub(crate) fn builder(tools: &Tools) -> RowBuilder {
    RowBuilder::new(RowOptions {
        host: tools.host.clone(),
        store: tools.store.clone(),
        uv: tools.uv.clone(),
        interpreters: tools.interpreters.clone(),
        index: tools.index().clone(),
        state: tools.home().cache(),
    })
}

/// Decides one after the other on several threads, until all are decided or one cannot be.
fn each<T: Sync>(
    tools: &Tools,
    jobs: usize,
    asked: &[T],
    sink: &dyn Sink,
    decide: impl Fn(&T) -> Result<Decision, EngineError> + Sync,
) -> (BTreeMap<String, Decision>, Option<EngineError>) {
    let decided: Mutex<BTreeMap<String, Decision>> = Mutex::default();
    let done = parallel(asked, jobs, |one| {
        tools.check_stop()?;
        let decision = decide(one)?;
        sink.event(&decision.event());
        let mut decided = decided.lock().unwrap_or_else(PoisonError::into_inner);
        decided.insert(decision.instance_id.clone(), decision);
        Ok(())
    });
    (decided.into_inner().unwrap_or_else(PoisonError::into_inner), done.err())
}

impl Request {
    /// What its summary says of it.
    fn run(&self, submitted: usize) -> RunOf<'_> {
        let native = || self.rows.first().map(|(row, _)| native(row));
        RunOf {
            submitted,
            dialect: self.dialect.or_else(native).unwrap_or(Dialect::SweBench5),
            dataset: &self.dataset,
        }
    }
}

/// What a summary says of a run besides its decisions.
pub(crate) struct RunOf<'a> {
    pub(crate) submitted: usize,
    pub(crate) dialect: Dialect,
    pub(crate) dataset: &'a [String],
}

/// What the workers share.
struct Work<'a> {
    tools: &'a Tools,
    request: &'a Request,
    place: &'a Place,
    builder: &'a RowBuilder,
}

/// The dialect that a row was made for.
pub fn native(instance: &Instance) -> Dialect {
    use palestra_dataset::Kind;
    match instance.kind {
        Kind::SweBench4 => Dialect::SweBench4,
        Kind::SweBench5 => Dialect::SweBench5,
        Kind::SweGym => Dialect::SweGym,
        Kind::SweRebench => Dialect::SweRebench,
        Kind::SweRebenchV2 => Dialect::SweRebenchV2,
        Kind::SweSmith => Dialect::SweSmith,
        Kind::R2eGym => Dialect::R2eGym,
    }
}

/// The patch of a submission; `None` where the tree stays as it is.
fn patch_of(instance: &Instance, submission: &Submission) -> Result<Option<Vec<u8>>, EngineError> {
    match submission {
        Submission::Nothing => Ok(None),
        Submission::Gold => Ok(Some(instance.gold()?.patch.as_bytes().to_vec())),
        Submission::Patch(patch) => Ok(patch.clone().filter(|patch| !patch.is_empty())),
    }
}

/// Where the files of one decision are, and what they are called.
#[derive(Debug)]
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("test_output.txt")
    }
    pub(crate) fn report(&self) -> PathBuf {
        self.0.join("report.json")
    }
    pub(crate) fn decision(&self) -> PathBuf {
        self.0.join("verdict.json")
    }
    pub(crate) fn patch(&self) -> PathBuf {
        self.0.join("patch.diff")
    }
    pub(crate) fn grading(&self) -> PathBuf {
        self.0.join("grading.json")
    }
    pub(crate) fn script(&self) -> PathBuf {
        self.0.join("eval.sh")
    }
    pub(crate) fn build_log(&self) -> PathBuf {
        self.0.join("environment.log")
    }
}
