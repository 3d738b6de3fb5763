//! An attempt as a verifier sees it: everything but its verdict.

use std::collections::{BTreeMap, BTreeSet};

use palestra_core::Hash;
use serde::{Deserialize, Deserializer, Serialize};

use crate::critic::Features;
use crate::error::{Result, VerifyError};

/// How well an attempt did in the eyes of a verifier; higher is better. It may be missing, and is
/// then below every score there is. It is never infinite and always a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Score(Option<f64>);

impl Score {
    /// An attempt that could not be scored.
    pub const NONE: Self = Self(None);

    /// A score; none for what is not a finite number.
    pub fn new(score: f64) -> Self {
        // Zero has two signs, and one meaning.
        Self(Some(score + 0.0).filter(|s| s.is_finite()))
    }

    /// The number, where there is one.
    pub fn get(self) -> Option<f64> {
        self.0
    }

    /// Whether it is missing.
    pub fn is_none(self) -> bool {
        self.0.is_none()
    }
}

impl From<Option<f64>> for Score {
    fn from(score: Option<f64>) -> Self {
        score.map_or(Self::NONE, Self::new)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Option::<f64>::deserialize(d)?.into())
    }
}

/// The probability that the attempt is right, in the eyes of a model or of the critic that reads its
/// trajectory and patch.
pub const EXECUTION_FREE: &str = "execution_free";
/// Regression tests that pass.
pub const REGRESSION: &str = "regression";
/// Generated tests that pass.
pub const REPRODUCTION: &str = "reproduction";
/// Generated tests that pass, weighted by how far each can be trusted.
pub const REPRODUCTION_WEIGHTED: &str = "reproduction_weighted";
/// The built-in critic, where a model gives [`EXECUTION_FREE`].
pub const CRITIC: &str = "critic";
/// The share of the other attempts at the task that came to the same patch.
pub const AGREEMENT: &str = "agreement";

/// An attempt at a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The name of the attempt, which is what every score is joined by.
    pub id: String,
    /// The task.
    pub task: String,
    /// Why the attempt is neither a success nor a failure. Such an attempt is never chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// The hash of its patch; none where it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Hash>,
    /// What is known of its trajectory and patch.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub features: Features,
    /// Scores by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Score>,
}

impl Candidate {
    /// An attempt of which nothing is known yet.
    pub fn new(task: impl Into<String>, id: impl Into<String>) -> Self {
        Self { id: id.into(), task: task.into(), ..Self::default() }
    }

    /// A score; missing where nobody gave it.
    pub fn score(&self, name: &str) -> Score {
        self.scores.get(name).copied().unwrap_or_default()
    }

    /// The same with a score more.
    pub fn with(mut self, name: &str, score: f64) -> Self {
        self.scores.insert(name.to_owned(), Score::new(score));
        self
    }
}

/// That the attempts are at one task, and each has its own name.
pub(crate) fn check_one_task<'a>(
    candidates: impl IntoIterator<Item = &'a Candidate>,
) -> Result<()> {
    let mut ids = BTreeSet::new();
    let mut first: Option<&Candidate> = None;
    for candidate in candidates {
        let of = first.get_or_insert(candidate);
        if of.task != candidate.task {
            let (first, second) = (of.task.clone(), candidate.task.clone());
            return Err(VerifyError::MixedTasks { first, second });
        }
        if !ids.insert(&candidate.id) {
            let (task, id) = (candidate.task.clone(), candidate.id.clone());
            return Err(VerifyError::Twice { task, id });
        }
    }
    Ok(())
}
