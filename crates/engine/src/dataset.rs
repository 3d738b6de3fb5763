//! The output directory: tasks, ledgers, and the lock that keeps a second run out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;
use palestra_core::ledger::{self, Writer};
use palestra_core::{CommitId, Hash, InstanceId, disk, harbor};
use palestra_store::lease::Lock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::EngineError;
use crate::hold::hold;

/// Where files stand that many tasks have.
const POOL: &str = ".palestra/shared";

/// What a dataset directory is made from. A later run on the same directory must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The repository as `owner/name`.
    pub repository: String,
    /// Path or URL of the repository.
    pub source: String,
    /// Name of the filters.
    pub preset: String,
}

/// One line of the ledger: a candidate was decided by a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `build` or `gate`.
    pub stage: Stage,
    /// The commit.
    pub commit: CommitId,
    /// `None` when the stage let it pass; otherwise the reason, in snake case.
    pub rejected: Option<String>,
    /// One line for people.
    pub detail: String,
    /// Whether the touched tests all ran and passed on the fixed tree.
    #[serde(default)]
    pub works: bool,
    /// Name of the environment, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Names of the store's layers that it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// The repairs that led to the environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<String>,
    /// Name of the task, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// Wall time.
    pub seconds: f64,
}

/// The last decision of each stage about each commit.
pub type Decisions = BTreeMap<(Stage, CommitId), Entry>;

impl Entry {
    /// That the stage let the commit pass, until more is said.
    pub fn new(stage: Stage, commit: &CommitId, seconds: f64) -> Self {
        Self {
            stage,
            commit: commit.clone(),
            rejected: None,
            detail: String::new(),
            works: false,
            environment: None,
            layers: Vec::new(),
            repairs: Vec::new(),
            instance_id: None,
            seconds,
        }
    }
}

/// A stage that decides about candidates one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Candidate into environment.
    Build,
    /// Environment into task.
    Gate,
    /// A commit without tests into task.
    Tests,
}

/// A dataset directory, locked for this process.
#[derive(Debug)]
pub struct Dataset {
    dir: PathBuf,
    ledger: Mutex<Writer>,
    _lock: Lock,
}

impl Dataset {
    /// Opens or makes `dir`. Fails if another process works on it, or if it was made from
    /// something else than `plan`.
    pub fn open(dir: &Path, plan: Option<&Plan>) -> Result<Self, EngineError> {
        let inner = dir.join(".palestra");
        if plan.is_none() && !inner.is_dir() {
            return Err(EngineError::NotADataset { dir: dir.to_owned() });
        }
        fs::create_dir_all(&inner)?;
        let lock = hold(dir, ".palestra/lock")?;
        let path = inner.join("plan.json");
        if let Some(plan) = plan {
            match fs::read(&path) {
                Ok(bytes) => {
                    let found: Plan = serde_json::from_slice(&bytes).map_err(|error| {
                        EngineError::Corrupt { path: path.clone(), why: error.to_string() }
                    })?;
                    if found.repository != plan.repository || found.preset != plan.preset {
                        return Err(EngineError::OtherPlan {
                            dir: dir.to_owned(),
                            found: format!("{} with preset {}", found.repository, found.preset),
                            wanted: format!("{} with preset {}", plan.repository, plan.preset),
                        });
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    disk::write_json(&path, plan)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let dataset = Self {
            dir: dir.to_owned(),
            ledger: Mutex::new(Writer::open(&inner.join("ledger.jsonl"))?),
            _lock: lock,
        };
        dataset.sweep()?;
        Ok(dataset)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the directory was made from.
    pub fn plan(&self) -> Result<Plan, EngineError> {
        let path = self.dir.join(".palestra/plan.json");
        serde_json::from_slice(&fs::read(&path)?)
            .map_err(|error| EngineError::Corrupt { path, why: error.to_string() })
    }

    /// Where the mined commits stand.
    pub fn mined(&self) -> PathBuf {
        self.dir.join(".palestra/mine.jsonl")
    }

    /// Where the tests that did not pass on the fixed tree stand, with what they said.
    pub fn failures(&self, commit: &CommitId) -> PathBuf {
        self.dir.join(".palestra/failures").join(format!("{commit}.json"))
    }

    /// Appends a decision.
    pub fn record(&self, entry: &Entry) -> Result<(), EngineError> {
        let mut ledger = self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(ledger.append(entry)?)
    }

    /// The last decision of each stage about each commit, and what could not be read.
    pub fn decisions(&self) -> Result<(Decisions, Vec<String>), EngineError> {
        let (entries, problems) = ledger::read::<Entry>(&self.dir.join(".palestra/ledger.jsonl"))?;
        let map = entries.into_iter().map(|e| ((e.stage, e.commit.clone()), e)).collect();
        Ok((map, problems))
    }

    /// Where the task stands or will stand.
    pub fn task_dir(&self, id: &InstanceId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    /// A directory beside the tasks to write a task into before it is renamed into place.
    pub fn staging(&self, id: &InstanceId) -> PathBuf {
        self.dir.join(".palestra/staging").join(id.as_str())
    }

    /// A temporary directory below ours: what a killed run leaves of it, the next one removes.
    pub fn scratch(&self) -> Result<tempfile::TempDir, EngineError> {
        let staging = self.dir.join(".palestra/staging");
        fs::create_dir_all(&staging)?;
        Ok(tempfile::Builder::new().prefix("scratch-").tempdir_in(staging)?)
    }

    /// Writes a file of a task that other tasks have too: on disk it stands once, under as many
    /// names as there are tasks with it. Where the file system cannot do that it is a plain file.
    pub(crate) fn share(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), EngineError> {
        let permissions = || std::os::unix::fs::PermissionsExt::from_mode(mode);
        let name = format!("{}-{mode:o}", Hash::of(bytes).short());
        let shared = self.dir.join(POOL).join(name);
        if fs::metadata(&shared).is_ok_and(|m| m.len() == bytes.len() as u64)
            && fs::read(&shared)? == bytes
            && fs::hard_link(&shared, path).is_ok()
        {
            return Ok(());
        }
        fs::write(path, bytes)?;
        fs::set_permissions(path, permissions())?;
        // Of two tasks at once the last one wins; both files are whole.
        fs::create_dir_all(self.dir.join(POOL))?;
        let _ = fs::remove_file(&shared);
        let _ = fs::hard_link(path, &shared);
        Ok(())
    }

    /// The task directories, in the order of their names.
    pub fn tasks(&self) -> Result<Vec<PathBuf>, EngineError> {
        let mut tasks = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.join("task.toml").is_file() {
                tasks.push(path);
            }
        }
        tasks.sort();
        Ok(tasks)
    }

    /// Writes `dataset.toml`: every task, pinned by Harbor's digest of its files.
    pub fn write_manifest(&self, name: &str) -> Result<(), EngineError> {
        let mut digests = BTreeMap::new();
        for dir in self.tasks()? {
            if let Some(task) = dir.file_name().and_then(|n| n.to_str()) {
                digests.insert(task.to_owned(), format!("sha256:{}", package_digest(&dir)?));
            }
        }
        let name = name.replace('/', "__").replace("..", "-");
        let description = format!("Tasks mined from the history of {name}");
        let text = harbor::dataset_toml(&name, &description, &digests)?;
        Ok(disk::write_atomic(&self.dir.join("dataset.toml"), text.as_bytes())?)
    }

    /// Removes what a killed run left half-written.
    fn sweep(&self) -> Result<(), EngineError> {
        let staging = self.dir.join(".palestra/staging");
        if staging.exists() {
            fs::remove_dir_all(&staging)?;
        }
        // What no task has any more.
        if let Ok(pool) = fs::read_dir(self.dir.join(POOL)) {
            for entry in pool {
                let entry = entry?;
                if std::os::unix::fs::MetadataExt::nlink(&entry.metadata()?) == 1 {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        for dir in [self.dir.clone(), self.dir.join(".palestra")] {
            for entry in fs::read_dir(dir)? {
                let path = entry?.path();
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
                if name.is_some_and(|n| n.starts_with('.') && n.ends_with(".partial")) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }
}

/// The digest that Harbor's publisher gives a task directory: SHA-256 over
/// `path NUL sha256-of-file newline` of its files in the order of their paths.
pub(crate) fn package_digest(dir: &Path) -> Result<String, EngineError> {
    let mut files = Vec::new();
    for single in ["task.toml", "instruction.md"] {
        files.push(dir.join(single));
    }
    for part in ["environment", "tests", "solution"] {
        walk(&dir.join(part), &mut files)?;
    }
    let mut relative: Vec<(String, PathBuf)> = files
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix(dir).ok()?.to_str()?.to_owned();
            Some((name, path))
        })
        .collect();
    relative.sort();
    let mut outer = Sha256::new();
    for (name, path) in relative {
        let hash = hex(&Sha256::digest(fs::read(path)?));
        outer.update(format!("{name}\0{hash}\n"));
    }
    Ok(hex(&outer.finalize()))
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), EngineError> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
