//! What each stage did with each thing, and what came of all of them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::ask::{Proposal, Spent};
use crate::prompt::PromptRef;

/// Names of stages. Others may be used too.
pub mod stage {
    /// Judging a commit or a task.
    pub const JUDGE: &str = "judge";
    /// Asking for tests.
    pub const TESTS: &str = "tests";
    /// Asking again.
    pub const TESTS_REPAIR: &str = "tests_repair";
    /// An agent that writes tests.
    pub const TESTS_AGENT: &str = "tests_agent";
    /// Running tests on base and gold.
    pub const TESTS_RUN: &str = "tests_run";
    /// Running tests on mutants.
    pub const TESTS_MUTANTS: &str = "tests_mutants";
    /// Making tests smaller.
    pub const TESTS_MINIMISE: &str = "tests_minimise";
    /// A text for a statement.
    pub const STATEMENT: &str = "statement";
    /// A bug by a model.
    pub const BUG_MODEL: &str = "bug_model";
    /// A bug by a modifier.
    pub const BUG_PROCEDURAL: &str = "bug_procedural";
    /// Running a bug.
    pub const BUG_RUN: &str = "bug_run";
    /// Proving a task.
    pub const GATE: &str = "gate";
    /// Auditing a task.
    pub const AUDIT: &str = "audit";
}

/// What a stage did with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageOutcome {
    /// It goes on.
    Kept,
    /// It ends here, for a reason of its own.
    Rejected,
    /// The machine, a server or the budget failed; it says nothing about the thing.
    Failed,
    /// It was not tried: no model, nothing to do.
    Skipped,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageEntry {
    /// The stage, a name of [`stage`] or another.
    pub stage: String,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The task, where it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What came of it.
    pub outcome: StageOutcome,
    /// Why, in snake case, where it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What it took of a model.
    #[serde(flatten)]
    pub spent: Spent,
    /// The prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptRef>,
    /// The hash of all that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
}

impl StageEntry {
    /// A line of a stage that asks nobody.
    pub fn new(
        stage: &str,
        commit: Option<&str>,
        task: Option<&str>,
        outcome: StageOutcome,
    ) -> Self {
        Self {
            stage: stage.to_owned(),
            commit: commit.map(str::to_owned),
            task: task.map(str::to_owned),
            outcome,
            reason: None,
            detail: String::new(),
            spent: Spent::default(),
            prompt: None,
            ask: None,
        }
    }

    /// The same with a reason.
    pub fn because(mut self, reason: &str, detail: impl Into<String>) -> Self {
        self.reason = Some(reason.to_owned());
        self.detail = detail.into();
        self
    }

    /// The line of a proposal: kept, or rejected with its reason.
    pub fn of<T>(
        stage: &str,
        commit: Option<&str>,
        task: Option<&str>,
        proposal: &Proposal<T>,
    ) -> Self {
        let entry = match &proposal.result {
            Ok(_) => Self::new(stage, commit, task, StageOutcome::Kept),
            Err(rejection) => {
                let line = rejection.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                Self::new(stage, commit, task, StageOutcome::Rejected)
                    .because(rejection.reason.name(), format!("{line}{}", rejection.detail))
            }
        };
        Self {
            spent: proposal.spent,
            prompt: Some(proposal.prompt.clone()),
            ask: Some(proposal.ask.clone()),
            ..entry
        }
    }
}

/// What came of one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Yield {
    /// The stage.
    pub stage: String,
    /// Things that came in.
    pub came: u64,
    /// Things that went on.
    pub kept: u64,
    /// Things that ended here, by reason, the most frequent first.
    pub rejected: Vec<(String, u64)>,
    /// Failures of the machine.
    pub failed: u64,
    /// Not tried.
    pub skipped: u64,
    /// What this run paid.
    pub paid: Spent,
    /// What earlier runs paid for answers that were used again.
    pub reused: Spent,
}

/// What came of every stage, in the order in which the stages first appear.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Yields {
    /// A stage each.
    pub stages: Vec<Yield>,
}

impl Yields {
    /// Sums up.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a StageEntry>) -> Self {
        let mut yields = Self::default();
        for entry in entries {
            yields.add(entry);
        }
        for stage in &mut yields.stages {
            stage.rejected.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
        }
        yields
    }

    fn add(&mut self, entry: &StageEntry) {
        let place = self.stages.iter().position(|stage| stage.stage == entry.stage);
        let place = place.unwrap_or_else(|| {
            self.stages.push(Yield { stage: entry.stage.clone(), ..Yield::default() });
            self.stages.len() - 1
        });
        let stage = &mut self.stages[place];
        stage.came += 1;
        match entry.outcome {
            StageOutcome::Kept => stage.kept += 1,
            StageOutcome::Failed => stage.failed += 1,
            StageOutcome::Skipped => stage.skipped += 1,
            StageOutcome::Rejected => {
                let reason = entry.reason.clone().unwrap_or_else(|| "unknown".to_owned());
                match stage.rejected.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, count)) => *count += 1,
                    None => stage.rejected.push((reason, 1)),
                }
            }
        }
        match entry.spent.cached {
            true => stage.reused += entry.spent,
            false => stage.paid += entry.spent,
        }
    }

    /// A table for people, without colours.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "stage            in   out  failed  tokens in  tokens out    money  rejected\n",
        );
        for stage in &self.stages {
            let (tokens_in, tokens_out) = (
                stage.paid.tokens_in + stage.reused.tokens_in,
                stage.paid.tokens_out + stage.reused.tokens_out,
            );
            let money = stage.paid.money.map_or("-".to_owned(), |money| format!("${money:.4}"));
            let rejected: Vec<String> =
                stage.rejected.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{:<14} {:>4}  {:>4}  {:>6}  {tokens_in:>9}  {tokens_out:>10}  {money:>7}  {}",
                stage.stage,
                stage.came,
                stage.kept,
                stage.failed + stage.skipped,
                rejected.join(", ")
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_summed_up() {
        let spent =
            Spent { tokens_in: 10, tokens_out: 2, money: Some(0.5), seconds: 1.0, cached: false };
        let kept = StageEntry {
            spent,
            ..StageEntry::new(stage::TESTS, Some("c"), None, StageOutcome::Kept)
        };
        let cached = StageEntry { spent: Spent { cached: true, ..spent }, ..kept.clone() };
        let rejected = |reason: &str| {
            StageEntry::new(stage::TESTS, None, None, StageOutcome::Rejected).because(reason, "x")
        };
        let failed = StageEntry::new(stage::JUDGE, None, None, StageOutcome::Failed);
        let all = [rejected("a"), kept, rejected("b"), failed, cached, rejected("b")];
        let text = all.iter().map(|entry| serde_json::to_string(entry).unwrap());
        let read: Vec<StageEntry> = text.map(|text| serde_json::from_str(&text).unwrap()).collect();
        assert_eq!(read, all);
        let yields = Yields::of(&read);
        let tests = &yields.stages[0];
        assert_eq!((tests.came, tests.kept, yields.stages.len()), (5, 2, 2));
        assert_eq!(tests.rejected, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        assert_eq!((tests.paid.money, tests.reused.money), (Some(0.5), Some(0.5)));
        assert!(yields.table().contains("b 2, a 1"), "{}", yields.table());
    }
}
