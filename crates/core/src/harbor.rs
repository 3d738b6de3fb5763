//! Harbor task directories: `task.toml` of schema 1.4 and `dataset.toml`.
//!
//! What Harbor does not know stands under `[metadata.palestra]`; the full record of a task is
//! [`TASK_JSON`], beside the hidden tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::task::Task;

/// Where a task directory keeps the [`Task`] itself.
pub const TASK_JSON: &str = "tests/task.json";
/// Where a task directory keeps the hidden files.
pub const TEST_FILES: &str = "tests/files";
/// Where a task directory keeps the one-commit repository.
pub const BUNDLE: &str = "environment/repo.bundle";
/// Where a task directory keeps what is applied to the tree of [`BUNDLE`] to get the tree that an
/// agent starts from, where that is another. It holds the fix backwards, and no agent sees either.
pub const BASE_PATCH: &str = "environment/base.patch";
/// Where it says, one path a line, which files of the tree of [`BUNDLE`] an agent does not see besides.
pub const BASE_REMOVED: &str = "environment/base.removed";
/// Where a task directory keeps the locked packages.
pub const LOCK: &str = "environment/requirements.lock";
/// Where a task directory keeps the gold patch.
pub const GOLD_PATCH: &str = "solution/gold.patch";
/// Version of the form of [`TASK_JSON`]; raised when an older reader would misread it.
pub const TASK_FORM: u32 = 1;

/// [`Task`] on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskForm {
    /// [`TASK_FORM`].
    pub form: u32,
    /// The task.
    pub task: Task,
    /// For each hidden file that is present, the file below [`TEST_FILES`] with its content.
    pub stored: BTreeMap<String, String>,
}

/// Why a task cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// Not JSON of the expected shape.
    #[error("task.json cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer version.
    #[error("task.json has form {found}, this version reads up to {TASK_FORM}: update palestra")]
    TooNew {
        /// The form found.
        found: u32,
    },
}

impl TaskForm {
    /// Reads [`TASK_JSON`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, FormError> {
        #[derive(Deserialize)]
        struct Version {
            form: u32,
        }
        let Version { form } = serde_json::from_slice(bytes)?;
        if form > TASK_FORM {
            return Err(FormError::TooNew { found: form });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[derive(Serialize)]
struct TaskToml<'a> {
    schema_version: &'static str,
    task: Package<'a>,
    metadata: Metadata<'a>,
    agent: Phase,
    verifier: Phase,
    environment: EnvironmentToml,
}

#[derive(Serialize)]
struct Package<'a> {
    name: String,
    description: &'a str,
    keywords: Vec<&'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    palestra: Ours<'a>,
}

#[derive(Serialize)]
struct Ours<'a> {
    form: u32,
    repository: &'a str,
    base_commit: &'a str,
    fix_commit: &'a str,
    created_at: &'a str,
    python: &'a str,
    environment: &'a str,
    statement_source: &'a str,
    fail_to_pass: usize,
    pass_to_pass: usize,
    gate_runs: u32,
    unstable: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    synthesis: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutation_score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weak: Option<bool>,
}

#[derive(Serialize)]
struct Phase {
    timeout_sec: f64,
}

#[derive(Serialize)]
struct EnvironmentToml {
    build_timeout_sec: f64,
    cpus: u32,
    memory_mb: u64,
    storage_mb: u64,
    workdir: &'static str,
}

/// `task.toml` of a task.
pub fn task_toml(task: &Task, title: &str) -> Result<String, toml::ser::Error> {
    let seconds = task.gate.seconds.iter().fold(0.0_f64, |a, b| a.max(*b));
    let form = TaskToml {
        schema_version: "1.4",
        task: Package {
            name: package_name(task.instance_id.as_str()),
            description: title,
            keywords: vec!["software-engineering", "python"],
        },
        metadata: Metadata {
            palestra: Ours {
                form: TASK_FORM,
                repository: &task.repository,
                base_commit: task.base_commit.as_str(),
                fix_commit: task.fix_commit.as_str(),
                created_at: &task.created_at,
                python: &task.environment.python,
                environment: task.environment.id.as_str(),
                statement_source: &task.statement_source,
                fail_to_pass: task.fail_to_pass.len(),
                pass_to_pass: task.pass_to_pass.len(),
                gate_runs: task.gate.runs,
                unstable: task.gate.unstable.len(),
                synthesis: task.synthesis.as_ref().map(|synthesis| synthesis.kind.as_str()),
                mutation_score: task.strength.as_ref().map(|strength| strength.score),
                weak: task.strength.as_ref().map(|strength| strength.weak),
            },
        },
        agent: Phase { timeout_sec: 3600.0 },
        // Room for a machine ten times slower than the one that ran the gate, in few steps: the same
        // task made twice is the same.
        verifier: Phase { timeout_sec: 300.0 * 2f64.powf((seconds / 30.0).max(1.0).log2().ceil()) },
        environment: EnvironmentToml {
            build_timeout_sec: 1800.0,
            cpus: 1,
            memory_mb: 4096,
            storage_mb: 10240,
            workdir: crate::environment::TESTBED,
        },
    };
    toml::to_string(&form)
}

/// The name of a task or dataset in Harbor's `org/name` form.
pub fn package_name(name: &str) -> String {
    format!("palestra/{name}")
}

/// `dataset.toml`: the tasks of a directory, each pinned by its digest.
pub fn dataset_toml(
    name: &str,
    description: &str,
    tasks: &BTreeMap<String, String>,
) -> Result<String, toml::ser::Error> {
    #[derive(Serialize)]
    struct Manifest<'a> {
        schema_version: &'static str,
        dataset: Info<'a>,
        tasks: Vec<Reference>,
    }
    #[derive(Serialize)]
    struct Info<'a> {
        name: String,
        description: &'a str,
    }
    #[derive(Serialize)]
    struct Reference {
        name: String,
        digest: String,
    }
    let tasks = tasks
        .iter()
        .map(|(task, digest)| Reference { name: package_name(task), digest: digest.clone() })
        .collect();
    toml::to_string(&Manifest {
        schema_version: "1.0",
        dataset: Info { name: package_name(name), description },
        tasks,
    })
}
