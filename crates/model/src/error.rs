//! What can go wrong with a call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of a call.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// Why a call has no reply. Texts name the server, never the key.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelError {
    /// 429, or a limit that the server states.
    #[error("{server} limits the rate of calls: {detail}")]
    RateLimited {
        /// The server.
        server: String,
        /// What it said.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// 5xx, or an overload that the server states.
    #[error("{server} failed with status {status}: {detail}")]
    Server {
        /// The server.
        server: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// No connection, or one that broke.
    #[error("{server} cannot be reached: {detail}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        detail: String,
    },
    /// No whole reply in time.
    #[error("{server} did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// The server.
        server: String,
        /// How long it had.
        after: Duration,
    },
    /// The answer is not what the API promises.
    #[error("{server} answered with something else than a completion: {detail}")]
    Garbage {
        /// The server.
        server: String,
        /// What was wrong.
        detail: String,
    },
    /// 401 or 403.
    #[error("{server} refuses the key: {detail} (set the variable that holds it)")]
    Unauthorised {
        /// The server.
        server: String,
        /// What it said.
        detail: String,
    },
    /// The prompt is longer than the model's context.
    #[error("the prompt is longer than the context of the model: {detail}")]
    ContextTooLong {
        /// What the server said.
        detail: String,
    },
    /// Another 4xx: the request is wrong, and would be wrong again.
    #[error("{server} refuses the request with status {status}: {detail}")]
    Rejected {
        /// The server.
        server: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        detail: String,
    },
    /// A bound on money or tokens is reached.
    #[error("the budget is spent: {0}")]
    Budget(String),
    /// A cassette has no such call.
    #[error("the cassette has no recording of this call: {0}")]
    NotRecorded(String),
    /// A file of prices, a cassette or a ledger.
    #[error("{0}")]
    File(String),
    /// The caller wanted to stop.
    #[error("interrupted")]
    Cancelled,
}

impl ModelError {
    /// The same error with its texts changed.
    pub(crate) fn map_text(mut self, change: impl Fn(String) -> String) -> Self {
        match &mut self {
            Self::RateLimited { detail, .. }
            | Self::Server { detail, .. }
            | Self::Unreachable { detail, .. }
            | Self::Garbage { detail, .. }
            | Self::Unauthorised { detail, .. }
            | Self::ContextTooLong { detail }
            | Self::Rejected { detail, .. }
            | Self::Budget(detail)
            | Self::NotRecorded(detail)
            | Self::File(detail) => *detail = change(std::mem::take(detail)),
            Self::TimedOut { .. } | Self::Cancelled => {}
        }
        self
    }

    /// One word for records.
    pub fn word(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::Server { .. } => "server",
            Self::Unreachable { .. } => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::Garbage { .. } => "garbage",
            Self::Unauthorised { .. } => "unauthorised",
            Self::ContextTooLong { .. } => "context_too_long",
            Self::Rejected { .. } => "rejected",
            Self::Budget(_) => "budget",
            Self::NotRecorded(_) => "not_recorded",
            Self::File(_) => "file",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Server { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Garbage { .. }
        )
    }
}
