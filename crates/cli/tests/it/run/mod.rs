//! Agents on the demo's tasks: real sandboxes, real grading, Harbor's own readers.

mod bad_input;
mod builtin;
mod external;
mod killed;
mod rows;
mod scripted;
mod search;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Palestra, Ran, can_build, skip};

/// The demo's tasks, and a home.
pub(crate) struct Gym {
    pub(crate) palestra: Palestra,
    pub(crate) tasks: PathBuf,
    pub(crate) count: u64,
}

impl Gym {
    /// `None` where environments cannot be made; that was said then.
    pub(crate) fn open() -> Option<Self> {
        if !can_build() {
            return None;
        }
        let (demo, count) = demo();
        let palestra = Palestra::new();
        let tasks = palestra.dir().join("tasks");
        let copied = Command::new("cp").arg("-r").arg(demo).arg(&tasks).status();
        assert!(copied.is_ok_and(|status| status.success()));
        Some(Self { palestra, tasks, count: *count })
    }

    pub(crate) fn jobs(&self) -> PathBuf {
        self.palestra.dir().join("jobs")
    }

    pub(crate) fn job(&self, name: &str) -> PathBuf {
        self.jobs().join(name)
    }

    /// `palestra run` on all tasks under a name, with more arguments.
    pub(crate) fn command(&self, name: &str, more: &[&str]) -> Command {
        let (tasks, jobs) = (self.tasks.to_string_lossy(), self.jobs());
        let jobs = jobs.to_string_lossy();
        let mut all = vec!["run", "--json", "-p", &tasks, "-o", &jobs, "--job-name", name];
        all.extend(more);
        self.palestra.command(&all)
    }

    pub(crate) fn run(&self, name: &str, more: &[&str]) -> Ran {
        Ran::from(self.command(name, more).output().expect("palestra runs"))
    }

    /// As [`Self::run`], with the report.
    pub(crate) fn report(&self, name: &str, more: &[&str]) -> Value {
        let ran = self.run(name, more);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Directories in which sandboxes stand.
    pub(crate) fn sandboxes(&self) -> usize {
        let dir = self.palestra.dir().join("home/state/sandboxes");
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    }
}

/// The demo's tasks and their number, made once for all tests of this run.
fn demo() -> &'static (PathBuf, u64) {
    static DEMO: OnceLock<(PathBuf, u64)> = OnceLock::new();
    DEMO.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo");
        let _ = std::fs::remove_dir_all(&out);
        let ran = Palestra::new().run(&["demo", "--out", &out.to_string_lossy(), "--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).expect("a report");
        (out.join("tasks"), report["tasks"].as_u64().expect("a number of tasks"))
    })
}

/// The trials of a job by name, with their records.
pub(crate) fn attempts(job: &Path) -> std::collections::BTreeMap<String, Value> {
    let mut all = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(job).expect("a job").flatten() {
        let Ok(text) = std::fs::read(entry.path().join("attempt.json")) else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        all.insert(name, serde_json::from_slice(&text).expect("a record"));
    }
    all
}

/// Harbor's own models on everything that a job holds.
pub(crate) fn harbor_reads(job: &Path) {
    const JUDGE: &str = r#"
import pathlib, sys
from harbor.models.job.config import JobConfig
from harbor.models.job.lock import JobLock
from harbor.models.job.result import JobResult
from harbor.models.trajectories import Trajectory
from harbor.models.trial.config import TrialConfig
from harbor.models.trial.result import TrialResult
job = pathlib.Path(sys.argv[1])
read = lambda model, path: model.model_validate_json(path.read_text())
result = read(JobResult, job / "result.json")
read(JobConfig, job / "config.json")
read(JobLock, job / "lock.json")
trials = [t for t in job.iterdir() if (t / "result.json").exists()]
for trial in trials:
    assert read(TrialResult, trial / "result.json").trial_name == trial.name
    read(TrialConfig, trial / "config.json")
    read(Trajectory, trial / "agent/trajectory.json")
assert result.stats.n_completed_trials == len(trials), (result, len(trials))
print(len(trials))
"#;
    let Some(python) = std::env::var_os("PALESTRA_HARBOR_PYTHON") else {
        return skip("PALESTRA_HARBOR_PYTHON names no Python that has Harbor");
    };
    let found = Command::new(&python).args(["-c", "import harbor"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip("the Python that PALESTRA_HARBOR_PYTHON names has no Harbor");
    }
    let output = Command::new(python).args(["-c", JUDGE]).arg(job).output().expect("python runs");
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout.trim(), attempts(job).len().to_string());
}
