//! Statements of tasks: written by a model from the commit, taken from a real issue, or put
//! together by a template, and checked.

mod check;
mod interface;
mod issues;
mod leak;
mod template;

use serde::{Deserialize, Serialize};

use crate::ask::{AskError, Asker, Proposal, Spent};
use crate::prompt::{Filled, PromptError, PromptRef, PromptSet, Value, clip, name};
use crate::reject::{Reason, Rejection};
use crate::reply::tagged;
use crate::tests::message;

pub use check::{Objection, check_statement};
pub use interface::{Interface, InterfaceKind, interfaces};
pub use issues::{Issue, Issues, linked_numbers};
pub use template::{closing, template, template_of};

/// Bytes of each piece of material in a prompt.
const DIFF_LIMIT: usize = 30_000;
const TESTS_LIMIT: usize = 24_000;
const OUTPUT_LIMIT: usize = 8_000;

/// A hidden test that fails without the fix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingTest {
    /// `path::Class::name[parameters]`.
    pub id: String,
    /// What it printed on the base tree.
    pub before: String,
    /// What it printed with the fix; mostly nothing.
    pub after: String,
}

/// A file of hidden tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSource {
    /// Its path.
    pub path: String,
    /// What a model is shown of it: its failing tests, or all of it where it is short.
    pub shown: String,
    /// All of it.
    pub content: String,
}

/// What a statement is made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementInput {
    /// The repository.
    pub repository: String,
    /// First line of the message; empty for injected bugs.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// The fix without its tests.
    pub diff: String,
    /// The files of the hidden tests.
    pub tests: Vec<TestSource>,
    /// The hidden tests that fail without the fix.
    pub failing: Vec<FailingTest>,
    /// What the fix adds and the tests use ([`interfaces`]).
    pub interfaces: Vec<Interface>,
    /// Names of what the fix changes.
    pub changed: Vec<String>,
    /// A real issue that the commit names.
    pub issue: Option<Issue>,
}

impl TestSource {
    /// A file of tests: of a long one, the failing tests are shown.
    pub fn new(path: &str, content: &str, failing: &[FailingTest]) -> Self {
        let own = format!("{path}::");
        let keep = failing.iter().map(|test| test.id.clone()).filter(|id| id.starts_with(&own));
        let shown = match content.len() <= TESTS_LIMIT / 3 {
            true => content.to_owned(),
            false => clip(&crate::tests::minimise(content, &keep.collect()), TESTS_LIMIT),
        };
        Self { path: path.to_owned(), shown, content: content.to_owned() }
    }
}

impl StatementInput {
    fn values(&self) -> Vec<(&'static str, Value)> {
        let mut left = TESTS_LIMIT;
        let mut tests = Vec::new();
        for test in &self.tests {
            if left < 200 {
                break;
            }
            let text = clip(&test.shown, left);
            left = left.saturating_sub(text.len());
            tests.push((test.path.clone(), text));
        }
        let outputs = |text: fn(&FailingTest) -> &str| {
            let mut left = OUTPUT_LIMIT;
            let mut list = Vec::new();
            for test in self.failing.iter().filter(|test| !text(test).trim().is_empty()) {
                if left < 200 {
                    break;
                }
                let text = clip(text(test), left.min(OUTPUT_LIMIT / 2));
                left = left.saturating_sub(text.len());
                list.push((test.id.clone(), text));
            }
            Value::Material(list)
        };
        let interfaces: Vec<String> = self.interfaces.iter().map(Interface::describe).collect();
        vec![
            ("repository", Value::Word(self.repository.clone())),
            ("message", message(&self.subject, &self.body)),
            ("diff", Value::text("diff", &self.diff, DIFF_LIMIT)),
            ("tests", Value::Material(tests)),
            ("before", outputs(|test| &test.before)),
            ("after", outputs(|test| &test.after)),
            ("interfaces", Value::text("names", &interfaces.join("\n"), OUTPUT_LIMIT)),
        ]
    }
}

/// Where a statement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A real issue, with its number.
    Issue(u64),
    /// A model, after so many rewritings.
    Model(u32),
    /// The template.
    Template,
}

/// One text that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Where it comes from.
    pub origin: Origin,
    /// What was wrong with the answer itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// What was wrong with the text; empty where it was taken.
    pub objections: Vec<Objection>,
    /// The prompt, where a model was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptRef>,
    /// The hash of what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
    /// What it took.
    #[serde(default)]
    pub spent: Spent,
}

/// A statement, and how it came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// `instruction.md`.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What is still wrong with it: nothing for a model's, little things for an issue's, anything
    /// for the template's.
    pub objections: Vec<Objection>,
    /// Everything that was tried, in order, the one that was taken last.
    pub tried: Vec<Tried>,
}

/// What is asked for a statement.
///
/// # Errors
/// A prompt that was filled wrongly.
pub fn prompt_of(prompts: &PromptSet, input: &StatementInput) -> Result<Filled, PromptError> {
    prompts.fill(name::STATEMENT, &input.values())
}

/// Asks for a statement. It is not checked yet.
///
/// # Errors
/// Those of the machine.
pub fn propose(
    asker: &Asker,
    prompts: &PromptSet,
    input: &StatementInput,
) -> Result<Proposal<String>, AskError> {
    asker.propose(&prompt_of(prompts, input)?, read)
}

/// Asks again, with what was objected to.
///
/// # Errors
/// Those of the machine.
pub fn rewrite(
    asker: &Asker,
    prompts: &PromptSet,
    input: &StatementInput,
    previous: &str,
    objections: &[Objection],
) -> Result<Proposal<String>, AskError> {
    let list: Vec<String> = objections.iter().map(|objection| format!("- {objection}")).collect();
    let mut values = input.values();
    values.push(("previous", Value::text("report", previous, OUTPUT_LIMIT)));
    values.push(("objections", Value::text("objections", &list.join("\n"), OUTPUT_LIMIT)));
    let filled = prompts.fill(name::STATEMENT_REWRITE, &values)?;
    asker.propose(&filled, read)
}

/// The statement in an answer: between its marks; without marks, an answer that begins like one.
fn read(text: &str) -> Result<String, Rejection> {
    let found = tagged(text, "report").or_else(|| {
        let text = text.trim();
        text.starts_with("# ").then_some(text)
    });
    match found.map(str::trim) {
        Some("") | None => {
            Err(Rejection::new(Reason::EmptyReply, "there is nothing between the marks `<report>`"))
        }
        Some(text) => Ok(text.to_owned()),
    }
}

/// Writes a statement: a real issue that holds enough, else a model's, rewritten up to `rewrites`
/// times while there are objections, else the template's. Without a model the template follows
/// the issue at once. `template` is the text of [`template_of`], or another one.
///
/// # Errors
/// Those of the machine, apart from there being no model.
pub fn write(
    asker: &Asker,
    prompts: &PromptSet,
    input: &StatementInput,
    rewrites: u32,
) -> Result<Statement, AskError> {
    let mut tried = Vec::new();
    let closing = closing(&input.repository);
    let own = |origin, objections: &[Objection]| Tried {
        origin,
        rejection: None,
        objections: objections.to_vec(),
        prompt: None,
        ask: None,
        spent: Spent::default(),
    };
    if let Some(issue) = &input.issue {
        let origin = Origin::Issue(issue.number);
        let text = issue.statement();
        let objections = check_statement(&text, input);
        tried.push(own(origin, &objections));
        if !objections.iter().any(Objection::is_grave) {
            let text = format!("{text}\n\n{closing}");
            return Ok(Statement { text, origin, objections, tried });
        }
    }
    if asker.has_model() {
        let mut last: Option<(String, Vec<Objection>)> = None;
        for round in 0..=rewrites {
            let proposal = match &last {
                None if round > 0 => break,
                None => propose(asker, prompts, input)?,
                Some((text, objections)) => rewrite(asker, prompts, input, text, objections)?,
            };
            let origin = Origin::Model(round);
            let (objections, rejection) = match &proposal.result {
                Ok(text) => (check_statement(text, input), None),
                Err(rejection) => (Vec::new(), Some(rejection.clone())),
            };
            tried.push(Tried {
                rejection: rejection.clone(),
                prompt: Some(proposal.prompt),
                ask: Some(proposal.ask),
                spent: proposal.spent,
                ..own(origin, &objections)
            });
            match proposal.result {
                Ok(text) if objections.is_empty() => {
                    let text = format!("{text}\n\n{closing}");
                    return Ok(Statement { text, origin, objections, tried });
                }
                Ok(text) => last = Some((text, objections)),
                // What cannot be read is asked for once more by showing what was wrong with it.
                Err(rejection) if rejection.can_be_repaired() => {
                    let text = last.take().map_or_else(|| "(nothing)".to_owned(), |(text, _)| text);
                    last = Some((text, vec![Objection::Unreadable { why: rejection.to_string() }]));
                }
                Err(_) => break,
            }
        }
    }
    let text = template_of(input);
    let objections = check_statement(text.trim_end_matches(&closing), input);
    tried.push(own(Origin::Template, &objections));
    Ok(Statement { text, origin: Origin::Template, objections, tried })
}

/// Everything that asking for a statement took.
pub fn spent(statement: &Statement) -> Spent {
    let mut sum = Spent::default();
    for tried in &statement.tried {
        sum += tried.spent;
    }
    sum
}
