//! What happens during a run, as data. Faces show it; the ledger keeps the part that lasts.

use serde::Serialize;

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The history was read.
    Mined {
        /// Commits looked at.
        commits: usize,
        /// Commits that change source and tests.
        eligible: usize,
        /// Commits that passed the filters.
        candidates: usize,
        /// Wall time.
        seconds: f64,
    },
    /// So many candidates will be worked on now.
    Planned {
        /// All candidates.
        candidates: usize,
        /// Those decided in an earlier run.
        done: usize,
    },
    /// A candidate is being worked on.
    Started {
        /// Its commit.
        commit: String,
        /// First line of its message.
        subject: String,
    },
    /// The environment did not work and is made again in another way.
    Repaired {
        /// The commit.
        commit: String,
        /// What was changed.
        repair: String,
    },
    /// A candidate was decided.
    Decided {
        /// Its commit.
        commit: String,
        /// `task`, or the reason of the rejection.
        outcome: String,
        /// More about it, one line.
        detail: String,
        /// Wall time.
        seconds: f64,
    },
    /// A prediction was judged.
    Judged {
        /// Its instance.
        instance_id: String,
        /// `resolved`, `unresolved` or `invalid`.
        verdict: String,
        /// Why, one line.
        detail: String,
        /// Wall time: environment and run.
        seconds: f64,
        /// Whether the run was done before.
        reused: bool,
    },
    /// An attempt is over.
    Attempted {
        /// Its name.
        trial: String,
        /// Its task.
        instance_id: String,
        /// `resolved`, `unresolved`, `invalid` or `ungraded`.
        outcome: String,
        /// How it ended, one line.
        detail: String,
        /// Calls of the model.
        steps: u32,
        /// Tokens of all prompts and completions.
        tokens: u64,
        /// Dollars.
        cost: Option<f64>,
        /// Wall time of setup, agent and grading.
        seconds: f64,
        /// Calls of the model in the whole job so far.
        all_steps: u64,
    },
    /// Something that the user should know, and that does not stop the run.
    Warning {
        /// A sentence.
        message: String,
    },
}

/// Where events go. Called from several threads.
pub trait Sink: Sync {
    /// Takes one event.
    fn event(&self, event: &Event);
}

/// Drops every event.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: &Event) {}
}
