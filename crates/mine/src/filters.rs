//! Filters as data: named conjunctions of bounds on features.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::features::Features;

/// Which rule tells tests from source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestRule {
    /// Our own: also `conftest.py`, `tests.py`, directories of test data and the like.
    #[default]
    Wide,
    /// The rule of R2E-Gym's code.
    R2e,
}

impl TestRule {
    /// Whether `path` belongs to the tests.
    pub fn is_test(self, path: &[u8]) -> bool {
        match self {
            Self::Wide => palestra_syntax::is_test_path(path),
            Self::R2e => palestra_syntax::is_r2e_test_path(path),
        }
    }
}

/// A set of filters. A commit is eligible if it passes all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// What the set is called.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Which rule tells tests from source in the candidates.
    #[serde(default)]
    pub tests: TestRule,
    /// The filters, in the order in which they are asked.
    #[serde(rename = "filter", default)]
    pub filters: Vec<Filter>,
}

/// A filter: a name and what must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// What it is called.
    pub name: String,
    /// Every condition must hold.
    pub all: Vec<Condition>,
}

/// A feature within bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Which feature.
    pub feature: String,
    /// The least value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The greatest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// What a rejection is called; `FEATURE_below_min` or `FEATURE_above_max` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What one filter says to one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The filter.
    pub filter: String,
    /// Whether the commit passes.
    pub pass: bool,
    /// The features that it looked at; `None` where the commit was too large to look into.
    pub values: BTreeMap<String, Option<u64>>,
}

/// Why a commit was rejected: the first condition that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The reason, in snake case; stable, to be counted by.
    pub reason: String,
    /// The filter.
    pub filter: String,
    /// The feature.
    pub feature: String,
    /// Its value; `None` if the commit was too large to look into.
    pub value: Option<u64>,
    /// The least value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The greatest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// Why a set of filters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is not the TOML that is expected.
    #[error("the filters cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// There is no preset of that name.
    #[error("there is no preset {name:?}; there are {}", Filters::PRESETS.join(", "))]
    UnknownPreset {
        /// What was asked for.
        name: String,
    },
    /// A condition names a feature that does not exist.
    #[error("filter {filter:?} asks for a feature {feature:?}, which does not exist; there are {}",
        Features::NAMES.join(", "))]
    UnknownFeature {
        /// The filter.
        filter: String,
        /// What it asks for.
        feature: String,
    },
    /// A condition always holds.
    #[error("filter {filter:?} gives no bound for {feature:?}; add `min`, `max` or both")]
    Unbounded {
        /// The filter.
        filter: String,
        /// The feature without a bound.
        feature: String,
    },
}

impl Filters {
    /// The names of the presets; the first is the default.
    pub const PRESETS: &[&str] = &["wide", "r2e", "r2e-paper"];

    /// A set that comes with the program.
    pub fn preset(name: &str) -> Result<Self, FilterError> {
        let text = match name {
            "wide" => include_str!("../presets/wide.toml"),
            "r2e" => include_str!("../presets/r2e.toml"),
            "r2e-paper" => include_str!("../presets/r2e-paper.toml"),
            _ => return Err(FilterError::UnknownPreset { name: name.to_owned() }),
        };
        Self::from_toml(text)
    }

    /// Reads and checks a set.
    pub fn from_toml(text: &str) -> Result<Self, FilterError> {
        let filters: Self = toml::from_str(text)?;
        for filter in &filters.filters {
            for condition in &filter.all {
                let (filter, feature) = (filter.name.clone(), condition.feature.clone());
                if !Features::NAMES.contains(&feature.as_str()) {
                    return Err(FilterError::UnknownFeature { filter, feature });
                }
                if condition.min.is_none() && condition.max.is_none() {
                    return Err(FilterError::Unbounded { filter, feature });
                }
            }
        }
        Ok(filters)
    }

    /// What every filter says, and the first reason to reject, if there is one.
    pub fn decide(&self, features: &Features) -> (Vec<Decision>, Option<Rejection>) {
        let mut rejected = None;
        let mut decisions = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            let mut values = BTreeMap::new();
            let mut pass = true;
            for condition in &filter.all {
                let value = features.get(&condition.feature).flatten();
                values.insert(condition.feature.clone(), value);
                if let Some(reason) = condition.refuses(value) {
                    pass = false;
                    rejected.get_or_insert_with(|| Rejection {
                        reason,
                        filter: filter.name.clone(),
                        feature: condition.feature.clone(),
                        value,
                        min: condition.min,
                        max: condition.max,
                    });
                }
            }
            decisions.push(Decision { filter: filter.name.clone(), pass, values });
        }
        (decisions, rejected)
    }
}

impl Condition {
    /// The reason why the value does not pass. What is not known does not pass.
    fn refuses(&self, value: Option<u64>) -> Option<String> {
        let named = |suffix: &str| {
            self.reason.clone().unwrap_or_else(|| format!("{}_{suffix}", self.feature))
        };
        let Some(value) = value else { return Some("too_large_to_look_into".to_owned()) };
        if self.min.is_some_and(|min| value < min) {
            return Some(named("below_min"));
        }
        if self.max.is_some_and(|max| value > max) {
            return Some(named("above_max"));
        }
        None
    }
}
