//! How to run a repository at a commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, Hash};

/// Where the repository stands inside a sandbox.
pub const TESTBED: &str = "/testbed";
/// Where the environment (a virtual environment) stands inside a sandbox.
pub const ENV_DIR: &str = "/opt/env";
/// Raised when the same inputs would give another environment; part of every identity.
pub const RECIPE_VERSION: u32 = 1;

/// The program that runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runner {
    /// `pytest`, with our reporting plugin.
    #[default]
    Pytest,
    /// The standard library's `unittest`, with our reporting runner.
    Unittest,
}

/// How to run a repository: interpreter, locked packages, and how the project itself is installed.
///
/// Everything in it is data; nothing in it names a path of the machine that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Hash of interpreter, lock and recipe version: shared by every task with the same lock.
    pub id: EnvironmentId,
    /// Interpreter, `major.minor`.
    pub python: String,
    /// Interpreter with which it was proven, such as `3.6.15`.
    pub python_full: String,
    /// Pinned packages, in the format of a requirements file, sorted.
    pub lock: String,
    /// The date that packages were resolved as of, RFC 3339.
    pub exclude_newer: String,
    /// The command that installs the project itself into the environment without a network
    /// (run in the repository); empty when the repository only goes on `PYTHONPATH`.
    pub install: Vec<String>,
    /// Variables that installing and testing need.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What runs the tests.
    pub runner: Runner,
    /// Hash over everything that the install step reads, so that commits can share its result.
    pub install_key: Hash,
}

impl Environment {
    /// The identity of an environment with this interpreter and lock.
    pub fn identify(python: &str, lock: &str) -> EnvironmentId {
        let version = RECIPE_VERSION.to_string();
        EnvironmentId::from_hash(&Hash::of_parts([version.as_str(), python, lock]))
    }
}
