//! Results over what they took, and what stopping early saves.

use std::collections::BTreeMap;

use palestra_stats::Binomials;

use super::pool::Labelled;
use super::report::{BenchReport, Curve, Point, StopPoint};
use super::rows::{Compiled, is_right};
use crate::error::Result;
use crate::stop::Cost;

/// A kind of cost.
type Kind = (&'static str, fn(&Cost) -> f64);

/// All of them.
const UNITS: [Kind; 3] =
    [("tokens", |cost| cost.tokens), ("seconds", |cost| cost.seconds), ("usd", |cost| cost.usd)];

type Tasks<'a> = BTreeMap<&'a str, Vec<&'a Labelled>>;

/// Curves of everything over each cost that occurs. A random `k` of `n` attempts costs `k / n` of
/// all; scoring is paid for where a cascade chooses.
pub(super) fn curves(tasks: &Tasks<'_>, report: &BenchReport) -> Vec<Curve> {
    let mut all = Vec::new();
    let lines = [("random", &report.random, false), ("oracle", &report.oracle, false)];
    let cascades = report.cascades.iter().map(|c| (c.name.as_str(), &c.best_at, true));
    for (name, points, scored) in lines.into_iter().chain(cascades) {
        let attempts = points.iter().map(|p| (p.k as f64, p.mean)).collect();
        all.push(Curve { name: name.into(), unit: "attempts".into(), points: attempts });
        for (unit, of) in UNITS {
            let spent = |p: &Point| {
                let cost = |row: &&Labelled| {
                    of(&row.cost) + if scored { of(&row.verification) } else { 0.0 }
                };
                let task = |rows: &Vec<&Labelled>| {
                    let share = p.k.min(rows.len()) as f64 / rows.len() as f64;
                    share * rows.iter().map(cost).sum::<f64>()
                };
                tasks.values().map(task).sum::<f64>() / tasks.len() as f64
            };
            let points: Vec<(f64, f64)> = points.iter().map(|p| (spent(p), p.mean)).collect();
            if points.iter().any(|p| p.0 > 0.0) {
                all.push(Curve { name: name.into(), unit: unit.into(), points });
            }
        }
    }
    all
}

/// What it comes to if attempts at a task are made in random order until one has a score of at least
/// the threshold, `most` at most; then that one is taken, or else what the cascade chooses.
///
/// In closed form: with `g` good attempts of `n`, the first `i` have none with probability
/// `C(n - g, i) / C(n, i)`, and the next one is any of the others.
pub(super) fn stop(
    tasks: &Tasks<'_>,
    by: &str,
    threshold: f64,
    most: usize,
    cascade: &Compiled<'_>,
    binomials: &Binomials,
) -> Result<StopPoint> {
    let mut point = StopPoint {
        by: by.to_owned(),
        threshold,
        most,
        resolved: 0.0,
        attempts: 0.0,
        tokens: 0.0,
        usd: 0.0,
    };
    for rows in tasks.values() {
        let good = |row: &&Labelled| row.candidate.score(by).get().is_some_and(|s| s >= threshold);
        let (good, bad): (Vec<&Labelled>, Vec<&Labelled>) = rows.iter().copied().partition(good);
        let (n, g) = (rows.len(), good.len());
        let most = most.min(n);
        let none = |i: usize| binomials.get(n - g, i) / binomials.get(n, i);
        let cost = |rows: &[&Labelled]| {
            let mut sum = Cost::default();
            rows.iter().for_each(|row| sum += row.cost);
            sum
        };
        let all = cost(rows);
        let of_bad = cost(&bad);
        for i in 0..most {
            // Drawn: i bad ones. The next one is one of the n - i that are left.
            let reached = none(i);
            let bad_left = if bad.is_empty() {
                0.0
            } else {
                (bad.len() as f64 - i as f64).max(0.0) / bad.len() as f64
            };
            let next = |of: fn(&Cost) -> f64| {
                (of(&all) - of(&of_bad) + bad_left * of(&of_bad)) / (n - i) as f64
            };
            point.attempts += reached;
            point.tokens += reached * next(|cost| cost.tokens);
            point.usd += reached * next(|cost| cost.usd);
        }
        let right = |rows: &[&Labelled]| rows.iter().filter(|row| is_right(row)).count() as f64;
        let missed = none(most);
        if g > 0 {
            point.resolved += (1.0 - missed) * right(&good) / g as f64;
        }
        if missed > 0.0 && !bad.is_empty() {
            point.resolved += missed * cascade.best_at(&bad, &[most], binomials)?[0];
        }
    }
    let count = tasks.len() as f64;
    for sum in [&mut point.resolved, &mut point.attempts, &mut point.tokens, &mut point.usd] {
        *sum /= count;
    }
    Ok(point)
}
