//! What can go wrong besides the tests.

use palestra_sandbox::SandboxError;

/// Why tests could not be run. Says nothing about the tests.
#[derive(Debug, thiserror::Error)]
pub enum GradeError {
    /// The sandbox failed.
    #[error("tests cannot be run: {0}")]
    Sandbox(#[from] SandboxError),
    /// A path that is not one of the repository's.
    #[error("the path {path:?} {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it, as a verb phrase.
        why: &'static str,
    },
    /// A hidden file without content.
    #[error("the content of the hidden file {0:?} is not given")]
    NoContent(String),
    /// A hidden file of a kind that cannot be laid over a tree.
    #[error("the hidden file {path:?} has mode {mode:o}; expected 100644, 100755 or 120000")]
    Mode {
        /// Its path.
        path: String,
        /// Its mode.
        mode: u32,
    },
}
