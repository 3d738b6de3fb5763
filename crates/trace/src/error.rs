//! What can go wrong.

use std::io;

/// The result of recording or reading.
pub type Result<T, E = TraceError> = std::result::Result<T, E>;

/// Why a trace cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file. The text names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is not a trace, or one of a later form.
    #[error("{path} is no trace that this version reads: {what}")]
    Form {
        /// The file.
        path: String,
        /// What its first line is.
        what: String,
    },
    /// A value that JSON cannot hold.
    #[error("a call cannot be written to {path}: {what}")]
    Unwritable {
        /// The file.
        path: String,
        /// Why.
        what: String,
    },
}
