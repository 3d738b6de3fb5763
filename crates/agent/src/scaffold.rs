//! What tells one chat scaffold from another.

use std::sync::Arc;

use palestra_core::Hash;
use palestra_model::{Message, Tool};
use serde_json::{Map, Value, json};

use crate::agent::{Agent, AgentError, Assignment, Live, Stage};
use crate::hands::Hands;
use crate::tool_loop::ToolLoop;

/// How actions stand in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As tool calls of the API.
    Native,
    /// In the text, as [`crate::format::xml`] reads them.
    Xml,
    /// In the text: one fenced block with one of these languages, a command for the tool `bash`.
    Block(&'static [&'static str]),
}

/// A call whose arguments are what its tool takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// Its arguments, of the types that the tool's schema names.
    pub arguments: Map<String, Value>,
}

impl Call {
    /// A string argument.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).and_then(Value::as_str)
    }

    /// An integer argument.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.arguments.get(name).and_then(Value::as_i64)
    }

    /// A list of two integers; `Some(None)` if it is a list of something else.
    pub(crate) fn range(&self, name: &str) -> Option<Option<(i64, i64)>> {
        let items = self.arguments.get(name)?.as_array()?;
        Some(match &**items {
            [from, to] => from.as_i64().zip(to.as_i64()),
            _ => None,
        })
    }
}

/// What a tool answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// What the model is shown.
    pub text: String,
    /// Whether the call could not be carried out.
    pub failed: bool,
    /// Exit status of a command.
    pub status: Option<i32>,
    /// Whether the agent is done with it.
    pub submitted: bool,
}

impl Observed {
    /// An answer.
    pub fn answer(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Why the call was not carried out.
    pub fn refusal(text: impl Into<String>) -> Self {
        Self { text: text.into(), failed: true, ..Self::default() }
    }
}

/// Why a reply has no action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAction {
    /// There is none in it.
    None,
    /// The reply was cut off before it was whole.
    Cut,
    /// So many actions, where there may be only one.
    Several(usize),
}

/// What tells one chat scaffold from another: prompts, tools, and the texts of observations. It
/// holds nothing of any attempt; what tools keep is in [`Hands`].
pub trait Scaffold: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Raised when it would act otherwise than before.
    fn version(&self) -> &str;

    /// How actions stand in a reply.
    fn format(&self) -> Format;

    /// The tools, whether they are offered natively or described in the prompt.
    fn tools(&self) -> &Arc<[Tool]>;

    /// What the conversation begins with.
    fn opening(&self, assignment: &Assignment) -> Vec<Message>;

    /// The templates of its prompts, by name, for the record.
    fn prompts(&self) -> Vec<(&'static str, String)>;

    /// Its options, for the record.
    fn options(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Another name of a parameter that the scaffold takes too, put right before arguments are
    /// checked.
    fn normalise(&self, _tool: &str, _arguments: &mut Map<String, Value>) {}

    /// Carries out a call.
    ///
    /// # Errors
    /// Where the sandbox fails; what the model did wrong is in the answer.
    fn act(&self, hands: &mut Hands, call: &Call) -> Result<Observed, AgentError>;

    /// The text that the model is shown for an answer.
    fn show(&self, tool: &str, observed: &Observed) -> String {
        let _ = tool;
        observed.text.clone()
    }

    /// What is said to a reply without an action.
    fn hint(&self, why: &NoAction) -> String;

    /// What is added to the end of what the model is shown next, after `used` steps of `limit`.
    fn remaining(&self, used: u32, limit: u32) -> Option<String> {
        let _ = (used, limit);
        None
    }
}

/// An agent that is a scaffold in the common loop.
pub struct ChatAgent<S> {
    scaffold: Arc<S>,
}

impl<S: Scaffold> ChatAgent<S> {
    /// An agent with this scaffold.
    pub fn new(scaffold: S) -> Self {
        Self { scaffold: Arc::new(scaffold) }
    }
}

impl<S: Scaffold + 'static> Agent for ChatAgent<S> {
    fn name(&self) -> &str {
        self.scaffold.name()
    }

    fn version(&self) -> &str {
        self.scaffold.version()
    }

    fn describe(&self) -> Map<String, Value> {
        let tools = serde_json::to_vec(&**self.scaffold.tools()).unwrap_or_default();
        let format = match self.scaffold.format() {
            Format::Native => "native",
            Format::Xml => "text",
            Format::Block(_) => "block",
        };
        let prompts = self
            .scaffold
            .prompts()
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Hash::of(text.as_bytes()).as_str().into()))
            .collect::<Map<String, Value>>();
        let described = json!({
            "format": format,
            "prompts": prompts,
            "tools": Hash::of(&tools).as_str(),
            "options": self.scaffold.options(),
        });
        match described {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn tools(&self) -> Vec<Tool> {
        match self.scaffold.format() {
            Format::Native => self.scaffold.tools().to_vec(),
            _ => Vec::new(),
        }
    }

    fn start(&self, stage: Stage) -> Result<Box<dyn Live>, AgentError> {
        Ok(Box::new(ToolLoop::new(self.scaffold.clone(), stage)))
    }
}
