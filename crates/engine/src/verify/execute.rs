//! Regression tests and generated tests, run on the base and on every candidate's patch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use palestra_core::TestReport;
use palestra_grade::RunLimits;
use palestra_sandbox::FileOp;
use palestra_syntax::is_test_path;
use palestra_verify::execution::{
    Choices, Generated, Judged, RegressionScore, SourceFile, changed_paths, choose_tests,
    judge_tests, regression_score, stable_tests,
};
use serde::{Deserialize, Serialize};

use super::cached::{Run, Runner};
use super::ground::Ground;
use super::write::{Ask, TestSample, TestWriter};
use crate::error::EngineError;
use crate::parallel::parallel;
use crate::shop::Tools;
use crate::work::spec;

/// Seconds that a run may take besides ten times what the base takes.
const SLACK: f64 = 10.0;

/// How tests are run.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Runs of the base. A test that does not pass in all of them is not asked.
    pub base_runs: u32,
    /// Imports between a test file and what changed, at most.
    pub depth: usize,
    /// Test files at most.
    pub files: usize,
    /// Runs at a time.
    pub jobs: usize,
    /// Bounds of each run.
    pub limits: RunLimits,
    /// Where results are kept for the next time.
    pub cache: Option<PathBuf>,
}

impl Default for Execution {
    fn default() -> Self {
        let limits = RunLimits::default();
        Self { base_runs: 2, depth: 2, files: 20, jobs: 1, limits, cache: None }
    }
}

/// What a candidate's runs gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// The regression tests.
    pub regression: RegressionScore,
    /// Why its patch could not be tried. It has no score then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// Wall seconds of its runs.
    pub seconds: f64,
}

/// What running tests on candidates gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Executed {
    /// The regression tests' files.
    pub chosen: Choices,
    /// Regression tests that pass each time on the base.
    pub stable: usize,
    /// By candidate.
    pub candidates: BTreeMap<String, Ran>,
    /// The generated tests, and where they pass.
    pub generated: Vec<Generated>,
    /// What they are worth.
    pub judged: Judged,
    /// Runs, and how many of them had been made before.
    pub runs: (usize, usize),
    /// Wall seconds of the runs of candidates, in all.
    pub test_seconds: f64,
    /// Wall seconds of the runs of the base, in all.
    pub base_seconds: f64,
    /// Seconds of everything else, on all threads: reading the tree, choosing tests, waiting for the
    /// last run.
    pub other_seconds: f64,
    /// Wall seconds until the environment was there.
    pub setup_seconds: f64,
    /// Wall seconds of writing generated tests.
    pub writing_seconds: f64,
}

impl Executed {
    /// All work over what it takes to run the tests on every candidate once; none where nothing was
    /// run. The environment, which the
    /// attempts needed too, and the writing of tests are no part of it.
    pub fn cost(&self) -> Option<f64> {
        let all = self.test_seconds + self.base_seconds + self.other_seconds;
        let tests: f64 = self.candidates.values().map(|ran| ran.seconds).sum();
        (tests > 0.0).then(|| all / tests)
    }
}

/// A run that is to be made.
struct Wanted<'a> {
    /// The candidate; none for the base.
    id: Option<&'a str>,
    /// The generated test, by place.
    sample: Option<usize>,
    round: u32,
    changes: Vec<FileOp>,
}

/// What is run at a task.
struct Plan<'a> {
    files: Vec<String>,
    samples: &'a [TestSample],
    /// Regression tests, once for each round, and every sample of generated tests.
    kinds: Vec<(Option<usize>, u32)>,
}

impl<'a> Plan<'a> {
    fn new(chosen: &Choices, samples: &'a [TestSample], base_runs: u32) -> Self {
        let files: Vec<String> = chosen.tests.iter().map(|test| test.path.clone()).collect();
        let rounds = if files.is_empty() { 0 } else { base_runs.max(1) };
        let regression = (0..rounds).map(|round| (None, round));
        let kinds = regression.chain((0..samples.len()).map(|place| (Some(place), 0))).collect();
        Self { files, samples, kinds }
    }

    /// Runs of the base.
    fn on_base(&self) -> Vec<Wanted<'static>> {
        let wanted = |(sample, round): &(Option<usize>, u32)| Wanted {
            id: None,
            sample: *sample,
            round: *round,
            changes: Vec::new(),
        };
        self.kinds.iter().map(wanted).collect()
    }

    /// Runs of the candidates, each once.
    fn on_candidates<'b>(&self, tried: &BTreeMap<&'b str, Vec<FileOp>>) -> Vec<Wanted<'b>> {
        let mut all = Vec::new();
        for (id, changes) in tried {
            for (sample, round) in self.kinds.iter().filter(|(_, round)| *round == 0) {
                let (sample, round, changes) = (*sample, *round, changes.clone());
                all.push(Wanted { id: Some(*id), sample, round, changes });
            }
        }
        all
    }

    fn run(
        &self,
        runner: &Runner<'_>,
        wanted: &Wanted<'_>,
        limits: &RunLimits,
    ) -> Result<Run, EngineError> {
        let sample = wanted.sample.and_then(|place| self.samples.get(place));
        let paths = sample.map_or(&self.files, |sample| &sample.paths);
        let mut changes = wanted.changes.clone();
        changes.extend(sample.into_iter().flat_map(TestSample::ops));
        runner.run(&changes, paths, limits, wanted.round)
    }
}

/// Runs tests on the patches of the candidates at a task, by the candidates' names. The inner error
/// says why the task cannot be run. The order of the patches does not matter.
pub fn execute(
    tools: &Tools,
    ground: &Ground,
    patches: &BTreeMap<String, Vec<u8>>,
    writer: Option<&dyn TestWriter>,
    how: &Execution,
) -> Result<Result<Executed, String>, EngineError> {
    let begin = Instant::now();
    let built = match ground.built(tools)? {
        Ok(built) => built,
        Err(why) => return Ok(Err(why)),
    };
    let mut executed =
        Executed { setup_seconds: begin.elapsed().as_secs_f64(), ..Executed::default() };
    let begin = Instant::now();
    let python = ground.python();
    let sources: Vec<SourceFile<'_>> =
        python.iter().map(|(path, source)| SourceFile { path, source }).collect();
    let changed: BTreeSet<String> = patches.values().flat_map(|p| changed_paths(p)).collect();
    let changed: Vec<String> = changed.into_iter().collect();
    executed.chosen = choose_tests(&sources, &changed, how.depth, how.files);
    let near: Vec<String> = executed.chosen.tests.iter().map(|test| test.path.clone()).collect();
    let writing = Instant::now();
    let samples = match writer {
        None => Vec::new(),
        Some(writer) => writer.write(&Ask { ground, sources: &sources, near: &near })?,
    };
    executed.writing_seconds = writing.elapsed().as_secs_f64();
    let mut tried: BTreeMap<&str, Vec<FileOp>> = BTreeMap::new();
    for (id, patch) in patches {
        match ground.ops(patch) {
            // A candidate answers for its source; tests are those of the base.
            Ok(ops) => drop(tried.insert(id, ops.into_iter().filter(is_source).collect())),
            Err(why) => {
                let ran = Ran { broken: Some(why), ..Ran::default() };
                executed.candidates.insert(id.clone(), ran);
            }
        }
    }
    let runner = Runner::new(tools, ground, spec(&built), how.cache.clone());
    let plan = Plan::new(&executed.chosen, &samples, how.base_runs);
    let on_base = plan.on_base();
    let base = all(&on_base, how.jobs, &|wanted| plan.run(&runner, wanted, &how.limits))?;
    let slowest = base.iter().map(|run| run.seconds).fold(0.0, f64::max);
    let seconds = ((slowest * 10.0 + SLACK).ceil() as u64).min(how.limits.seconds);
    let limits = RunLimits { seconds, ..how.limits };
    let on_candidates = plan.on_candidates(&tried);
    let (distinct, place_of) = distinct(&on_candidates);
    let made = all(&distinct, how.jobs, &|wanted| plan.run(&runner, wanted, &limits))?;

    let sum = |runs: &[Run]| runs.iter().map(|run| run.seconds).sum::<f64>();
    (executed.base_seconds, executed.test_seconds) = (sum(&base), sum(&made));
    let every = || base.iter().chain(&made);
    executed.runs = (every().count(), every().filter(|run| run.again).count());
    let fresh: f64 = every().filter(|run| !run.again).map(|run| run.seconds).sum();
    let workers = how.jobs.clamp(1, distinct.len().max(1)) as f64;
    let spent = (begin.elapsed().as_secs_f64() - executed.writing_seconds) * workers;
    executed.other_seconds = (spent - fresh).max(0.0);
    let runs = place_of.iter().filter_map(|place| made.get(*place));
    executed.take(&samples, on_base.iter().zip(&base), on_candidates.iter().zip(runs));
    Ok(Ok(executed))
}

/// Equal changes are run once: the runs to make, and for each of those that are wanted its place.
fn distinct<'a, 'b>(wanted: &'b [Wanted<'a>]) -> (Vec<&'b Wanted<'a>>, Vec<usize>) {
    let mut first: BTreeMap<(String, Option<usize>), usize> = BTreeMap::new();
    let (mut distinct, mut places) = (Vec::new(), Vec::new());
    for one in wanted {
        let place = *first.entry((format!("{:?}", one.changes), one.sample)).or_insert_with(|| {
            distinct.push(one);
            distinct.len() - 1
        });
        places.push(place);
    }
    (distinct, places)
}

impl Executed {
    /// Takes in what the runs of the base and of the candidates gave.
    fn take<'a>(
        &mut self,
        samples: &[TestSample],
        base: impl Iterator<Item = (&'a Wanted<'a>, &'a Run)>,
        candidates: impl Iterator<Item = (&'a Wanted<'a>, &'a Run)>,
    ) {
        let mut regression: Vec<TestReport> = Vec::new();
        let mut reports: Vec<SampleReports<'_>> =
            samples.iter().map(|_| SampleReports::default()).collect();
        for (wanted, run) in base {
            match wanted.sample.map(|place| reports.get_mut(place)) {
                None => regression.push(run.report.clone()),
                Some(of) => of.into_iter().for_each(|of| of.base = Some(&run.report)),
            }
        }
        let stable = stable_tests(&regression);
        self.stable = stable.len();
        for (wanted, run) in candidates {
            let Some(id) = wanted.id else { continue };
            let ran = self.candidates.entry(id.to_owned()).or_default();
            ran.seconds += run.seconds;
            match wanted.sample.map(|place| reports.get_mut(place)) {
                None => ran.regression = regression_score(&stable, Some(&run.report)),
                Some(of) => of.into_iter().for_each(|of| {
                    of.candidates.insert(id, &run.report);
                }),
            }
        }
        let generated = samples.iter().zip(&reports).map(|(sample, of)| of.tests(sample));
        self.generated = generated.flatten().collect();
        self.judged = judge_tests(&self.generated);
    }
}

/// What was seen of one sample of generated tests.
#[derive(Default)]
struct SampleReports<'a> {
    base: Option<&'a TestReport>,
    candidates: BTreeMap<&'a str, &'a TestReport>,
}

impl SampleReports<'_> {
    /// Its tests one by one. A file that the base cannot import shows its tests on candidates.
    fn tests(&self, sample: &TestSample) -> Vec<Generated> {
        let seen = || self.base.iter().chain(self.candidates.values());
        let names: BTreeSet<&String> = match &sample.tests {
            Some(tests) => tests.iter().collect(),
            None => seen().flat_map(|report| report.tests.keys()).collect(),
        };
        let passes = |name: &str| {
            let of = self.candidates.iter();
            of.map(|(id, report)| ((*id).to_owned(), report.passed(name))).collect()
        };
        let test = |name: &String| Generated {
            name: format!("{}: {name}", sample.name),
            base: self.base.map(|report| report.passed(name)),
            attempts: passes(name),
        };
        names.into_iter().map(test).collect()
    }
}

/// Whether a change is to something else than tests and what configures them.
fn is_source(op: &FileOp) -> bool {
    let (FileOp::Write { path, .. }
    | FileOp::Directory { path, .. }
    | FileOp::Symlink { path, .. }
    | FileOp::Remove { path }) = op;
    let path = path.strip_prefix("/testbed").unwrap_or(path);
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    !is_test_path(path.as_os_str().as_encoded_bytes()) && name != b"conftest.py"
}

/// Makes all runs, some at a time, and gives them in the order of what was wanted.
fn all<T: Sync>(
    wanted: &[T],
    jobs: usize,
    run: &(dyn Fn(&T) -> Result<Run, EngineError> + Sync),
) -> Result<Vec<Run>, EngineError> {
    let results: Vec<Mutex<Option<Run>>> = wanted.iter().map(|_| Mutex::new(None)).collect();
    let places: Vec<usize> = (0..wanted.len()).collect();
    parallel(&places, jobs, |place| {
        let run = run(&wanted[*place])?;
        *results[*place].lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        Ok(())
    })?;
    let inner =
        |slot: Mutex<Option<Run>>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(results.into_iter().map(|slot| inner(slot).unwrap_or_default()).collect())
}
