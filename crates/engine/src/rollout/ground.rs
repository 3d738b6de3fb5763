//! Where attempts at a task take place: its environment, the agent's repository, the grader's input.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use palestra_agent::Assignment;
use palestra_build::Built;
use palestra_core::environment::{ENV_DIR, TESTBED};
use palestra_core::harbor;
use palestra_core::{Hash, InvalidReason, Verdict};
use palestra_grade::{GradeInput, GradeOptions, Grading, RunLimits};
use palestra_sandbox::{Bind, Exec, Network, Sandbox, SandboxSpec, Writable};

use super::failure::{Failure, FailureKind};
use super::job::Job;
use super::plan::PlannedTask;
use crate::dataset::package_digest;
use crate::error::EngineError;
use crate::shop::Tools;
use crate::stored::Stored;
use crate::work::spec;

/// Where the bundle is seen while the repository is made of it.
const BUNDLE: &str = "/bundle";
/// How the repository of an agent is made: git's own files for the tree that is there already. Only
/// size and time are compared, since the same file has another inode in every sandbox.
const MAKE: &str = r#"
set -eu
cd /testbed
git init -q -b main .
git config core.checkStat minimal
git config core.trustctime false
git config core.untrackedCache false
git config gc.auto 0
git config user.name palestra
git config user.email palestra@localhost
git fetch -q --no-tags /bundle '+refs/*:refs/palestra/*'
head=$(git for-each-ref --format='%(objectname)' --count=1 refs/palestra)
git update-ref refs/heads/main "$head"
git for-each-ref --format='delete %(refname)' refs/palestra | git update-ref --stdin

git reset -q --mixed
rm -rf .git/hooks .git/logs .git/description .git/FETCH_HEAD .git/ORIG_HEAD
"#;

/// A task with everything that attempts at it need.
pub(crate) struct Ground {
    pub(crate) assignment: Arc<Assignment>,
    /// Digest of the task's directory.
    pub(crate) checksum: String,
    pub(crate) gold: Vec<u8>,
    stored: Mutex<Stored>,
    spec: SandboxSpec,
    agent_layers: Vec<PathBuf>,
}

/// What the sandbox of some agents has besides.
#[derive(Debug, Default)]
pub(crate) struct More {
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) network: Network,
}

/// Grounds of a job, each made once, and forgotten when nobody stands on it.
#[derive(Default)]
pub(crate) struct Grounds {
    known: Mutex<HashMap<usize, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    ground: Mutex<std::sync::Weak<Ground>>,
}

impl Grounds {
    /// The ground of a task, made by whoever comes first.
    pub(crate) fn get(
        &self,
        tools: &Tools,
        job: &Job,
        index: usize,
    ) -> Result<Result<Arc<Ground>, Failure>, EngineError> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(index).or_default())
        };
        let mut ground = slot.ground.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ground) = ground.upgrade() {
            return Ok(Ok(ground));
        }
        match Ground::make(tools, job, &job.plan.tasks[index])? {
            Ok(made) => {
                let made = Arc::new(made);
                *ground = Arc::downgrade(&made);
                Ok(Ok(made))
            }
            Err(failure) => Ok(Err(failure)),
        }
    }
}

impl Ground {
    fn make(
        tools: &Tools,
        job: &Job,
        task: &PlannedTask,
    ) -> Result<Result<Self, Failure>, EngineError> {
        let broken =
            |why: String| Failure::new(FailureKind::TaskBroken, format!("{}: {why}", task.id));
        let read = || -> Result<Result<(Stored, String, String), String>, EngineError> {
            let stored = match Stored::read(job.scratch()?, &task.path)? {
                Ok(stored) => stored,
                Err(why) => return Ok(Err(why)),
            };
            let statement = fs::read_to_string(task.path.join("instruction.md"))?;
            Ok(Ok((stored, statement, package_digest(&task.path)?)))
        };
        // Whatever is wrong with the directory of one task is no matter of the others.
        let (stored, statement, checksum) = match read() {
            Ok(Ok(all)) => all,
            Ok(Err(why)) => return Ok(Err(broken(why))),
            Err(error) => return Ok(Err(broken(error.to_string()))),
        };
        let built = match stored.environment(tools)? {
            Ok(built) => built,
            Err(why) => return Ok(Err(Failure::new(FailureKind::Environment, why))),
        };
        let repository = match repository(tools, &built, &task.path.join(harbor::BUNDLE)) {
            Ok(layer) => layer,
            Err(why) => return Ok(Err(Failure::new(FailureKind::Environment, why))),
        };
        let mut agent_layers = built.layers.clone();
        agent_layers.push(repository);
        let path = vec![PathBuf::from(ENV_DIR).join("bin")];
        let assignment =
            Assignment { id: task.id.clone(), statement, directory: PathBuf::from(TESTBED), path };
        let spec = spec(&built);
        Ok(Ok(Self {
            assignment: Arc::new(assignment),
            checksum,
            gold: stored.gold.clone(),
            spec: SandboxSpec { env: variables(&built), ..spec },
            stored: Mutex::new(stored),
            agent_layers,
        }))
    }

    /// A sandbox for an agent.
    pub(crate) fn sandbox(&self, tools: &Tools, more: More) -> Result<Sandbox, Failure> {
        let mut spec = SandboxSpec {
            layers: self.agent_layers.clone(),
            network: more.network,
            ..self.spec.clone()
        };
        spec.layers.extend(more.layers);
        // The agent may need the interpreter that is there already.
        let new = |bind: &Bind| !self.spec.binds.iter().any(|known| known.target == bind.target);
        spec.binds.extend(more.binds.into_iter().filter(new));
        for (name, value) in GIT {
            spec.env.insert(name.into(), value.into());
        }
        Ok(tools.host.create(&spec)?)
    }

    /// Names of the agent's layers, lowest first.
    pub(crate) fn layers(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        self.agent_layers.iter().filter_map(name).collect()
    }

    /// Whether the base tree has a path.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).has(path)
    }

    /// Judges a patch, in sandboxes of its own.
    pub(crate) fn grade(
        &self,
        tools: &Tools,
        patch: &[u8],
        limits: &RunLimits,
        options: GradeOptions,
    ) -> Result<Grading, EngineError> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = stored.task.environment.clone();
        let (hidden, paths) = (stored.hidden.clone(), stored.task.test_paths.clone());
        let lists = (stored.task.fail_to_pass.clone(), stored.task.pass_to_pass.clone());
        drop(stored);
        let spec = SandboxSpec { env: BTreeMap::new(), ..self.spec.clone() };
        let base =
            |path: &str| self.stored.lock().unwrap_or_else(PoisonError::into_inner).base(path);
        let input = GradeInput {
            spec: &spec,
            environment: &environment,
            base: &base,
            patch,
            gold: &self.gold,
            test_files: &hidden,
            test_paths: &paths,
            fail_to_pass: &lists.0,
            pass_to_pass: &lists.1,
            limits,
            options,
        };
        Ok(palestra_grade::grade(&tools.host, &input)?)
    }
}

/// Git inside, whatever the owner of a file seems to be.
const GIT: [(&str, &str); 6] = [
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "safe.directory"),
    ("GIT_CONFIG_VALUE_0", "*"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_PAGER", "cat"),
    ("PAGER", "cat"),
];

fn variables(built: &Built) -> BTreeMap<OsString, OsString> {
    built.variables().into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The layer with the repository that an agent sees: one commit, and an index that is fresh.
fn repository(tools: &Tools, built: &Built, bundle: &Path) -> Result<PathBuf, String> {
    let say =
        |error: &dyn std::fmt::Display| format!("the agent's repository cannot be made: {error}");
    let bytes = fs::read(bundle).map_err(|e| say(&e))?;
    let bytes = Hash::of(&bytes);
    let mut parts = vec![MAKE.as_bytes(), bytes.as_str().as_bytes()];
    parts.extend(built.layers.iter().filter_map(|l| l.file_name()).map(OsStr::as_encoded_bytes));
    let hash = Hash::of_parts(parts);
    let name = format!("git-{}", hash.short());
    if let Some(layer) = tools.store.layer(&name) {
        return Ok(layer);
    }
    let mut spec = spec(built);
    spec.writable = Writable::Disk;
    spec.binds.push(Bind { source: bundle.to_owned(), target: BUNDLE.into(), writable: false });
    let sandbox = tools.host.create(&spec).map_err(|e| say(&e))?;
    let mut exec = Exec::new(["sh", "-c", MAKE]).env("HOME", "/tmp");
    for (name, value) in GIT {
        exec = exec.env(name, value);
    }
    let made = sandbox.exec(&exec).map_err(|e| say(&e))?;
    if !made.outcome.success() {
        return Err(say(&made.stderr.text().trim()));
    }
    let frozen = sandbox.freeze().map_err(|e| say(&e))?;
    let git = format!("{TESTBED}/.git");
    tools.store.adopt(&name, &frozen.path(), &[git.as_str()]).map_err(|e| say(&e))
}

/// What an attempt is worth that left no patch: nothing needs to be run to know.
pub(crate) fn nothing() -> Verdict {
    Verdict::Unresolved("the attempt left no patch".to_owned())
}

/// The verdict of a grader that failed.
pub(crate) fn not_graded(error: &EngineError) -> Verdict {
    Verdict::Invalid(InvalidReason::Infrastructure(error.to_string()))
}
