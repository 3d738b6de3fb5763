//! Tests that pass without the patch must pass with it.

use std::collections::BTreeSet;

use palestra_core::TestReport;
use serde::{Deserialize, Serialize};

use crate::candidate::Score;

/// What the regression tests say about an attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegressionScore {
    /// Tests that were asked.
    pub tests: usize,
    /// Of these: passed.
    pub passed: usize,
    /// Of these: not passed, in order of name. What is missing is not passed.
    pub broken: Vec<String>,
    /// The share that passed. Missing without a report, and without tests.
    pub score: Score,
}

/// The tests that passed in every one of these runs of the base; none without a run. A test that
/// passes only sometimes says nothing about a patch.
pub fn stable_tests(base: &[TestReport]) -> BTreeSet<String> {
    let Some((first, others)) = base.split_first() else { return BTreeSet::new() };
    let stable = |test: &&String| others.iter().chain([first]).all(|report| report.passed(test));
    first.tests.keys().filter(stable).cloned().collect()
}

/// The score of an attempt from the report of its run. `None` is a run that failed by no doing of
/// the attempt, which then cannot be scored; a run that it broke has a report without passes.
pub fn regression_score(
    tests: &BTreeSet<String>,
    candidate: Option<&TestReport>,
) -> RegressionScore {
    let Some(report) = candidate else {
        return RegressionScore { tests: tests.len(), ..RegressionScore::default() };
    };
    let broken: Vec<String> = tests.iter().filter(|test| !report.passed(test)).cloned().collect();
    let passed = tests.len() - broken.len();
    let score = match tests.len() {
        0 => Score::NONE,
        all => Score::new(passed as f64 / all as f64),
    };
    RegressionScore { tests: tests.len(), passed, broken, score }
}
