//! Scores of attempts without their hidden tests, and the choice of the best one.
//!
//! Nothing is run here, and nothing printed: who joins this crate with sandboxes hands in what they
//! found. An attempt is a [`Candidate`], and every score stands in it under a name:
//!
//! - [`execution`]: regression tests and generated tests, from the reports of their runs;
//! - [`free`]: what a language model says about trajectory and patch;
//! - [`critic`]: gradient-boosted trees on what can be counted in them, trained here.
//!
//! A [`Cascade`] orders the scores, [`choose()`] applies it, [`EarlyStop`] says when one more attempt is
//! not worth its cost, and [`bench`] measures all of it. A score that is missing ranks below all
//! others and is counted; the order of attempts never matters.
//!
//! Hidden tests and verdicts are unknown here, except in [`bench`] and in the rows that a critic is
//! trained on.

pub mod bench;
mod candidate;
mod cascade;
mod choose;
pub mod critic;
mod error;
pub mod execution;
pub mod free;
mod plot;
mod stop;

pub use candidate::{
    AGREEMENT, CRITIC, Candidate, EXECUTION_FREE, REGRESSION, REPRODUCTION, REPRODUCTION_WEIGHTED,
    Score,
};
pub use cascade::{Cascade, Keep, Stage};
pub use choose::{Choice, Kept, choose};
pub use error::{Result, VerifyError};
pub use plot::{Figure, Series};
pub use stop::{Cost, Decision, EarlyStop, Per};
