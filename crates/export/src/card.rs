//! What was kept, what was left out, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::episode::Outcome;

/// Why an attempt, or a row made of it, is not in the training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Files are missing, cut off, or no JSON.
    Corrupt,
    /// In a form that is not known.
    UnknownForm,
    /// It is under way, or was stopped.
    NotOver,
    /// The same attempt was given twice.
    GivenTwice,
    /// No model said anything.
    NoTurns,
    /// Neither a success nor a failure.
    Invalid,
    /// A failure of a machine or a server ended it.
    NotForTraining,
    /// The grader saw attempts to reach for the verdict.
    Tampering,
    /// Nobody judged it.
    Ungraded,
    /// Its verdict is not one of those asked for.
    OtherVerdict,
    /// The agent did not say that it is done.
    NotFinished,
    /// More characters or turns than asked for.
    TooLong,
    /// More tokens than the context holds.
    OverContext,
    /// Its repository or task is one of those that models are measured on.
    Contaminated,
    /// Its task is always or never solved.
    Difficulty,
    /// Another attempt says the same.
    Duplicate,
    /// There are enough of its task.
    PerTask,
    /// There are enough of its repository.
    PerRepository,
    /// There are enough of its class.
    ClassBalance,
    /// There are enough.
    Limit,
    /// It writes no tests.
    NoTests,
    /// There is nothing to compare it with.
    NoPair,
    /// Turns do not alternate as the trainer demands.
    Alternation,
    /// Arguments of a call are not JSON, and the trainer demands it.
    Arguments,
    /// The chat template refuses it, or does not tell where the model speaks.
    Template,
    /// The server gave no token ids, or not for every call.
    NoTokens,
    /// The masks leave nothing to learn.
    NothingToLearn,
}

/// A count with an example.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// How many.
    pub count: u64,
    /// The first ones: name and what was wrong.
    pub examples: Vec<String>,
}

/// What a training set is made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The name of the set.
    pub name: String,
    /// What was asked for.
    pub request: serde_json::Value,
    /// The hash of the request and of the attempts' names and content.
    pub plan: String,
    /// Attempts that were found.
    pub found: u64,
    /// Attempts that are in the set.
    pub kept: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Files that were written, below the set's directory.
    pub files: Vec<String>,
    /// What was left out, by reason. A row that could not be made counts here too.
    pub dropped: BTreeMap<Reason, Dropped>,
    /// Kept attempts by verdict.
    pub outcomes: BTreeMap<String, u64>,
    /// Kept attempts by repository.
    pub repositories: BTreeMap<String, u64>,
    /// Kept attempts by agent and model.
    pub agents: BTreeMap<String, u64>,
    /// Tasks of kept attempts.
    pub tasks: u64,
    /// Turns of the model over all kept attempts.
    pub turns: u64,
    /// Characters of all kept attempts.
    pub characters: u64,
    /// Tokens of all rows, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Of these: tokens that are learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<u64>,
}

impl Card {
    /// Counts what was left out. A few examples are kept.
    pub fn drop(&mut self, reason: Reason, what: impl Into<String>) {
        let dropped = self.dropped.entry(reason).or_default();
        dropped.count += 1;
        if dropped.examples.len() < 3 {
            dropped.examples.push(what.into());
        }
    }

    /// How many were left out for a reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.dropped.get(&reason).map_or(0, |dropped| dropped.count)
    }

    /// As a page for people.
    pub fn markdown(&self) -> String {
        let mut page = format!("# {}\n\n", self.name);
        let _ = writeln!(
            page,
            "{} rows from {} of {} attempts at {} tasks: {} turns of a model, {} characters.\n",
            self.rows, self.kept, self.found, self.tasks, self.turns, self.characters
        );
        if let (Some(tokens), Some(learned)) = (self.tokens, self.learned) {
            let _ = writeln!(page, "{tokens} tokens, of which {learned} are learned.\n");
        }
        let table = |page: &mut String, title: &str, rows: &BTreeMap<String, u64>| {
            if rows.is_empty() {
                return;
            }
            let _ = writeln!(page, "## {title}\n\n| | attempts |\n|---|---:|");
            for (name, count) in rows {
                let _ = writeln!(page, "| {} | {count} |", name.replace('|', "\\|"));
            }
            page.push('\n');
        };
        table(&mut page, "By verdict", &self.outcomes);
        table(&mut page, "By repository", &self.repositories);
        table(&mut page, "By agent", &self.agents);
        if !self.dropped.is_empty() {
            page += "## Left out\n\n| why | count | for example |\n|---|---:|---|\n";
            for (reason, dropped) in &self.dropped {
                let example = dropped.examples.first().cloned().unwrap_or_default();
                let example = example.replace('|', "\\|").replace('\n', " ");
                let _ = writeln!(page, "| {} | {} | {example} |", word(reason), dropped.count);
            }
            page.push('\n');
        }
        let _ = writeln!(page, "Plan `{}`.", self.plan);
        page
    }
}

/// The name of a plain value as it stands in JSON.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The name of a verdict without its reason.
pub(crate) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Resolved => "resolved",
        Outcome::Unresolved => "unresolved",
        Outcome::Invalid(_) => "invalid",
        Outcome::Ungraded => "ungraded",
    }
}
