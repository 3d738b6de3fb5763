//! A proven task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::id::{CommitId, Hash, InstanceId};

/// A file of the hidden tests, laid over the tree before grading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestFile {
    /// Path in the repository.
    pub path: String,
    /// Unix mode: `0o100644`, `0o100755` or `0o120000`.
    pub mode: u32,
    /// BLAKE3 of the content; `None` when the commit deletes the path.
    pub hash: Option<Hash>,
}

/// How often a test passed in the gate's runs, as `passed / runs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRate {
    /// Runs in which it passed on the base tree with the hidden tests.
    pub base: u32,
    /// Runs in which it passed with the gold patch.
    pub gold: u32,
}

/// What the gate saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GateRecord {
    /// How many times each side was run.
    pub runs: u32,
    /// Pass rates of tests that did not pass always on gold and never or always on base.
    /// (The rates of FAIL_TO_PASS and PASS_TO_PASS tests follow from their lists.)
    pub unstable: BTreeMap<String, PassRate>,
    /// Wall seconds of every run, base runs first. Not written: the same task made twice is the
    /// same.
    #[serde(default, skip_serializing)]
    pub seconds: Vec<f64>,
}

/// Proof that the agent's repository does not reveal the fix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakCertificate {
    /// Commits reachable in the agent's repository: 1.
    pub commits: usize,
    /// Objects in it, all of them listed from its packs.
    pub objects: usize,
    /// Blobs and trees of the fix commit that the base does not have: none may be found.
    pub forbidden: usize,
    /// How many of the forbidden were found: 0.
    pub found: usize,
}

/// What a judge thinks of a task. It decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Opinion {
    /// Whether the change alters behaviour that tests can show.
    pub is_task: bool,
    /// Whether the statement suffices to pass the tests.
    pub sufficient: bool,
    /// Whether the tests ask for more than it says.
    pub tests_exceed_statement: bool,
    /// `A`, or what is the matter, `B1` to `B11`, as SWE-rebench V2 has them.
    pub codes: Vec<String>,
    /// From 0 to 1.
    pub confidence: f64,
    /// Why.
    pub reasons: String,
    /// `easy`, `medium` or `hard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<String>,
    /// The judge.
    pub by: String,
}

/// How much the tests of a task see, as wrong fixes show that were graded for real.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// Wrong fixes that were graded.
    pub mutants: usize,
    /// Those that did not resolve the task.
    pub killed: usize,
    /// The share of the killed.
    pub score: f64,
    /// Tests of either list that failed for at least one.
    pub distinguishing: usize,
    /// FAIL_TO_PASS tests that passed with every one.
    pub blind: usize,
    /// Whether the score is below what was asked for.
    pub weak: bool,
    /// The hash of the wrong fixes.
    pub made: Hash,
}

/// How a task came to be that people did not write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Synthesis {
    /// `bug` (put into a tree whose tests pass) or `tests` (written for a commit that has none).
    pub kind: String,
    /// What made it: names of modifiers, or of prompts with their versions.
    pub by: Vec<String>,
    /// The model that was asked, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The seed.
    #[serde(default)]
    pub seed: u64,
}

/// A statement, a base tree, an environment, hidden tests and a gold patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub instance_id: InstanceId,
    /// The repository as `owner/name`, or a plain name.
    pub repository: String,
    /// The tree that an agent starts from.
    pub base_commit: CommitId,
    /// The commit that the task was made from.
    pub fix_commit: CommitId,
    /// Date of the fix, RFC 3339.
    pub created_at: String,
    /// How to run it.
    pub environment: Environment,
    /// What the tests are run on: paths in the repository.
    pub test_paths: Vec<String>,
    /// The hidden files.
    pub test_files: Vec<TestFile>,
    /// Tests that fail without the fix and pass with it.
    pub fail_to_pass: Vec<String>,
    /// Tests that pass with and without the fix.
    pub pass_to_pass: Vec<String>,
    /// Where the statement is from: `template` until one is written.
    pub statement_source: String,
    /// What a judge thinks of it, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opinion: Option<Opinion>,
    /// How it came to be, where it is not a commit with its own tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis: Option<Synthesis>,
    /// How much its tests see, once that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// What the gate saw.
    pub gate: GateRecord,
    /// What the object scan saw.
    pub leak: LeakCertificate,
}
