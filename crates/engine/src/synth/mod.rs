//! Tasks that people did not write: bugs put into trees that work.
//!
//! What is proposed is proven as everything else is: by running tests on both sides, each side
//! three times, in sandboxes without a network.

mod audit;
mod author;
mod bugs;
mod by_model;
mod generated;
mod report;
mod steady;
mod suite;

pub use audit::{AuditReport, AuditRequest, GradedMutant, TaskAudit, audit, candidates_path};
pub use author::Author;
pub(crate) use author::{Facts, Pair};
pub use bugs::{BugEntry, BugRequest, bugs};
pub use generated::{Generate, GenerateReport, Writing, generate};
pub use report::BugReport;
