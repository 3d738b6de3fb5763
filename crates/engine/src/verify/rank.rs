//! The attempts of a job in order, and the best one of each task.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use palestra_core::disk;
use palestra_dataset::{Instance, Prediction, write_predictions};
use palestra_verify::critic::Critic;
use palestra_verify::execution::{Choices, Judged};
use palestra_verify::free::Judgement;
use palestra_verify::{
    CRITIC, Candidate, Cascade, Choice, EXECUTION_FREE, REGRESSION, REPRODUCTION,
    REPRODUCTION_WEIGHTED, Score, VerifyError, choose,
};
use serde::{Deserialize, Serialize};

use super::attempts::{Attempt, by_task, compared, parsed, trajectory};
use super::execute::{Executed, Execution, Ran, execute};
use super::ground::Ground;
use super::judged::ModelJudge;
use super::write::TestWriter;
use crate::derive::optional;
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::parallel::parallel;
use crate::rollout::Job;
use crate::shop::Tools;

/// Every score, joined to its attempt.
pub(super) const RANKING: &str = "ranking.json";
/// The chosen patches.
const PREDICTIONS: &str = "predictions.jsonl";
/// Where runs of tests are kept.
const CACHE: &str = ".verify";

/// How to rank.
pub struct RankRequest<'a> {
    /// How scores decide.
    pub cascade: Cascade,
    /// Who scores without running anything.
    pub critic: Option<Critic>,
    /// A model that scores, in the place of the critic.
    pub judge: Option<ModelJudge>,
    /// How tests are run; not at all without. Its `cache` is that of the job.
    pub execution: Option<Execution>,
    /// Who writes tests that show the issue.
    pub writer: Option<&'a dyn TestWriter>,
    /// Decides between equals.
    pub seed: u64,
}

/// What was found about an attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// The attempt with its scores and features.
    pub candidate: Candidate,
    /// What a model said of it, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judgement>,
    /// What its tests gave, where they were run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<Ran>,
}

/// What was found about a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRanking {
    /// The choice, and why.
    pub choice: Choice,
    /// Its attempts by name.
    pub attempts: Vec<Ranked>,
    /// Files of the regression tests.
    pub regression: Choices,
    /// What the generated tests are worth.
    pub generated: Judged,
    /// All work over the runs of tests on attempts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What could not be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A job, ranked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// How scores decided.
    pub preset: String,
    /// What decided between equals.
    pub seed: u64,
    /// By task.
    pub tasks: BTreeMap<String, TaskRanking>,
    /// What could not be read, or is missing for all.
    pub notes: Vec<String>,
}

/// Ranks the attempts of a job, and writes `ranking.json` and `predictions.jsonl` into it. Verdicts
/// and hidden tests are not read.
pub fn rank(
    job: &Job,
    tools: Option<&Tools>,
    request: &RankRequest<'_>,
    sink: &dyn Sink,
) -> Result<Ranking, EngineError> {
    let mut ranking =
        Ranking { preset: request.cascade.name.clone(), seed: request.seed, ..Ranking::default() };
    let wanted = request.cascade.scores();
    if request.critic.is_none() && (wanted.contains(EXECUTION_FREE) || wanted.contains(CRITIC)) {
        ranking.notes.push(format!(
            "no critic was given, so no attempt has the score {EXECUTION_FREE}: `palestra critic train` \
             makes one"
        ));
    }
    let all = by_task(job, &mut ranking.notes)?;
    sink.event(&Event::Planned { candidates: all.len(), done: 0 });
    let statements = if request.judge.is_some() { statements(job)? } else { Vec::new() };
    let mut predictions = Vec::new();
    for (place, mut attempts) in all {
        let begin = Instant::now();
        let Some(task) = job.plan.tasks.get(place) else { continue };
        let of_task = ranked(job, place, &statements, tools, request, &mut attempts)?;
        if let Some(chosen) = &of_task.choice.chosen
            && let Some(attempt) = attempts.iter().find(|a| a.candidate.id == *chosen)
        {
            let label = job.plan.variants.get(attempt.variant).map(|v| v.label());
            predictions.push(Prediction {
                instance_id: task.id.clone(),
                model_patch: Some(String::from_utf8_lossy(&attempt.patch).into_owned()),
                model_name_or_path: label.unwrap_or_default(),
                inverted: false,
            });
        }
        let outcome = if of_task.choice.chosen.is_some() { "ranked" } else { "none" };
        sink.event(&Event::Decided {
            commit: task.id.clone(),
            outcome: outcome.to_owned(),
            detail: of_task.choice.why.clone(),
            seconds: begin.elapsed().as_secs_f64(),
        });
        ranking.tasks.insert(task.id.clone(), of_task);
    }
    predictions.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    write_predictions(&job.dir().join(PREDICTIONS), &predictions)?;
    disk::write_json(&job.dir().join(RANKING), &ranking)?;
    Ok(ranking)
}

fn ranked(
    job: &Job,
    place: usize,
    statements: &[String],
    tools: Option<&Tools>,
    request: &RankRequest<'_>,
    attempts: &mut [Attempt],
) -> Result<TaskRanking, EngineError> {
    let mut of_task = TaskRanking::default();
    compared(attempts);
    let mut executed = Executed::default();
    let path = job.plan.tasks.get(place).map(|task| task.path.as_path());
    if let Some(path) = path.filter(|_| job.plan.rows.is_none()) {
        match Ground::read(job.scratch()?, path)? {
            Err(why) => of_task.notes.push(format!("its base tree cannot be read: {why}")),
            Ok(ground) => {
                for Attempt { candidate, patch, .. } in attempts.iter_mut() {
                    if let Ok(ops) = ground.ops(patch) {
                        parsed(&mut candidate.features, &ops);
                    }
                }
                executed = run(job, &ground, tools, request, attempts, &mut of_task.notes)?;
            }
        }
    } else if request.execution.is_some() {
        of_task.notes.push("tests are only run on tasks of our own form".to_owned());
    }
    let judged = judged(job, place, statements, request, attempts)?;
    let unscored = judged.values().filter(|judgement| judgement.score.is_none()).count();
    if unscored > 0 {
        let note = format!("the model gave no score to {unscored} of {} attempts", judged.len());
        of_task.notes.push(note);
    }
    for Attempt { candidate, .. } in attempts.iter_mut() {
        score(candidate, &executed);
        let judged = judged.get(&candidate.id).cloned();
        if let Some(judgement) = &judged {
            candidate.scores.insert(EXECUTION_FREE.to_owned(), judgement.score);
        }
        if let Some(critic) = &request.critic {
            critic.score(candidate);
        }
        let ran = executed.candidates.get(&candidate.id).cloned();
        of_task.attempts.push(Ranked { candidate: candidate.clone(), judged, ran });
    }
    let candidates: Vec<Candidate> = attempts.iter().map(|a| a.candidate.clone()).collect();
    of_task.choice = choose(&candidates, &request.cascade, request.seed).map_err(wrong)?;
    of_task.cost = executed.cost();
    of_task.regression = executed.chosen;
    of_task.generated = executed.judged;
    Ok(of_task)
}

/// What the model says of the valid attempts.
fn judged(
    job: &Job,
    place: usize,
    statements: &[String],
    request: &RankRequest<'_>,
    attempts: &[Attempt],
) -> Result<BTreeMap<String, Judgement>, EngineError> {
    let Some(judge) = &request.judge else { return Ok(BTreeMap::new()) };
    let statement = statements.get(place).map(String::as_str).unwrap_or_default();
    let valid: Vec<&Attempt> = attempts.iter().filter(|a| a.candidate.invalid.is_none()).collect();
    let all = Mutex::new(BTreeMap::new());
    parallel(&valid, judge.jobs, |attempt| {
        let id = &attempt.candidate.id;
        let trajectory = trajectory(&job.dir().join(id))?.ok();
        let cache = job.dir().join(CACHE);
        let judgement = judge.ask(&cache, statement, trajectory.as_ref(), &attempt.patch)?;
        all.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), judgement);
        Ok(())
    })?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What the agents were told, task by task. A file of rows is read once, however many of its tasks
/// are in the job.
fn statements(job: &Job) -> Result<Vec<String>, EngineError> {
    let mut files: BTreeMap<&Path, BTreeMap<String, String>> = BTreeMap::new();
    let mut all = Vec::new();
    for task in &job.plan.tasks {
        all.push(match &job.plan.rows {
            None => {
                let bytes = optional(&task.path.join("instruction.md"))?.unwrap_or_default();
                String::from_utf8_lossy(&bytes).trim().to_owned()
            }
            Some(rows) => {
                let known = match files.entry(&task.path) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(open) => {
                        let read = rows.read(&task.path)?.into_iter();
                        let pair =
                            |row: Instance| (row.instance_id.to_string(), row.problem_statement);
                        open.insert(read.map(pair).collect())
                    }
                };
                known.get(&*task.id).cloned().unwrap_or_default()
            }
        });
    }
    Ok(all)
}

fn run(
    job: &Job,
    ground: &Ground,
    tools: Option<&Tools>,
    request: &RankRequest<'_>,
    attempts: &[Attempt],
    notes: &mut Vec<String>,
) -> Result<Executed, EngineError> {
    let (Some(execution), Some(tools)) = (&request.execution, tools) else {
        return Ok(Executed::default());
    };
    let valid = attempts.iter().filter(|attempt| attempt.candidate.invalid.is_none());
    let patches: BTreeMap<String, Vec<u8>> =
        valid.map(|a| (a.candidate.id.clone(), a.patch.clone())).collect();
    if patches.is_empty() {
        return Ok(Executed::default());
    }
    let how = Execution { cache: Some(job.dir().join(CACHE)), ..execution.clone() };
    match execute(tools, ground, &patches, request.writer, &how)? {
        Ok(executed) => {
            if executed.stable == 0 {
                notes.push("no test of the base tree reaches what the attempts changed".to_owned());
            }
            Ok(executed)
        }
        Err(why) => {
            notes.push(format!("no test was run: {why}"));
            Ok(Executed::default())
        }
    }
}

/// Gives a candidate the scores and features that tests say.
pub(super) fn score(candidate: &mut Candidate, executed: &Executed) {
    let ran = executed.candidates.get(&candidate.id);
    let regression = ran.map(|ran| ran.regression.score).unwrap_or_default();
    let of = |scores: &BTreeMap<String, Score>| scores.get(&candidate.id).copied();
    let reproduction = of(&executed.judged.counts).unwrap_or_default();
    let weighted = of(&executed.judged.weighted).unwrap_or_default();
    candidate.features.set("regression", regression.get().unwrap_or(f64::NAN));
    candidate.features.set("reproduction", weighted.get().unwrap_or(f64::NAN));
    candidate.scores.insert(REGRESSION.to_owned(), regression);
    candidate.scores.insert(REPRODUCTION.to_owned(), reproduction);
    candidate.scores.insert(REPRODUCTION_WEIGHTED.to_owned(), weighted);
}

pub(super) fn wrong(error: VerifyError) -> EngineError {
    EngineError::Input(error.to_string())
}

impl Ranking {
    /// The table that a person reads.
    pub fn table(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let number = |score: Score| match score.get() {
            Some(score) => format!("{score:.3}"),
            None => "-".to_owned(),
        };
        let _ = writeln!(
            text,
            "  {:<44}{:>8}{:>12}{:>14}{:>10}",
            "attempt", "critic", "regression", "reproduction", "weighted"
        );
        for (task, of_task) in &self.tasks {
            let _ = writeln!(text, "  {task}: {}", of_task.choice.why);
            for Ranked { candidate, .. } in &of_task.attempts {
                let mark = match of_task.choice.chosen.as_ref() == Some(&candidate.id) {
                    true => "*",
                    false => " ",
                };
                let score = |name: &str| number(candidate.score(name));
                let _ = writeln!(
                    text,
                    "{mark} {:<44}{:>8}{:>12}{:>14}{:>10}{}",
                    candidate.id,
                    score(CRITIC),
                    score(REGRESSION),
                    score(REPRODUCTION),
                    score(REPRODUCTION_WEIGHTED),
                    candidate.invalid.as_ref().map(|w| format!("  {w}")).unwrap_or_default()
                );
            }
            for note in &of_task.notes {
                let _ = writeln!(text, "    {note}");
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        let chosen = self.tasks.values().filter(|task| task.choice.chosen.is_some()).count();
        let _ = writeln!(
            text,
            "\n  {} tasks, {chosen} with a chosen attempt; by {}, seed {}",
            self.tasks.len(),
            self.preset,
            self.seed
        );
        text
    }
}
