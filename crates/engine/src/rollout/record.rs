//! What is kept of an attempt beside Harbor's forms: `attempt.json`.

use palestra_agent::Exit;
use palestra_core::{Hash, Verdict};
use palestra_grade::Cause;
use palestra_model::Usage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::failure::{ENDED, Failure, Flags};
use super::search::Searched;

/// Seconds of each phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seconds {
    /// Environment, sandbox, start of the agent.
    pub setup: f64,
    /// The agent, all in all.
    pub agent: f64,
    /// Of these: calls of the model that succeeded.
    pub model: f64,
    /// Of these: waiting for the model's server, and failed tries.
    pub waited: f64,
    /// Of these: tools.
    pub tools: f64,
    /// Taking the patch.
    pub patch: f64,
    /// Grading.
    pub grade: f64,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The attempt's name.
    pub trial: String,
    /// The task.
    pub instance_id: String,
    /// Index of the variant in the plan.
    pub variant: usize,
    /// From 1.
    pub attempt: u32,
    /// From 1 where attempts forked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<u32>,
    /// The step after which it forked, with the attempt that it shares them with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Forked>,
    /// What the search took that it is the best of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Searched>,
    /// How often it was begun, the last time included.
    pub tries: u32,
    /// How it ended by its own doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// What ended it without its doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The judgement; `None` until it is graded, and where it is not to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What decided the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What the grader saw of attempts to reach for the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tampering: Vec<String>,
    /// Calls of the model.
    pub steps: u32,
    /// Tokens; of a search, those of all its forks.
    pub usage: Usage,
    /// Dollars, of all forks too, where prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Tries of calls that failed and were made again.
    pub model_retries: u32,
    /// Seconds of each phase.
    pub seconds: Seconds,
    /// The patch; `None` where nothing differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Hash>,
    /// Bytes of the patch.
    pub patch_bytes: u64,
    /// Paths that differ and are no part of the patch: byte code and caches of tools.
    pub left_out: u32,
    /// Layers of the sandbox, lowest first.
    pub layers: Vec<String>,
    /// The agent with the hashes of its prompts and tools.
    pub agent: Map<String, Value>,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When the agent ended.
    pub ran_at: String,
    /// When all was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// Where an attempt forked off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forked {
    /// After so many calls of the model.
    pub at: u32,
    /// The attempt that it forked off; itself for the stem.
    pub from: String,
    /// Whether the stem had ended before, so that this is the same attempt once more.
    pub ended_before: bool,
}

impl AttemptRecord {
    /// What may be done with it.
    pub fn flags(&self) -> Flags {
        match (&self.failure, &self.exit) {
            (Some(failure), _) => failure.kind.flags(),
            (None, Some(_)) => {
                let invalid = matches!(self.verdict, Some(Verdict::Invalid(_)));
                Flags { train: !invalid, ..ENDED }
            }
            (None, None) => Flags { retry: true, grade: false, train: false },
        }
    }

    /// `resolved`, `unresolved`, `invalid`, or `ungraded`.
    pub fn outcome(&self) -> &'static str {
        match (&self.failure, &self.verdict) {
            (Some(_), _) | (None, Some(Verdict::Invalid(_))) => "invalid",
            (None, Some(Verdict::Resolved)) => "resolved",
            (None, Some(Verdict::Unresolved(_))) => "unresolved",
            (None, None) => "ungraded",
        }
    }

    /// One line about how it ended.
    pub fn detail(&self) -> String {
        if let Some(failure) = &self.failure {
            return failure.message.lines().next().unwrap_or_default().to_owned();
        }
        let exit = self.exit.as_ref().map(word).unwrap_or_default();
        match &self.verdict {
            Some(Verdict::Unresolved(why)) if !why.is_empty() => format!("{exit}; {why}"),
            Some(Verdict::Invalid(reason)) => format!("{exit}; {reason:?}"),
            _ => exit,
        }
    }
}

/// The name of a plain value, as it is written in JSON.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
