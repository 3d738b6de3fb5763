//! Tests for commits that have none: proposed, run on both sides, shown wrong fixes, made smaller,
//! proven.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use palestra_agent::{Agent, AgentError, Aid, Assignment, ContextPolicy, Limits, Stage as Stand};
use palestra_build::Built;
use palestra_core::environment::{ENV_DIR, TESTBED};
use palestra_core::task::Synthesis;
use palestra_core::{Candidate, FileChange, Hash, Runner, Task, TestFile, TestReport};
use palestra_grade::TestRun;
use palestra_model::{Model, Sampling};
use palestra_mutate::{Mutant, MutantOptions};
use palestra_sandbox::{Bounds, DiffOptions, FileOp};
use palestra_synth::ledger::{StageOutcome, stage};
use palestra_synth::tests::{
    ProposedTests, TestOutcome, TestRequest, TestStyle, TestVerdict, Trouble, changed_code,
    judge_runs, kills, minimise, nearest, propose, repair,
};
use palestra_synth::{Rejection, StageEntry};
use serde::Serialize;

use super::author::{asked, borrowed};
use crate::dataset::{Entry, Stage};
use crate::error::EngineError;
use crate::event::Event;
use crate::gold::{evidence, one_line};
use crate::material::{Material, is_runnable};
use crate::settle::{Settled, Site};
use crate::work::{GATE_RUNS, Prepared, Rejected, Workshop, spec};

/// Wrong fixes that generated tests are shown.
const MUTANTS: usize = 8;
/// Bytes of their patches that a model is shown.
const SHOWN: usize = 8_000;
/// Bytes and files that an agent may have changed.
const AGENT_BYTES: u64 = 64 << 20;
const AGENT_FILES: u64 = 20_000;
/// What is run where the tree has no tests at all, to see that tests can be run.
const PROBE: &str = "test_palestra_probe.py";

/// An agent that writes tests in a sandbox.
#[derive(Clone)]
pub struct Writing {
    /// The agent.
    pub agent: Arc<dyn Agent>,
    /// Its model.
    pub model: Arc<dyn Model>,
    /// Bounds of each attempt.
    pub limits: Limits,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writing").field("agent", &self.agent.name()).finish_non_exhaustive()
    }
}

/// What tests are to be written for.
#[derive(Debug, Clone)]
pub struct Generate {
    /// Commits without usable tests.
    pub candidates: Vec<Candidate>,
    /// Commits at a time.
    pub jobs: usize,
    /// Decides which wrong fixes the tests are shown.
    pub seed: u64,
    /// Who writes them in a sandbox; otherwise they are asked for in one go.
    pub writing: Option<Writing>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GenerateReport {
    /// Commits without usable tests.
    pub candidates: usize,
    /// Those that became tasks.
    pub tasks: usize,
    /// The others, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// What was paid to the model in this run, tokens in and out.
    pub tokens: (u64, u64),
    /// Dollars, where prices are known.
    pub money: Option<f64>,
    /// Wall time.
    pub seconds: f64,
}

/// Writes tests for every commit that was not decided before.
pub fn generate(shop: &Workshop<'_>, request: &Generate) -> Result<GenerateReport, EngineError> {
    let begin = Instant::now();
    let (decisions, _) = shop.dataset.decisions()?;
    let done = |candidate: &&Candidate| {
        decisions.get(&(Stage::Tests, candidate.commit.clone())).is_some_and(|entry| {
            entry
                .instance_id
                .as_ref()
                .is_none_or(|id| shop.dataset.task_dir(id).join("task.toml").is_file())
        })
    };
    let open: Vec<&Candidate> = request.candidates.iter().filter(|one| !done(one)).collect();
    let count = request.candidates.len();
    shop.sink.event(&Event::Planned { candidates: count, done: count - open.len() });
    super::parallel(&open, request.jobs, |candidate| {
        shop.check_stop()?;
        let begin = Instant::now();
        let commit = candidate.commit.to_string();
        let subject = candidate.subject.clone();
        shop.sink.event(&Event::Started { commit: commit.clone(), subject: subject.clone() });
        let result = Writer { shop, request, candidate }.write()?;
        let seconds = begin.elapsed().as_secs_f64();
        let mut entry = Entry::new(Stage::Tests, &candidate.commit, seconds);
        let (outcome, detail) = match result {
            Ok(task) => {
                let lists = (task.fail_to_pass.len(), task.pass_to_pass.len());
                entry.instance_id = Some(task.instance_id);
                ("task".to_owned(), format!("{subject} [{} F2P, {} P2P]", lists.0, lists.1))
            }
            Err(Rejected { reason, detail }) => {
                entry.rejected = Some(reason.clone());
                (reason, detail)
            }
        };
        entry.detail.clone_from(&detail);
        shop.dataset.record(&entry)?;
        shop.sink.event(&Event::Decided { commit, outcome, detail, seconds });
        Ok(())
    })?;
    let (decisions, _) = shop.dataset.decisions()?;
    let mut report = GenerateReport { candidates: count, ..GenerateReport::default() };
    for candidate in &request.candidates {
        match decisions.get(&(Stage::Tests, candidate.commit.clone())) {
            Some(Entry { rejected: Some(reason), .. }) => {
                *report.rejected.entry(reason.clone()).or_default() += 1;
            }
            Some(_) => report.tasks += 1,
            None => {}
        }
    }
    let paid = shop.author.asker.paid();
    (report.tokens, report.money) = ((paid.tokens_in, paid.tokens_out), paid.money);
    shop.dataset.write_manifest(shop.repo.name())?;
    report.seconds = begin.elapsed().as_secs_f64();
    Ok(report)
}

/// Writes the tests of one commit.
struct Writer<'a> {
    shop: &'a Workshop<'a>,
    request: &'a Generate,
    candidate: &'a Candidate,
}

/// Where tests are tried.
struct Bench {
    built: Built,
    gold_ops: Vec<FileOp>,
    material: Material,
    wrong: Vec<(Mutant, Vec<FileOp>)>,
}

impl Writer<'_> {
    fn commit(&self) -> &str {
        self.candidate.commit.as_str()
    }

    fn note(
        &self,
        name: &str,
        outcome: StageOutcome,
        why: &str,
        what: &str,
    ) -> Result<(), EngineError> {
        let entry = StageEntry::new(name, Some(self.commit()), None, outcome);
        self.shop.author.note(&if why.is_empty() { entry } else { entry.because(why, what) })
    }

    fn write(&self) -> Result<Result<Task, Rejected>, EngineError> {
        let (bench, request) = match self.prepare()? {
            Ok(prepared) => prepared,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let (tests, verdict) = match self.tests(&bench, &request)? {
            Ok(found) => found,
            Err(rejected) => return Ok(Err(rejected)),
        };
        // Smaller is better, as long as it is as good.
        let small = minimise(&tests.content, &verdict.keep);
        if small != tests.content {
            let smaller = ProposedTests { content: small, ..tests.clone() };
            let again = self.judge(&bench, &smaller, GATE_RUNS)?.0;
            let same = again.outcome == TestOutcome::Kept && again.keep == verdict.keep;
            let outcome = if same { StageOutcome::Kept } else { StageOutcome::Rejected };
            self.note(stage::TESTS_MINIMISE, outcome, if same { "" } else { "not_the_same" }, "")?;
            if same {
                return self.deliver(bench, &smaller);
            }
        }
        self.deliver(bench, &tests)
    }

    /// The environment, the fix, wrong fixes, and what tests are asked for.
    fn prepare(&self) -> Result<Result<(Bench, TestRequest), Rejected>, EngineError> {
        let (shop, candidate) = (self.shop, self.candidate);
        let rejected = |reason: &str, detail: String| {
            Ok(Err(Rejected { reason: reason.to_owned(), detail: one_line(&detail) }))
        };
        let Some(base) = candidate.base.clone() else {
            return rejected("root_commit", "there is no tree before the first commit".to_owned());
        };
        let source = |file: &&FileChange| !file.test;
        let mut names: Vec<String> = Vec::new();
        for file in candidate.files.iter().filter(source) {
            names.push(file.path.clone());
            names.extend(file.old_path.clone());
        }
        let gold_patch = shop.repo.diff(&base, &candidate.commit, &names)?;
        if gold_patch.is_empty() {
            return rejected("empty_gold_patch", String::new());
        }
        let tree: Vec<String> = shop
            .repo
            .tree(&candidate.commit)?
            .into_iter()
            .filter_map(|entry| String::from_utf8(entry.path).ok())
            .collect();
        let changed: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = nearest(tree.iter().map(String::as_str), &changed);
        let mut blobs = shop.repo.blobs()?;
        let example = match &near {
            Some(near) => blobs.read_path(&candidate.commit, near.path.as_bytes())?,
            None => None,
        };
        let mut contents = BTreeMap::new();
        let (mut probe, mut test_paths) = (Vec::new(), Vec::new());
        match (&near, &example) {
            (Some(near), Some(content)) if is_runnable(&near.path, false, content) => {
                contents.insert(near.path.clone(), content.clone());
                test_paths.push(near.path.clone());
            }
            _ => {
                let bytes = b"def test_probe():\n    pass\n".to_vec();
                probe.push(write(PROBE, bytes));
                test_paths.push(PROBE.to_owned());
            }
        }
        let mut material = Material {
            fix: candidate.commit.clone(),
            base,
            test_files: Vec::new(),
            test_contents: BTreeMap::new(),
            test_paths,
            gold_patch,
        };
        let gold_ops = match shop.gold_ops(&mut blobs, &material)? {
            Ok(ops) => ops,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let site = Site {
            fix: &material.fix,
            base: &material.base,
            date: &candidate.date,
            test_paths: &material.test_paths,
            contents: &contents,
        };
        let changes: Vec<FileOp> = gold_ops.iter().chain(&probe).cloned().collect();
        let Settled { built, .. } = match shop.settle(&site, &changes)? {
            Ok(settled) => settled,
            Err(rejected) => return Ok(Err(rejected)),
        };
        material.test_paths.clear();
        let pairs = shop.pairs(candidate)?;
        let code = changed_code(&borrowed(&pairs), &candidate.source_entities);
        let pytest = built.environment.runner == Runner::Pytest;
        let style = match (&near, &example) {
            (Some(near), Some(content)) => {
                TestStyle::of(near, &String::from_utf8_lossy(content), pytest)
            }
            _ => TestStyle::default(),
        };
        let is_test = |path: &&String| palestra_syntax::is_test_path(path.as_bytes());
        let request = TestRequest {
            repository: shop.repo.name().to_owned(),
            subject: candidate.subject.clone(),
            body: candidate.body.clone(),
            diff: String::from_utf8_lossy(&material.gold_patch).into_owned(),
            path: TestRequest::free_path(&style, &code, self.commit()),
            code,
            style,
            existing: tree.iter().filter(is_test).cloned().collect::<BTreeSet<_>>(),
            python: built.environment.python.clone(),
        };
        let wrong = self.wrong(&material)?;
        Ok(Ok((Bench { built, gold_ops, material, wrong }, request)))
    }

    /// Wrong fixes, as changes to the base tree.
    fn wrong(&self, material: &Material) -> Result<Vec<(Mutant, Vec<FileOp>)>, EngineError> {
        let mut blobs = self.shop.repo.blobs()?;
        // All of its files, since the patch of a fix may have a change log in it too.
        let mut before = BTreeMap::new();
        for file in self.candidate.files.iter().filter(|file| !file.test) {
            let path = file.old_path.as_ref().unwrap_or(&file.path);
            if let Some(content) = blobs.read_path(&material.base, path.as_bytes())? {
                before.insert(path.as_str(), content);
            }
        }
        let base = |path: &str| before.get(path).cloned();
        let options =
            MutantOptions { seed: self.request.seed, max: Some(MUTANTS), ..Default::default() };
        let made = palestra_mutate::mutants(&base, &material.gold_patch, &options);
        // A patch that cannot be read there cannot be made wrong.
        let Ok((mutants, _)) = made else { return Ok(Vec::new()) };
        let mut wrong = Vec::new();
        for mutant in mutants {
            let material = Material { gold_patch: mutant.patch.clone(), ..material.clone() };
            if let Ok(ops) = self.shop.gold_ops(&mut blobs, &material)? {
                wrong.push((mutant, ops));
            }
        }
        Ok(wrong)
    }

    /// Tests that tell the two sides apart, after as many repairs as are allowed.
    fn tests(
        &self,
        bench: &Bench,
        request: &TestRequest,
    ) -> Result<Result<(ProposedTests, TestVerdict), Rejected>, EngineError> {
        let author = self.shop.author;
        let mut last = Rejected { reason: "not_tried".to_owned(), detail: String::new() };
        let mut said: Option<Said> = None;
        for _ in 0..=author.repairs {
            self.shop.check_stop()?;
            let result = match (&said, &self.request.writing) {
                (None, Some(writing)) => self.by_agent(bench, request, writing)?,
                (None, None) => {
                    let made = propose(&author.asker, &author.prompts, request).map_err(asked)?;
                    let entry = StageEntry::of(stage::TESTS, Some(self.commit()), None, &made);
                    author.note(&entry)?;
                    made.result
                }
                (Some(said), _) => {
                    let trouble = said.trouble();
                    let made =
                        repair(&author.asker, &author.prompts, request, &said.previous, trouble)
                            .map_err(asked)?;
                    let name = stage::TESTS_REPAIR;
                    author.note(&StageEntry::of(name, Some(self.commit()), None, &made))?;
                    made.result
                }
            };
            let tests = match result {
                Ok(tests) => tests,
                Err(rejection) => {
                    last = Rejected {
                        reason: rejection.reason.name().to_owned(),
                        detail: one_line(&rejection.to_string()),
                    };
                    if !rejection.can_be_repaired() {
                        break;
                    }
                    let previous = said.map(|said| said.previous).unwrap_or_default();
                    said = Some(Said { previous, what: What::Rejected(rejection) });
                    continue;
                }
            };
            let (mut verdict, mut printed) = self.judge(bench, &tests, 1)?;
            if verdict.outcome == TestOutcome::Kept {
                (verdict, printed) = self.judge(bench, &tests, GATE_RUNS)?;
            }
            let kept = verdict.outcome == TestOutcome::Kept;
            let outcome = if kept { StageOutcome::Kept } else { StageOutcome::Rejected };
            let name = if kept { "" } else { verdict.outcome.name() };
            self.note(stage::TESTS_RUN, outcome, name, &one_line(&verdict.detail))?;
            if !kept {
                let detail = one_line(&verdict.summary());
                last = Rejected { reason: verdict.outcome.name().to_owned(), detail };
                said = Some(Said { previous: tests.content, what: What::Runs(verdict, printed) });
                continue;
            }
            match self.survivors(bench, &tests, &verdict)? {
                None => return Ok(Ok((tests, verdict))),
                Some(diffs) => {
                    last = Rejected {
                        reason: "kills_no_mutant".to_owned(),
                        detail: format!("{} wrong fixes pass", bench.wrong.len()),
                    };
                    said = Some(Said { previous: tests.content, what: What::Survivors(diffs) });
                }
            }
        }
        Ok(Err(last))
    }

    /// Runs the tests on both sides, and judges the runs.
    fn judge(
        &self,
        bench: &Bench,
        tests: &ProposedTests,
        runs: u32,
    ) -> Result<(TestVerdict, String), EngineError> {
        let (mut base, mut gold): (Vec<TestReport>, Vec<TestReport>) = (Vec::new(), Vec::new());
        let mut printed = String::new();
        for _ in 0..runs {
            let run = self.run(bench, tests, &bench.gold_ops)?;
            if gold.is_empty() {
                printed = format!("After the change:\n{}\n", evidence(&run));
            }
            gold.push(run.report);
            let run = self.run(bench, tests, &[])?;
            if base.is_empty() {
                printed.push_str(&format!("Before the change:\n{}", evidence(&run)));
            }
            base.push(run.report);
        }
        Ok((judge_runs(tests, &base, &gold), printed))
    }

    fn run(
        &self,
        bench: &Bench,
        tests: &ProposedTests,
        ops: &[FileOp],
    ) -> Result<TestRun, EngineError> {
        self.shop.check_stop()?;
        let mut changes = ops.to_vec();
        changes.push(write(&tests.path, tests.content.clone().into_bytes()));
        let limits = palestra_grade::RunLimits {
            seconds: self.shop.limits.seconds.min(120),
            ..self.shop.limits
        };
        Ok(palestra_grade::run_tests(
            self.shop.host,
            &spec(&bench.built),
            &bench.built.environment,
            &changes,
            std::slice::from_ref(&tests.path),
            &limits,
        )?)
    }

    /// The wrong fixes that the tests take for right, where they take all of them.
    fn survivors(
        &self,
        bench: &Bench,
        tests: &ProposedTests,
        verdict: &TestVerdict,
    ) -> Result<Option<String>, EngineError> {
        if bench.wrong.is_empty() {
            self.note(stage::TESTS_MUTANTS, StageOutcome::Skipped, "no_mutants", "")?;
            return Ok(None);
        }
        let mut reports = Vec::new();
        for (_, ops) in &bench.wrong {
            reports.push(self.run(bench, tests, ops)?.report);
        }
        let kills = kills(&verdict.keep, &reports);
        let detail = format!("{} of {} wrong fixes fail", kills.killed(), bench.wrong.len());
        if kills.killed() > 0 {
            self.note(stage::TESTS_MUTANTS, StageOutcome::Kept, "", &detail)?;
            return Ok(None);
        }
        let name = "kills_no_mutant";
        self.note(stage::TESTS_MUTANTS, StageOutcome::Rejected, name, &detail)?;
        let mut diffs = String::new();
        for (mutant, _) in &bench.wrong {
            let diff = String::from_utf8_lossy(&mutant.patch);
            if diffs.len() + diff.len() < SHOWN {
                diffs.push_str(&diff);
                diffs.push('\n');
            }
        }
        Ok(Some(diffs))
    }

    /// The task of tests that hold.
    fn deliver(
        &self,
        bench: Bench,
        tests: &ProposedTests,
    ) -> Result<Result<Task, Rejected>, EngineError> {
        let Bench { built, gold_ops, mut material, .. } = bench;
        let content = tests.content.clone().into_bytes();
        let hash = Some(Hash::of(&content));
        material.test_files = vec![TestFile { path: tests.path.clone(), mode: 0o100644, hash }];
        material.test_contents = BTreeMap::from([(tests.path.clone(), content)]);
        material.test_paths = vec![tests.path.clone()];
        let test_ops = palestra_grade::overlay_ops(&material.overlay())?;
        let changes: Vec<FileOp> = gold_ops.iter().chain(&test_ops).cloned().collect();
        let gold_run = palestra_grade::run_tests(
            self.shop.host,
            &spec(&built),
            &built.environment,
            &changes,
            &material.test_paths,
            &self.shop.limits,
        )?;
        let prepared = Prepared {
            material,
            built,
            gold_ops,
            test_ops,
            gold_run,
            works: true,
            repairs: Vec::new(),
        };
        let by = match &self.request.writing {
            Some(writing) => format!("{}@{}", writing.agent.name(), writing.agent.version()),
            None => "tests".to_owned(),
        };
        let synthesis = Synthesis {
            kind: "tests".to_owned(),
            by: vec![by],
            model: self.shop.author.model.clone(),
            seed: self.request.seed,
        };
        let proven = self.shop.prove(self.candidate, prepared, Some(synthesis))?;
        let (outcome, why, what) = match &proven {
            Ok(_) => (StageOutcome::Kept, "", ""),
            Err(Rejected { reason, detail }) => {
                (StageOutcome::Rejected, reason.as_str(), detail.as_str())
            }
        };
        self.note(stage::GATE, outcome, why, what)?;
        Ok(proven)
    }

    /// Lets an agent write them in a sandbox with the fixed tree.
    fn by_agent(
        &self,
        bench: &Bench,
        request: &TestRequest,
        writing: &Writing,
    ) -> Result<Result<ProposedTests, Rejection>, EngineError> {
        let author = self.shop.author;
        let statement = palestra_synth::tests::agent_assignment(&author.prompts, request)
            .map_err(|error| EngineError::Input(error.to_string()))?;
        let mut place = spec(&bench.built);
        let variables = bench.built.variables();
        place.env =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let sandbox = self.shop.host.create(&place)?;
        sandbox.apply(&bench.gold_ops)?;
        let stage_of_agent = Stand {
            sandbox,
            assignment: Arc::new(Assignment {
                id: self.commit().to_owned(),
                statement,
                directory: PathBuf::from(TESTBED),
                path: vec![PathBuf::from(ENV_DIR).join("bin")],
            }),
            model: Arc::clone(&writing.model),
            model_name: author.model.clone().unwrap_or_default(),
            sampling: Sampling { seed: Some(self.request.seed), ..Sampling::default() },
            limits: writing.limits.clone(),
            context: ContextPolicy::default(),
            session: format!("tests-{}", self.commit()),
            stop: Arc::clone(self.shop.stop),
            aid: Aid::default(),
        };
        let mut live = writing.agent.start(stage_of_agent).map_err(failed)?;
        loop {
            self.shop.check_stop()?;
            if live.step().map_err(failed)?.exit.is_some() {
                break;
            }
        }
        let sandbox = live.finish();
        let options = DiffOptions {
            top: TESTBED.into(),
            exclude: vec![format!("{TESTBED}/.git").into()],
            bounds: Bounds { bytes: AGENT_BYTES, entries: AGENT_FILES },
        };
        let changes: Vec<palestra_diff::Change> =
            sandbox.changes(&options)?.into_iter().map(Into::into).collect();
        sandbox.destroy()?;
        let own = |change: &palestra_diff::Change| change.path == request.path.as_bytes();
        let patch = palestra_diff::make(
            &changes.into_iter().filter(own).collect::<Vec<_>>(),
            &palestra_diff::MakeOptions::default(),
        );
        let result = palestra_synth::tests::tests_from_patch(&patch, request);
        let (outcome, why, what) = match &result {
            Ok(_) => (StageOutcome::Kept, "", String::new()),
            Err(rejection) => {
                (StageOutcome::Rejected, rejection.reason.name(), rejection.to_string())
            }
        };
        self.note(stage::TESTS_AGENT, outcome, why, &what)?;
        Ok(result)
    }
}

/// What was wrong the last time.
struct Said {
    previous: String,
    what: What,
}

enum What {
    Rejected(Rejection),
    Runs(TestVerdict, String),
    Survivors(String),
}

impl Said {
    fn trouble(&self) -> Trouble<'_> {
        match &self.what {
            What::Rejected(rejection) => Trouble::Rejected(rejection),
            What::Runs(verdict, printed) => Trouble::Runs(verdict, printed),
            What::Survivors(diffs) => Trouble::Survivors(diffs),
        }
    }
}

fn failed(error: AgentError) -> EngineError {
    EngineError::Machine(error.to_string())
}

fn write(path: &str, bytes: Vec<u8>) -> FileOp {
    FileOp::Write { path: PathBuf::from(TESTBED).join(path), mode: 0o644, bytes }
}

impl GenerateReport {
    /// The table that a person reads.
    pub fn table(&self) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "  without tests {:>5}  commits\n  tasks         {:>5}  {:.1} %\n",
            self.candidates,
            self.tasks,
            100.0 * self.tasks as f64 / self.candidates.max(1) as f64
        );
        let mut reasons: Vec<_> = self.rejected.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        if !reasons.is_empty() {
            text.push_str("\n  rejected\n");
        }
        for (reason, count) in reasons {
            let _ = writeln!(text, "  {count:>19}  {reason}");
        }
        let _ = writeln!(
            text,
            "\n  tokens      {} in, {} out{}\n  seconds     {:.1}",
            self.tokens.0,
            self.tokens.1,
            self.money.map(|money| format!(" ({money:.4} dollars)")).unwrap_or_default(),
            self.seconds
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_came_of_it() {
        let report = GenerateReport {
            candidates: 4,
            tasks: 1,
            rejected: BTreeMap::from([("flaky".to_owned(), 1), ("no_code".to_owned(), 2)]),
            ..GenerateReport::default()
        };
        let table = report.table();
        assert!(table.contains("25.0 %") && table.contains("2  no_code"), "{table}");
    }
}
