//! What ends an attempt without its doing, and what follows from it.

use palestra_agent::{AgentError, Exit};
use palestra_model::ModelError;
use palestra_sandbox::SandboxError;
use serde::{Deserialize, Serialize};

/// Who failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The model's server limits calls, and patience is over.
    ModelRateLimited,
    /// The model's server fails.
    ModelServer,
    /// The model's server cannot be reached.
    ModelUnreachable,
    /// The model's server does not answer in time.
    ModelTimedOut,
    /// The model's server answers with something else than a completion.
    ModelGarbage,
    /// The model's server refuses the request.
    ModelRejected,
    /// The model's server refuses the key.
    ModelUnauthorised,
    /// The money or the tokens of the whole job are spent.
    BudgetSpent,
    /// A cassette does not hold the call.
    NotRecorded,
    /// The sandbox.
    Sandbox,
    /// The environment of the task cannot be made.
    Environment,
    /// The task's directory is broken.
    TaskBroken,
    /// The agent cannot be started, or cannot do what was asked.
    AgentSetup,
    /// The agent broke down at work.
    Agent,
    /// The grader could not judge.
    Grading,
    /// A file could not be written, or another failure of the machine.
    Machine,
    /// A mistake of ours.
    Internal,
    /// The user.
    Cancelled,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Another try may go better.
    pub retry: bool,
    /// What the attempt left can be graded.
    pub grade: bool,
    /// The attempt says something about the agent, and may be trained on.
    pub train: bool,
}

/// A failure with its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who.
    pub kind: FailureKind,
    /// What was said.
    pub message: String,
}

impl FailureKind {
    /// What follows. No failure is ever a zero for the agent: what may not be graded is invalid.
    pub fn flags(self) -> Flags {
        let retry = matches!(
            self,
            Self::ModelRateLimited
                | Self::ModelServer
                | Self::ModelUnreachable
                | Self::ModelTimedOut
                | Self::ModelGarbage
                | Self::Sandbox
                | Self::Grading
        );
        Flags { retry, grade: false, train: false }
    }

    /// Whether every other attempt would fail in the same way, so that the job stops.
    pub fn stops_the_job(self) -> bool {
        matches!(
            self,
            Self::ModelUnauthorised
                | Self::BudgetSpent
                | Self::NotRecorded
                | Self::AgentSetup
                | Self::Machine
                | Self::Cancelled
        )
    }

    /// The name in Harbor's table of errors whose flags are nearest.
    pub fn harbor(self) -> &'static str {
        match self {
            Self::ModelRateLimited => "ApiRateLimitError",
            Self::ModelServer => "ApiInternalServerError",
            Self::ModelUnreachable => "ApiConnectionError",
            Self::ModelTimedOut => "ApiResponseStalledError",
            Self::ModelGarbage => "APIResponseValidationError",
            Self::ModelRejected => "BadRequestError",
            Self::ModelUnauthorised => "AgentAuthenticationError",
            Self::BudgetSpent => "BudgetExceededError",
            Self::NotRecorded => "ModelNotFoundError",
            Self::Sandbox => "RuntimeRequestError",
            Self::Environment | Self::TaskBroken => "SandboxBuildFailedError",
            Self::AgentSetup => "MissingExtraError",
            Self::Agent => "NonZeroAgentExitCodeError",
            Self::Grading => "VerifierOutputParseError",
            Self::Machine | Self::Internal => "RegradeError",
            Self::Cancelled => "CancelledError",
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let kind = match &error {
            AgentError::Model(error) => match error {
                ModelError::RateLimited { .. } => FailureKind::ModelRateLimited,
                ModelError::Server { .. } => FailureKind::ModelServer,
                ModelError::Unreachable { .. } => FailureKind::ModelUnreachable,
                ModelError::TimedOut { .. } => FailureKind::ModelTimedOut,
                ModelError::Garbage { .. } => FailureKind::ModelGarbage,
                ModelError::Unauthorised { .. } => FailureKind::ModelUnauthorised,
                ModelError::ContextTooLong { .. } | ModelError::Rejected { .. } => {
                    FailureKind::ModelRejected
                }
                ModelError::Budget(_) => FailureKind::BudgetSpent,
                ModelError::NotRecorded(_) => FailureKind::NotRecorded,
                ModelError::File(_) => FailureKind::Machine,
                ModelError::Cancelled => FailureKind::Cancelled,
            },
            AgentError::Sandbox(_) => FailureKind::Sandbox,
            AgentError::Setup { .. } | AgentError::Unsupported { .. } => FailureKind::AgentSetup,
            AgentError::Cancelled => FailureKind::Cancelled,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::new(FailureKind::Sandbox, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(FailureKind::Machine, error.to_string())
    }
}

/// What follows when an attempt ended by its own doing, however: it is the agent's, so it is graded
/// and may be trained on.
pub const ENDED: Flags = Flags { retry: false, grade: true, train: true };

/// The name in Harbor's table of errors of an exit that Harbor counts as one.
pub(crate) fn exit_in_harbor(exit: &Exit) -> Option<&'static str> {
    match exit {
        Exit::TimeLimit => Some("AgentTimeoutError"),
        Exit::ContextLimit => Some("ContextWindowExceededError"),
        Exit::TokenLimit | Exit::CostLimit => Some("OutputTokenExceededError"),
        Exit::Refused => Some("AgentSafetyRefusalError"),
        Exit::Submitted | Exit::StepLimit | Exit::NoAction | Exit::Loop => None,
    }
}
