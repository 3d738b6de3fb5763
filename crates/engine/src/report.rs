//! The yield of a run: from commits to tasks, with reasons, seconds and bytes.

use std::collections::BTreeMap;

use palestra_core::CommitId;
use palestra_mine::MinedCommit;
use serde::{Deserialize, Serialize};

use crate::dataset::{Decisions, Entry, Stage};

/// `report.json`: what became of every commit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct YieldReport {
    /// The repository as `owner/name`.
    pub repository: String,
    /// Name of the filters.
    pub preset: String,
    /// Commits looked at.
    pub commits: usize,
    /// Commits that change both source and tests.
    pub eligible: usize,
    /// Commits that passed the filters and were worked on.
    pub candidates: usize,
    /// Candidates whose environment runs the touched tests.
    pub built: usize,
    /// Candidates whose touched tests all passed on the fixed tree.
    pub works: usize,
    /// Proven tasks.
    pub tasks: usize,
    /// Candidates that no stage has decided yet (the run was cut short).
    pub undecided: usize,
    /// Why commits and candidates fell out.
    pub rejected: BTreeMap<String, usize>,
    /// Seconds of work by stage, summed over workers; `wall` is the time of the last run.
    pub seconds: BTreeMap<String, f64>,
    /// Bytes on disk, every inode counted once.
    pub bytes_on_disk: Bytes,
}

/// Bytes on disk by what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Our private copy of the repository.
    pub repository: u64,
    /// Environments, trees and installed projects.
    pub environments: u64,
    /// Task directories.
    pub tasks: u64,
}

/// What mining said, in numbers.
#[derive(Debug, Clone, Default)]
pub struct MineSummary {
    /// Commits looked at.
    pub commits: usize,
    /// Commits that change both source and tests.
    pub eligible: usize,
    /// Rejections by reason.
    pub rejected: BTreeMap<String, usize>,
    /// Wall time.
    pub seconds: f64,
}

impl MineSummary {
    /// Adds up what the filters said.
    pub(crate) fn count(&mut self, mined: &[MinedCommit]) {
        for commit in mined {
            let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
            let both = some(commit.features.source_files) && some(commit.features.test_files);
            self.eligible += usize::from(both);
            if let Some(rejection) = &commit.rejected {
                *self.rejected.entry(rejection.reason.clone()).or_default() += 1;
            }
        }
    }
}

impl YieldReport {
    /// Adds up the decisions about `candidates`.
    pub fn tally(mine: &MineSummary, candidates: &[CommitId], decisions: &Decisions) -> Self {
        let mut report = Self {
            commits: mine.commits,
            eligible: mine.eligible,
            candidates: candidates.len(),
            rejected: mine.rejected.clone(),
            ..Self::default()
        };
        report.seconds.insert("mine".to_owned(), round(mine.seconds));
        let (mut build_seconds, mut gate_seconds) = (0.0, 0.0);
        for commit in candidates {
            let build = decisions.get(&(Stage::Build, commit.clone()));
            let gate = decisions.get(&(Stage::Gate, commit.clone()));
            build_seconds += build.map_or(0.0, |e| e.seconds);
            gate_seconds += gate.map_or(0.0, |e| e.seconds);
            report.works += usize::from(build.is_some_and(|e| e.works));
            match (build, gate) {
                (Some(Entry { rejected: Some(reason), .. }), _) => report.reject(reason),
                (Some(_), Some(Entry { rejected: Some(reason), .. })) => {
                    report.built += 1;
                    report.reject(reason);
                }
                (Some(_), Some(_)) => {
                    report.built += 1;
                    report.tasks += 1;
                }
                (Some(_), None) => {
                    report.built += 1;
                    report.undecided += 1;
                }
                (None, _) => report.undecided += 1,
            }
        }
        report.seconds.insert("build".to_owned(), round(build_seconds));
        report.seconds.insert("gate".to_owned(), round(gate_seconds));
        report
    }

    fn reject(&mut self, reason: &str) {
        *self.rejected.entry(reason.to_owned()).or_default() += 1;
    }

    /// The table that a person reads.
    pub fn table(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let share = |part: usize, whole: usize| {
            if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
        };
        let mut row = |name: &str, count: usize, note: String| {
            let _ = writeln!(text, "  {name:<12}{count:>7}  {note}");
        };
        row("commits", self.commits, String::new());
        row("eligible", self.eligible, "change both source and tests".to_owned());
        row("candidates", self.candidates, format!("pass the filters ({})", self.preset));
        row(
            "built",
            self.built,
            format!(
                "{:.1} % of the candidates; all touched tests pass with the fix on {} ({:.1} %)",
                share(self.built, self.candidates),
                self.works,
                share(self.works, self.candidates),
            ),
        );
        row(
            "tasks",
            self.tasks,
            format!("{:.1} % of the candidates", share(self.tasks, self.candidates)),
        );
        if self.undecided > 0 {
            row("undecided", self.undecided, "run the same command again to continue".to_owned());
        }
        if !self.rejected.is_empty() {
            let mut reasons: Vec<_> = self.rejected.iter().collect();
            reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            text.push_str("\n  rejected\n");
            for (reason, count) in reasons {
                let _ = writeln!(text, "  {count:>19}  {reason}");
            }
        }
        text.push_str("\n  seconds     ");
        for stage in ["mine", "build", "gate", "wall"] {
            if let Some(seconds) = self.seconds.get(stage) {
                let _ = write!(text, "{stage} {seconds:.1}  ");
            }
        }
        if let Some(wall) = self.seconds.get("wall").filter(|_| self.tasks > 0) {
            let _ = write!(text, "({:.2} wall per task)", wall / self.tasks as f64);
        }
        let Bytes { repository, environments, tasks } = self.bytes_on_disk;
        let _ = write!(
            text,
            "\n  bytes       repository {}  environments {}  tasks {}",
            bytes(repository),
            bytes(environments),
            bytes(tasks),
        );
        if self.tasks > 0 {
            let _ =
                write!(text, "  ({} per task)", bytes((environments + tasks) / self.tasks as u64));
        }
        text.push('\n');
        text
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    let count = count as f64;
    if count >= 1e9 {
        format!("{:.2} GB", count / 1e9)
    } else if count >= 1e6 {
        format!("{:.1} MB", count / 1e6)
    } else {
        format!("{:.0} kB", count / 1e3)
    }
}
