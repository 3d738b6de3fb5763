//! Bugs put into a tree whose suite passes, each proven to be a task.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use palestra_core::ledger;
use palestra_core::task::{LeakCertificate, Synthesis};
use palestra_core::{CommitId, Hash, InstanceId, Task, TestFile};
use palestra_diff::{Change, File, MakeOptions};
use palestra_git::Repo;
use palestra_grade::TestRun;
use palestra_grade::gate::{GateInput, GateOutcome};
use palestra_mutate::{Bug, CombineOptions, EntityRef, InjectOptions, MutateError, Source};
use palestra_sandbox::{FileOp, Outcome};
use serde::{Deserialize, Serialize};

use super::author::Facts;
use super::report::BugReport;
use super::suite::Suite;
use crate::derive::derive;
use crate::error::EngineError;
use crate::event::Event;
use crate::gold::one_line;
use crate::parallel::parallel;
use crate::ship::{self, Parts};
use crate::work::{GATE_RUNS, Rejected, Workshop};

/// Which bugs to put where.
#[derive(Debug, Clone)]
pub struct BugRequest {
    /// The commit whose tree is broken.
    pub commit: CommitId,
    /// Which bugs.
    pub inject: InjectOptions,
    /// How proven bugs are joined into harder ones.
    pub combine: Option<CombineOptions>,
    /// How many bugs the model is asked for, where there is one.
    pub by_model: usize,
    /// Bugs at a time.
    pub jobs: usize,
}

/// One line of the ledger: a bug was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BugEntry {
    /// The commit whose tree was broken.
    pub commit: CommitId,
    /// The name of the bug.
    pub bug: String,
    /// What made it.
    pub modifiers: Vec<String>,
    /// Where: `path:line name`.
    pub place: String,
    /// `None` for a task; otherwise the reason, in snake case.
    pub rejected: Option<String>,
    /// One line for people.
    pub detail: String,
    /// Name of the task, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// Wall time.
    pub seconds: f64,
}

/// Puts bugs into the tree of a commit, keeps those that tests find, and writes their tasks. What
/// was decided before is not done again. The inner error says why the commit is of no use.
pub fn bugs(
    shop: &Workshop<'_>,
    request: &BugRequest,
) -> Result<Result<BugReport, Rejected>, EngineError> {
    let (begin, cpu) = (Instant::now(), crate::cpu::own());
    let suite = match Suite::open(shop, &request.commit)? {
        Ok(suite) => suite,
        Err(rejected) => return Ok(Err(rejected)),
    };
    let suite_seconds = suite.runs.iter().map(|run| run.seconds).fold(f64::MAX, f64::min);
    let sources: Vec<Source<'_>> =
        suite.sources.iter().map(|(path, content)| source(&suite, path, content)).collect();
    let (bugs, _) = palestra_mutate::inject(&sources, &request.inject);
    let nursery = Nursery::new(shop, &suite, request.inject.seed)?;
    let injected = |bugs: &[Bug]| -> Result<Vec<Injected>, EngineError> {
        bugs.iter().map(|bug| Injected::of(bug, &sources)).collect()
    };
    let mut all = injected(&bugs)?;
    nursery.raise(&all, request.jobs)?;
    if let Some(options) = &request.combine {
        let proven: Vec<Bug> =
            bugs.iter().filter(|bug| nursery.is_task(&bug.id)).cloned().collect();
        let joined = injected(&palestra_mutate::combine(&sources, &proven, options).0)?;
        nursery.raise(&joined, request.jobs)?;
        all.extend(joined);
    }
    if shop.author.asker.has_model() && request.by_model > 0 {
        let asked = super::by_model::ask(shop, &suite, request)?;
        nursery.raise(&asked, request.jobs)?;
        all.extend(asked);
    }
    let mut report = BugReport {
        repository: shop.repo.name().to_owned(),
        commit: request.commit.to_string(),
        tests: suite.stable.len(),
        suite_seconds,
        ..BugReport::default()
    };
    let runs = nursery.processor.into_inner().unwrap_or_else(PoisonError::into_inner);
    let decided = nursery.decided.into_inner().unwrap_or_else(PoisonError::into_inner);
    for bug in &all {
        if let Some(entry) = decided.get(&bug.id) {
            report.count(entry);
        }
    }
    shop.dataset.write_manifest(shop.repo.name())?;
    report.bytes = crate::usage::once(shop.dataset.dir());
    report.seconds = begin.elapsed().as_secs_f64();
    report.cpu_seconds = runs + crate::cpu::own() - cpu;
    Ok(Ok(report))
}

/// A bug, whoever made it.
#[derive(Debug, Clone)]
pub(crate) struct Injected {
    /// Its name.
    pub(crate) id: String,
    /// What made it.
    pub(crate) by: Vec<String>,
    /// The model that did.
    pub(crate) model: Option<String>,
    /// Where: `path:line name`.
    pub(crate) place: String,
    /// The files with the bug.
    pub(crate) broken: BTreeMap<String, Vec<u8>>,
}

impl Injected {
    fn of(bug: &Bug, sources: &[Source<'_>]) -> Result<Self, EngineError> {
        // A bug that does not fit the files it was made from is a mistake of ours.
        let fault = |error: MutateError| EngineError::Machine(error.to_string());
        let place = |at: &EntityRef| format!("{}:{} {}", at.path, at.line, at.name);
        Ok(Self {
            id: bug.id.clone(),
            by: bug.modifiers.iter().map(|modifier| modifier.name().to_owned()).collect(),
            model: None,
            place: bug.entities.iter().map(place).collect::<Vec<_>>().join(", "),
            broken: bug.apply(sources).map_err(fault)?,
        })
    }
}

/// Where bugs are looked at.
struct Nursery<'a> {
    shop: &'a Workshop<'a>,
    suite: &'a Suite,
    seed: u64,
    /// The tree without bugs, as a bundle of one commit.
    clean: PathBuf,
    /// Runs on it, by what was run.
    gold: Mutex<HashMap<Vec<String>, Vec<TestRun>>>,
    decided: Mutex<BTreeMap<String, BugEntry>>,
    /// Seconds of processor time of all runs of tests.
    processor: Mutex<f64>,
    ledger: Mutex<ledger::Writer>,
    _work: tempfile::TempDir,
}

impl<'a> Nursery<'a> {
    fn new(shop: &'a Workshop<'a>, suite: &'a Suite, seed: u64) -> Result<Self, EngineError> {
        let work = shop.dataset.scratch()?;
        let clean = work.path().join("clean.bundle");
        palestra_git::agent_repository(shop.repo, &suite.commit, &clean)?;
        let path = shop.dataset.dir().join(".palestra/bugs.jsonl");
        let (entries, problems) = ledger::read::<BugEntry>(&path)?;
        for problem in problems {
            let message = format!("a line of {} is cut: {problem}", path.display());
            shop.sink.event(&Event::Warning { message });
        }
        let known = |entry: &BugEntry| {
            let there = |id: &InstanceId| shop.dataset.task_dir(id).join("task.toml").is_file();
            entry.commit == suite.commit && entry.instance_id.as_ref().is_none_or(there)
        };
        let decided =
            entries.into_iter().filter(known).map(|entry| (entry.bug.clone(), entry)).collect();
        Ok(Self {
            shop,
            suite,
            seed,
            clean,
            gold: Mutex::default(),
            decided: Mutex::new(decided),
            processor: Mutex::new(suite.runs.iter().map(|run| run.processor).sum()),
            ledger: Mutex::new(ledger::Writer::open(&path)?),
            _work: work,
        })
    }

    fn is_task(&self, bug: &str) -> bool {
        let decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        decided.get(bug).is_some_and(|entry| entry.rejected.is_none())
    }

    /// Decides about every bug that is not decided yet. The first error of any worker stops all.
    fn raise(&self, bugs: &[Injected], jobs: usize) -> Result<(), EngineError> {
        let open: Vec<&Injected> = {
            let decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
            bugs.iter().filter(|bug| !decided.contains_key(&bug.id)).collect()
        };
        let done = bugs.len() - open.len();
        self.shop.sink.event(&Event::Planned { candidates: bugs.len(), done });
        parallel(&open, jobs, |bug| {
            self.shop.check_stop()?;
            let begin = Instant::now();
            let result = self.look(bug)?;
            let seconds = begin.elapsed().as_secs_f64();
            self.keep(bug, result, seconds)
        })
    }

    fn keep(
        &self,
        bug: &Injected,
        result: Result<Task, Rejected>,
        seconds: f64,
    ) -> Result<(), EngineError> {
        let mut entry = BugEntry {
            commit: self.suite.commit.clone(),
            bug: bug.id.clone(),
            modifiers: bug.by.clone(),
            place: bug.place.clone(),
            rejected: None,
            detail: String::new(),
            instance_id: None,
            seconds,
        };
        match result {
            Ok(task) => {
                let (fail, pass) = (task.fail_to_pass.len(), task.pass_to_pass.len());
                entry.detail = format!("{fail} FAIL_TO_PASS, {pass} PASS_TO_PASS");
                entry.instance_id = Some(task.instance_id);
            }
            Err(Rejected { reason, detail }) => {
                entry.rejected = Some(reason);
                entry.detail = detail;
            }
        }
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).append(&entry)?;
        let outcome = entry.rejected.clone().unwrap_or_else(|| "task".to_owned());
        let detail = format!("{}: {}", entry.place, entry.detail);
        let commit = bug.id.clone();
        self.shop.sink.event(&Event::Decided { commit, outcome, detail, seconds });
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        decided.insert(bug.id.clone(), entry);
        Ok(())
    }

    /// Whether a bug makes a task.
    fn look(&self, bug: &Injected) -> Result<Result<Task, Rejected>, EngineError> {
        let rejected = |reason: &str, detail: &str| {
            Ok(Err(Rejected { reason: reason.to_owned(), detail: one_line(detail) }))
        };
        let changes = self.writes(&bug.broken);
        let run = self.suite.run(self.shop, &changes, &self.suite.test_paths)?;
        self.used(std::slice::from_ref(&run));
        if run.outcome == Outcome::TimedOut {
            return rejected("timed_out", "the suite does not end");
        }
        if run.install_failed || !run.started {
            return rejected("does_not_start", last_line(&run.log_tail));
        }
        let lost: BTreeSet<&str> = self
            .suite
            .stable
            .iter()
            .filter(|test| !run.report.passed(test))
            .filter_map(|test| test.split("::").next())
            .collect();
        if lost.is_empty() {
            return rejected("no_test_fails", "every test passes");
        }
        let test_paths = self.around(&lost, &run);
        let gold = self.gold(&test_paths);
        let known = gold.len();
        let input = GateInput {
            spec: &self.suite.spec,
            environment: &self.suite.built.environment,
            with_fix: &[],
            without: &changes,
            test_paths: &test_paths,
            limits: &self.suite.limits,
            runs: GATE_RUNS,
        };
        let outcome = palestra_grade::gate(self.shop.host, &input, gold)?;
        let GateOutcome { decision, record, base, gold } = outcome;
        self.used(&base);
        self.used(gold.get(known..).unwrap_or_default());
        self.gold.lock().unwrap_or_else(PoisonError::into_inner).insert(test_paths.clone(), gold);
        let proof = match decision {
            Ok(proof) => proof,
            Err(reject) => return rejected(reject.name(), &reject.to_string()),
        };
        if proof.pass_to_pass.is_empty() {
            return rejected("nothing_passes", "no test passes on both sides");
        }
        // An agent sees no test that finds the bug.
        let hidden: Vec<String> =
            test_paths.iter().filter(|path| lost.contains(path.as_str())).cloned().collect();
        let base_patch = self.base_patch(&bug.broken);
        let (base_commit, leak) = match self.certify(&base_patch, &hidden)? {
            Ok(certified) => certified,
            Err(why) => return rejected("leaks_the_fix", &why),
        };
        let mut test_files = Vec::new();
        let mut test_contents = BTreeMap::new();
        for path in &test_paths {
            let Some((mode, content)) = self.suite.file(path) else { continue };
            let hash = Some(Hash::of(&content));
            test_files.push(TestFile { path: path.clone(), mode, hash });
            test_contents.insert(path.clone(), content);
        }
        let commit = InstanceId::for_commit(self.shop.repo.name(), &self.suite.commit);
        let instance_id = InstanceId::new(format!("{commit}.{}", bug.id))
            .map_err(|error| EngineError::Input(error.to_string()))?;
        let gold_patch = self.fix(&bug.broken);
        let pair = |(path, broken): (&String, &Vec<u8>)| {
            (path.clone(), Some(broken.clone()), self.suite.sources.get(path).cloned())
        };
        let facts = Facts {
            repository: self.shop.repo.name(),
            commit: self.suite.commit.as_str(),
            task: instance_id.as_str(),
            // A bug has no message, and the commit's speaks of something else.
            subject: "",
            body: "",
            gold_patch: &gold_patch,
            pairs: &bug.broken.iter().map(pair).collect::<Vec<_>>(),
            tests: &test_contents,
            fail_to_pass: &proof.fail_to_pass,
            base: base.first().map(|run| &run.report),
        };
        let told = self.shop.author.tell(self.shop.dataset, &facts)?;
        let task = Task {
            instance_id,
            repository: self.shop.repo.name().to_owned(),
            base_commit,
            fix_commit: self.suite.commit.clone(),
            created_at: self.suite.date.clone(),
            environment: self.suite.built.environment.clone(),
            test_paths,
            test_files,
            fail_to_pass: proof.fail_to_pass,
            pass_to_pass: proof.pass_to_pass,
            statement_source: told.source,
            opinion: told.opinion,
            synthesis: Some(Synthesis {
                kind: "bug".to_owned(),
                by: bug.by.clone(),
                model: bug.model.clone(),
                seed: self.seed,
            }),
            strength: None,
            gate: record,
            leak,
        };
        let programs = palestra_grade::docker::shipped(self.suite.limits.seconds.max(60));
        let parts = Parts {
            title: told.text.lines().next().unwrap_or_default().trim_start_matches("# "),
            statement: &told.text,
            gold_patch: &gold_patch,
            test_contents: &test_contents,
            bundle: &self.clean,
            base_patch: Some((&base_patch, &hidden)),
            dockerfile: &palestra_build::docker::dockerfile(&task.environment, true),
            programs: &programs,
        };
        ship::ship(self.shop.dataset, &task, &parts)?;
        Ok(Ok(task))
    }

    /// The broken files, as changes of a sandbox.
    fn writes(&self, broken: &BTreeMap<String, Vec<u8>>) -> Vec<FileOp> {
        let write = |(path, bytes): (&String, &Vec<u8>)| {
            let mode = self.suite.modes.get(path).copied().unwrap_or(0o100644) & 0o777;
            let path = PathBuf::from(palestra_core::environment::TESTBED).join(path);
            FileOp::Write { path, mode, bytes: bytes.clone() }
        };
        broken.iter().map(write).collect()
    }

    /// The files that the task is graded by: those that lost a test, and where nothing else in
    /// them passes, one that lost none.
    fn around(&self, lost: &BTreeSet<&str>, run: &TestRun) -> Vec<String> {
        let kept = |test: &&String| run.report.passed(test);
        let files = |test: &String| test.split("::").next().map(str::to_owned);
        let passing: BTreeSet<String> =
            self.suite.stable.iter().filter(kept).filter_map(files).collect();
        let mut paths: Vec<String> = lost.iter().map(|path| (*path).to_owned()).collect();
        if !paths.iter().any(|path| passing.contains(path)) {
            paths.extend(passing.into_iter().next());
            paths.sort();
        }
        paths
    }

    /// Runs on the clean tree that were made for another bug.
    fn gold(&self, test_paths: &[String]) -> Vec<TestRun> {
        if test_paths == self.suite.test_paths {
            return self.suite.runs.clone();
        }
        let known = self.gold.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(test_paths).cloned().unwrap_or_default()
    }

    fn used(&self, runs: &[TestRun]) {
        let mut processor = self.processor.lock().unwrap_or_else(PoisonError::into_inner);
        *processor += runs.iter().map(|run| run.processor).sum::<f64>();
    }

    /// What puts the bug into the clean tree.
    fn base_patch(&self, broken: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
        make(&self.changes(broken).collect::<Vec<_>>())
    }

    /// What takes the bug out again.
    fn fix(&self, broken: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
        let back = |change: Change| Change { old: change.new, new: change.old, ..change };
        make(&self.changes(broken).map(back).collect::<Vec<_>>())
    }

    fn changes(&self, broken: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = Change> {
        broken.iter().map(|(path, content)| {
            let old = self.clean_file(path);
            let mode = old.as_ref().map_or(0o100644, |file| file.mode);
            let new = Some(File { mode, content: content.clone() });
            Change { path: path.clone().into_bytes(), old, new }
        })
    }

    fn clean_file(&self, path: &str) -> Option<File> {
        self.suite.file(path).map(|(mode, content)| File { mode, content })
    }

    /// The tree that an agent starts from, and the proof that it does not hold the fix.
    fn certify(
        &self,
        base_patch: &[u8],
        removed: &[String],
    ) -> Result<Result<(CommitId, LeakCertificate), String>, EngineError> {
        let work = self.shop.dataset.scratch()?;
        let clean = Repo::from_bundle(&self.clean, work.path())?;
        let derived = match derive(&clean, base_patch, removed, work.path())? {
            Ok(derived) => derived,
            Err(why) => return Ok(Err(why)),
        };
        let forbidden = palestra_git::forbidden_objects(&clean, &derived.base, clean.head())?;
        let leak = palestra_git::scan(&derived.bundle, &forbidden)?;
        if leak.found > 0 || leak.commits != 1 {
            return Ok(Err(format!("{} objects of the fix, {} commits", leak.found, leak.commits)));
        }
        Ok(Ok((derived.repo.head().clone(), leak)))
    }
}

fn source<'a>(suite: &Suite, path: &'a str, content: &'a [u8]) -> Source<'a> {
    let executable = suite.modes.get(path).is_some_and(|mode| mode & 0o111 != 0);
    Source { path, content, executable }
}

fn make(changes: &[Change]) -> Vec<u8> {
    palestra_diff::make(changes, &MakeOptions { renames: false, ..MakeOptions::default() })
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default()
}
