//! What an attempt is worth.

use serde::{Deserialize, Serialize};

/// Why an attempt cannot be judged. Such an attempt is neither a success nor a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub enum InvalidReason {
    /// The runner did not come to its end in time.
    TimedOut,
    /// The machine or the sandbox failed.
    Infrastructure(String),
    /// No test was run.
    NothingRan(String),
    /// The environment could not be made.
    Environment(String),
}

/// The judgement of one patch on one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "reason")]
pub enum Verdict {
    /// Every FAIL_TO_PASS and PASS_TO_PASS test passed.
    Resolved,
    /// It did not resolve the task; the text says why in a few words.
    Unresolved(String),
    /// It cannot be judged.
    Invalid(InvalidReason),
}

impl Verdict {
    /// Whether it is [`Verdict::Resolved`].
    pub fn is_resolved(&self) -> bool {
        matches!(self, Self::Resolved)
    }
}
