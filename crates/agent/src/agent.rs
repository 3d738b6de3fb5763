//! What an agent is: something that is started on a task and goes on step by step.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use palestra_model::{Answer, Message, Model, ModelError, Sampling, Tool};
use palestra_sandbox::{Sandbox, SandboxError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the agent is told, and where it works.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Name of the task.
    pub id: String,
    /// The problem statement, as Markdown.
    pub statement: String,
    /// The repository inside the sandbox.
    pub directory: PathBuf,
    /// Directories to put in front of `PATH`, such as the environment's `bin`.
    pub path: Vec<PathBuf>,
}

/// Bounds of one attempt. Each is looked at before a call is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Calls of the model.
    pub steps: u32,
    /// The agent's own time: calls that succeeded and tools, without waits for the server.
    #[serde(with = "crate::seconds")]
    pub time: Duration,
    /// Tokens of all prompts and completions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Tokens of one prompt with its completion: the model's context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
    /// Dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// One command may run so long.
    #[serde(with = "crate::seconds")]
    pub command: Duration,
    /// Bytes of one observation that are shown to the model.
    pub observation: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 50,
            time: Duration::from_secs(3600),
            tokens: None,
            context: None,
            cost: None,
            command: Duration::from_secs(120),
            observation: 32 << 10,
        }
    }
}

/// How a long history is shortened before it is sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ContextPolicy {
    /// Not at all.
    #[default]
    None,
    /// Observations but the last `keep` are replaced by a line that says so.
    MaskObservations {
        /// So many of the latest observations stay.
        keep: usize,
    },
    /// Above `above` tokens the model summarises all but the last `keep` messages.
    Summarise {
        /// Tokens of the last prompt above which it is done.
        above: u64,
        /// So many of the latest messages stay.
        keep: usize,
    },
}

/// Everything that an agent is started with.
pub struct Stage {
    /// Where it works. It belongs to the attempt from here on.
    pub sandbox: Sandbox,
    /// The task.
    pub assignment: Arc<Assignment>,
    /// The model.
    pub model: Arc<dyn Model>,
    /// The model's name as the server knows it.
    pub model_name: String,
    /// How to sample.
    pub sampling: Sampling,
    /// Bounds.
    pub limits: Limits,
    /// How a long history is shortened.
    pub context: ContextPolicy,
    /// A name of the attempt that no other attempt has; sent to the server for routing.
    pub session: String,
    /// Set by who wants to stop.
    pub stop: Arc<AtomicBool>,
    /// What only some agents need: the gold patch for `oracle`, a trajectory for `replay`, the
    /// gateway for an external agent.
    pub aid: Aid,
}

/// What only some agents need.
#[derive(Debug, Clone, Default)]
pub struct Aid {
    /// The fix, for `oracle`.
    pub gold: Option<Vec<u8>>,
    /// Tool calls of an earlier attempt with what the model said, for `replay`.
    pub recorded: Vec<Record>,
    /// Base URL of this attempt's session of the gateway as seen from inside the sandbox, without
    /// the API's own path: `http://gateway/sessions/x`.
    pub gateway: Option<String>,
}

/// Makes attempts.
pub trait Agent: Send + Sync {
    /// Its name, as in `-a NAME`.
    fn name(&self) -> &str;

    /// Raised when it would act otherwise than before.
    fn version(&self) -> &str;

    /// Hashes and texts that decide how it acts, for the record: prompts, tools, options.
    fn describe(&self) -> Map<String, Value>;

    /// The tools that it offers natively.
    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    /// Whether it asks a model at all.
    fn needs_model(&self) -> bool {
        true
    }

    /// How it is described, if it is a program of its own. Such an agent is installed in a layer, and
    /// reaches nothing but a gateway.
    fn external(&self) -> Option<&crate::external::ExternalSpec> {
        None
    }

    /// Begins an attempt. No model is asked yet.
    fn start(&self, stage: Stage) -> Result<Box<dyn Live>, AgentError>;
}

/// An attempt under way.
pub trait Live: Send {
    /// Goes on by one step: one call of the model and what it asks for. After [`Progress::exit`] it
    /// must not be called again.
    ///
    /// # Errors
    /// Only what ends the attempt without its doing: the machine, the server. What the agent does
    /// wrong is in the record.
    fn step(&mut self) -> Result<Progress, AgentError>;

    /// The sandbox.
    fn sandbox(&self) -> &Sandbox;

    /// `count` attempts that go on from here, each with its own sandbox and the same history.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] where the agent cannot.
    fn fork(&mut self, count: usize) -> Result<Vec<Box<dyn Live>>, AgentError>;

    /// The conversation so far, as the next call would send it.
    fn messages(&self) -> Vec<Arc<Message>>;

    /// The sandbox, when the attempt is over. Sessions in it are ended.
    fn finish(self: Box<Self>) -> Sandbox;
}

/// What a step brought.
#[derive(Debug, Clone)]
pub struct Progress {
    /// What happened, in order. The first step of an attempt begins with the instructions and the
    /// statement.
    pub records: Vec<Record>,
    /// Why the attempt is over, if it is.
    pub exit: Option<Exit>,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The instructions.
    System,
    /// The statement, and what the scaffold says by itself.
    User,
    /// The model.
    Agent,
}

/// One entry of a trajectory.
#[derive(Debug, Clone)]
pub struct Record {
    /// Who.
    pub source: Source,
    /// What was said, byte for byte.
    pub message: Arc<Message>,
    /// The calls that were carried out, in order, with what came back.
    pub actions: Vec<Action>,
    /// The call of the model; `None` for what no model said.
    pub answer: Option<Arc<Answer>>,
    /// The conversation that was sent with it, where it is not all that was said before: after a
    /// context policy has shortened it.
    pub sent: Option<Vec<Arc<Message>>>,
    /// Seconds of the tools.
    pub tool_seconds: f64,
    /// Anything else worth keeping.
    pub extra: Map<String, Value>,
}

/// A tool call that was carried out, native or read out of the text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The call's id; made up for calls out of the text.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its arguments, byte for byte.
    pub arguments: Map<String, Value>,
    /// What the model is shown.
    pub observation: String,
    /// Whether the call could not be carried out.
    pub failed: bool,
    /// Exit status of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
}

/// Why an attempt is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The agent said that it is done.
    Submitted,
    /// [`Limits::steps`].
    StepLimit,
    /// [`Limits::tokens`].
    TokenLimit,
    /// [`Limits::context`], or the server says that the prompt is too long.
    ContextLimit,
    /// [`Limits::time`].
    TimeLimit,
    /// [`Limits::cost`].
    CostLimit,
    /// The model did not act several times in a row.
    NoAction,
    /// The model did the same again and again, and nothing else.
    Loop,
    /// The model or its server refused.
    Refused,
}

/// What ends an attempt without its doing.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The server of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// An option of the agent, a file of its own.
    #[error("agent {agent}: {what}")]
    Setup {
        /// The agent.
        agent: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The agent cannot do this.
    #[error("agent {agent} cannot {what}")]
    Unsupported {
        /// The agent.
        agent: String,
        /// What was wanted.
        what: &'static str,
    },
    /// The caller wanted to stop.
    #[error("interrupted")]
    Cancelled,
}
