//! What can be wrong with what is handed in.

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Attempts at different tasks were to be compared.
    #[error("attempts at {first} and at {second} cannot be compared: choose for each task apart")]
    MixedTasks {
        /// A task.
        first: String,
        /// Another.
        second: String,
    },
    /// Two attempts have one name, so scores could land on the wrong one.
    #[error("two attempts at {task} are named {id}: give each its own name")]
    Twice {
        /// The task.
        task: String,
        /// The name.
        id: String,
    },
    /// A cascade that cannot be read.
    #[error("{name} is no cascade: {why}")]
    Cascade {
        /// Its name or file.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Attempts that cannot be counted.
    #[error(transparent)]
    Count(#[from] palestra_stats::CascadeError),
    /// A critic cannot be trained from these rows.
    #[error("a critic cannot be trained: {0}")]
    Training(String),
    /// A critic's file that this program cannot use.
    #[error("this is no critic that can be used: {0}")]
    Critic(String),
    /// Nothing to measure.
    #[error("there is nothing to measure: {0}")]
    Empty(String),
    /// A picture that cannot be made.
    #[error("the plot {0:?} cannot be drawn: {1}")]
    Plot(String, String),
}

/// A result of this crate.
pub type Result<T, E = VerifyError> = std::result::Result<T, E>;
