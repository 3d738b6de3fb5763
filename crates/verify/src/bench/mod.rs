//! Measuring verifiers against the truth.
//!
//! **Here, and nowhere else in this crate, verdicts are known.** A [`Pool`] is attempts with their
//! scores, what they took and whether they resolved their tasks; [`bench`] says what every cascade
//! would have chosen, exactly, for every number of attempts.

mod compute;
mod measure;
mod plots;
mod pool;
mod replay;
mod report;
mod rows;
mod table;

pub use measure::{BenchOptions, bench};
pub use pool::{Labelled, Pool, Problem};
pub use replay::{Replay, replay};
pub use report::{
    BenchReport, CascadeReport, Comparison, Curve, Point, Skipped, StopPoint, TestQuality,
};
