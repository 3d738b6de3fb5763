//! What a benchmark found.

use std::collections::BTreeMap;

use palestra_stats::Interval;
use serde::{Deserialize, Serialize};

use crate::critic::Evaluation;

/// A mean over tasks with its interval, at a number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Attempts.
    pub k: usize,
    /// The share of the tasks that are resolved.
    pub mean: f64,
    /// Lower end of the interval over tasks.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Point {
    pub(super) fn new(k: usize, interval: Interval) -> Self {
        let Interval { mean, low, high } = interval;
        Self { k, mean, low, high }
    }
}

/// What one cascade reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CascadeReport {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// best@k by k.
    pub best_at: Vec<Point>,
    /// For each score that it goes by: valid attempts without it.
    pub unscorable: BTreeMap<String, usize>,
}

/// A cascade that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// One cascade against another, on the same tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The one.
    pub better: String,
    /// The other.
    pub than: String,
    /// The difference of the two means, by paired resampling of tasks.
    pub difference: Point,
    /// Tasks on which the one is ahead.
    pub ahead: usize,
    /// Tasks on which it is behind.
    pub behind: usize,
    /// Whether the interval is wholly above 0.
    pub proven: bool,
}

/// Results over what they took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The cascade.
    pub name: String,
    /// What was spent: `attempts`, `tokens`, `seconds` or `usd`, for each task.
    pub unit: String,
    /// Pairs of what was spent on the mean task and the share that is resolved.
    pub points: Vec<(f64, f64)>,
}

/// What stopping early reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopPoint {
    /// The score that decides.
    pub by: String,
    /// An attempt with at least this is the last one.
    pub threshold: f64,
    /// Attempts at most.
    pub most: usize,
    /// The share of the tasks that are resolved.
    pub resolved: f64,
    /// Attempts at the mean task.
    pub attempts: f64,
    /// Tokens at the mean task.
    pub tokens: f64,
    /// Dollars at the mean task.
    pub usd: f64,
}

/// What the generated tests are worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TestQuality {
    /// Tasks with generated tests, and with right and wrong attempts.
    pub tasks: usize,
    /// Their tests.
    pub tests: usize,
    /// The mean over tasks of the share of tests that distinguish.
    pub distinguish: f64,
    /// The mean over tasks of the share of tests that are toxic.
    pub toxic: f64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// Tasks with at least one valid attempt.
    pub tasks: usize,
    /// Tasks whose attempts are all invalid. They are in no number below.
    pub tasks_without_attempt: usize,
    /// Tasks with right and wrong attempts: only on these can a choice matter.
    pub tasks_that_matter: usize,
    /// Valid attempts.
    pub attempts: usize,
    /// Invalid attempts.
    pub invalid: usize,
    /// Of the valid attempts: right.
    pub right: usize,
    /// For each k: tasks with fewer attempts, of which all are taken.
    pub short: BTreeMap<usize, usize>,
    /// What the resampling was seeded with.
    pub seed: u64,
    /// Resamples.
    pub resamples: usize,
    /// What intervals cover.
    pub level: f64,
    /// One attempt at random, by k (always the same).
    pub random: Vec<Point>,
    /// pass@k: an oracle that knows the verdicts.
    pub oracle: Vec<Point>,
    /// The cascades.
    pub cascades: Vec<CascadeReport>,
    /// Cascades that were left out.
    pub skipped: Vec<Skipped>,
    /// Each cascade of both kinds of scores against those of one kind, and against chance, with as
    /// many attempts as there are.
    pub comparisons: Vec<Comparison>,
    /// How good each score is. Calibration is for scores that are probabilities.
    pub scores: BTreeMap<String, Evaluation>,
    /// The generated tests, where there are any.
    pub tests: Option<TestQuality>,
    /// Results over what they took.
    pub curves: Vec<Curve>,
    /// Stopping early.
    pub stops: Vec<StopPoint>,
}
