//! How good a critic is.

use std::collections::BTreeMap;

use palestra_stats::{auc, brier, ece, log_loss};
use serde::{Deserialize, Serialize};

/// Bins of the calibration error.
const BINS: usize = 10;

/// Numbers about predictions whose truth is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Attempts.
    pub rows: usize,
    /// Of these: right.
    pub right: usize,
    /// Attempts without a prediction; they count as lowest for the AUC and nowhere else.
    pub unscorable: usize,
    /// Area under the curve over all attempts.
    pub auc: Option<f64>,
    /// The mean of the areas within each task that has right and wrong attempts, which is what a
    /// choice within a task needs.
    pub auc_within_tasks: Option<f64>,
    /// Expected calibration error over ten bins.
    pub ece: Option<f64>,
    /// Brier's score.
    pub brier: Option<f64>,
    /// Logarithmic loss, nats.
    pub log_loss: Option<f64>,
    /// The same for each group (repository), without groups of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Evaluation>,
}

/// Evaluates predictions: task, group, probability, truth.
pub fn evaluate<'a>(
    predictions: impl IntoIterator<Item = (&'a str, &'a str, Option<f64>, bool)>,
) -> Evaluation {
    let mut all: Vec<_> = predictions.into_iter().collect();
    // Sums must not depend on the order.
    all.sort_by(|a, b| {
        let p = |x: Option<f64>| x.unwrap_or(f64::NEG_INFINITY);
        (a.0, a.1, a.3).cmp(&(b.0, b.1, b.3)).then(p(a.2).total_cmp(&p(b.2)))
    });
    let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    all.iter().for_each(|row| groups.entry(row.1).or_default().push(*row));
    let groups = groups.iter().map(|(name, rows)| ((*name).to_owned(), of(rows)));
    Evaluation { groups: groups.collect(), ..of(&all) }
}

fn of(all: &[(&str, &str, Option<f64>, bool)]) -> Evaluation {
    let right: Vec<bool> = all.iter().map(|row| row.3).collect();
    let scores: Vec<f64> = all.iter().map(|row| row.2.unwrap_or(f64::NAN)).collect();
    let within: Vec<f64> = all
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(|task| {
            let scores: Vec<f64> = task.iter().map(|row| row.2.unwrap_or(f64::NAN)).collect();
            let right: Vec<bool> = task.iter().map(|row| row.3).collect();
            auc(&scores, &right)
        })
        .collect();
    Evaluation {
        rows: all.len(),
        right: right.iter().filter(|r| **r).count(),
        unscorable: scores.iter().filter(|s| s.is_nan()).count(),
        auc: auc(&scores, &right),
        auc_within_tasks: (!within.is_empty())
            .then(|| within.iter().sum::<f64>() / within.len() as f64),
        ece: ece(&scores, &right, BINS),
        brier: brier(&scores, &right),
        log_loss: log_loss(&scores, &right),
        groups: BTreeMap::new(),
    }
}
