//! What came of putting bugs into a tree.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bugs::BugEntry;
use crate::report::bytes;

/// What came of putting bugs into a tree.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BugReport {
    /// The repository.
    pub repository: String,
    /// The commit.
    pub commit: String,
    /// Tests of its suite that pass in every run.
    pub tests: usize,
    /// Wall time of the quickest run of the suite.
    pub suite_seconds: f64,
    /// Bugs that were proposed.
    pub proposed: usize,
    /// Those that became tasks.
    pub tasks: usize,
    /// The others, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// Proposed bugs and tasks of every modifier; of a bug made by several, of each.
    pub modifiers: BTreeMap<String, (usize, usize)>,
    /// Bytes of the dataset directory, what has several names counted once.
    pub bytes: u64,
    /// Wall time of this run.
    pub seconds: f64,
    /// Processor time of this run: all runs of tests, and this program.
    pub cpu_seconds: f64,
}

impl BugReport {
    /// Counts a decision.
    pub(crate) fn count(&mut self, entry: &BugEntry) {
        self.proposed += 1;
        match &entry.rejected {
            None => self.tasks += 1,
            Some(reason) => *self.rejected.entry(reason.clone()).or_default() += 1,
        }
        for modifier in &entry.modifiers {
            let (proposed, tasks) = self.modifiers.entry(modifier.clone()).or_default();
            *proposed += 1;
            *tasks += usize::from(entry.rejected.is_none());
        }
    }

    /// The table that a person reads.
    pub fn table(&self) -> String {
        use std::fmt::Write;
        let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let mut text = format!(
            "  suite       {:>7}  tests pass in every run, {:.1} s\n  \
             proposed    {:>7}  bugs\n  tasks       {:>7}  {:.1} % of them\n",
            self.tests,
            self.suite_seconds,
            self.proposed,
            self.tasks,
            share(self.tasks, self.proposed),
        );
        if !self.rejected.is_empty() {
            text.push_str("\n  rejected\n");
            let mut reasons: Vec<_> = self.rejected.iter().collect();
            reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            for (reason, count) in reasons {
                let _ = writeln!(text, "  {count:>19}  {reason}");
            }
        }
        let _ = writeln!(text, "\n  {:<28}{:>8}{:>8}", "modifier", "bugs", "tasks");
        for (name, (proposed, tasks)) in &self.modifiers {
            let _ = writeln!(
                text,
                "  {name:<28}{proposed:>8}{tasks:>8}  {:>5.1} %",
                share(*tasks, *proposed)
            );
        }
        let _ = write!(
            text,
            "\n  seconds     wall {:.1}  processor {:.1}",
            self.seconds, self.cpu_seconds
        );
        if self.cpu_seconds > 0.0 && self.tasks > 0 {
            let rate = self.tasks as f64 * 60.0 / self.cpu_seconds;
            let _ = write!(text, "  ({rate:.1} tasks a processor minute)");
        }
        let _ = write!(text, "\n  bytes       tasks {}", bytes(self.bytes));
        if self.tasks > 0 {
            let _ = write!(text, "  ({} per task)", bytes(self.bytes / self.tasks as u64));
        }
        text.push('\n');
        text
    }
}
