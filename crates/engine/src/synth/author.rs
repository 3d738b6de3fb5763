//! Who writes what people did not: statements, judged by somebody else; everything is booked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use palestra_core::ledger::Writer;
use palestra_core::task::Opinion;
use palestra_core::{TestReport, disk};
use palestra_synth::ledger::{StageOutcome, stage};
use palestra_synth::statement::{
    self, FailingTest, Issues, Origin, StatementInput, TestSource, interfaces,
};
use palestra_synth::tests::SourcePair;
use palestra_synth::{AskError, Asker, PromptSet, StageEntry, judge};

use super::steady::steady;
use crate::dataset::Dataset;
use crate::error::EngineError;
use crate::gold::failure_text;

/// Writes statements, and has them judged. Without a model there are issues and the template.
pub struct Author {
    /// Asks the model.
    pub asker: Asker,
    /// What is asked.
    pub prompts: PromptSet,
    /// Real issues.
    pub issues: Issues,
    /// Whether a model writes statements; without, it is the template's.
    pub writes: bool,
    /// How often a statement is written anew because of what is wrong with it.
    pub rewrites: u32,
    /// How often generated tests are repaired.
    pub repairs: u32,
    /// The model, by its name.
    pub model: Option<String>,
    ledger: Option<Mutex<Writer>>,
}

impl std::fmt::Debug for Author {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Author").field("model", &self.model).finish_non_exhaustive()
    }
}

/// A file before and after, owned.
pub(crate) type Pair = (String, Option<Vec<u8>>, Option<Vec<u8>>);

/// What a task is written from.
pub(crate) struct Facts<'a> {
    pub(crate) repository: &'a str,
    /// The commit, as the ledger names it.
    pub(crate) commit: &'a str,
    pub(crate) task: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) body: &'a str,
    pub(crate) gold_patch: &'a [u8],
    /// The sources that the fix changes.
    pub(crate) pairs: &'a [Pair],
    /// The hidden tests.
    pub(crate) tests: &'a BTreeMap<String, Vec<u8>>,
    pub(crate) fail_to_pass: &'a [String],
    /// A run without the fix.
    pub(crate) base: Option<&'a TestReport>,
}

/// A statement with what was said of it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) text: String,
    /// `template`, `issue` or `model`.
    pub(crate) source: String,
    pub(crate) opinion: Option<Opinion>,
}

impl Author {
    /// Nobody: the template, and no judge.
    pub fn nobody() -> Self {
        Self {
            asker: Asker::none(),
            prompts: PromptSet::builtin(),
            issues: Issues::default(),
            writes: false,
            rewrites: 0,
            repairs: 0,
            model: None,
            ledger: None,
        }
    }

    /// With a ledger below a dataset.
    pub fn booked(mut self, dataset: &Dataset) -> Result<Self, EngineError> {
        let path = dataset.dir().join(".palestra/synth.jsonl");
        self.ledger = Some(Mutex::new(Writer::open(&path)?));
        Ok(self)
    }

    /// Books what a stage did.
    pub(crate) fn note(&self, entry: &StageEntry) -> Result<(), EngineError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        Ok(ledger.lock().unwrap_or_else(PoisonError::into_inner).append(entry)?)
    }

    /// Writes a statement, checked; and has it judged where there is a model.
    pub(crate) fn tell(&self, dataset: &Dataset, facts: &Facts<'_>) -> Result<Told, EngineError> {
        let input = self.input(facts);
        let none = Asker::none();
        let asker = if self.writes { &self.asker } else { &none };
        let written =
            statement::write(asker, &self.prompts, &input, self.rewrites).map_err(asked)?;
        let (commit, task) = (Some(facts.commit), Some(facts.task));
        for tried in &written.tried {
            let taken = tried.origin == written.origin;
            let outcome = if taken { StageOutcome::Kept } else { StageOutcome::Rejected };
            let mut entry = StageEntry::new(stage::STATEMENT, commit, task, outcome);
            let why = tried
                .rejection
                .as_ref()
                .map(|rejection| (rejection.reason.name().to_owned(), rejection.detail.clone()));
            let why = why.or_else(|| {
                let first = tried.objections.first()?;
                Some((first.name().to_owned(), first.to_string()))
            });
            if let Some((reason, detail)) = why.filter(|_| !taken) {
                entry = entry.because(&reason, detail);
            }
            self.note(&StageEntry {
                spent: tried.spent,
                prompt: tried.prompt.clone(),
                ask: tried.ask.clone(),
                ..entry
            })?;
        }
        let opinion = match self.writes && self.asker.has_model() {
            true => self.judge(facts, &written.text)?,
            false => None,
        };
        let source = match written.origin {
            Origin::Issue(_) => "issue",
            Origin::Model(_) => "model",
            Origin::Template => "template",
        };
        let path = dataset.dir().join(".palestra/statements").join(format!("{}.json", facts.task));
        disk::write_json(
            &path,
            &serde_json::json!({
                "origin": written.origin,
                "objections": written.objections,
                "tried": written.tried,
                "opinion": opinion,
            }),
        )?;
        Ok(Told { text: written.text, source: source.to_owned(), opinion })
    }

    fn input(&self, facts: &Facts<'_>) -> StatementInput {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let failing: Vec<FailingTest> = facts
            .fail_to_pass
            .iter()
            .map(|id| {
                let before = facts.base.and_then(|report| failure_text(report, id));
                let before = steady(before.unwrap_or_default());
                FailingTest { id: id.clone(), before, after: String::new() }
            })
            .collect();
        let named = |path: &String| {
            let own = format!("{path}::");
            facts.fail_to_pass.iter().any(|id| id.starts_with(&own))
        };
        let tests: Vec<TestSource> = facts
            .tests
            .iter()
            .filter(|(path, _)| named(path))
            .map(|(path, content)| TestSource::new(path, &text(content), &failing))
            .collect();
        let pairs: Vec<SourcePair<'_>> = borrowed(facts.pairs);
        let contents: Vec<&str> = tests.iter().map(|test| test.content.as_str()).collect();
        let interfaces = interfaces(&pairs, &contents);
        StatementInput {
            repository: facts.repository.to_owned(),
            subject: facts.subject.to_owned(),
            body: facts.body.to_owned(),
            diff: text(facts.gold_patch),
            changed: facts.pairs.iter().map(|(path, ..)| path.clone()).collect(),
            issue: self.issues.linked(facts.repository, facts.subject, facts.body).cloned(),
            tests,
            failing,
            interfaces,
        }
    }

    fn judge(&self, facts: &Facts<'_>, statement: &str) -> Result<Option<Opinion>, EngineError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tests: Vec<(String, String)> =
            facts.tests.iter().map(|(path, content)| (path.clone(), text(content))).collect();
        let input = judge::JudgeInput {
            repository: facts.repository,
            subject: facts.subject,
            body: facts.body,
            statement,
            diff: &text(facts.gold_patch),
            tests: &tests,
        };
        let proposal = judge::judge(&self.asker, &self.prompts, &input).map_err(asked)?;
        self.note(&StageEntry::of(stage::JUDGE, Some(facts.commit), Some(facts.task), &proposal))?;
        Ok(proposal.result.ok().map(|judgement| Opinion {
            is_task: judgement.is_task,
            sufficient: judgement.sufficient,
            tests_exceed_statement: judgement.tests_exceed_statement,
            codes: judgement.codes.iter().map(|code| code.code().to_owned()).collect(),
            confidence: judgement.confidence,
            reasons: judgement.reasons,
            difficulty: judgement.difficulty.and_then(|difficulty| {
                serde_json::to_value(difficulty).ok()?.as_str().map(str::to_owned)
            }),
            by: self.model.clone().unwrap_or_default(),
        }))
    }
}

/// Pairs as the feature wants them.
pub(crate) fn borrowed(pairs: &[Pair]) -> Vec<SourcePair<'_>> {
    pairs
        .iter()
        .map(|(path, before, after)| SourcePair {
            path,
            before: before.as_deref(),
            after: after.as_deref(),
        })
        .collect()
}

/// What asking failed by is no property of a commit.
pub(crate) fn asked(error: AskError) -> EngineError {
    match error {
        AskError::NoModel { .. } | AskError::Prompt(_) => EngineError::Input(error.to_string()),
        AskError::Cache(error) => EngineError::Io(error),
        AskError::Model(_) => EngineError::Machine(error.to_string()),
    }
}
