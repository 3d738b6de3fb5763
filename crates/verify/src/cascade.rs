//! Cascades: stages that each keep some of the attempts, written down as TOML.
//!
//! ```toml
//! name = "an-example"
//! source = "Where it comes from."
//!
//! [[stage]]
//! by = ["execution_free", "regression"]  # the second breaks ties of the first
//! keep = "top"                           # or "max", or "gated"
//! least = 3                              # at least so many,
//! share = 0.5                            # or this share, if it is more
//!
//! [[stage]]
//! by = ["regression"]
//! keep = "max"
//! ```

use std::collections::BTreeSet;

use palestra_stats as stats;
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::error::{Result, VerifyError};

/// Names and texts of the built-in cascades.
const PRESETS: &[(&str, &str)] = &[
    ("ours", include_str!("../presets/ours.toml")),
    ("r2e-paper", include_str!("../presets/r2e-paper.toml")),
    ("r2e-code", include_str!("../presets/r2e-code.toml")),
    ("r2e-notebook", include_str!("../presets/r2e-notebook.toml")),
    ("swe-gym", include_str!("../presets/swe-gym.toml")),
    ("execution-based", include_str!("../presets/execution-based.toml")),
    ("execution-free", include_str!("../presets/execution-free.toml")),
    ("critic", include_str!("../presets/critic.toml")),
];

/// A cascade as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    /// Its name.
    pub name: String,
    /// Where it comes from, in words.
    #[serde(default)]
    pub source: String,
    /// The stages.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Names of scores in their order of precedence. A missing score is below every other.
    pub by: Vec<String>,
    /// What it keeps.
    pub keep: Keep,
    /// Of [`Keep::Top`]: at least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<usize>,
    /// Of [`Keep::Top`]: the whole part of this share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// What a stage keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The best, all of them where several are equal.
    Max,
    /// The first so many.
    Top,
    /// See [`palestra_stats::Keep::Gated`]: the last score counts as 0 where the scores before it
    /// are not at their maximum.
    Gated,
}

impl Cascade {
    /// Names of the built-in cascades.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// A built-in cascade.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn preset(name: &str) -> Result<Self> {
        let Some((_, text)) = PRESETS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = Self::presets().collect();
            let why = format!("there is no preset of that name; there are {}", known.join(", "));
            return Err(VerifyError::Cascade { name: name.to_owned(), why });
        };
        Self::parse(name, text)
    }

    /// Reads one. `name` is for messages.
    ///
    /// # Errors
    /// If it is no TOML of this form, or says what makes no sense.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let wrong = |why: String| VerifyError::Cascade { name: name.to_owned(), why };
        let cascade: Self = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        for (number, stage) in (1..).zip(&cascade.stages) {
            if let Some(why) = stage.problem() {
                return Err(wrong(format!("stage {number}: {why}")));
            }
        }
        Ok(cascade)
    }

    /// The scores that it goes by, each once.
    pub fn scores(&self) -> BTreeSet<&str> {
        self.stages.iter().flat_map(|stage| &stage.by).map(String::as_str).collect()
    }

    /// The same with columns in place of names, and the names of the columns.
    pub fn compile(&self) -> (stats::Cascade, Vec<&str>) {
        let names: Vec<&str> = self.scores().into_iter().collect();
        let column = |name: &String| names.iter().position(|n| n == name).unwrap_or_default();
        let stages = self.stages.iter().map(|stage| stats::Stage {
            by: stage.by.iter().map(column).collect(),
            keep: match stage.keep {
                Keep::Max => stats::Keep::Max,
                Keep::Gated => stats::Keep::Gated,
                Keep::Top => stats::Keep::Top {
                    least: stage.least.unwrap_or(1),
                    share: stage.share.unwrap_or(0.0),
                },
            },
        });
        (stats::Cascade { stages: stages.collect() }, names)
    }
}

impl Stage {
    fn problem(&self) -> Option<&'static str> {
        let top = self.keep == Keep::Top;
        if self.by.is_empty() {
            return Some("`by` names no score");
        }
        if !top && (self.least.is_some() || self.share.is_some()) {
            return Some("`least` and `share` belong to `keep = \"top\"`");
        }
        if top && self.least.is_none() && self.share.is_none() {
            return Some("`keep = \"top\"` needs `least`, `share` or both");
        }
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Some("`share` is from 0 to 1");
        }
        None
    }
}

/// Scores of attempts as columns, for counting.
pub(crate) fn columns<'a>(
    names: &[&str],
    candidates: impl Iterator<Item = &'a Candidate> + Clone,
) -> Vec<Vec<Option<f64>>> {
    names.iter().map(|name| candidates.clone().map(|c| c.score(name).get()).collect()).collect()
}
