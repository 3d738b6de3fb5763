//! Training a critic, and its file.

use std::collections::{BTreeMap, BTreeSet};

use palestra_core::Hash;
use palestra_stats::log_loss;
use serde::{Deserialize, Serialize};

use super::boost::{Ensemble, Options, sigmoid};
use super::calibrate::{Calibration, Method};
use super::evaluate::{Evaluation, evaluate};
use super::{FEATURES, Features};
use crate::candidate::{CRITIC, Candidate, EXECUTION_FREE, Score};
use crate::error::{Result, VerifyError};

/// Raised when older programs cannot use what newer ones write.
const FORM: u32 = 1;

/// An attempt whose verdict is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The attempt.
    pub id: String,
    /// The task.
    pub task: String,
    /// What must not be on both sides of a test: the repository.
    pub group: String,
    /// What is known of it.
    pub features: Features,
    /// Whether it resolved the task.
    pub right: bool,
}

/// How a critic is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// The trees.
    pub trees: Options,
    /// Parts that the groups are split into; each is predicted by what was trained on the others.
    pub folds: usize,
    /// The calibration.
    pub calibration: Method,
    /// Features to leave out.
    pub without: BTreeSet<String>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            trees: Options::default(),
            folds: 5,
            calibration: Method::default(),
            without: BTreeSet::new(),
        }
    }
}

/// A trained critic, as it stands in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Critic {
    /// The form of this file.
    pub form: u32,
    /// The features, in the order in which the trees know them.
    pub features: Vec<String>,
    /// How it was trained.
    pub options: TrainOptions,
    /// The hash of the rows that it was trained on.
    pub data: Hash,
    /// The groups that it was trained on, with their attempts.
    pub groups: BTreeMap<String, usize>,
    /// How good it was on groups that it had not seen. The number of trees and the calibration were
    /// chosen by the same predictions, so this is a little kind.
    pub validation: Evaluation,
    /// From log-odds to probabilities.
    pub calibration: Calibration,
    /// The trees.
    pub ensemble: Ensemble,
}

impl Critic {
    /// The critic that serves where nobody trained one. `builtin.md` beside its file says what it was
    /// trained on, and how good it is on repositories that it did not see.
    ///
    /// # Errors
    /// Never in a program that passed its tests.
    pub fn built_in() -> Result<Self> {
        Self::from_json(include_str!("../../data/builtin.json"))
    }

    /// The probability that an attempt is right; missing where nothing is known of it.
    pub fn predict(&self, features: &Features) -> Score {
        if features.is_empty() {
            return Score::NONE;
        }
        let margin = self.ensemble.margin(&features.row(&self.features), usize::MAX);
        Score::new(self.calibration.probability(margin))
    }

    /// Gives an attempt its [`CRITIC`] score, which also stands as [`EXECUTION_FREE`] unless a model
    /// was asked.
    pub fn score(&self, candidate: &mut Candidate) {
        let score = self.predict(&candidate.features);
        candidate.scores.insert(CRITIC.to_owned(), score);
        candidate.scores.entry(EXECUTION_FREE.to_owned()).or_insert(score);
    }

    /// How good it is on these rows. Rows of its own training say little.
    pub fn evaluate(&self, rows: &[Row]) -> Evaluation {
        evaluate(rows.iter().map(|row| {
            (row.task.as_str(), row.group.as_str(), self.predict(&row.features).get(), row.right)
        }))
    }

    /// How much each feature was split by, as shares of all splits; what was never used is left out.
    pub fn importance(&self) -> BTreeMap<&str, f64> {
        let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
        let mut all = 0.0;
        for node in self.ensemble.trees.iter().flat_map(|tree| &tree.0) {
            if let super::Node::Split { feature, .. } = node
                && let Some(name) = self.features.get(*feature)
            {
                *counts.entry(name).or_default() += 1.0;
                all += 1.0;
            }
        }
        counts.values_mut().for_each(|count| *count /= all);
        counts
    }

    /// Its file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads its file.
    ///
    /// # Errors
    /// If it is none, or of a form that this program does not know.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| VerifyError::Critic(e.to_string()))?;
        let form = value.get("form").and_then(serde_json::Value::as_u64);
        if form != Some(u64::from(FORM)) {
            let form = form.map_or_else(|| "no form".to_owned(), |form| format!("form {form}"));
            let why = format!("it has {form}, and this program knows form {FORM}; train it again");
            return Err(VerifyError::Critic(why));
        }
        serde_json::from_value(value).map_err(|e| VerifyError::Critic(e.to_string()))
    }
}

/// Trains a critic. The order of the rows does not matter; one seed gives one critic.
///
/// The number of trees and the calibration come from groups that were held out; where there is one
/// group only, tasks take their place.
///
/// # Errors
/// If there are too few rows, or all of them are right, or all wrong, or two have one name.
pub fn train(rows: &[Row], options: &TrainOptions) -> Result<Critic> {
    let mut rows: Vec<&Row> = rows.iter().filter(|row| !row.features.is_empty()).collect();
    rows.sort_by(|a, b| (&a.group, &a.task, &a.id).cmp(&(&b.group, &b.task, &b.id)));
    for pair in rows.windows(2) {
        if pair[0].task == pair[1].task && pair[0].id == pair[1].id {
            let (task, id) = (pair[0].task.clone(), pair[0].id.clone());
            return Err(VerifyError::Twice { task, id });
        }
    }
    let right: Vec<bool> = rows.iter().map(|row| row.right).collect();
    let yes = right.iter().filter(|r| **r).count();
    let few = 2 * options.trees.rows.max(1);
    if rows.len() < few || yes == 0 || yes == rows.len() {
        return Err(VerifyError::Training(format!(
            "there are {} attempts with features, {yes} of them right; it takes {few}, right and \
             wrong ones among them",
            rows.len()
        )));
    }
    let features: Vec<String> = FEATURES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .filter(|name| !options.without.contains(name))
        .collect();
    let names: Vec<String> = rows.iter().map(|row| format!("{} {}", row.task, row.id)).collect();
    let table: Vec<(&str, Vec<f64>)> = rows
        .iter()
        .zip(&names)
        .map(|(row, name)| (name.as_str(), row.features.row(&features)))
        .collect();
    let folds = folds(&rows, options);
    let (margins, trees) = hold_out(&table, &right, &folds, options);
    let pairs: Vec<(f64, bool)> = margins.iter().copied().zip(right.iter().copied()).collect();
    let calibration = Calibration::fit(options.calibration, &pairs);
    let validation = evaluate(rows.iter().zip(&margins).map(|(row, margin)| {
        let p = Some(calibration.probability(*margin));
        (row.task.as_str(), row.group.as_str(), p, row.right)
    }));
    let grown = Options { trees, ..options.trees };
    let ensemble = Ensemble::grow(&table, &right, &grown);
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *groups.entry(row.group.clone()).or_default() += 1);
    let lines = rows.iter().map(|row| serde_json::to_vec(row).unwrap_or_default());
    Ok(Critic {
        form: FORM,
        features,
        options: options.clone(),
        data: Hash::of_parts(lines),
        groups,
        validation,
        calibration,
        ensemble,
    })
}

/// The fold of each row: groups, the largest first, each to the fold with the fewest rows.
fn folds(rows: &[&Row], options: &TrainOptions) -> Vec<usize> {
    let groups: BTreeSet<&str> = rows.iter().map(|row| row.group.as_str()).collect();
    let part = |row: &Row| match groups.len() {
        0 | 1 => row.task.clone(),
        _ => row.group.clone(),
    };
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *sizes.entry(part(row)).or_default() += 1);
    let mut parts: Vec<(String, usize)> = sizes.into_iter().collect();
    parts.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    let mut filled = vec![0usize; options.folds.clamp(2, parts.len().max(2))];
    let mut fold_of: BTreeMap<String, usize> = BTreeMap::new();
    for (name, size) in parts {
        let fold = (0..filled.len()).min_by_key(|fold| filled[*fold]).unwrap_or_default();
        filled[fold] += size;
        fold_of.insert(name, fold);
    }
    rows.iter().map(|row| fold_of.get(&part(row)).copied().unwrap_or_default()).collect()
}

/// Log-odds of every row by trees that did not see its group, and how many trees were best.
fn hold_out(
    table: &[(&str, Vec<f64>)],
    right: &[bool],
    folds: &[usize],
    options: &TrainOptions,
) -> (Vec<f64>, usize) {
    let most = options.trees.trees;
    // By row, then by number of trees.
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); table.len()];
    for fold in 0..=folds.iter().copied().max().unwrap_or_default() {
        let inside: Vec<usize> = (0..table.len()).filter(|i| folds[*i] != fold).collect();
        let rows: Vec<(&str, Vec<f64>)> = inside.iter().map(|i| table[*i].clone()).collect();
        let truth: Vec<bool> = inside.iter().map(|i| right[*i]).collect();
        let grown = Ensemble::grow(&rows, &truth, &options.trees);
        for i in (0..table.len()).filter(|i| folds[*i] == fold) {
            let mut margin = grown.base;
            all[i].push(margin);
            for tree in &grown.trees {
                margin += tree.value(&table[i].1);
                all[i].push(margin);
            }
        }
    }
    let loss = |trees: usize| {
        let p: Vec<f64> = all.iter().map(|row| sigmoid(row[trees])).collect();
        log_loss(&p, right).unwrap_or(f64::INFINITY)
    };
    // No tree at all orders nothing, so there is one at least.
    let losses: Vec<f64> = (0..=most).map(loss).collect();
    let best = (1.min(most)..=most).min_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    let best = best.unwrap_or_default();
    (all.iter().map(|row| row[best]).collect(), best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_critic_tells_good_from_bad() {
        let critic = Critic::built_in().unwrap();
        let predict = |of: &[(&str, f64)]| {
            let mut features = Features::default();
            of.iter().for_each(|(name, value)| features.set(name, *value));
            critic.predict(&features).get().unwrap()
        };
        let good = predict(&[("error_share", 0.0), ("patch_bytes", 600.0), ("submitted", 1.0)]);
        let bad = predict(&[("error_share", 0.5), ("patch_bytes", 200.0), ("patch_empty", 1.0)]);
        assert!(good > bad, "{good} {bad}");
        assert_eq!(critic.predict(&Features::default()), Score::NONE);
        assert!(critic.validation.auc.unwrap() > 0.6 && critic.groups.len() == 3);
    }
}
