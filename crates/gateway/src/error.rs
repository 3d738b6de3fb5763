//! What can go wrong with the gateway itself. What goes wrong with a call is told to its client.

use std::io;

/// The result of starting a gateway or a session.
pub type Result<T, E = GatewayError> = std::result::Result<T, E>;

/// Why a gateway or a session does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address.
    #[error("the gateway cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// Threads, a directory.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The record of a session.
    #[error(transparent)]
    Trace(#[from] palestra_trace::TraceError),
    /// The name of a session.
    #[error(
        "`{0}` cannot name a session: use 1 to 128 letters, digits, `.`, `_`, `-`, and no `.` first"
    )]
    Name(String),
    /// Two sessions of one name.
    #[error("there is a session `{0}` already")]
    Exists(String),
    /// An option.
    #[error("{0}")]
    Option(String),
}
