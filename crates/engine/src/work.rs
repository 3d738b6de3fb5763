//! One candidate through build and gate: the loop that neither feature knows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use palestra_build::{Action, BuildError, BuildFailure, Builder, Built, Recipe, Repair, Step};
use palestra_core::disk;
use palestra_core::task::LeakCertificate;
use palestra_core::{Candidate, CommitId, InstanceId, Runner, Task};
use palestra_git::{BlobReader, Repo};
use palestra_grade::gate::{GateInput, GateOutcome};
use palestra_grade::{RunLimits, TestRun};
use palestra_sandbox::{FileOp, Host, SandboxSpec, Writable};

use crate::dataset::{Dataset, Entry, Stage};
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::gold::{
    counts, evidence, failing, failure_text, one_line, rank, why_nothing_passes, works,
};
use crate::material::{Material, Unusable};
use crate::ship::{self, Parts};
use crate::statement::{self, Failure};

/// How often an environment is tried in another way.
const ROUNDS: usize = 10;
/// After so many attempts that were no better, an environment in which some tests pass is taken.
const PATIENCE: u32 = 2;
/// After so many seconds, an environment in which some tests pass is taken as it is.
const REPAIR_SECONDS: u64 = 180;
/// How often the gate runs each side.
pub const GATE_RUNS: u32 = 3;

/// A candidate was rejected: a property of the commit, not of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Reason in snake case.
    pub reason: String,
    /// One line.
    pub detail: String,
}

impl From<Unusable> for Rejected {
    fn from(unusable: Unusable) -> Self {
        Self { reason: unusable.reason.to_owned(), detail: unusable.detail }
    }
}

/// A candidate that passed the build stage.
#[derive(Debug)]
pub struct Prepared {
    /// What it is proven with.
    pub material: Material,
    /// Where it runs.
    pub built: Built,
    /// The gold patch as changes to the base tree.
    pub gold_ops: Vec<FileOp>,
    /// The hidden tests as changes.
    pub test_ops: Vec<FileOp>,
    /// The run on the fixed tree that showed that the environment works.
    pub gold_run: TestRun,
    /// Whether every touched test passed in it.
    pub works: bool,
    /// The repairs that led there.
    pub repairs: Vec<String>,
}

/// What all workers share.
pub struct Workshop<'a> {
    /// Where sandboxes are made.
    pub host: &'a Host,
    /// Where the commits are.
    pub repo: &'a Repo,
    /// What makes environments.
    pub builder: &'a Builder,
    /// Where the tasks go.
    pub dataset: &'a Dataset,
    /// Where events go.
    pub sink: &'a dyn Sink,
    /// Set when the user wants to stop.
    pub stop: &'a Arc<AtomicBool>,
    /// Bounds of each run of tests.
    pub limits: RunLimits,
}

impl Workshop<'_> {
    /// Fails if the user wants to stop.
    pub fn check_stop(&self) -> Result<(), EngineError> {
        if self.stop.load(Ordering::Relaxed) { Err(EngineError::Interrupted) } else { Ok(()) }
    }

    /// Build and gate of one candidate; both decisions are recorded.
    pub fn curate(&self, candidate: &Candidate) -> Result<Result<Task, Rejected>, EngineError> {
        match self.build(candidate)? {
            Err(rejected) => Ok(Err(rejected)),
            Ok(prepared) => self.gate(candidate, prepared),
        }
    }

    /// The build stage of one candidate, recorded.
    pub fn build(&self, candidate: &Candidate) -> Result<Result<Prepared, Rejected>, EngineError> {
        let begin = Instant::now();
        let result = self.prepare(candidate)?;
        let seconds = begin.elapsed().as_secs_f64();
        let mut entry = Entry::new(Stage::Build, &candidate.commit, seconds);
        match &result {
            Ok(prepared) => {
                entry.detail = counts(&prepared.gold_run.report);
                entry.works = prepared.works;
                if !prepared.works {
                    let failing = failing(&prepared.gold_run.report);
                    disk::write_json(&self.dataset.failures(&candidate.commit), &failing)?;
                }
                entry.environment = Some(prepared.built.environment.id.to_string());
                entry.layers = layer_names(&prepared.built);
                entry.repairs = prepared.repairs.clone();
            }
            Err(Rejected { reason, detail }) => {
                entry.rejected = Some(reason.clone());
                entry.detail.clone_from(detail);
            }
        }
        self.dataset.record(&entry)?;
        Ok(result)
    }

    /// Material, environment, repairs: until the touched tests run on the fixed tree.
    fn prepare(&self, candidate: &Candidate) -> Result<Result<Prepared, Rejected>, EngineError> {
        let mut blobs = self.repo.blobs()?;
        let material = match Material::read(self.repo, &mut blobs, candidate)? {
            Ok(material) => material,
            Err(unusable) => return Ok(Err(unusable.into())),
        };
        let gold_ops = match self.gold_ops(&mut blobs, &material)? {
            Ok(ops) => ops,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let test_ops = palestra_grade::overlay_ops(&material.overlay())?;
        let changes: Vec<FileOp> = gold_ops.iter().chain(&test_ops).cloned().collect();
        let mut recipe =
            match self.builder.plan(&material.fix, &candidate.date, &material.test_paths) {
                Ok(recipe) => recipe,
                Err(error @ (BuildError::NoPython(_) | BuildError::HostilePath { .. })) => {
                    return Ok(Err(unbuildable(&error)));
                }
                Err(error) => return Err(error.into()),
            };
        let mut tried: Vec<Recipe> = Vec::new();
        let mut best: Option<(Built, TestRun, Recipe)> = None;
        let mut last_failure: Option<BuildFailure> = None;
        let begin = Instant::now();
        let mut no_better = 0;
        for round in 0..ROUNDS {
            self.check_stop()?;
            let built = self.builder.build(&material.fix, &material.base, &recipe);
            let (step, evidence) = match built {
                Err(failure) => {
                    if failure.step == Step::Machine {
                        return Err(failure.into());
                    }
                    let said = (failure.step, failure.log.clone());
                    last_failure = Some(failure);
                    said
                }
                Ok(built) => {
                    let run = palestra_grade::run_tests(
                        self.host,
                        &spec(&built),
                        &built.environment,
                        &changes,
                        &material.test_paths,
                        &self.limits,
                    )?;
                    let evidence = evidence(&run);
                    let clean = works(&run);
                    if best.as_ref().is_none_or(|(_, old, _)| rank(&run) > rank(old)) {
                        best = Some((built, run, recipe.clone()));
                        no_better = 0;
                    } else {
                        no_better += 1;
                    }
                    // What fails now may fail for reasons that no environment mends.
                    let enough = best.as_ref().is_some_and(|(_, run, _)| run.report.passes() > 0)
                        && (no_better >= PATIENCE || begin.elapsed().as_secs() > REPAIR_SECONDS);
                    if clean || enough {
                        break;
                    }
                    (Step::Test, evidence)
                }
            };
            tried.push(recipe.clone());
            if round + 1 == ROUNDS {
                break;
            }
            let next = self
                .builder
                .repair(&recipe, step, &evidence, &tried)
                .or_else(|| with_unittest(&recipe, step, &material));
            match next {
                None => break,
                Some((next, repair)) => {
                    let commit = material.fix.to_string();
                    self.sink.event(&Event::Repaired { commit, repair });
                    recipe = next;
                }
            }
        }
        let Some((built, gold_run, recipe)) = best else {
            return match last_failure {
                Some(failure) => Ok(Err(no_environment(&failure, tried.len()))),
                None => Err(EngineError::Interrupted),
            };
        };
        if gold_run.report.passes() == 0 {
            let (reason, detail) = why_nothing_passes(&gold_run);
            return Ok(Err(Rejected { reason: reason.to_owned(), detail }));
        }
        let works = works(&gold_run);
        self.builder.remember(&material.fix, &candidate.date, &recipe)?;
        let repairs = recipe.repairs.iter().map(|repair| repair.rule.clone()).collect();
        Ok(Ok(Prepared { material, built, gold_ops, test_ops, gold_run, works, repairs }))
    }

    /// The gold patch as changes to the base tree. Reading our own patch back proves that the
    /// bytes that are shipped apply strictly.
    fn gold_ops(
        &self,
        blobs: &mut BlobReader,
        material: &Material,
    ) -> Result<Result<Vec<FileOp>, Rejected>, EngineError> {
        let tree: BTreeMap<Vec<u8>, _> =
            self.repo.tree(&material.base)?.into_iter().map(|e| (e.path.clone(), e)).collect();
        let blobs = std::cell::RefCell::new(blobs);
        let failed = std::cell::RefCell::new(None);
        let base = |path: &str| {
            let entry = tree.get(path.as_bytes()).filter(|entry| !entry.is_submodule())?;
            match blobs.borrow_mut().read(&entry.oid) {
                Ok(bytes) => Some((entry.mode, bytes)),
                Err(error) => {
                    *failed.borrow_mut() = Some(error);
                    None
                }
            }
        };
        let result = palestra_grade::patch::to_ops(&material.gold_patch, &base);
        if let Some(error) = failed.into_inner() {
            return Err(error.into());
        }
        Ok(result.map_err(|error| Rejected {
            reason: "gold_patch_does_not_apply".to_owned(),
            detail: error.to_string(),
        }))
    }

    /// The gate stage of one candidate, recorded; the task is written.
    pub fn gate(
        &self,
        candidate: &Candidate,
        prepared: Prepared,
    ) -> Result<Result<Task, Rejected>, EngineError> {
        self.check_stop()?;
        let begin = Instant::now();
        let result = self.prove(candidate, prepared)?;
        let seconds = begin.elapsed().as_secs_f64();
        let mut entry = Entry::new(Stage::Gate, &candidate.commit, seconds);
        match &result {
            Ok(task) => {
                entry.detail = format!(
                    "{} FAIL_TO_PASS, {} PASS_TO_PASS",
                    task.fail_to_pass.len(),
                    task.pass_to_pass.len()
                );
                entry.instance_id = Some(task.instance_id.clone());
            }
            Err(Rejected { reason, detail }) => {
                entry.rejected = Some(reason.clone());
                entry.detail.clone_from(detail);
            }
        }
        self.dataset.record(&entry)?;
        Ok(result)
    }

    fn prove(
        &self,
        candidate: &Candidate,
        prepared: Prepared,
    ) -> Result<Result<Task, Rejected>, EngineError> {
        let Prepared { material, built, gold_ops, test_ops, gold_run, .. } = prepared;
        let spec = spec(&built);
        let input = GateInput {
            spec: &spec,
            environment: &built.environment,
            test_ops: &test_ops,
            gold_ops: &gold_ops,
            test_paths: &material.test_paths,
            limits: &self.limits,
            runs: GATE_RUNS,
        };
        let outcome = palestra_grade::gate(self.host, &input, Some(gold_run))?;
        let GateOutcome { decision, record, base, .. } = outcome;
        let proof = match decision {
            Ok(proof) => proof,
            Err(reject) => {
                let reason = reject.name().to_owned();
                return Ok(Err(Rejected { reason, detail: one_line(&reject.to_string()) }));
            }
        };
        let instance_id = InstanceId::for_commit(self.repo.name(), &material.fix);
        let work = self.dataset.scratch()?;
        let bundle = work.path().join("repo.bundle");
        let leak = self.agent_repository(&material.base, &material.fix, &bundle)?;
        if leak.found > 0 || leak.commits != 1 {
            let detail = format!("{} objects of the fix, {} commits", leak.found, leak.commits);
            return Ok(Err(Rejected { reason: "leaks_the_fix".to_owned(), detail }));
        }
        let failures: Vec<Failure<'_>> = proof
            .fail_to_pass
            .iter()
            .filter_map(|test| failure_text(&base.first()?.report, test))
            .map(|message| Failure { message })
            .collect();
        let statement =
            statement::template(self.repo.name(), &candidate.subject, &candidate.body, &failures);
        let title =
            statement.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
        let task = Task {
            instance_id,
            repository: self.repo.name().to_owned(),
            base_commit: material.base.clone(),
            fix_commit: material.fix.clone(),
            created_at: candidate.date.clone(),
            environment: built.environment.clone(),
            test_paths: material.test_paths.clone(),
            test_files: material.test_files.clone(),
            fail_to_pass: proof.fail_to_pass,
            pass_to_pass: proof.pass_to_pass,
            statement_source: "template".to_owned(),
            gate: record,
            leak,
        };
        let programs = palestra_grade::docker::shipped(self.limits.seconds);
        let parts = Parts {
            title: &title,
            statement: &statement,
            gold_patch: &material.gold_patch,
            test_contents: &material.test_contents,
            bundle: &bundle,
            dockerfile: &palestra_build::docker::dockerfile(&built.environment),
            programs: &programs,
        };
        ship::ship(self.dataset, &task, &parts)?;
        Ok(Ok(task))
    }

    fn agent_repository(
        &self,
        base: &CommitId,
        fix: &CommitId,
        bundle: &Path,
    ) -> Result<LeakCertificate, EngineError> {
        palestra_git::agent_repository(self.repo, base, bundle)?;
        let forbidden = palestra_git::forbidden_objects(self.repo, base, fix)?;
        Ok(palestra_git::scan(bundle, &forbidden)?)
    }
}

/// The sandbox of a built environment: layers below, memory on top.
pub(crate) fn spec(built: &Built) -> SandboxSpec {
    SandboxSpec {
        layers: built.layers.clone(),
        binds: built.binds.clone(),
        writable: Writable::default(),
        ..SandboxSpec::default()
    }
}

fn layer_names(built: &Built) -> Vec<String> {
    built
        .layers
        .iter()
        .filter_map(|path| path.file_name().map(|n| n.to_string_lossy().into_owned()))
        .collect()
}

/// Tests that know nothing of pytest may not be meant for it: pytest collects mixins, and
/// functions whose names begin with `test`, that the project's own runner does not.
fn with_unittest(recipe: &Recipe, step: Step, material: &Material) -> Option<(Recipe, String)> {
    let knows_pytest = |path: &String| {
        let content = material.test_contents.get(path);
        content.is_none_or(|text| memchr::memmem::find(text, b"pytest").is_some())
    };
    if step != Step::Test
        || recipe.runner != Runner::Pytest
        || material.test_paths.iter().any(knows_pytest)
    {
        return None;
    }
    let actions = vec![Action::Runner(Runner::Unittest)];
    let repair = Repair { rule: "unittest".to_owned(), actions };
    Some((recipe.with(repair), "unittest: run the tests with unittest".to_owned()))
}

fn no_environment(failure: &BuildFailure, attempts: usize) -> Rejected {
    let detail = match attempts {
        0 | 1 => failure.to_string(),
        n => format!("{failure} ({n} attempts)"),
    };
    let reason = format!("environment_{}_failed", failure.step);
    Rejected { reason, detail: one_line(&detail) }
}

fn unbuildable(error: &BuildError) -> Rejected {
    let reason = match error {
        BuildError::NoPython(_) => "no_python",
        _ => "hostile_path",
    };
    Rejected { reason: reason.to_owned(), detail: one_line(&error.to_string()) }
}
