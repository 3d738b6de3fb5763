//! Tests for commits that have none.
//!
//! [`propose`] asks for them in one go; [`agent_assignment`] is what an agent in a sandbox is told
//! instead, and [`tests_from_patch`] takes what it left. Both end in [`screen`], which looks at
//! the text alone. Then somebody runs them on the base tree and with the gold patch, and
//! [`judge_runs`] says what came of it; [`kills`] does so for mutants of the gold patch.
//! [`repair`] asks again with what was wrong, and [`minimise`] drops what is not needed.

mod code;
mod minimise;
mod screen;
mod style;
mod take;
mod verdict;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ask::{AskError, Asker, Proposal};
use crate::prompt::{Filled, PromptError, PromptSet, Value, clip, name};
use crate::reject::Rejection;

pub use code::{ChangedCode, SourcePair, changed_code};
pub use minimise::minimise;
pub use screen::{ScreenRules, Screened, TestFunction, screen};
pub use style::{Framework, Nearest, TestStyle, nearest};
pub use take::tests_from_patch;
pub use verdict::{BaseFailure, Kills, TestOutcome, TestVerdict, judge_runs, kills};

/// Bytes of the diff that a prompt has.
const DIFF_LIMIT: usize = 40_000;
/// Bytes of the code around the change that a prompt has.
const CODE_LIMIT: usize = 40_000;
/// Bytes of what was printed that a prompt has.
const OUTPUT_LIMIT: usize = 12_000;
/// Bytes of the message of a commit that a prompt has.
const MESSAGE_LIMIT: usize = 6_000;

/// What tests are asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TestRequest {
    /// The repository, as `owner/name` or a plain name.
    pub repository: String,
    /// First line of the message.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// The change without its tests: the gold patch.
    pub diff: String,
    /// The changed entities, before and after ([`changed_code`]).
    pub code: Vec<ChangedCode>,
    /// How the repository tests.
    pub style: TestStyle,
    /// The new file ([`TestRequest::free_path`] finds one).
    pub path: String,
    /// Paths of the tree that exist, as far as they belong to tests.
    pub existing: BTreeSet<String>,
    /// Version of Python, such as `3.11`.
    pub python: String,
}

/// Tests as they were proposed, after [`screen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedTests {
    /// The new file.
    pub path: String,
    /// Its content.
    pub content: String,
    /// What the model said besides, bounded.
    pub notes: String,
    /// What the screening saw.
    pub screened: Screened,
}

impl TestRequest {
    /// A path in the directory of the tests that nothing has yet, made from the first changed
    /// file and the commit.
    pub fn free_path(style: &TestStyle, code: &[ChangedCode], commit: &str) -> String {
        let stem = code.first().map_or("change", |code| {
            let name = code.path.rsplit('/').next().unwrap_or_default();
            name.split('.').next().unwrap_or_default()
        });
        let stem: String =
            stem.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let stem = stem.trim_matches('_').to_ascii_lowercase();
        let short: String = commit.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let dash = if stem.is_empty() || short.is_empty() { "" } else { "_" };
        let file = format!("test_{stem}{dash}{short}.py");
        match style.directory.as_str() {
            "" => file,
            directory => format!("{directory}/{file}"),
        }
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        let code = self.code.iter().flat_map(ChangedCode::parts);
        let mut left = CODE_LIMIT;
        let mut kept = Vec::new();
        for (label, text) in code {
            if left < 200 {
                break;
            }
            let text = clip(&text, left);
            // The fence takes its part too.
            left = left.saturating_sub(text.len() + label.len() + 60);
            kept.push((label, text));
        }
        let example = self.style.example.as_deref().unwrap_or_default();
        let example_path = self.style.example_path.as_deref().unwrap_or("example");
        vec![
            ("repository", Value::Word(self.repository.clone())),
            ("python", Value::Word(self.python.clone())),
            ("framework", Value::Word(self.style.framework.name().to_owned())),
            ("path", Value::Word(self.path.clone())),
            ("message", message(&self.subject, &self.body)),
            ("diff", Value::text("diff", &self.diff, DIFF_LIMIT)),
            ("code", Value::Material(kept)),
            ("style", Value::text(example_path, example, style::EXAMPLE_LIMIT)),
        ]
    }
}

/// The message of a commit as material.
pub(crate) fn message(subject: &str, body: &str) -> Value {
    Value::text("message", format!("{subject}\n\n{body}").trim(), MESSAGE_LIMIT)
}

/// What is asked for tests.
///
/// # Errors
/// A prompt that was filled wrongly.
pub fn prompt_of(prompts: &PromptSet, request: &TestRequest) -> Result<Filled, PromptError> {
    prompts.fill(name::TESTS, &request.values())
}

/// Asks for tests in one go.
///
/// # Errors
/// Those of the machine. What is wrong with the answer is in the proposal.
pub fn propose(
    asker: &Asker,
    prompts: &PromptSet,
    request: &TestRequest,
) -> Result<Proposal<ProposedTests>, AskError> {
    let filled = prompt_of(prompts, request)?;
    asker.propose(&filled, |text| take::tests_from_reply(text, request))
}

/// What is to be repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble<'a> {
    /// The answer or the screening was at fault; what was proposed, if there was anything.
    Rejected(&'a Rejection),
    /// The runs were: what they said, and what they printed.
    Runs(&'a TestVerdict, &'a str),
    /// The tests take mutants of the gold patch for right: the mutants that live, as diffs.
    Survivors(&'a str),
}

/// Asks again, with what was wrong. `previous` is what stood in the file, or the whole answer
/// where there was no file in it.
///
/// # Errors
/// Those of the machine.
pub fn repair(
    asker: &Asker,
    prompts: &PromptSet,
    request: &TestRequest,
    previous: &str,
    trouble: Trouble<'_>,
) -> Result<Proposal<ProposedTests>, AskError> {
    let (problem, output) = match trouble {
        Trouble::Rejected(rejection) => {
            ("They were not run, because they break a rule.".to_owned(), rejection.to_string())
        }
        Trouble::Runs(verdict, printed) => {
            let whole = format!("{}\n{}", verdict.summary(), clip(printed, OUTPUT_LIMIT));
            (verdict.outcome.complaint().to_owned(), whole)
        }
        Trouble::Survivors(diffs) => {
            let problem = "They pass although the change was made wrongly on purpose. At least one \
                           test has to fail for each of the wrong variants below; add cases for \
                           them that the right change passes.";
            (problem.to_owned(), diffs.to_owned())
        }
    };
    let mut values = request.values();
    values.push(("problem", Value::Ours(problem)));
    values.push(("previous", Value::text(&request.path, previous, CODE_LIMIT)));
    values.push(("output", Value::text("found", &output, OUTPUT_LIMIT + 4_000)));
    let filled = prompts.fill(name::TESTS_REPAIR, &values)?;
    asker.propose(&filled, |text| take::tests_from_reply(text, request))
}

/// The statement for an agent in a sandbox that has the fixed tree and is to write tests.
///
/// # Errors
/// A prompt that was filled wrongly.
pub fn agent_assignment(prompts: &PromptSet, request: &TestRequest) -> Result<String, PromptError> {
    let filled = prompts.fill(name::TESTS_AGENT, &request.values())?;
    let texts: Vec<String> = filled.messages.into_iter().map(|(_, text)| text).collect();
    Ok(texts.join("\n\n"))
}
