//! Environment, patch and tests into a verdict; the gate.
//!
//! Knows nothing of agents, models or git: files go in as bytes, results come out. Results leave
//! a sandbox through a file of our own, never through the text that tests print; and the exit
//! status that the runner announces has to be the one that `wait` gives. What is missing, was
//! skipped or did not come to its end has not passed.
//!
//! Known limit: the tests share a process with the code that reports them, so code that is written
//! against this very channel can still forge a record.

pub mod docker;
mod error;
pub mod gate;
mod judge;
pub mod patch;
pub mod paths;
pub mod run;
pub mod runner;
mod session;

pub use error::GradeError;
pub use gate::{GateOutcome, GateReject, Proof, decide, gate};
pub use judge::verdict;
pub use run::{RunLimits, TestRun, overlay_ops, run_tests};
