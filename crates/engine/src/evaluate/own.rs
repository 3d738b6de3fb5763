//! Predictions on our own tasks, graded so that nobody can cheat.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use palestra_core::{Hash, InvalidReason, Task, Verdict, disk};
use palestra_dialect::report::{InstanceReport, InstanceReports};
use palestra_dialect::{Dialect, Outcomes, TestsStatus};
use palestra_grade::{Asked, Cause, GradeInput, GradeOptions, Grading, RunLimits, rejudge};

use super::outcome::{Decision, Ending, Surroundings};
use super::summary::Evaluation;
use super::{Files, Place, RunOf, Submission, each};
use crate::dataset::Dataset;
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::shop::Tools;
use crate::stored::Stored;
use crate::work::spec;

/// What is graded, and how.
#[derive(Debug)]
pub struct OwnRequest<'a> {
    /// The directory of tasks.
    pub dataset: &'a Dataset,
    /// Directories of tasks, with what is handed in for each.
    pub tasks: Vec<(PathBuf, Submission)>,
    /// Ids of all tasks of the dataset, for the summary.
    pub ids: Vec<String>,
    /// Bounds of each run.
    pub limits: RunLimits,
    /// How strictly to look.
    pub options: GradeOptions,
    /// Runs at a time.
    pub jobs: usize,
}

/// The tasks of a dataset by their ids, in the order of their directories.
pub fn own_instances(dataset: &Dataset) -> Result<Vec<(String, PathBuf)>, EngineError> {
    let name = |dir: &Path| dir.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(dataset.tasks()?.into_iter().filter_map(|dir| Some((name(&dir)?, dir))).collect())
}

/// Grades what `place` does not hold decided already.
pub fn evaluate_own(
    tools: &Tools,
    request: &OwnRequest<'_>,
    place: &Place,
    sink: &dyn Sink,
) -> Result<Evaluation, EngineError> {
    let begin = Instant::now();
    sink.event(&Event::Planned { candidates: request.tasks.len(), done: 0 });
    let (decided, failure) =
        each(tools, request.jobs, &request.tasks, sink, |(dir, submission)| {
            decide(tools, request, place, dir, submission)
        });
    let run =
        RunOf { submitted: request.tasks.len(), dialect: Dialect::Strict, dataset: &request.ids };
    let evaluation = Evaluation::of(&run, place, decided, begin.elapsed())?;
    failure.map_or(Ok(evaluation), Err)
}

fn decide(
    tools: &Tools,
    request: &OwnRequest<'_>,
    place: &Place,
    dir: &Path,
    submission: &Submission,
) -> Result<Decision, EngineError> {
    let id = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let files = place.files(&id);
    let began = Instant::now();
    let stored = match Stored::read(request.dataset.scratch()?, dir)? {
        Ok(stored) => stored,
        Err(why) => return Err(EngineError::Corrupt { path: dir.to_owned(), why }),
    };
    let patch = match submission {
        Submission::Gold => stored.gold.clone(),
        Submission::Nothing => Vec::new(),
        Submission::Patch(patch) => patch.clone().unwrap_or_default(),
    };
    let mut decision = blank(&id, &stored.task, &patch);
    if patch.is_empty() && matches!(submission, Submission::Patch(_)) {
        decision.ending = Ending::EmptyPatch;
        decision.detail = "empty patch".to_owned();
        decision.verdict = Verdict::Unresolved("the prediction has no patch".to_owned());
        disk::write_json(&files.decision(), &decision)?;
        return Ok(decision);
    }
    let built = match stored.environment(tools)? {
        Ok(built) => built,
        Err(why) => {
            decision.ending = Ending::NoEnvironment;
            decision.detail = super::attempt::one_line(&why);
            decision.verdict = Verdict::Invalid(InvalidReason::Environment(why));
            disk::write_json(&files.decision(), &decision)?;
            return Ok(decision);
        }
    };
    let input = GradeInput {
        spec: &spec(&built),
        environment: &stored.task.environment,
        base: &|path| stored.base(path),
        patch: &patch,
        gold: &stored.gold,
        test_files: &stored.hidden,
        test_paths: &stored.task.test_paths,
        fail_to_pass: &stored.task.fail_to_pass,
        pass_to_pass: &stored.task.pass_to_pass,
        limits: &request.limits,
        options: request.options,
    };
    let key = palestra_grade::evidence(&input).key();
    decision.environment.seconds = began.elapsed().as_secs_f64();
    if let Some(known) = known(&files, &key) {
        return Ok(known);
    }
    let grading = palestra_grade::grade(&tools.host, &input)?;
    take(&mut decision, &grading);
    write(&files, &decision, &grading, &stored.task, &patch)?;
    Ok(decision)
}

/// What judging stored results again came to.
#[derive(Debug)]
pub struct Rejudged {
    /// All results, those included that stay as they were.
    pub evaluation: Evaluation,
    /// Results that cannot be judged again, with the reason. Their verdicts stay as they were.
    pub kept: BTreeMap<String, String>,
}

/// Judges what a run left again, without running anything: by the lists of tests that the tasks
/// have now, from the reports in `grading.json`.
pub fn regrade_own(
    dataset: &Dataset,
    tasks: &[(String, PathBuf)],
    place: &Place,
    sink: &dyn Sink,
) -> Result<Rejudged, EngineError> {
    let begin = Instant::now();
    let (mut decided, mut kept) = (BTreeMap::new(), BTreeMap::new());
    sink.event(&Event::Planned { candidates: tasks.len(), done: 0 });
    for (id, dir) in tasks {
        let files = place.files(id);
        let Some(mut decision) = read_json::<Decision>(&files.decision())? else { continue };
        decision.reused = true;
        match again(dataset, dir, &files, &decision)? {
            Ok(Some(now)) => decision = now,
            Ok(None) => {}
            Err(why) => drop(kept.insert(id.clone(), why)),
        }
        sink.event(&decision.event());
        decided.insert(id.clone(), decision);
    }
    let ids: Vec<String> = tasks.iter().map(|(id, _)| id.clone()).collect();
    let run = RunOf { submitted: decided.len(), dialect: Dialect::Strict, dataset: &ids };
    let evaluation = Evaluation::of(&run, place, decided, begin.elapsed())?;
    Ok(Rejudged { evaluation, kept })
}

/// A decision made again; `None` where nothing was run and nothing is to be judged.
fn again(
    dataset: &Dataset,
    dir: &Path,
    files: &Files,
    decision: &Decision,
) -> Result<Result<Option<Decision>, String>, EngineError> {
    if decision.ending == Ending::EmptyPatch {
        return Ok(Ok(None));
    }
    let Some(grading) = read_json::<Grading>(&files.grading())? else {
        let (how, why) = (decision.ending.as_str(), &decision.detail);
        return Ok(Err(format!("it has no grading.json ({how}) {why}").trim_end().to_owned()));
    };
    let stored = match Stored::read(dataset.scratch()?, dir)? {
        Ok(stored) => stored,
        Err(why) => return Ok(Err(why)),
    };
    let asked = Asked {
        environment: &stored.task.environment,
        gold: &stored.gold,
        test_files: &stored.hidden,
        test_paths: &stored.task.test_paths,
        fail_to_pass: &stored.task.fail_to_pass,
        pass_to_pass: &stored.task.pass_to_pass,
    };
    let patch = fs_err::read(files.patch())?;
    if Hash::of(&patch) != grading.evidence.patch {
        return Ok(Err("patch.diff is not the patch that was graded".to_owned()));
    }
    let now = match rejudge(&grading, &asked) {
        Ok(now) => now,
        Err(stale) => return Ok(Err(stale.to_string())),
    };
    let mut fresh = blank(&decision.instance_id, &stored.task, &patch);
    fresh.environment.clone_from(&decision.environment);
    fresh.reused = true;
    take(&mut fresh, &now);
    write(files, &fresh, &now, &stored.task, &patch)?;
    Ok(Ok(Some(fresh)))
}

/// A file of ours; `None` where there is none.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, EngineError> {
    let text = match fs_err::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let read = serde_json::from_slice(&text);
    read.map(Some)
        .map_err(|error| EngineError::Corrupt { path: path.to_owned(), why: error.to_string() })
}

/// A decision on the same question.
fn known(files: &Files, key: &Hash) -> Option<Decision> {
    let text = fs_err::read(files.decision()).ok()?;
    let mut decision: Decision = serde_json::from_slice(&text).ok()?;
    decision.reused = true;
    (decision.key.as_ref() == Some(key) && !matches!(decision.verdict, Verdict::Invalid(_)))
        .then_some(decision)
}

fn blank(id: &str, task: &Task, patch: &[u8]) -> Decision {
    Decision {
        instance_id: id.to_owned(),
        repo: task.repository.clone(),
        dialect: Dialect::Strict,
        verdict: Verdict::Unresolved(String::new()),
        ending: Ending::Graded,
        detail: String::new(),
        key: None,
        patch: (!patch.is_empty()).then(|| Hash::of(patch)),
        log: None,
        parser: None,
        row: Hash::of_parts(task.fail_to_pass.iter().chain(&task.pass_to_pass)),
        rung: None,
        exit: None,
        timed_out: None,
        secret: None,
        limits: Vec::new(),
        environment: Surroundings::default(),
        seconds: 0.0,
        reused: false,
    }
}

fn take(decision: &mut Decision, grading: &Grading) {
    decision.verdict = grading.verdict.clone();
    decision.seconds = grading.seconds;
    decision.key = Some(grading.evidence.key());
    decision.environment.layers.clone_from(&grading.evidence.layers);
    decision.ending = match grading.cause {
        Cause::Passed | Cause::TestsFailed | Cause::Unconfirmed | Cause::NoTests => Ending::Graded,
        Cause::Tampered => Ending::Tampered,
        Cause::PatchRejected => Ending::PatchRejected,
        Cause::SetupFailed | Cause::Infrastructure => Ending::NoEnvironment,
        Cause::TimedOut => Ending::TimedOut,
        Cause::OutOfMemory => Ending::OutOfMemory,
        Cause::OutOfDisk => Ending::OutOfDisk,
        Cause::Died | Cause::NothingReported => Ending::Died,
    };
    decision.detail = match &grading.verdict {
        Verdict::Resolved => String::new(),
        Verdict::Unresolved(why) => super::attempt::one_line(why),
        Verdict::Invalid(reason) => super::attempt::one_line(&format!("{reason:?}")),
    };
    if decision.ending == Ending::TimedOut {
        decision.timed_out = grading.evidence.limits.get("seconds").and_then(|s| s.parse().ok());
    }
}

fn write(
    files: &Files,
    decision: &Decision,
    grading: &Grading,
    task: &Task,
    patch: &[u8],
) -> Result<(), EngineError> {
    disk::write_atomic(&files.patch(), patch)?;
    disk::write_atomic(&files.log(), grading.log_tail.as_bytes())?;
    disk::write_json(&files.grading(), grading)?;
    let lists = |tests: &[String]| {
        let (success, failure) =
            tests.iter().cloned().partition(|test| grading.report.passed(test));
        Outcomes { success, failure }
    };
    let report = InstanceReport {
        patch_exists: true,
        patch_successfully_applied: decision.ending != Ending::PatchRejected,
        resolved: decision.verdict.is_resolved(),
        infra_failure: Some(matches!(decision.verdict, Verdict::Invalid(_))),
        tests_status: Some(TestsStatus {
            fail_to_pass: lists(&task.fail_to_pass),
            pass_to_pass: lists(&task.pass_to_pass),
            ..TestsStatus::default()
        }),
        ..InstanceReport::default()
    };
    let report = InstanceReports::one(&decision.instance_id, report);
    disk::write_atomic(&files.report(), report.to_json().as_bytes())?;
    disk::write_json(&files.decision(), decision)?;
    Ok(())
}
