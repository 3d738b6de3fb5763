//! Generated tests, and how far each can be trusted.
//!
//! Nobody knows which attempts are right, so a test is judged by the others. A test that passes on
//! the base does not show the issue. One that says the same about all attempts cannot choose. The
//! rest is weighted by its correlation with what the other tests say: tests that are right about the
//! issue agree with each other, and a test that prefers what all others reject is suspected to be
//! toxic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::candidate::Score;

/// A generated test and where it passed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// Its name.
    pub name: String,
    /// Whether it passes on the base; none where that run failed.
    #[serde(default)]
    pub base: Option<bool>,
    /// Whether it passes with the patch of an attempt, by the attempt's name. What is missing could
    /// not be run.
    pub attempts: BTreeMap<String, bool>,
}

/// What a test is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// It shows the issue and tells attempts apart.
    Distinguishes,
    /// It says the same about every attempt.
    SameForAll,
    /// It passes on the base.
    PassesOnBase,
    /// It contradicts the other tests.
    Toxic,
    /// It was run on no attempt.
    NotRun,
}

/// What was found about the tests of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// By name of the test: what it is good for, and its weight from 0 to 1.
    pub tests: BTreeMap<String, (Use, f64)>,
    /// By name of the attempt: how many tests pass, as R2E-Gym counts.
    pub counts: BTreeMap<String, Score>,
    /// By name of the attempt: the weighted share of the tests that pass.
    pub weighted: BTreeMap<String, Score>,
}

/// Correlations below this are a contradiction.
const TOXIC: f64 = -0.2;
/// Rounds of weighing. Weights halve at most, so that this many settle them.
const ROUNDS: usize = 6;

/// Judges the tests of one task, and scores its attempts by them. An attempt on which no test could
/// be run has no score.
pub fn judge_tests(tests: &[Generated]) -> Judged {
    // Sums must not depend on the order in which tests came.
    let mut tests: Vec<&Generated> = tests.iter().collect();
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    let mut judged = Judged::default();
    for test in &tests {
        let (mut yes, mut no) = (0, 0);
        test.attempts.values().for_each(|passes| if *passes { yes += 1 } else { no += 1 });
        let found = match (yes, no) {
            (0, 0) => Use::NotRun,
            _ if test.base == Some(true) => Use::PassesOnBase,
            (0, _) | (_, 0) => Use::SameForAll,
            _ => Use::Distinguishes,
        };
        judged.tests.insert(test.name.clone(), (found, 0.0));
    }
    let useful: Vec<&Generated> = tests
        .iter()
        .copied()
        .filter(|test| judged.tests.get(&test.name).is_some_and(|t| t.0 == Use::Distinguishes))
        .collect();
    // A toxic test must not speak against good ones, so what is not trusted counts less and less.
    let mut weights = vec![1.0; useful.len()];
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        found = (0..useful.len()).map(|place| correlation(&useful, &weights, place)).collect();
        for (weight, r) in weights.iter_mut().zip(&found) {
            *weight = (*weight + r.unwrap_or(1.0_f64).max(0.0)) / 2.0;
        }
    }
    for (test, r) in useful.iter().zip(found) {
        let (found, weight) = match r {
            Some(r) if r < TOXIC => (Use::Toxic, 0.0),
            Some(r) => (Use::Distinguishes, r.max(0.0)),
            // Nothing speaks for it, and nothing against it.
            None => (Use::Distinguishes, 1.0),
        };
        judged.tests.insert(test.name.clone(), (found, weight));
    }
    let mut attempts: Vec<&String> = tests.iter().flat_map(|test| test.attempts.keys()).collect();
    attempts.sort();
    attempts.dedup();
    for attempt in attempts {
        let (count, weighted) = score(attempt, &tests, &judged.tests);
        judged.counts.insert(attempt.clone(), count);
        judged.weighted.insert(attempt.clone(), weighted);
    }
    judged
}

/// The correlation of a test with the weighted share of the other tests that pass, over attempts.
/// `None` where the others do not tell attempts apart.
fn correlation(tests: &[&Generated], weights: &[f64], place: usize) -> Option<f64> {
    let mut points = Vec::new();
    for (attempt, passes) in &tests[place].attempts {
        let (mut yes, mut all) = (0.0, 0.0);
        for (other, (test, weight)) in tests.iter().zip(weights).enumerate() {
            let Some(passes) = test.attempts.get(attempt).filter(|_| other != place) else {
                continue;
            };
            all += weight;
            yes += if *passes { *weight } else { 0.0 };
        }
        if all > 0.0 {
            points.push((f64::from(u8::from(*passes)), yes / all));
        }
    }
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|p| of(p.0 - mx, p.1 - my)).sum();
    let (xy, xx, yy): (f64, f64, f64) =
        (sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y));
    (xx > 1e-12 && yy > 1e-12).then(|| xy / (xx * yy).sqrt())
}

fn score(
    attempt: &str,
    tests: &[&Generated],
    judged: &BTreeMap<String, (Use, f64)>,
) -> (Score, Score) {
    let (mut passed, mut run) = (0.0, 0.0);
    let (mut weighted, mut weights) = (0.0, 0.0);
    for test in tests {
        let Some(passes) = test.attempts.get(attempt) else { continue };
        let weight = judged.get(&test.name).map_or(0.0, |(_, weight)| *weight);
        run += 1.0;
        weights += weight;
        if *passes {
            passed += 1.0;
            weighted += weight;
        }
    }
    if run == 0.0 {
        return (Score::NONE, Score::NONE);
    }
    // Where no test is of use, all attempts are equal.
    let share = if weights > 0.0 { weighted / weights } else { 0.0 };
    (Score::new(passed), Score::new(share))
}
