//! Attempts with their verdicts, as lines of JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::error::{Result, VerifyError};
use crate::stop::Cost;

/// An attempt whose verdict is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Labelled {
    /// The attempt with its scores.
    pub candidate: Candidate,
    /// The repository.
    #[serde(default)]
    pub group: String,
    /// **The verdict of the hidden tests.** Missing where the attempt is invalid; such an attempt is
    /// counted, and otherwise left out.
    pub resolved: Option<bool>,
    /// What the attempt took.
    #[serde(default)]
    pub cost: Cost,
    /// What scoring it took.
    #[serde(default)]
    pub verification: Cost,
    /// Generated tests: whether each passes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tests: BTreeMap<String, bool>,
}

/// Attempts at tasks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pool {
    /// The attempts.
    pub rows: Vec<Labelled>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Pool {
    /// Reads lines of JSON. A line that is none costs only itself.
    pub fn read(text: &str) -> (Self, Vec<Problem>) {
        let (mut pool, mut problems) = (Self::default(), Vec::new());
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            match serde_json::from_str(text) {
                Ok(row) => pool.rows.push(row),
                Err(error) => problems.push(Problem { line, what: error.to_string() }),
            }
        }
        (pool, problems)
    }

    /// The same lines.
    pub fn write(&self) -> String {
        let lines = self.rows.iter().filter_map(|row| serde_json::to_string(row).ok());
        lines.map(|line| line + "\n").collect()
    }

    /// The valid attempts by task, each task's by name, and how many are invalid.
    pub(super) fn tasks(&self) -> Result<(BTreeMap<&str, Vec<&Labelled>>, usize)> {
        let mut tasks: BTreeMap<&str, Vec<&Labelled>> = BTreeMap::new();
        let mut names = BTreeSet::new();
        let mut invalid = 0;
        for row in &self.rows {
            let Candidate { id, task, .. } = &row.candidate;
            if !names.insert((task, id)) {
                return Err(VerifyError::Twice { task: task.clone(), id: id.clone() });
            }
            let of = tasks.entry(task).or_default();
            match row.resolved.is_some() && row.candidate.invalid.is_none() {
                true => of.push(row),
                false => invalid += 1,
            }
        }
        for attempts in tasks.values_mut() {
            attempts.sort_by(|a, b| a.candidate.id.cmp(&b.candidate.id));
        }
        Ok((tasks, invalid))
    }
}
