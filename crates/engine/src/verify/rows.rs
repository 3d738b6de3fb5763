//! Rows to train a critic on. Here verdicts are read.

use std::collections::BTreeMap;

use palestra_core::Verdict;
use palestra_core::harbor::{GOLD_PATCH, TASK_JSON, TaskForm};
use palestra_verify::critic::{Row, of_patch};

use super::attempts::{by_task, compared, parsed};
use super::ground::Ground;
use super::rank::{RANKING, Ranking};
use crate::dataset::Dataset;
use crate::derive::optional;
use crate::error::EngineError;
use crate::rollout::{AttemptRecord, Job};
use crate::synth::{GradedMutant, candidates_path};

/// The graded attempts of a job. Where the job was ranked, what tests said is among their features.
/// Second: what was left out, in words.
pub fn rows_of_job(job: &Job) -> Result<(Vec<Row>, Vec<String>), EngineError> {
    let mut notes = Vec::new();
    let ranking: Option<Ranking> = match optional(&job.dir().join(RANKING))? {
        Some(bytes) => serde_json::from_slice(&bytes).ok(),
        None => None,
    };
    let mut rows = Vec::new();
    let mut ungraded = 0;
    for (place, mut attempts) in by_task(job, &mut notes)? {
        compared(&mut attempts);
        let Some(task) = job.plan.tasks.get(place) else { continue };
        let form = optional(&task.path.join(TASK_JSON)).ok().flatten();
        let form = form.and_then(|bytes| TaskForm::from_json(&bytes).ok());
        let by_name = || task.id.rsplit_once('-').map_or(&*task.id, |(name, _)| name).to_owned();
        let group = form.map_or_else(by_name, |form| form.task.repository);
        let ranked = ranking.as_ref().and_then(|ranking| ranking.tasks.get(&task.id));
        for attempt in attempts {
            let candidate = attempt.candidate;
            if candidate.invalid.is_some() {
                ungraded += 1;
                continue;
            }
            let record = AttemptRecord::read(&job.dir().join(&candidate.id))?;
            let right = match record.and_then(|record| record.verdict) {
                Some(Verdict::Resolved) => true,
                Some(Verdict::Unresolved(_)) => false,
                _ => {
                    ungraded += 1;
                    continue;
                }
            };
            let mut features = candidate.features;
            let known =
                ranked.and_then(|r| r.attempts.iter().find(|a| a.candidate.id == candidate.id));
            if let Some(known) = known {
                features.extend(known.candidate.features.clone());
            }
            // Jobs may have attempts of one name.
            let id = format!("{}/{}", job.name(), candidate.id);
            rows.push(Row { id, task: task.id.clone(), group: group.clone(), features, right });
        }
    }
    if ungraded > 0 {
        notes.push(format!("{}: {ungraded} attempts without a verdict", job.dir().display()));
    }
    Ok((rows, notes))
}

/// The fixes and the graded wrong fixes of a dataset that was audited: patches without trajectories.
/// How they resemble each other says nothing, because all wrong fixes were made of the right one; so
/// features of that kind are left out.
pub fn rows_of_dataset(dataset: &Dataset) -> Result<(Vec<Row>, Vec<String>), EngineError> {
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for dir in dataset.tasks()? {
        let Some(id) = dir.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        let graded = graded(dataset, &id, &mut notes)?;
        if graded.is_empty() {
            continue;
        }
        let ground = match Ground::read(dataset.scratch()?, &dir)? {
            Ok(ground) => ground,
            Err(why) => {
                notes.push(format!("{id}: {why}"));
                continue;
            }
        };
        let gold = fs_err::read(dir.join(GOLD_PATCH))?;
        let mut patches: BTreeMap<String, (Vec<u8>, bool)> = BTreeMap::new();
        patches.insert("gold".to_owned(), (gold, true));
        for mutant in graded {
            if !matches!(mutant.verdict, Verdict::Invalid(_)) {
                let right = mutant.verdict.is_resolved();
                patches.insert(mutant.mutant, (mutant.patch.into_bytes(), right));
            }
        }
        for (name, (patch, right)) in patches {
            let mut features = of_patch(&patch);
            if let Ok(ops) = ground.ops(&patch) {
                parsed(&mut features, &ops);
            }
            let group = ground.repository.clone();
            rows.push(Row { id: name, task: id.clone(), group, features, right });
        }
    }
    if rows.is_empty() {
        let dir = dataset.dir().display();
        notes.push(format!("{dir} holds no graded candidates: `palestra audit` makes them"));
    }
    Ok((rows, notes))
}

/// What the audit left of a task.
pub(super) fn graded(
    dataset: &Dataset,
    id: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<GradedMutant>, EngineError> {
    let path = candidates_path(dataset.dir(), id);
    let Some(bytes) = optional(&path)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(mutant) => all.push(mutant),
            Err(error) => notes.push(format!("{}: line {number}: {error}", path.display())),
        }
    }
    Ok(all)
}
