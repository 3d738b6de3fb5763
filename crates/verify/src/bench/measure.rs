//! The benchmark.

use std::collections::{BTreeMap, BTreeSet};

use palestra_stats::{Binomials, Bootstrap, Interval, Matrix, auc, test_effect};

use super::compute;
use super::pool::{Labelled, Pool};
use super::report::{BenchReport, CascadeReport, Comparison, Point, Skipped, TestQuality};
use super::rows::{Compiled, is_right, rows};
use crate::candidate::{CRITIC, EXECUTION_FREE};
use crate::cascade::Cascade;
use crate::critic::{Evaluation, evaluate};
use crate::error::{Result, VerifyError};

/// How to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// What to measure.
    pub cascades: Vec<Cascade>,
    /// Intervals.
    pub bootstrap: Bootstrap,
    /// The largest k; 0 is as many as the task with the most attempts has.
    pub most: usize,
    /// Thresholds for stopping early.
    pub thresholds: Vec<f64>,
}

impl BenchOptions {
    /// All presets.
    ///
    /// # Errors
    /// If a preset is broken, which tests see first.
    pub fn presets(seed: u64) -> Result<Self> {
        let cascades = Cascade::presets().map(Cascade::preset).collect::<Result<_>>()?;
        Ok(Self {
            cascades,
            bootstrap: Bootstrap { seed, ..Bootstrap::default() },
            most: 0,
            thresholds: vec![0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
        })
    }
}

/// Measures cascades on attempts whose verdicts are known. The order of the attempts does not matter.
///
/// # Errors
/// If there is no valid attempt, two have one name, or a cascade cannot be counted.
pub fn bench(pool: &Pool, options: &BenchOptions) -> Result<BenchReport> {
    let (mut tasks, invalid) = pool.tasks()?;
    let all_tasks = tasks.len();
    tasks.retain(|_, rows| !rows.is_empty());
    let longest = tasks.values().map(Vec::len).max().unwrap_or_default();
    if longest == 0 {
        let why = format!("of {} attempts at {all_tasks} tasks none is valid", pool.rows.len());
        return Err(VerifyError::Empty(why));
    }
    let most = if options.most == 0 { longest } else { options.most.min(longest) };
    let ks: Vec<usize> = (1..=most).collect();
    let valid: Vec<&Labelled> = tasks.values().flatten().copied().collect();
    let (cascades, skipped) = measurable(&valid, &options.cascades);
    let rows = rows(&tasks, &cascades, &ks, options.bootstrap.threads)?;
    let pairs = pairs(&cascades);
    let (intervals, differences) = resample(&rows, &pairs, ks.len(), &options.bootstrap);
    let points = |line: usize| -> Vec<Point> {
        let own = &intervals[line * ks.len()..(line + 1) * ks.len()];
        ks.iter().zip(own).map(|(k, interval)| Point::new(*k, *interval)).collect()
    };
    let short = |k: &usize| (*k, tasks.values().filter(|rows| rows.len() < *k).count());
    let mixed = |rows: &&Vec<&Labelled>| {
        let right = rows.iter().filter(|row| is_right(row)).count();
        right > 0 && right < rows.len()
    };
    let mut report = BenchReport {
        tasks: tasks.len(),
        tasks_without_attempt: all_tasks - tasks.len(),
        tasks_that_matter: tasks.values().filter(mixed).count(),
        attempts: valid.len(),
        invalid,
        right: valid.iter().filter(|row| is_right(row)).count(),
        short: ks.iter().map(short).filter(|(_, count)| *count > 0).collect(),
        seed: options.bootstrap.seed,
        resamples: options.bootstrap.resamples,
        level: options.bootstrap.level,
        random: points(0),
        oracle: points(1),
        cascades: Vec::new(),
        skipped,
        comparisons: Vec::new(),
        scores: scores(&valid),
        tests: test_quality(&tasks),
        curves: Vec::new(),
        stops: Vec::new(),
    };
    for (place, compiled) in cascades.iter().enumerate() {
        let Cascade { name, source, .. } = compiled.cascade;
        let without =
            |score: &&str| valid.iter().filter(|row| row.candidate.score(score).is_none()).count();
        let names = compiled.cascade.scores();
        report.cascades.push(CascadeReport {
            name: name.clone(),
            source: source.clone(),
            best_at: points(place + 2),
            unscorable: names.iter().map(|s| ((*s).to_owned(), without(s))).collect(),
        });
    }
    report.comparisons = comparisons(&rows, &pairs, &cascades, most, &differences);
    report.curves = compute::curves(&tasks, &report);
    let binomials = Binomials::up_to(longest);
    for by in [EXECUTION_FREE, CRITIC] {
        let ours = cascades.iter().find(|c| c.cascade.name == "ours").or(cascades.first());
        let Some(ours) = ours.filter(|_| report.scores.contains_key(by)) else { continue };
        for threshold in &options.thresholds {
            let stop = compute::stop(&tasks, by, *threshold, most, ours, &binomials)?;
            report.stops.push(stop);
        }
    }
    Ok(report)
}

/// Cascades of which at least one score of each stage occurs; the others would be chance by another
/// name.
fn measurable<'a>(
    valid: &[&Labelled],
    cascades: &'a [Cascade],
) -> (Vec<Compiled<'a>>, Vec<Skipped>) {
    let scored = |row: &&&Labelled, name: &str| !row.candidate.score(name).is_none();
    let occurs = |name: &String| valid.iter().any(|row| scored(&row, name));
    let (mut good, mut skipped) = (Vec::new(), Vec::new());
    for cascade in cascades {
        let stage = cascade.stages.iter().find(|stage| !stage.by.iter().any(occurs));
        match stage {
            None => good.push(Compiled::new(cascade)),
            Some(stage) => skipped.push(Skipped {
                name: cascade.name.clone(),
                why: format!("no attempt has a score {}", stage.by.join(" or ")),
            }),
        }
    }
    (good, skipped)
}

/// Pairs of lines to compare: those of both kinds of scores with those of one kind and with chance,
/// and the latter with chance. Lines are numbered: chance, oracle, then the cascades.
fn pairs(cascades: &[Compiled<'_>]) -> Vec<(usize, usize)> {
    let kinds = |compiled: &Compiled<'_>| {
        let names = compiled.cascade.scores();
        let free = |name: &str| name == EXECUTION_FREE || name == CRITIC;
        (names.iter().any(|n| free(n)), names.iter().any(|n| !free(n)))
    };
    let mut pairs = Vec::new();
    for (place, one) in cascades.iter().enumerate() {
        pairs.push((place + 2, 0));
        for (other_place, other) in cascades.iter().enumerate() {
            if kinds(one) == (true, true) && kinds(other) != (true, true) {
                pairs.push((place + 2, other_place + 2));
            }
        }
    }
    pairs
}

/// Intervals of all columns, and of the differences of pairs at the largest k.
fn resample(
    rows: &[Vec<f64>],
    pairs: &[(usize, usize)],
    ks: usize,
    bootstrap: &Bootstrap,
) -> (Vec<Interval>, Vec<Interval>) {
    let width = rows.first().map_or(0, Vec::len);
    let mut matrix = Matrix::new(width + pairs.len());
    for row in rows {
        let last = |line: usize| row[(line + 1) * ks - 1];
        let mut row = row.clone();
        let differences: Vec<f64> = pairs.iter().map(|(a, b)| last(*a) - last(*b)).collect();
        row.extend(differences);
        matrix.push(&row);
    }
    let mut intervals = bootstrap.intervals(&matrix);
    let differences = intervals.split_off(width);
    (intervals, differences)
}

fn comparisons(
    rows: &[Vec<f64>],
    pairs: &[(usize, usize)],
    cascades: &[Compiled<'_>],
    most: usize,
    differences: &[Interval],
) -> Vec<Comparison> {
    let name = |line: usize| match line.checked_sub(2).and_then(|place| cascades.get(place)) {
        Some(compiled) => compiled.cascade.name.clone(),
        None => "random".to_owned(),
    };
    let compare = |((a, b), interval): (&(usize, usize), &Interval)| {
        let last = |row: &Vec<f64>, line: usize| row[(line + 1) * most - 1];
        let by = |row: &Vec<f64>| last(row, *a) - last(row, *b);
        Comparison {
            better: name(*a),
            than: name(*b),
            difference: Point::new(most, *interval),
            ahead: rows.iter().filter(|row| by(row) > 1e-9).count(),
            behind: rows.iter().filter(|row| by(row) < -1e-9).count(),
            proven: interval.low > 1e-12,
        }
    };
    pairs.iter().zip(differences).map(compare).collect()
}

/// How good each score is that occurs. Only probabilities can be calibrated.
fn scores(valid: &[&Labelled]) -> BTreeMap<String, Evaluation> {
    let names: BTreeSet<&str> = valid
        .iter()
        .flat_map(|row| &row.candidate.scores)
        .filter(|(_, score)| !score.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let of = |name: &str| {
        let row = |row: &&'_ Labelled| row.candidate.score(name).get();
        let mut evaluation = evaluate(valid.iter().map(|labelled| {
            let task = labelled.candidate.task.as_str();
            (task, labelled.group.as_str(), row(labelled), is_right(labelled))
        }));
        if name != EXECUTION_FREE && name != CRITIC {
            for one in evaluation.groups.values_mut() {
                (one.ece, one.brier, one.log_loss) = (None, None, None);
            }
            (evaluation.ece, evaluation.brier, evaluation.log_loss) = (None, None, None);
            let (s, right): (Vec<f64>, Vec<bool>) =
                valid.iter().map(|l| (row(l).unwrap_or(f64::NAN), is_right(l))).unzip();
            evaluation.auc = auc(&s, &right);
        }
        evaluation
    };
    names.into_iter().map(|name| (name.to_owned(), of(name))).collect()
}

/// The shares of R2E-Gym's tests that distinguish and that are toxic.
fn test_quality(tasks: &BTreeMap<&str, Vec<&Labelled>>) -> Option<TestQuality> {
    let mut quality = TestQuality::default();
    for rows in tasks.values() {
        let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.tests.keys()).collect();
        let right: Vec<bool> = rows.iter().map(|row| is_right(row)).collect();
        let effects = names.iter().filter_map(|name| {
            let passes: Vec<bool> =
                rows.iter().map(|row| row.tests.get(*name).copied().unwrap_or(false)).collect();
            test_effect(&passes, &right)
        });
        let effects: Vec<_> = effects.collect();
        if effects.is_empty() {
            continue;
        }
        let share = |count: usize| count as f64 / effects.len() as f64;
        quality.tasks += 1;
        quality.tests += effects.len();
        quality.distinguish += share(effects.iter().filter(|e| e.distinguishes).count());
        quality.toxic += share(effects.iter().filter(|e| e.toxic).count());
    }
    if quality.tasks == 0 {
        return None;
    }
    quality.distinguish /= quality.tasks as f64;
    quality.toxic /= quality.tasks as f64;
    Some(quality)
}
