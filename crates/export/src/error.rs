//! What stops an export. A broken attempt never does: it is counted in the card.

use std::path::PathBuf;

/// Why there is no training set.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system failed; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Nothing that could be read was found.
    #[error("{path} holds no attempts: {why}", path = .path.display())]
    NoAttempts {
        /// What was given.
        path: PathBuf,
        /// What was looked for.
        why: String,
    },
    /// Everything was left out.
    #[error("nothing is left to export: {0}")]
    Nothing(String),
    /// The output exists and was made from something else.
    #[error("{path} exists and was not made by this export: name another, or remove it", path = .0.display())]
    Exists(PathBuf),
    /// Form and target do not go together.
    #[error("{0}")]
    Request(String),
    /// A tokenizer or its template cannot be used.
    #[error("the tokenizer {path} cannot be used: {why}", path = .path.display())]
    Tokenizer {
        /// Where it stands.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A Parquet file could not be written.
    #[error("{path} could not be written as Parquet: {source}", path = .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the writer says.
        source: parquet::errors::ParquetError,
    },
}

/// Short for results of this crate.
pub type Result<T, E = ExportError> = std::result::Result<T, E>;
