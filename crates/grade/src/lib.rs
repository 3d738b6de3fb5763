//! Environment, patch and tests into a verdict; the gate.
//!
//! Knows nothing of agents, models or git: files go in as bytes, results come out. Results leave
//! a sandbox through a pipe, sealed line by line, never through the text that tests print; and the
//! exit status that the runner announces has to be the one that `wait` gives. What is missing, was
//! skipped or did not come to its end has not passed.
//!
//! [`run_tests`] and [`gate`] trust the code that they run. [`grade()`] does not: `THREATS.md`
//! beside this crate's manifest says against what it guards, and what is left.

mod canary;
pub mod docker;
mod error;
pub mod gate;
mod grade;
pub mod grading;
mod install;
mod judge;
pub mod patch;
pub mod paths;
mod policy;
mod random;
pub mod run;
pub mod runner;
mod screen;
mod seal;
mod session;
mod signs;
mod trial;
mod twin;

pub use error::GradeError;
pub use gate::{GateOutcome, GateReject, Proof, decide, gate};
pub use grade::{Asked, GradeInput, Stale, evidence, grade, rejudge};
pub use grading::{Audit, Cause, Evidence, GradeOptions, Grading, Tampering, Weight, When};
pub use judge::verdict;
pub use run::{RunLimits, TestRun, overlay_ops, run_tests};
