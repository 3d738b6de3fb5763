//! The directory of a job: Harbor's tree, and what we need to go on with it.
//!
//! `palestra.json` is the plan. An attempt is over when its `result.json` stands, and ran to its end
//! when its `attempt.json` does; everything else of it is of a killed run, and is made anew.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use palestra_core::job::{self, AgentConfig, JobConfig, TaskConfig};
use palestra_core::ledger::Writer;
use palestra_core::{Hash, disk};
use palestra_store::lease::Lock;
use serde::{Deserialize, Serialize};

use super::plan::{JobPlan, Trial};
use super::record::AttemptRecord;
use crate::error::EngineError;
use crate::hold::hold;

/// Our plan.
const PLAN: &str = "palestra.json";
/// What happened, one line an event.
const LEDGER: &str = "ledger.jsonl";
/// Our record of an attempt, below a trial.
const ATTEMPT: &str = "attempt.json";
/// What a command works with; removed with the next.
const SCRATCH: &str = ".scratch";
/// The lock that whoever works on the job holds.
const LOCK: &str = ".lock";

/// A line of the ledger.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    at: String,
    trial: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

/// A job's directory, locked for this process.
#[derive(Debug)]
pub struct Job {
    dir: PathBuf,
    /// The plan.
    pub plan: JobPlan,
    ledger: Mutex<Writer>,
    _lock: Lock,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(crate) enum Stand {
    /// Not begun, or killed while the agent was at work.
    Open,
    /// The agent has ended; it is to be graded.
    Ran(Box<AttemptRecord>),
    /// Over.
    Over(Box<AttemptRecord>),
}

impl Job {
    /// Makes the directory of a new job, or goes on with one of the same plan.
    pub fn create(dir: &Path, plan: JobPlan) -> Result<Self, EngineError> {
        plan.check()?;
        if dir.join(PLAN).exists() {
            let found = read_plan(dir)?;
            if let Some(difference) = found.difference(&plan) {
                return Err(EngineError::OtherPlan {
                    dir: dir.to_owned(),
                    found: "a job of another plan".to_owned(),
                    wanted: format!("this one ({difference})"),
                });
            }
        } else if dir.exists() && fs::read_dir(dir)?.next().is_some() {
            return Err(EngineError::Input(format!(
                "{} is there and holds no job: give another --out or --job-name",
                dir.display()
            )));
        }
        fs::create_dir_all(dir)?;
        let lock = hold(dir, LOCK)?;
        disk::write_json(&dir.join(PLAN), &plan)?;
        Self::with(dir, plan, lock)
    }

    /// Goes on with the job in `dir`.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        if !dir.join(PLAN).is_file() {
            return Err(EngineError::Input(format!(
                "{} is no job (no {PLAN} in it): `palestra run` makes one",
                dir.display()
            )));
        }
        let lock = hold(dir, LOCK)?;
        let plan = read_plan(dir)?;
        plan.check()?;
        Self::with(dir, plan, lock)
    }

    fn with(dir: &Path, plan: JobPlan, lock: Lock) -> Result<Self, EngineError> {
        let dir = fs::canonicalize(dir)?;
        if dir.join(SCRATCH).exists() {
            fs::remove_dir_all(dir.join(SCRATCH))?;
        }
        let ledger = Mutex::new(Writer::open(&dir.join(LEDGER))?);
        Ok(Self { dir, plan, ledger, _lock: lock })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The job's name.
    pub fn name(&self) -> String {
        self.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// A UUID that is the same whenever the job goes on.
    pub(crate) fn id(&self) -> String {
        uuid(&["job", &self.name(), self.plan.hash().as_str()])
    }

    /// A UUID of an attempt.
    pub(crate) fn trial_id(&self, trial: &Trial) -> String {
        uuid(&["trial", &self.id(), &trial.name])
    }

    /// A directory for what nobody needs afterwards.
    pub(crate) fn scratch(&self) -> Result<tempfile::TempDir, EngineError> {
        fs::create_dir_all(self.dir.join(SCRATCH))?;
        Ok(tempfile::tempdir_in(self.dir.join(SCRATCH))?)
    }

    /// The directory of an attempt.
    pub fn trial_dir(&self, trial: &Trial) -> PathBuf {
        self.dir.join(&trial.name)
    }

    /// How far an attempt has come.
    pub(crate) fn stand(&self, trial: &Trial) -> Result<Stand, EngineError> {
        let dir = self.trial_dir(trial);
        let Some(record) = AttemptRecord::read(&dir)? else { return Ok(Stand::Open) };
        let over = dir.join(job::RESULT).is_file();
        Ok(if over { Stand::Over(record.into()) } else { Stand::Ran(record.into()) })
    }

    /// Removes what a killed run left of an attempt, and makes its directory.
    pub(crate) fn begin(&self, trial: &Trial) -> Result<PathBuf, EngineError> {
        let dir = self.trial_dir(trial);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir.join("agent"))?;
        Ok(dir)
    }

    /// Notes what happened.
    pub(crate) fn note(&self, trial: &str, event: &str, detail: &str) -> Result<(), EngineError> {
        let at = now();
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ledger.append(&Line { at, trial, event, detail })?)
    }

    /// What Harbor calls the agent of a variant.
    pub(crate) fn agent_config(&self, variant: usize) -> AgentConfig {
        let variant = &self.plan.variants[variant];
        AgentConfig {
            name: variant.agent.clone(),
            model_name: variant.model.clone(),
            kwargs: variant.options.clone(),
        }
    }

    /// What Harbor calls the task.
    pub(crate) fn task_config(&self, task: usize) -> TaskConfig {
        let path = &self.plan.tasks[task].path;
        let source = path.parent().and_then(Path::file_name);
        TaskConfig {
            path: path.to_string_lossy().into_owned(),
            source: source.map(|name| name.to_string_lossy().into_owned()),
        }
    }

    /// Writes Harbor's `config.json` of the job.
    pub(crate) fn write_config(&self, concurrency: usize) -> Result<(), EngineError> {
        let config = JobConfig {
            job_name: self.name(),
            jobs_dir: self.dir.parent().unwrap_or(&self.dir).to_string_lossy().into_owned(),
            n_attempts: self.plan.attempts * self.plan.branching.map_or(1, |b| b.width),
            n_concurrent_trials: concurrency,
            agents: (0..self.plan.variants.len()).map(|v| self.agent_config(v)).collect(),
            tasks: (0..self.plan.tasks.len()).map(|t| self.task_config(t)).collect(),
        };
        Ok(disk::write_json(&self.dir.join(job::CONFIG), &config)?)
    }
}

impl AttemptRecord {
    /// The record below a trial's directory.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, EngineError> {
        let path = dir.join(ATTEMPT);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|error| EngineError::Corrupt { path, why: error.to_string() })
    }

    /// Writes it below a trial's directory.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), EngineError> {
        Ok(disk::write_json(&dir.join(ATTEMPT), self)?)
    }
}

fn read_plan(dir: &Path) -> Result<JobPlan, EngineError> {
    let path = dir.join(PLAN);
    serde_json::from_slice(&fs::read(&path)?)
        .map_err(|error| EngineError::Corrupt { path, why: error.to_string() })
}

/// Now, RFC 3339 in UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// A UUID (RFC 9562, version 8) out of what it names.
pub(crate) fn uuid(parts: &[&str]) -> String {
    let hash = Hash::of_parts(parts);
    let hex = hash.as_str();
    format!("{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}
