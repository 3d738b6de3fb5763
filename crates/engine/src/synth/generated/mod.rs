//! Tests for commits that have none: proposed, run on both sides, shown wrong fixes, made smaller,
//! proven.

mod agent;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use palestra_agent::{Agent, Limits};
use palestra_core::Candidate;
use palestra_model::Model;
use serde::Serialize;

use self::writer::Writer;
use crate::dataset::{Entry, Stage};
use crate::error::EngineError;
use crate::event::Event;
use crate::parallel::parallel;
use crate::work::{Rejected, Workshop};

/// An agent that writes tests in a sandbox.
#[derive(Clone)]
pub struct Writing {
    /// The agent.
    pub agent: Arc<dyn Agent>,
    /// Its model.
    pub model: Arc<dyn Model>,
    /// Bounds of each attempt.
    pub limits: Limits,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writing").field("agent", &self.agent.name()).finish_non_exhaustive()
    }
}

/// What tests are to be written for.
#[derive(Debug, Clone)]
pub struct Generate {
    /// Commits without usable tests.
    pub candidates: Vec<Candidate>,
    /// Commits at a time.
    pub jobs: usize,
    /// Decides which wrong fixes the tests are shown.
    pub seed: u64,
    /// Who writes them in a sandbox; otherwise they are asked for in one go.
    pub writing: Option<Writing>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GenerateReport {
    /// Commits without usable tests.
    pub candidates: usize,
    /// Those that became tasks.
    pub tasks: usize,
    /// The others, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// What was paid to the model in this run, tokens in and out.
    pub tokens: (u64, u64),
    /// Dollars, where prices are known.
    pub money: Option<f64>,
    /// Wall time.
    pub seconds: f64,
}

/// Writes tests for every commit that was not decided before.
pub fn generate(shop: &Workshop<'_>, request: &Generate) -> Result<GenerateReport, EngineError> {
    let begin = Instant::now();
    let (decisions, _) = shop.dataset.decisions()?;
    let done = |candidate: &&Candidate| {
        decisions.get(&(Stage::Tests, candidate.commit.clone())).is_some_and(|entry| {
            entry
                .instance_id
                .as_ref()
                .is_none_or(|id| shop.dataset.task_dir(id).join("task.toml").is_file())
        })
    };
    let open: Vec<&Candidate> = request.candidates.iter().filter(|one| !done(one)).collect();
    let count = request.candidates.len();
    shop.sink.event(&Event::Planned { candidates: count, done: count - open.len() });
    parallel(&open, request.jobs, |candidate| {
        shop.check_stop()?;
        let begin = Instant::now();
        let commit = candidate.commit.to_string();
        let subject = candidate.subject.clone();
        shop.sink.event(&Event::Started { commit: commit.clone(), subject: subject.clone() });
        let result = Writer { shop, request, candidate }.write()?;
        let seconds = begin.elapsed().as_secs_f64();
        let mut entry = Entry::new(Stage::Tests, &candidate.commit, seconds);
        let (outcome, detail) = match result {
            Ok(task) => {
                let lists = (task.fail_to_pass.len(), task.pass_to_pass.len());
                entry.instance_id = Some(task.instance_id);
                ("task".to_owned(), format!("{subject} [{} F2P, {} P2P]", lists.0, lists.1))
            }
            Err(Rejected { reason, detail }) => {
                entry.rejected = Some(reason.clone());
                (reason, detail)
            }
        };
        entry.detail.clone_from(&detail);
        shop.dataset.record(&entry)?;
        shop.sink.event(&Event::Decided { commit, outcome, detail, seconds });
        Ok(())
    })?;
    let (decisions, _) = shop.dataset.decisions()?;
    let mut report = GenerateReport { candidates: count, ..GenerateReport::default() };
    for candidate in &request.candidates {
        match decisions.get(&(Stage::Tests, candidate.commit.clone())) {
            Some(Entry { rejected: Some(reason), .. }) => {
                *report.rejected.entry(reason.clone()).or_default() += 1;
            }
            Some(_) => report.tasks += 1,
            None => {}
        }
    }
    let paid = shop.author.asker.paid();
    (report.tokens, report.money) = ((paid.tokens_in, paid.tokens_out), paid.money);
    shop.dataset.write_manifest(shop.repo.name())?;
    report.seconds = begin.elapsed().as_secs_f64();
    Ok(report)
}

impl GenerateReport {
    /// The table that a person reads.
    pub fn table(&self) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "  without tests {:>5}  commits\n  tasks         {:>5}  {:.1} %\n",
            self.candidates,
            self.tasks,
            100.0 * self.tasks as f64 / self.candidates.max(1) as f64
        );
        let mut reasons: Vec<_> = self.rejected.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        if !reasons.is_empty() {
            text.push_str("\n  rejected\n");
        }
        for (reason, count) in reasons {
            let _ = writeln!(text, "  {count:>19}  {reason}");
        }
        let _ = writeln!(
            text,
            "\n  tokens      {} in, {} out{}\n  seconds     {:.1}",
            self.tokens.0,
            self.tokens.1,
            self.money.map(|money| format!(" ({money:.4} dollars)")).unwrap_or_default(),
            self.seconds
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_came_of_it() {
        let report = GenerateReport {
            candidates: 4,
            tasks: 1,
            rejected: BTreeMap::from([("flaky".to_owned(), 1), ("no_code".to_owned(), 2)]),
            ..GenerateReport::default()
        };
        let table = report.table();
        assert!(table.contains("25.0 %") && table.contains("2  no_code"), "{table}");
    }
}
