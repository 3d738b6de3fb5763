//! The proof that a task is sound: gold resolves it, nothing else than gold does, repeatedly.

use std::collections::{BTreeMap, BTreeSet};

use palestra_core::task::{GateRecord, PassRate};
use palestra_core::{Environment, TestReport, Verdict};
use palestra_sandbox::{FileOp, Host, Outcome, SandboxSpec};

use crate::error::GradeError;
use crate::judge::{last_line, verdict};
use crate::run::{RunLimits, TestRun, run_tests};

/// Which tests tell the trees apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// Passed in every run with the fix and in none without; sorted.
    pub fail_to_pass: Vec<String>,
    /// Passed in every run; sorted.
    pub pass_to_pass: Vec<String>,
    /// Passed in some runs of one side and not in others: in neither list.
    pub unstable: BTreeMap<String, PassRate>,
}

/// Why a candidate is no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateReject {
    /// With the fix, the project cannot be installed, or the runner cannot be started or finds
    /// no test.
    #[error("with the fix, no test runs: {0}")]
    GoldDoesNotRun(String),
    /// Without the fix, but with its tests, the project cannot be installed, so that a failure
    /// would say nothing about the tests.
    #[error("without the fix, the install step fails: {0}")]
    BaseDoesNotInstall(String),
    /// With the fix, the run dies.
    #[error("with the fix, the run does not come to its end: {0}")]
    GoldDies(String),
    /// With the fix, no test ever passes.
    #[error("with the fix, no test passes: {0}")]
    GoldFails(String),
    /// No test tells the two trees apart.
    #[error("no test fails without the fix and passes with it")]
    NoFailToPass,
    /// Tests tell the two trees apart, but not in every run.
    #[error("no test tells the trees apart in every run; in some do {}", .0.join(", "))]
    Unstable(Vec<String>),
    /// A run took too long.
    #[error("a run {} did not end in time", if *.gold { "with the fix" } else { "without the fix" })]
    TimedOut {
        /// Whether it was one with the fix.
        gold: bool,
    },
    /// The lists were made, and a run with the fix does not resolve the task that they make.
    #[error("a run with the fix does not resolve the task: {0}")]
    GoldUnresolved(String),
    /// The lists were made, and a run without the fix is not judged as a plain failure.
    #[error("a run without the fix is not a plain failure: {0}")]
    EmptyNotUnresolved(String),
}

impl GateReject {
    /// A stable name for ledgers and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GoldDoesNotRun(_) => "gold_does_not_run",
            Self::BaseDoesNotInstall(_) => "base_does_not_install",
            Self::GoldDies(_) => "gold_dies",
            Self::GoldFails(_) => "gold_fails",
            Self::NoFailToPass => "no_fail_to_pass",
            Self::Unstable(_) => "unstable",
            Self::TimedOut { .. } => "timed_out",
            Self::GoldUnresolved(_) => "gold_unresolved",
            Self::EmptyNotUnresolved(_) => "empty_not_unresolved",
        }
    }
}

/// Sorts tests by what the runs of both sides say. A test that is missing from a report did not
/// pass in it: tests of a file that cannot be collected fail. A test that does not pass with the
/// fix is in no list, and does not by itself sink the task.
///
/// `test_paths` are what the runs were given; the message of a rejection names what became of them.
pub fn decide(
    base: &[TestReport],
    gold: &[TestReport],
    test_paths: &[String],
) -> Result<Proof, GateReject> {
    let tests: BTreeSet<&String> =
        base.iter().chain(gold).flat_map(|report| report.tests.keys()).collect();
    let mut proof = Proof::default();
    let mut wavering = Vec::new();
    let (base_runs, gold_runs) = (base.len() as u32, gold.len() as u32);
    for test in tests {
        let rate = PassRate { base: passes(base, test), gold: passes(gold, test) };
        let stable = |n: u32, runs: u32| n == 0 || n == runs;
        if !stable(rate.base, base_runs) || !stable(rate.gold, gold_runs) {
            proof.unstable.insert(test.clone(), rate);
            if rate.gold * base_runs > rate.base * gold_runs {
                wavering.push(test.clone());
            }
        } else if gold_runs > 0 && rate.gold == gold_runs {
            match rate.base {
                0 => proof.fail_to_pass.push(test.clone()),
                _ => proof.pass_to_pass.push(test.clone()),
            }
        }
    }
    if !proof.fail_to_pass.is_empty() {
        return Ok(proof);
    }
    if gold.iter().all(|report| report.passes() == 0) {
        return Err(GateReject::GoldFails(why_none(gold, test_paths)));
    }
    wavering.truncate(5);
    match wavering.is_empty() {
        true => Err(GateReject::NoFailToPass),
        false => Err(GateReject::Unstable(wavering)),
    }
}

fn passes(reports: &[TestReport], test: &str) -> u32 {
    reports.iter().filter(|report| report.passed(test)).count() as u32
}

/// In a few words, why nothing passed.
fn why_none(gold: &[TestReport], test_paths: &[String]) -> String {
    let Some(report) = gold.first() else { return "there was no run".to_owned() };
    if let Some((file, error)) = report.collection_errors.iter().next() {
        return format!("{file} cannot be collected: {}", last_line(error));
    }
    if let Some((test, result)) = report.tests.iter().next() {
        return format!("{test}: {:?}: {}", result.status, last_line(&result.message));
    }
    format!("no test was found in {}", test_paths.join(", "))
}

/// What the gate found, for or against.
#[derive(Debug, Clone, PartialEq)]
pub struct GateOutcome {
    /// The lists, or why there are none.
    pub decision: Result<Proof, GateReject>,
    /// What is kept of the runs.
    pub record: GateRecord,
    /// Every run with the fix.
    pub gold: Vec<TestRun>,
    /// Every run without it.
    pub base: Vec<TestRun>,
}

/// What the gate runs.
#[derive(Debug, Clone, Copy)]
pub struct GateInput<'a> {
    /// The sandbox: base tree and environment.
    pub spec: &'a SandboxSpec,
    /// How to run it.
    pub environment: &'a Environment,
    /// What makes of that tree the one with the fix; the hidden tests come last.
    pub with_fix: &'a [FileOp],
    /// What makes of it the one without; the hidden tests come last.
    pub without: &'a [FileOp],
    /// What the tests are run on.
    pub test_paths: &'a [String],
    /// Bounds of each run.
    pub limits: &'a RunLimits,
    /// How many times each side is run.
    pub runs: u32,
}

/// Runs both sides, decides, and judges the runs by what was decided. Runs with the fix that were
/// made before can be given as `gold`. If one run of each side shows no difference, the others are
/// not made.
pub fn gate(
    host: &Host,
    input: &GateInput<'_>,
    gold: Vec<TestRun>,
) -> Result<GateOutcome, GradeError> {
    let run = |changes: &[FileOp], limits: &RunLimits| {
        run_tests(host, input.spec, input.environment, changes, input.test_paths, limits)
    };
    let mut runs = Runs { gold, base: Vec::new() };
    if runs.gold.is_empty() {
        runs.gold.push(run(input.with_fix, input.limits)?);
    }
    if let Some(reject) = hopeless(&runs.gold[0]) {
        return Ok(runs.end(Err(reject)));
    }
    let base_limits = without_fix(input.limits, runs.gold[0].seconds);
    runs.base.push(run(input.without, &base_limits)?);
    if let Err(reject) = runs.decide(input.test_paths) {
        return Ok(runs.end(Err(reject)));
    }
    for _ in 1..input.runs.max(1) {
        if runs.gold.len() <= runs.base.len() {
            runs.gold.push(run(input.with_fix, input.limits)?);
        }
        runs.base.push(run(input.without, &base_limits)?);
    }
    let decision = runs.decide(input.test_paths);
    Ok(runs.end(decision))
}

/// Bounds of a run without the fix: ten times what the fixed tree took, a minute at least. A
/// tree that hangs without its fix is no use, and should not cost the full time to find out.
fn without_fix(limits: &RunLimits, gold_seconds: f64) -> RunLimits {
    let seconds = (gold_seconds * 10.0).ceil().max(60.0) as u64;
    RunLimits { seconds: seconds.min(limits.seconds), ..*limits }
}

/// Why a run with the fix makes all others pointless.
fn hopeless(run: &TestRun) -> Option<GateReject> {
    let log = || last_line(&run.log_tail).to_owned();
    if run.outcome == Outcome::TimedOut {
        return Some(GateReject::TimedOut { gold: true });
    }
    if run.install_failed {
        return Some(GateReject::GoldDoesNotRun(format!("the install step fails: {}", log())));
    }
    if !run.started {
        return Some(GateReject::GoldDoesNotRun(format!("the runner does not start: {}", log())));
    }
    if run.report.tests.is_empty() {
        let why = match run.report.collection_errors.iter().next() {
            Some((file, error)) => format!("{file}: {}", last_line(error)),
            None => log(),
        };
        return Some(GateReject::GoldDoesNotRun(why));
    }
    if !run.report.finished {
        let place = run.died_in.as_deref().unwrap_or("no test");
        return Some(GateReject::GoldDies(format!("{:?} in {place}", run.outcome)));
    }
    None
}

struct Runs {
    gold: Vec<TestRun>,
    base: Vec<TestRun>,
}

impl Runs {
    /// [`decide`], and then [`verdict`] of every run by the lists: what is published was judged
    /// by the very function that will judge attempts.
    fn decide(&self, test_paths: &[String]) -> Result<Proof, GateReject> {
        let reports =
            |runs: &[TestRun]| -> Vec<_> { runs.iter().map(|r| r.report.clone()).collect() };
        if let Some(run) = self.base.iter().find(|run| run.install_failed) {
            return Err(GateReject::BaseDoesNotInstall(last_line(&run.log_tail).to_owned()));
        }
        let proof = decide(&reports(&self.base), &reports(&self.gold), test_paths)?;
        for (runs, gold) in [(&self.gold, true), (&self.base, false)] {
            for run in runs {
                match (verdict(run, &proof.fail_to_pass, &proof.pass_to_pass), gold) {
                    (Verdict::Resolved, true) | (Verdict::Unresolved(_), false) => {}
                    _ if run.outcome == Outcome::TimedOut => {
                        return Err(GateReject::TimedOut { gold });
                    }
                    (other, true) => return Err(GateReject::GoldUnresolved(format!("{other:?}"))),
                    (other, false) => {
                        return Err(GateReject::EmptyNotUnresolved(format!("{other:?}")));
                    }
                }
            }
        }
        Ok(proof)
    }

    fn end(self, decision: Result<Proof, GateReject>) -> GateOutcome {
        let record = GateRecord {
            runs: self.gold.len().max(self.base.len()) as u32,
            unstable: decision.as_ref().map(|proof| proof.unstable.clone()).unwrap_or_default(),
            seconds: self.base.iter().chain(&self.gold).map(|run| run.seconds).collect(),
        };
        GateOutcome { decision, record, gold: self.gold, base: self.base }
    }
}

#[cfg(test)]
mod tests {
    use palestra_core::{TestResult, TestStatus};

    use super::*;

    fn report(tests: &[(&str, TestStatus)]) -> TestReport {
        let tests = tests
            .iter()
            .map(|(id, status)| {
                let result = TestResult { status: *status, seconds: 0.0, message: String::new() };
                ((*id).to_owned(), result)
            })
            .collect();
        TestReport { tests, finished: true, ..TestReport::default() }
    }

    #[test]
    fn tests_are_sorted_by_every_run() {
        use TestStatus::{Error, Failed, Passed, Skipped};
        let base = [
            report(&[
                ("kept", Passed),
                ("fixed", Failed),
                ("skipped", Skipped),
                ("flaky", Passed),
                ("lost", Passed),
            ]),
            report(&[("kept", Passed), ("fixed", Error), ("skipped", Skipped), ("lost", Passed)]),
        ];
        let new = [
            ("kept", Passed),
            ("fixed", Passed),
            ("skipped", Passed),
            ("new", Passed),
            ("flaky", Passed),
            ("lost", Failed),
        ];
        let proof = decide(&base, &[report(&new), report(&new)], &[]).unwrap();
        assert_eq!(proof.fail_to_pass, ["fixed", "new", "skipped"]);
        assert_eq!(proof.pass_to_pass, ["kept"]);
        let rate = PassRate { base: 1, gold: 2 };
        assert_eq!(proof.unstable.into_iter().collect::<Vec<_>>(), [("flaky".to_owned(), rate)]);
    }

    #[test]
    fn rejections_have_their_names() {
        use TestStatus::{Failed, Passed};
        let check = |base: &[(&str, TestStatus)], gold: [&[(&str, TestStatus)]; 2], want: &str| {
            let base = [report(base), report(base)];
            let reject = decide(&base, &[report(gold[0]), report(gold[1])], &[]).unwrap_err();
            assert_eq!(reject.name(), want, "{reject}");
        };
        check(&[("a", Passed)], [&[("a", Passed)]; 2], "no_fail_to_pass");
        check(&[("a", Passed)], [&[("a", Failed)]; 2], "gold_fails");
        check(&[], [&[]; 2], "gold_fails");
        check(&[("a", Failed)], [&[("a", Passed)], &[("a", Failed)]], "unstable");
        // A test that some runs lose tells nothing in favour of the fix.
        check(
            &[("a", Passed), ("b", Passed)],
            [&[("a", Failed)], &[("a", Passed), ("b", Passed)]],
            "no_fail_to_pass",
        );
    }
}
