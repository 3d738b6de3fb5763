//! What a critic goes by.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Every feature with its meaning, in the order in which a critic has them. What is not known is
/// left out, and is missing for the trees, which is not the same as 0.
pub const FEATURES: &[(&str, &str)] = &[
    ("steps", "turns of the agent"),
    ("calls", "calls of tools"),
    ("prompt_tokens", "tokens of all prompts"),
    ("completion_tokens", "tokens of all completions"),
    ("cost_usd", "dollars"),
    ("seconds", "seconds of the attempt"),
    ("said_bytes", "mean bytes of what the agent said in a turn"),
    ("thought_bytes", "mean bytes of its thoughts in a turn"),
    ("observed_bytes", "bytes of all observations"),
    ("errors", "observations that failed or show an error"),
    ("error_share", "share of the observations that did"),
    ("last_error", "1 if the last observation did"),
    ("errors_at_end", "share of the last five observations that did"),
    ("repeated", "share of the calls that were made before, letter by letter"),
    ("views", "calls that look at files"),
    ("searches", "calls that search"),
    ("edits", "calls that change files"),
    ("failed_edits", "share of these that failed"),
    ("first_edit", "where the first edit is, from 0 to 1"),
    ("after_edit", "turns after the last edit"),
    ("edited_files", "different files that were edited"),
    ("test_runs", "commands that run tests"),
    ("script_runs", "commands that run a Python program that is no test"),
    ("tested_after_edit", "1 if tests or a program ran after the last edit"),
    ("last_test_passed", "1 if the last run of tests passed, 0 if it failed"),
    ("best_test_passed", "1 if any run of tests passed"),
    ("failures_mended", "1 if a run of tests failed and a later one passed"),
    ("submitted", "1 if the agent said that it is done"),
    ("limit", "1 if a limit ended the attempt"),
    ("stuck", "1 if the agent stopped acting or went round in circles"),
    ("patch_bytes", "bytes of the patch"),
    ("patch_empty", "1 if nothing changed"),
    ("patch_files", "files in the patch"),
    ("patch_hunks", "hunks in the patch"),
    ("lines_added", "lines added"),
    ("lines_removed", "lines removed"),
    ("source_files", "source files changed"),
    ("source_lines", "lines added to or removed from source files"),
    ("test_files", "files of the tests changed or added"),
    ("new_files", "files added"),
    ("stray_files", "files added at the top of the repository"),
    ("deleted_files", "files deleted"),
    ("comment_share", "share of the added source lines that are comments or blank"),
    ("patch_valid", "1 if every changed Python file can be parsed"),
    ("agreement", "share of the other attempts at the task that came to the same patch"),
    ("similarity", "mean similarity of the changed lines to those of the other attempts"),
    ("same_files", "mean similarity of the changed files to those of the other attempts"),
    ("steps_rank", "place among the attempts at the task by turns, from 0 to 1"),
    ("lines_rank", "place by changed source lines, from 0 to 1"),
    ("regression", "share of the regression tests that pass"),
    ("reproduction", "weighted share of the generated tests that pass"),
];

/// Values of features by name. All are finite numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Features(BTreeMap<String, f64>);

impl Features {
    /// A value; missing where it is no finite number.
    pub fn set(&mut self, name: &str, value: f64) {
        match value.is_finite() {
            true => drop(self.0.insert(name.to_owned(), value + 0.0)),
            false => drop(self.0.remove(name)),
        }
    }

    /// A value, where it is known.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what the other knows.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// All that is known, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The values of these features in this order; not a number where they are missing.
    pub fn row(&self, names: &[String]) -> Vec<f64> {
        names.iter().map(|name| self.get(name).unwrap_or(f64::NAN)).collect()
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut features = Self::default();
        for (name, value) in BTreeMap::<String, Option<f64>>::deserialize(d)? {
            features.set(&name, value.unwrap_or(f64::NAN));
        }
        Ok(features)
    }
}
