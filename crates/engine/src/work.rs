//! One candidate through build and gate: the loop that neither feature knows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use palestra_build::{Builder, Built};
use palestra_core::disk;
use palestra_core::task::{LeakCertificate, Synthesis};
use palestra_core::{Candidate, CommitId, FileChange, InstanceId, Task};
use palestra_git::{BlobReader, Repo};
use palestra_grade::gate::{GateInput, GateOutcome};
use palestra_grade::{RunLimits, TestRun};
use palestra_sandbox::{FileOp, Host, SandboxSpec, Writable};

use crate::dataset::{Dataset, Entry, Stage};
use crate::error::EngineError;
use crate::event::Sink;
use crate::gold::{counts, failing, one_line};
use crate::material::{Material, Unusable};
use crate::settle::{Settled, Site};
use crate::ship::{self, Parts};
use crate::synth::{Author, Facts, Pair};

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
    /// Who writes statements.
    pub author: &'a Author,
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
        let site = Site {
            fix: &material.fix,
            base: &material.base,
            date: &candidate.date,
            test_paths: &material.test_paths,
            contents: &material.test_contents,
        };
        let Settled { built, run: gold_run, works, repairs } = match self.settle(&site, &changes)? {
            Ok(settled) => settled,
            Err(rejected) => return Ok(Err(rejected)),
        };
        Ok(Ok(Prepared { material, built, gold_ops, test_ops, gold_run, works, repairs }))
    }

    /// The gold patch as changes to the base tree. Reading our own patch back proves that the
    /// bytes that are shipped apply strictly.
    pub(crate) fn gold_ops(
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
        let result = self.prove(candidate, prepared, None)?;
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

    pub(crate) fn prove(
        &self,
        candidate: &Candidate,
        prepared: Prepared,
        synthesis: Option<Synthesis>,
    ) -> Result<Result<Task, Rejected>, EngineError> {
        let Prepared { material, built, gold_ops, test_ops, gold_run, .. } = prepared;
        let spec = spec(&built);
        let input = GateInput {
            spec: &spec,
            environment: &built.environment,
            with_fix: &[gold_ops, test_ops.clone()].concat(),
            without: &test_ops,
            test_paths: &material.test_paths,
            limits: &self.limits,
            runs: GATE_RUNS,
        };
        let outcome = palestra_grade::gate(self.host, &input, vec![gold_run])?;
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
        let facts = Facts {
            repository: self.repo.name(),
            commit: material.fix.as_str(),
            task: instance_id.as_str(),
            subject: &candidate.subject,
            body: &candidate.body,
            gold_patch: &material.gold_patch,
            pairs: &self.pairs(candidate)?,
            tests: &material.test_contents,
            fail_to_pass: &proof.fail_to_pass,
            base: base.first().map(|run| &run.report),
        };
        let told = self.author.tell(self.dataset, &facts)?;
        let title = told.text.lines().next().unwrap_or_default().trim_start_matches("# ");
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
            statement_source: told.source,
            opinion: told.opinion,
            synthesis,
            strength: None,
            gate: record,
            leak,
        };
        let programs = palestra_grade::docker::shipped(self.limits.seconds);
        let parts = Parts {
            title,
            statement: &told.text,
            gold_patch: &material.gold_patch,
            test_contents: &material.test_contents,
            bundle: &bundle,
            base_patch: None,
            dockerfile: &palestra_build::docker::dockerfile(&built.environment, false),
            programs: &programs,
        };
        ship::ship(self.dataset, &task, &parts)?;
        Ok(Ok(task))
    }

    /// The sources that a commit changes, before and after.
    pub(crate) fn pairs(&self, candidate: &Candidate) -> Result<Vec<Pair>, EngineError> {
        let mut blobs = self.repo.blobs()?;
        let mut pairs = Vec::new();
        let python = |file: &&FileChange| !file.test && file.path.ends_with(".py");
        for file in candidate.files.iter().filter(python) {
            let old = file.old_path.as_ref().unwrap_or(&file.path);
            let before = match &candidate.base {
                Some(base) => blobs.read_path(base, old.as_bytes())?,
                None => None,
            };
            let after = blobs.read_path(&candidate.commit, file.path.as_bytes())?;
            pairs.push((file.path.clone(), before, after));
        }
        Ok(pairs)
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
