//! Where attempts at a task take place: its environment, the agent's repository, the grader's input.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use fs_err as fs;
use palestra_agent::Assignment;
use palestra_build::Built;
use palestra_build::rows::RowBuilder;
use palestra_core::environment::{ENV_DIR, TESTBED};
use palestra_core::{Hash, InvalidReason, Verdict};
use palestra_dataset::{Instance, Kind};
use palestra_grade::{Cause, GradeInput};
use palestra_sandbox::{Bind, Exec, Network, Sandbox, SandboxSpec, Writable};

use super::Request;
use super::failure::{Failure, FailureKind};
use super::job::Job;
use super::plan::{PlannedTask, Rows};
use super::record::word;
use crate::dataset::package_digest;
use crate::error::EngineError;
use crate::evaluate::{self, single::Single};
use crate::shop::Tools;
use crate::stored::Stored;
use crate::work::spec;

/// How long cutting off a history may take.
const PREPARE: Duration = Duration::from_secs(600);
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

/// What an agent may not see of an image's repository: what came after the commit.
const FORGET: &str = r#"
set -eu
rm -rf .git/hooks .git/logs .git/FETCH_HEAD .git/ORIG_HEAD
for remote in $(git remote); do git remote remove "$remote"; done
here=$(git symbolic-ref -q HEAD || true)
git for-each-ref --format='%(refname)' | while read -r ref; do
    if [ "$ref" != "$here" ]; then git update-ref --no-deref -d "$ref"; fi
done
git reflog expire --expire=now --all
git gc --quiet --prune=now
"#;

/// A task with everything that attempts at it need.
pub(crate) struct Ground {
    pub(crate) assignment: Arc<Assignment>,
    /// Digest of the task's directory, or hash of its row.
    pub(crate) checksum: String,
    pub(crate) gold: Vec<u8>,
    /// The sandbox of an agent.
    agent: SandboxSpec,
    /// What is run in it before the agent comes.
    prepare: Option<&'static str>,
    judge: Judge,
}

/// How a patch is judged.
enum Judge {
    /// By the hidden tests of a task of ours.
    Own { stored: Box<Mutex<Stored>>, spec: SandboxSpec },
    /// By the rules of the dataset that a row is from.
    Row { row: Box<Instance>, rows: Rows },
}

/// What was found about a patch.
pub(crate) struct Graded {
    pub(crate) verdict: Verdict,
    pub(crate) cause: Option<Cause>,
    /// What the patch did to reach for the verdict.
    pub(crate) tampering: Vec<String>,
    pub(crate) log: Vec<u8>,
    /// All of it, as data.
    pub(crate) detail: serde_json::Value,
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
    /// Makes the environments of rows.
    rows: OnceLock<RowBuilder>,
    instances: OnceLock<Result<Vec<Instance>, String>>,
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
        let task = &job.plan.tasks[index];
        let made = match &job.plan.rows {
            None => Ground::make(tools, job, task)?,
            Some(rows) => self.of_row(tools, job, task, rows)?,
        };
        match made {
            Ok(made) => {
                let made = Arc::new(made);
                *ground = Arc::downgrade(&made);
                Ok(Ok(made))
            }
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// The ground of a row of another dataset.
    fn of_row(
        &self,
        tools: &Tools,
        job: &Job,
        task: &PlannedTask,
        rows: &Rows,
    ) -> Result<Result<Ground, Failure>, EngineError> {
        let broken =
            |why: String| Failure::new(FailureKind::TaskBroken, format!("{}: {why}", task.id));
        let read = self.instances.get_or_init(|| rows.read(&task.path).map_err(|e| e.to_string()));
        let row = match read {
            Ok(all) => all.iter().find(|row| row.instance_id.as_str() == task.id).cloned(),
            Err(error) => return Ok(Err(broken(error.clone()))),
        };
        let Some(row) = row else {
            return Ok(Err(broken(format!("{} has no such row any more", task.path.display()))));
        };
        if let Some(why) = shows_too_much(&row) {
            return Ok(Err(broken(why.to_owned())));
        }
        let statement = row.problem_statement.clone();
        let gold = match row.gold() {
            Ok(gold) => gold.patch.as_bytes().to_vec(),
            Err(error) => return Ok(Err(broken(error.to_string()))),
        };
        let scratch = job.scratch()?;
        let environment =
            match rows.single(tools, self.builder(tools), scratch.path()).environment(&row)? {
                Ok(environment) => environment,
                Err(why) => return Ok(Err(Failure::new(FailureKind::Environment, why))),
            };
        let path = environment.env.get("PATH").map(std::env::split_paths);
        let assignment = Assignment {
            id: task.id.clone(),
            statement,
            directory: PathBuf::from(&environment.workdir),
            path: path.map(|dirs| dirs.collect()).unwrap_or_default(),
        };
        Ok(Ok(Ground {
            assignment: Arc::new(assignment),
            checksum: checksum(&row).to_string(),
            gold,
            agent: SandboxSpec { writable: Writable::Disk, ..environment.sandbox() },
            prepare: environment.as_of.is_none().then_some(FORGET),
            judge: Judge::Row { row: Box::new(row), rows: rows.clone() },
        }))
    }

    fn builder(&self, tools: &Tools) -> &RowBuilder {
        self.rows.get_or_init(|| evaluate::builder(tools))
    }

    /// Judges a patch, in sandboxes of its own; what is kept of it is written below `dir`.
    pub(crate) fn grade(
        &self,
        tools: &Tools,
        ground: &Ground,
        patch: &[u8],
        dir: &Path,
        request: &Request,
    ) -> Result<Graded, EngineError> {
        match &ground.judge {
            Judge::Own { stored, spec } => ground.by_tests(tools, stored, spec, patch, request),
            Judge::Row { row, rows } => {
                let dir = dir.join("verifier/row");
                let single = rows.single(tools, self.builder(tools), &dir);
                let decision = single.decide(row, patch)?;
                Ok(Graded {
                    cause: None,
                    tampering: Vec::new(),
                    log: single.log(row),
                    detail: serde_json::to_value(&decision).unwrap_or_default(),
                    verdict: decision.verdict,
                })
            }
        }
    }
}

impl Rows {
    fn single<'a>(
        &'a self,
        tools: &'a Tools,
        builder: &'a RowBuilder,
        dir: &'a Path,
    ) -> Single<'a> {
        let (sources, dialect) = (&self.sources, self.dialect);
        Single { tools, builder, sources, dialect, timeout: None, dir }
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
        let repository = match repository(tools, &built, &stored.bundle) {
            Ok(layer) => layer,
            Err(why) => return Ok(Err(Failure::new(FailureKind::Environment, why))),
        };
        let path = vec![PathBuf::from(ENV_DIR).join("bin")];
        let assignment =
            Assignment { id: task.id.clone(), statement, directory: PathBuf::from(TESTBED), path };
        let spec = SandboxSpec { env: variables(&built), ..spec(&built) };
        let mut agent = spec.clone();
        agent.layers.push(repository);
        Ok(Ok(Self {
            assignment: Arc::new(assignment),
            checksum,
            gold: stored.gold.clone(),
            agent,
            prepare: None,
            judge: Judge::Own {
                stored: Box::new(Mutex::new(stored)),
                spec: SandboxSpec { env: BTreeMap::new(), ..spec },
            },
        }))
    }

    /// A sandbox for an agent.
    pub(crate) fn sandbox(&self, tools: &Tools, more: More) -> Result<Sandbox, Failure> {
        let mut spec = SandboxSpec { network: more.network, ..self.agent.clone() };
        spec.layers.extend(more.layers);
        // The agent may need the interpreter that is there already.
        let new = |bind: &Bind| !self.agent.binds.iter().any(|known| known.target == bind.target);
        spec.binds.extend(more.binds.into_iter().filter(new));
        for (name, value) in GIT {
            spec.env.insert(name.into(), value.into());
        }
        let sandbox = tools.host.create(&spec)?;
        if let Some(script) = self.prepare {
            let exec = Exec::new(["/bin/bash", "-c", script])
                .cwd(&self.assignment.directory)
                .timeout(PREPARE);
            let done = sandbox.exec(&exec)?;
            if !done.outcome.success() {
                let said = done.stderr.text();
                let why = said.lines().last().unwrap_or_default();
                let why = format!("the history of the repository cannot be cut off: {why}");
                return Err(Failure::new(FailureKind::Environment, why));
            }
        }
        Ok(sandbox)
    }

    /// Names of the agent's layers, lowest first.
    pub(crate) fn layers(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        self.agent.layers.iter().filter_map(name).collect()
    }

    /// Whether the base tree is known to have a path.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        match &self.judge {
            Judge::Own { stored, .. } => {
                stored.lock().unwrap_or_else(PoisonError::into_inner).has(path)
            }
            Judge::Row { .. } => false,
        }
    }

    fn by_tests(
        &self,
        tools: &Tools,
        stored: &Mutex<Stored>,
        spec: &SandboxSpec,
        patch: &[u8],
        request: &Request,
    ) -> Result<Graded, EngineError> {
        let lock = || stored.lock().unwrap_or_else(PoisonError::into_inner);
        let locked = lock();
        let environment = locked.task.environment.clone();
        let (hidden, paths) = (locked.hidden.clone(), locked.task.test_paths.clone());
        let lists = (locked.task.fail_to_pass.clone(), locked.task.pass_to_pass.clone());
        drop(locked);
        let base = |path: &str| lock().base(path);
        let input = GradeInput {
            spec,
            environment: &environment,
            base: &base,
            patch,
            gold: &self.gold,
            test_files: &hidden,
            test_paths: &paths,
            fail_to_pass: &lists.0,
            pass_to_pass: &lists.1,
            limits: &request.run_limits,
            options: request.options,
        };
        let grading = palestra_grade::grade(&tools.host, &input)?;
        let act = |act: &palestra_grade::Tampering| format!("{}: {}", word(&act.weight), act.name);
        Ok(Graded {
            detail: serde_json::to_value(&grading).unwrap_or_default(),
            cause: Some(grading.cause),
            tampering: grading.tampering.iter().map(act).collect(),
            log: grading.log_tail.into_bytes(),
            verdict: grading.verdict,
        })
    }
}

/// Why no agent can be let into the environment of a row: it would see the fix, or the tests.
fn shows_too_much(row: &Instance) -> Option<&'static str> {
    match row.kind {
        _ if row.inverted => Some(
            "its patch makes the bug, and its environment is the tree without it, which is the \
             fix: it can be graded, not tried",
        ),
        Kind::R2eGym => Some(
            "its image holds the hidden tests, where an agent sees them: it can be graded, not tried",
        ),
        _ => None,
    }
}

/// What tells one row from another.
fn checksum(row: &Instance) -> Hash {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut parts = vec![
        row.instance_id.to_string(),
        row.base_commit.clone(),
        row.problem_statement.clone(),
        text(&row.patch),
        text(&row.test_patch),
        text(&row.image),
    ];
    parts.extend(row.fail_to_pass.iter().chain(&row.pass_to_pass).cloned());
    Hash::of_parts(parts)
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::FORGET;

    fn git(dir: &Path, words: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
            .args(words)
            .current_dir(dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_came_after_the_commit_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        git(dir, &["init", "-q", "-b", "main"]);
        for (content, subject) in [("one", "base"), ("two", "the fix")] {
            std::fs::write(dir.join("file"), content).unwrap();
            git(dir, &["add", "-A"]);
            git(dir, &["commit", "-q", "-m", subject]);
        }
        for name in ["refs/tags/v1", "refs/heads/other", "refs/pull/1/head", "refs/notes/x"] {
            git(dir, &["update-ref", name, "HEAD"]);
        }
        git(dir, &["remote", "add", "origin", "https://example.org/x"]);
        git(dir, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
        git(dir, &["reset", "-q", "--hard", "HEAD~1"]);
        for detached in [false, true] {
            if detached {
                git(dir, &["checkout", "-q", "--detach"]);
            }
            let done = Command::new("bash").args(["-c", FORGET]).current_dir(dir).output().unwrap();
            assert!(done.status.success(), "{done:?}");
            let all = git(dir, &["cat-file", "--batch-all-objects", "--batch-check"]);
            assert_eq!(all.lines().count(), 3, "one commit, one tree, one file: {all}");
            assert_eq!(git(dir, &["log", "--all", "--format=%s", "HEAD"]), "base\n");
            assert_eq!(git(dir, &["remote"]), "");
            assert_eq!(git(dir, &["status", "--short"]), "");
        }
    }
}
