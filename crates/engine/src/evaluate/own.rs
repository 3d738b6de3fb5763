//! Predictions on our own tasks, graded so that nobody can cheat.

use std::path::{Path, PathBuf};
use std::time::Instant;

use palestra_core::{Hash, InvalidReason, Task, Verdict, disk};
use palestra_dialect::report::{InstanceReport, InstanceReports};
use palestra_dialect::{Dialect, Outcomes, TestsStatus};
use palestra_grade::{Cause, GradeInput, GradeOptions, Grading, RunLimits};

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
    disk::write_json(&files.0.join("grading.json"), grading)?;
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
