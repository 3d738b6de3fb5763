//! The attempts of a job, without their verdicts.

use std::collections::BTreeMap;
use std::path::Path;

use palestra_core::atif::Trajectory;
use palestra_core::{Hash, job};
use palestra_sandbox::FileOp;
use palestra_verify::critic::{Ending, Features, Peer, compare, of_patch, of_trajectory, valid};
use palestra_verify::{AGREEMENT, Candidate, Score};
use serde::Deserialize;
use serde_json::Value;

use crate::derive::optional;
use crate::error::EngineError;
use crate::rollout::{Job, Trial};

/// Bytes of a trajectory that is read; one of 200,000 tokens has about a million.
const TRAJECTORY: usize = 256 << 20;

/// What of `attempt.json` a verifier may know: neither the verdict nor anything that the grader saw.
#[derive(Debug, Default, Deserialize)]
struct Known {
    instance_id: String,
    #[serde(default)]
    exit: Option<Value>,
    #[serde(default)]
    failure: Option<Failure>,
    #[serde(default)]
    cost: Option<f64>,
    #[serde(default)]
    seconds: Seconds,
    #[serde(default)]
    patch: Option<Hash>,
}

#[derive(Debug, Default, Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
}

#[derive(Debug, Default, Deserialize)]
struct Seconds {
    #[serde(default)]
    agent: f64,
}

/// An attempt, to be ranked.
pub(super) struct Attempt {
    pub(super) candidate: Candidate,
    /// What it left.
    pub(super) patch: Vec<u8>,
    /// Index of the variant in the plan.
    pub(super) variant: usize,
}

/// Reads what an attempt left, as far as it can be read.
pub(super) fn read(
    job: &Job,
    trial: &Trial,
    notes: &mut Vec<String>,
) -> Result<Attempt, EngineError> {
    let dir = job.trial_dir(trial);
    let task = job.plan.tasks.get(trial.task).map(|task| task.id.clone()).unwrap_or_default();
    let mut candidate = Candidate::new(task, trial.name.clone());
    let mut patch = Vec::new();
    match known(&dir)? {
        Err(why) => candidate.invalid = Some(why),
        Ok(known) if known.instance_id != candidate.task => {
            let of = known.instance_id;
            candidate.invalid = Some(format!("its record is of an attempt at {of}"));
        }
        Ok(known) => {
            if known.exit.is_none() {
                let why = known.failure.map(|failure| failure.message).unwrap_or_default();
                let why = why.lines().next().unwrap_or_default();
                candidate.invalid = Some(format!("it did not come to its end: {why}"));
            }
            match optional(&dir.join(job::PATCH))? {
                Some(bytes) => patch = bytes,
                None if known.patch.is_some() => {
                    candidate.invalid = Some("its patch is missing".to_owned());
                }
                None => {}
            }
            let ending = known.exit.as_ref().and_then(Ending::of);
            match trajectory(&dir)? {
                Ok(trajectory) => candidate.features = of_trajectory(&trajectory, ending),
                Err(why) => notes.push(format!("{}: {why}; its patch alone is known", trial.name)),
            }
            candidate.features.extend(of_patch(&patch));
            candidate.features.set("seconds", known.seconds.agent);
            candidate.features.set("cost_usd", known.cost.unwrap_or(f64::NAN));
        }
    }
    candidate.patch = (!patch.is_empty()).then(|| Hash::of(&patch));
    Ok(Attempt { candidate, patch, variant: trial.variant })
}

/// What a critic goes by of one attempt.
pub(crate) fn features_of(job: &Job, trial: &Trial) -> Result<Features, EngineError> {
    Ok(read(job, trial, &mut Vec::new())?.candidate.features)
}

fn known(dir: &Path) -> Result<Result<Known, String>, EngineError> {
    let Some(bytes) = optional(&dir.join("attempt.json"))? else {
        return Ok(Err("it was not made, or not to its end".to_owned()));
    };
    Ok(serde_json::from_slice(&bytes).map_err(|error| format!("its record is broken: {error}")))
}

/// The trajectory of an attempt, or why there is none.
pub(super) fn trajectory(dir: &Path) -> Result<Result<Trajectory, String>, EngineError> {
    let path = dir.join(job::TRAJECTORY);
    let Some(bytes) = optional(&path)? else {
        return Ok(Err("there is no trajectory".to_owned()));
    };
    if bytes.len() > TRAJECTORY {
        return Ok(Err(format!("its trajectory has {} bytes", bytes.len())));
    }
    let read = serde_json::from_slice(&bytes);
    Ok(read.map_err(|error| format!("its trajectory cannot be read: {error}")))
}

/// Adds what comparing the attempts at one task with each other says. Invalid ones are no peers.
pub(super) fn compared(attempts: &mut [Attempt]) {
    let mut peers: Vec<Peer<'_>> = attempts
        .iter_mut()
        .filter(|attempt| attempt.candidate.invalid.is_none())
        .map(|Attempt { candidate, patch, .. }| Peer { patch, features: &mut candidate.features })
        .collect();
    compare(&mut peers);
    for Attempt { candidate, .. } in attempts {
        let agreement = Score::from(candidate.features.get(AGREEMENT));
        candidate.scores.insert(AGREEMENT.to_owned(), agreement);
    }
}

/// Adds whether the changed Python files can be parsed.
pub(super) fn parsed(features: &mut Features, ops: &[FileOp]) {
    let python = ops.iter().filter_map(|op| match op {
        FileOp::Write { path, bytes, .. } => {
            path.extension().is_some_and(|end| end == "py").then_some(&bytes[..])
        }
        _ => None,
    });
    features.set("patch_valid", valid(python));
}

/// The attempts of a job by task, in the order of the plan, each task's by name.
pub(super) fn by_task(
    job: &Job,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<usize, Vec<Attempt>>, EngineError> {
    let mut tasks: BTreeMap<usize, Vec<Attempt>> = BTreeMap::new();
    for trial in job.plan.groups().into_iter().flatten() {
        tasks.entry(trial.task).or_default().push(read(job, &trial, notes)?);
    }
    for attempts in tasks.values_mut() {
        attempts.sort_by(|a, b| a.candidate.id.cmp(&b.candidate.id));
    }
    Ok(tasks)
}
