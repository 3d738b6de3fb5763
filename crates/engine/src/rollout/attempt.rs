//! The first half of an attempt: from its sandbox to its patch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use palestra_agent::{AgentError, Aid, Exit, Live, Stage};
use palestra_core::{Hash, atif, disk, job};
use palestra_sandbox::{Bounds, DiffOptions, Sandbox};
use palestra_trace::Counters;
use serde_json::{Map, Value, json};

use super::Rollout;
use super::external::Visit;
use super::failure::{Failure, FailureKind};
use super::ground::{Ground, More};
use super::job::now;
use super::plan::Trial;
use super::record::{AttemptRecord, Forked, Seconds};
use super::recording::{Recording, Tape};
use super::replay::recorded;
use super::search::Searched;
use super::trajectory::{Spool, Sums};
use crate::error::EngineError;

/// Bytes of changed files in one attempt, of each side.
const PATCH_BYTES: u64 = 256 << 20;
/// Changed files in one attempt.
const PATCH_FILES: u64 = 100_000;

/// An attempt while its agent is at work.
pub(super) struct Run<'a> {
    trial: &'a Trial,
    pub(super) dir: PathBuf,
    pub(super) live: Option<Box<dyn Live>>,
    /// Where calls are recorded; the gateway does it for an external agent.
    tape: Option<Tape>,
    /// The session of an external agent.
    visit: Option<Visit>,
    pub(super) spool: Option<Spool>,
    pub(super) sums: Sums,
    seconds: Seconds,
    pub(super) exit: Option<Exit>,
    forked: Option<Forked>,
    pub(super) searched: Option<Searched>,
    started_at: String,
}

impl Rollout<'_> {
    /// One try at the attempts of a group: one, or those that share a stem. What fails by the
    /// machine's doing is in the records.
    pub(super) fn attempt(&self, trials: &[Trial], tries: u32) -> Vec<AttemptRecord> {
        let Some((stem, others)) = trials.split_first() else { return Vec::new() };
        let begin = Instant::now();
        let started_at = now();
        let made = self.begin(stem, &started_at);
        let (ground, mut run) = match made {
            Ok(all) => all,
            Err(failure) => {
                return trials
                    .iter()
                    .map(|trial| self.failed(trial, tries, &started_at, failure.clone()))
                    .collect();
            }
        };
        run.seconds.setup = begin.elapsed().as_secs_f64();
        if let Some(search) = &self.job.plan.search {
            let (run, ended) = self.search(run, search, &ground);
            return vec![self.end(run, &ground, tries, ended)];
        }
        let at = self.job.plan.branching.map(|branching| branching.at);
        let stepped = self.steps(&mut run, at);
        let mut records = Vec::new();
        let mut forks = Vec::new();
        if let (Ok(()), false) = (&stepped, others.is_empty()) {
            match self.fork(&mut run, others) {
                Ok(made) => forks = made,
                Err(failure) => {
                    let lost = others.iter();
                    records.extend(
                        lost.map(|trial| self.failed(trial, tries, &started_at, failure.clone())),
                    );
                }
            }
        } else if let Err(failure) = &stepped {
            let lost = others.iter();
            records
                .extend(lost.map(|trial| self.failed(trial, tries, &started_at, failure.clone())));
        }
        let go_on = |mut run: Run<'_>, stepped: Result<(), Failure>| {
            let stepped = stepped.and_then(|()| self.steps(&mut run, None));
            self.end(run, &ground, tries, stepped)
        };
        std::thread::scope(|scope| {
            let others: Vec<_> =
                forks.into_iter().map(|run| scope.spawn(|| go_on(run, Ok(())))).collect();
            records.insert(0, go_on(run, stepped));
            for (handle, trial) in others.into_iter().zip(others_of(trials)) {
                records.push(handle.join().unwrap_or_else(|_| {
                    let failure = Failure::new(FailureKind::Internal, "a branch panicked");
                    self.failed(trial, tries, &started_at, failure)
                }));
            }
        });
        records
    }

    /// Makes the sandbox and starts the agent.
    fn begin<'t>(
        &self,
        trial: &'t Trial,
        started_at: &str,
    ) -> Result<(Arc<Ground>, Run<'t>), Failure> {
        let machine =
            |error: &dyn std::fmt::Display| Failure::new(FailureKind::Machine, error.to_string());
        let dir = self.job.begin(trial).map_err(|e| machine(&e))?;
        let config = self.trial_config(trial);
        disk::write_json(&dir.join(job::CONFIG), &config)?;
        let ground = self
            .grounds
            .get(self.tools, self.job, trial.task)
            .map_err(|error| machine(&error))??;
        let variant = &self.job.plan.variants[trial.variant];
        let agent = &self.request.agents[trial.variant];
        let session = self.job.trial_id(trial);
        let sampling = self.sampling(trial);
        let model = &self.request.models[trial.variant];
        let mut more = More::default();
        let mut visit = None;
        if let Some(spec) = agent.external() {
            let (door, program) = self.outfits[trial.variant].get(self.tools, spec, model)?;
            more.network = door.network()?;
            more.layers.push(program.layer);
            more.binds = program.binds;
            visit = Some(Visit::begin(
                &door,
                &session,
                &dir,
                variant.model.clone(),
                &sampling,
                &self.job.plan.limits,
            )?);
        }
        let sandbox = ground.sandbox(self.tools, more)?;
        let aid = Aid {
            // No other agent gets to know it.
            gold: (agent.name() == "oracle").then(|| ground.gold.clone()),
            gateway: visit.as_ref().map(|visit| visit.url.clone()),
            recorded: match &variant.replays {
                Some(job) => recorded(&job.join(&trial.name))?,
                None => Vec::new(),
            },
        };
        let stage = Stage {
            sandbox,
            assignment: Arc::clone(&ground.assignment),
            model: Arc::new(Recording::new(Arc::clone(model))),
            model_name: variant.model.clone().unwrap_or_default(),
            sampling,
            limits: self.job.plan.limits.clone(),
            context: self.job.plan.context.clone(),
            session,
            stop: Arc::clone(self.tools.stop()),
            aid,
        };
        let live = agent.start(stage)?;
        let tape = match visit {
            None => Some(Tape::open(&dir.join(job::TRACE)).map_err(|e| machine(&e))?),
            Some(_) => None,
        };
        let spool = Some(Spool::begin(&dir));
        let run = Run {
            trial,
            dir,
            live: Some(live),
            tape,
            visit,
            spool,
            sums: Sums::default(),
            seconds: Seconds::default(),
            exit: None,
            forked: None,
            searched: None,
            started_at: started_at.to_owned(),
        };
        Ok((ground, run))
    }

    /// Steps until the attempt is over, or has made so many calls.
    pub(super) fn steps(&self, run: &mut Run<'_>, until: Option<u32>) -> Result<(), Failure> {
        let begin = Instant::now();
        let result = self.step_on(run, until);
        run.seconds.agent += begin.elapsed().as_secs_f64();
        result
    }

    fn step_on(&self, run: &mut Run<'_>, until: Option<u32>) -> Result<(), Failure> {
        while run.exit.is_none() && until.is_none_or(|until| run.sums.calls < until) {
            if self.tools.stop().load(Ordering::Relaxed) {
                return Err(Failure::new(FailureKind::Cancelled, "interrupted"));
            }
            let (Some(live), Some(spool)) = (run.live.as_mut(), run.spool.as_mut()) else {
                return Err(Failure::new(
                    FailureKind::Internal,
                    "an attempt went on after its end",
                ));
            };
            let progress = match run.tape.take() {
                None => live.step(),
                Some(tape) => {
                    let (progress, tape, broken) = tape.around(|| live.step());
                    run.tape = Some(tape);
                    if let Some(why) = broken {
                        return Err(Failure::new(FailureKind::Machine, why));
                    }
                    progress
                }
            };
            let progress = progress.map_err(|error| match error {
                // It was set up well enough to begin, so other attempts may fare better.
                AgentError::Setup { .. } => Failure::new(FailureKind::Agent, error.to_string()),
                other => other.into(),
            })?;
            spool.push(&progress.records, &mut run.sums)?;
            self.stepped(&progress);
            run.exit = progress.exit;
        }
        Ok(())
    }

    /// Attempts that go on from here.
    fn fork<'t>(&self, run: &mut Run<'t>, others: &'t [Trial]) -> Result<Vec<Run<'t>>, Failure> {
        let from = run.trial.name.clone();
        let ended_before = run.exit.is_some();
        let forked = Forked { at: run.sums.calls, from, ended_before };
        run.forked = Some(forked.clone());
        let (Some(live), Some(tape), Some(spool)) =
            (run.live.as_mut(), run.tape.as_ref(), run.spool.as_ref())
        else {
            return Err(Failure::new(FailureKind::Internal, "an attempt forked after its end"));
        };
        let lives = live.fork(others.len())?;
        let mut runs = Vec::new();
        for (trial, live) in others.iter().zip(lives) {
            let machine = |error: &dyn std::fmt::Display| {
                Failure::new(FailureKind::Machine, error.to_string())
            };
            let dir = self.job.begin(trial).map_err(|e| machine(&e))?;
            disk::write_json(&dir.join(job::CONFIG), &self.trial_config(trial))?;
            let tape = tape.fork(&dir.join(job::TRACE)).map_err(|e| machine(&e))?;
            let spool = spool.fork(&dir, true)?;
            runs.push(Run {
                trial,
                dir,
                live: Some(live),
                tape: Some(tape),
                visit: None,
                spool: Some(spool),
                sums: run.sums.clone(),
                seconds: run.seconds.clone(),
                exit: run.exit.clone(),
                forked: Some(forked.clone()),
                searched: None,
                started_at: run.started_at.clone(),
            });
        }
        Ok(runs)
    }

    /// Attempts that go on from here in directories of their own, until one of them takes the place of
    /// this one.
    pub(super) fn fork_aside<'t, 'd>(
        &self,
        run: &mut Run<'t>,
        dirs: impl ExactSizeIterator<Item = &'d PathBuf>,
    ) -> Result<Vec<Run<'t>>, Failure> {
        let (Some(live), Some(tape), Some(spool)) =
            (run.live.as_mut(), run.tape.as_ref(), run.spool.as_ref())
        else {
            let why = "only agents that run here can be searched with: no external ones";
            return Err(Failure::new(FailureKind::AgentSetup, why));
        };
        let mut runs = Vec::new();
        let lives = live.fork(dirs.len())?;
        for (dir, live) in dirs.zip(lives) {
            fs_err::create_dir_all(dir.join("agent"))?;
            let tape = tape.fork(&dir.join(job::TRACE));
            let tape = tape.map_err(|e| Failure::new(FailureKind::Machine, e.to_string()))?;
            runs.push(Run {
                trial: run.trial,
                dir: dir.clone(),
                live: Some(live),
                tape: Some(tape),
                visit: None,
                spool: Some(spool.fork(dir, false)?),
                sums: run.sums.clone(),
                seconds: run.seconds.clone(),
                exit: None,
                forked: None,
                searched: None,
                started_at: run.started_at.clone(),
            });
        }
        Ok(runs)
    }

    /// Takes the patch, writes everything down, and lets the sandbox go.
    fn end(
        &self,
        mut run: Run<'_>,
        ground: &Ground,
        tries: u32,
        stepped: Result<(), Failure>,
    ) -> AttemptRecord {
        let mut failure = stepped.err();
        let begin = Instant::now();
        let mut patch = Patch::default();
        if let Some(live) = run.live.take() {
            let sandbox = live.finish();
            match take_patch(&sandbox, ground) {
                Ok(taken) => patch = taken,
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
            let _ = sandbox.destroy();
        }
        run.seconds.patch = begin.elapsed().as_secs_f64();
        if let Some(visit) = run.visit.take() {
            let status = visit.status();
            // Its record is whole when the session is over.
            drop(visit);
            if status.answered == 0 && status.failed > 0 {
                let why = "no call of the agent was answered by the model's server";
                failure.get_or_insert(Failure::new(FailureKind::ModelServer, why));
            }
            run.sums.add_session(&status);
            if let Some(spool) = run.spool.as_mut()
                && let Err(error) = spool.push_trace(&run.dir.join(job::TRACE))
            {
                failure.get_or_insert(Failure::new(FailureKind::Machine, error));
            }
        }
        run.seconds.model = run.sums.model;
        run.seconds.waited = run.sums.waited;
        run.seconds.tools = run.sums.tools;
        let mut record = self.record(&run, ground, tries, failure, &patch);
        if let Err(error) = self.write_down(run, ground, &record, &patch) {
            record.failure.get_or_insert(error);
        }
        record
    }

    fn record(
        &self,
        run: &Run<'_>,
        ground: &Ground,
        tries: u32,
        failure: Option<Failure>,
        patch: &Patch,
    ) -> AttemptRecord {
        let all = run.searched.as_ref();
        AttemptRecord {
            forked: run.forked.clone(),
            search: run.searched.clone(),
            exit: run.exit.clone().filter(|_| failure.is_none()),
            steps: run.sums.calls,
            usage: all.map_or(run.sums.usage, |all| all.usage),
            cost: all.map_or(run.sums.cost, |all| all.cost),
            model_retries: run.sums.retries,
            seconds: run.seconds.clone(),
            patch: (!patch.bytes.is_empty()).then(|| Hash::of(&patch.bytes)),
            patch_bytes: patch.bytes.len() as u64,
            left_out: patch.left_out,
            layers: ground.layers(),
            failure,
            ..self.blank(run.trial, tries, &run.started_at)
        }
    }

    /// The record of an attempt that never came to work.
    pub(super) fn failed(
        &self,
        trial: &Trial,
        tries: u32,
        started_at: &str,
        failure: Failure,
    ) -> AttemptRecord {
        AttemptRecord { failure: Some(failure), ..self.blank(trial, tries, started_at) }
    }

    fn blank(&self, trial: &Trial, tries: u32, started_at: &str) -> AttemptRecord {
        let agent = &self.request.agents[trial.variant];
        let mut description = agent.describe();
        description.insert("name".to_owned(), agent.name().into());
        description.insert("version".to_owned(), agent.version().into());
        AttemptRecord {
            trial: trial.name.clone(),
            instance_id: self.job.plan.tasks[trial.task].id.clone(),
            variant: trial.variant,
            attempt: trial.attempt,
            branch: trial.branch,
            forked: None,
            search: None,
            tries,
            exit: None,
            failure: None,
            verdict: None,
            cause: None,
            tampering: Vec::new(),
            steps: 0,
            usage: palestra_model::Usage::default(),
            cost: None,
            model_retries: 0,
            seconds: Seconds::default(),
            patch: None,
            patch_bytes: 0,
            left_out: 0,
            layers: Vec::new(),
            agent: description,
            started_at: started_at.to_owned(),
            ran_at: now(),
            finished_at: None,
        }
    }

    /// Trajectory and patch.
    fn write_down(
        &self,
        mut run: Run<'_>,
        ground: &Ground,
        record: &AttemptRecord,
        patch: &Patch,
    ) -> Result<(), Failure> {
        let counters = run.tape.take().map(|tape| tape.counters()).unwrap_or_default();
        if let Some(spool) = run.spool.take() {
            let agent = self.agent_info(run.trial, record);
            let extra = extra(record, counters);
            spool.finish(&self.job.trial_id(run.trial), agent, &run.sums, extra)?;
        }
        disk::write_atomic(&run.dir.join(job::PATCH), &patch.bytes)?;
        let manifest = json!([{
            "source": ground.assignment.directory,
            "destination": job::PATCH,
            "type": "file",
            "status": "ok",
        }]);
        disk::write_json(&run.dir.join(job::MANIFEST), &manifest)?;
        Ok(())
    }

    /// An attempt that never came to work has a trajectory too, which says so.
    pub(super) fn write_missing(
        &self,
        trial: &Trial,
        record: &AttemptRecord,
        dir: &Path,
    ) -> Result<(), EngineError> {
        if dir.join(job::TRAJECTORY).exists() {
            return Ok(());
        }
        fs_err::create_dir_all(dir.join("agent"))?;
        let agent = self.agent_info(trial, record);
        let extra = extra(record, Counters::default());
        let session = self.job.trial_id(trial);
        Ok(Spool::begin(dir).finish(&session, agent, &Sums::default(), extra)?)
    }

    fn agent_info(&self, trial: &Trial, record: &AttemptRecord) -> atif::AgentInfo {
        let agent = &self.request.agents[trial.variant];
        let tools = agent.tools().into_iter().map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.parameters,
            }})
        });
        atif::AgentInfo {
            name: agent.name().to_owned(),
            version: agent.version().to_owned(),
            model_name: self.job.plan.variants[trial.variant].model.clone(),
            tool_definitions: tools.collect(),
            extra: record.agent.clone(),
        }
    }
}

fn others_of(trials: &[Trial]) -> &[Trial] {
    trials.split_first().map_or(&[], |(_, others)| others)
}

fn extra(record: &AttemptRecord, counters: Counters) -> Map<String, Value> {
    let mut extra = Map::new();
    extra.insert("instance_id".to_owned(), record.instance_id.clone().into());
    extra.insert("exit".to_owned(), json!(record.exit));
    if let Some(failure) = &record.failure {
        extra.insert("failure".to_owned(), json!(failure));
    }
    if let Some(forked) = &record.forked {
        extra.insert("forked".to_owned(), json!(forked));
    }
    extra.insert("trace".to_owned(), json!(counters));
    extra
}

/// What an attempt changed.
#[derive(Default)]
pub(super) struct Patch {
    pub(super) bytes: Vec<u8>,
    left_out: u32,
}

/// The difference between base and sandbox, without git's own files, and without byte code and
/// caches that no commit holds.
pub(super) fn take_patch(sandbox: &Sandbox, ground: &Ground) -> Result<Patch, Failure> {
    let top = &ground.assignment.directory;
    let options = DiffOptions {
        top: top.clone(),
        exclude: vec![top.join(".git")],
        bounds: Bounds { bytes: PATCH_BYTES, entries: PATCH_FILES },
    };
    let changes = sandbox.changes(&options)?;
    let all = changes.len();
    let kept: Vec<palestra_diff::Change> = changes
        .into_iter()
        .filter(|change| !is_noise(&change.path) || ground.has(&change.path))
        .map(Into::into)
        .collect();
    let left_out = u32::try_from(all - kept.len()).unwrap_or(u32::MAX);
    Ok(Patch {
        bytes: palestra_diff::make(&kept, &palestra_diff::MakeOptions::default()),
        left_out,
    })
}

/// Whether a path is what tools leave behind by being run.
fn is_noise(path: &[u8]) -> bool {
    const DIRECTORIES: [&[u8]; 6] =
        [b"__pycache__", b".pytest_cache", b".mypy_cache", b".ruff_cache", b".hypothesis", b".tox"];
    path.ends_with(b".pyc") || path.split(|b| *b == b'/').any(|part| DIRECTORIES.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::is_noise;

    #[test]
    fn tools_leave_noise() {
        for path in ["a/__pycache__/b.cpython-39.pyc", ".pytest_cache/README.md", "b.pyc"] {
            assert!(is_noise(path.as_bytes()), "{path}");
        }
        for path in ["a/pycache.py", "pytest_cache/x", "a.pyc.txt"] {
            assert!(!is_noise(path.as_bytes()), "{path}");
        }
    }
}
