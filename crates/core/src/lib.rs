//! The nouns of palestra as types, and their forms on disk.
//!
//! Every other crate speaks in these words: [`Candidate`], [`Environment`], [`Task`],
//! [`TestReport`], [`Verdict`]. There is no clock here, no randomness and no process:
//! values in, values out. The only input and output is [`disk`], which writes files whole.

pub mod atif;
pub mod candidate;
pub mod disk;
pub mod environment;
pub mod harbor;
pub mod id;
pub mod job;
pub mod ledger;
pub mod report;
pub mod task;
pub mod verdict;

pub use candidate::{Candidate, ChangeKind, Entity, EntityChanges, EntityKind, FileChange};
pub use environment::{Environment, Runner};
pub use id::{CommitId, EnvironmentId, Hash, InstanceId};
pub use report::{TestReport, TestResult, TestStatus};
pub use task::{Task, TestFile};
pub use verdict::{InvalidReason, Verdict};
