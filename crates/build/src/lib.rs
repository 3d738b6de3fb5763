//! Candidate into environment: for a commit of a repository that nobody has seen before, find
//! the interpreter, the packages of its time and the way to install it, by itself.
//!
//! [`Builder::plan`] reads what the commit says about itself; nothing of it is run.
//! [`Builder::build`] makes the environment in sandboxes. Where that fails, or the tests do not
//! run, [`Builder::repair`] proposes the next recipe, and [`Builder::remember`] keeps what worked
//! for the commit's neighbours.

mod builder;
mod dates;
pub mod docker;
mod error;
mod fetching;
mod flight;
mod imports;
mod index;
mod install;
pub mod interpreters;
pub mod keys;
pub mod manifest;
mod materialise;
mod memory;
pub mod plan;
pub mod program;
pub mod python;
pub mod recipe;
mod repair;
mod requirement;
mod resolve;
pub mod rows;
pub mod tree;
pub mod uv;

pub use builder::{BuildFailure, Builder, BuilderOptions, Built, Step, variables};
pub use error::BuildError;
pub use index::Index;
pub use interpreters::Interpreter;
pub use manifest::Manifest;
pub use recipe::{Action, InstallMode, Recipe, Repair};
