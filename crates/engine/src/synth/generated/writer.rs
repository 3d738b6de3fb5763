//! The tests of one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use palestra_build::Built;
use palestra_core::environment::TESTBED;
use palestra_core::task::Synthesis;
use palestra_core::{Candidate, FileChange, Hash, Runner, Task, TestFile, TestReport};
use palestra_grade::TestRun;
use palestra_mutate::{Mutant, MutantOptions};
use palestra_sandbox::FileOp;
use palestra_synth::ledger::{StageOutcome, stage};
use palestra_synth::tests::{
    ProposedTests, TestOutcome, TestRequest, TestStyle, TestVerdict, Trouble, changed_code,
    judge_runs, kills, minimise, nearest, propose, repair,
};
use palestra_synth::{Rejection, StageEntry};

use super::Generate;
use crate::error::EngineError;
use crate::gold::{evidence, one_line};
use crate::material::{Material, is_runnable};
use crate::settle::{Settled, Site};
use crate::synth::author::{asked, borrowed};
use crate::synth::steady::steady;
use crate::work::{GATE_RUNS, Prepared, Rejected, Workshop, spec};

/// Wrong fixes that generated tests are shown.
const MUTANTS: usize = 8;
/// Bytes of their patches that a model is shown.
const SHOWN: usize = 8_000;
/// What is run where the tree has no tests at all, to see that tests can be run.
const PROBE: &str = "test_palestra_probe.py";

/// Writes the tests of one commit.
pub(super) struct Writer<'a> {
    pub(super) shop: &'a Workshop<'a>,
    pub(super) request: &'a Generate,
    pub(super) candidate: &'a Candidate,
}

/// Where tests are tried.
pub(super) struct Bench {
    pub(super) built: Built,
    pub(super) gold_ops: Vec<FileOp>,
    /// The nearest tests that are there, which go on passing.
    near: Option<(String, Vec<u8>)>,
    material: Material,
    wrong: Vec<(Mutant, Vec<FileOp>)>,
}

impl Writer<'_> {
    pub(super) fn commit(&self) -> &str {
        self.candidate.commit.as_str()
    }

    pub(super) fn note(
        &self,
        name: &str,
        outcome: StageOutcome,
        why: &str,
        what: &str,
    ) -> Result<(), EngineError> {
        let entry = StageEntry::new(name, Some(self.commit()), None, outcome);
        self.shop.author.note(&match why {
            "" => StageEntry { detail: what.to_owned(), ..entry },
            why => entry.because(why, what),
        })
    }

    pub(super) fn write(&self) -> Result<Result<Task, Rejected>, EngineError> {
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
        let Settled { built, run, .. } = match shop.settle(&site, &changes)? {
            Ok(settled) => settled,
            Err(rejected) => return Ok(Err(rejected)),
        };
        material.test_paths.clear();
        let near_tests = match run.report.finished && run.report.collection_errors.is_empty() {
            true => contents.into_iter().next(),
            false => None,
        };
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
        Ok(Ok((Bench { built, gold_ops, near: near_tests, material, wrong }, request)))
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
        Ok((judge_runs(tests, &base, &gold), steady(&printed)))
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
        let Bench { built, gold_ops, near, mut material, .. } = bench;
        // What passed before has to pass afterwards: the nearest tests are laid over the tree too.
        let mut files = BTreeMap::from_iter(near);
        files.insert(tests.path.clone(), tests.content.clone().into_bytes());
        let file = |(path, content): (&String, &Vec<u8>)| {
            let hash = Some(Hash::of(content));
            TestFile { path: path.clone(), mode: 0o100644, hash }
        };
        material.test_files = files.iter().map(file).collect();
        material.test_paths = files.keys().cloned().collect();
        material.test_contents = files;
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

fn write(path: &str, bytes: Vec<u8>) -> FileOp {
    FileOp::Write { path: PathBuf::from(TESTBED).join(path), mode: 0o644, bytes }
}
