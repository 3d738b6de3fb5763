//! From a log to a verdict, now or later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fs_err as fs;
use palestra_core::{Hash, InvalidReason, Verdict, disk};
use palestra_dataset::{EvalType, Instance, Kind};
use palestra_dialect::markers::Markers;
use palestra_dialect::report::{InstanceReport, InstanceReports};
use palestra_dialect::{self as dialect, Dialect, Graded, Run, grade_log};
use palestra_testlog::{StatusMap, read_log};

use super::attempt::one_line;
use super::outcome::{Decision, Ending};
use super::summary::Evaluation;
use super::{Files, Place, Request, key, native};
use crate::error::EngineError;
use crate::event::{Event, Sink};

/// Grades again what a run left, without running anything: by the rules and with the parsers of
/// today, or by those of another dialect.
pub fn regrade(
    request: &Request,
    place: &Place,
    sink: &dyn Sink,
) -> Result<Evaluation, EngineError> {
    let begin = Instant::now();
    let mut decided = BTreeMap::new();
    sink.event(&Event::Planned { candidates: request.rows.len(), done: 0 });
    for (row, _) in &request.rows {
        let files = place.files(row.instance_id.as_str());
        let text = match fs::read(files.decision()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let mut decision: Decision = serde_json::from_slice(&text).map_err(|error| {
            EngineError::Corrupt { path: files.decision(), why: error.to_string() }
        })?;
        decision.row = key::row(row);
        decision.reused = true;
        decision.dialect = request.dialect.unwrap_or_else(|| native(row));
        if let Some(hash) = &decision.log {
            let log = fs::read(files.log())?;
            if Hash::of(&log) != *hash {
                let why = "the log is not the one that the run wrote".to_owned();
                return Err(EngineError::Corrupt { path: files.log(), why });
            }
            decision = judge(row, decision, &log, &files)?;
        }
        sink.event(&decision.event());
        decided.insert(row.instance_id.to_string(), decision);
    }
    let submitted = decided.len();
    Evaluation::of(&request.run(submitted), place, decided, begin.elapsed())
}

/// Judges a log, and writes the verdict and the report down.
pub(crate) fn judge(
    row: &Instance,
    mut decision: Decision,
    log: &[u8],
    files: &Files,
) -> Result<Decision, EngineError> {
    match decision.ending {
        Ending::Graded | Ending::NoResult => {
            let graded = grade(row, &decision, log)?;
            decision.parser = graded
                .parser
                .map(|(edition, name, version)| format!("{edition:?}/{name}/{version}"));
            decision.ending = if graded.applied { Ending::Graded } else { Ending::NoResult };
            (decision.verdict, decision.detail) = verdict(&graded);
            let report = InstanceReports::one(&decision.instance_id, InstanceReport::of(&graded));
            disk::write_atomic(&files.report(), report.to_json().as_bytes())?;
        }
        Ending::NoEnvironment => {
            let said = String::from_utf8_lossy(log).into_owned();
            decision.detail = one_line(&said);
            decision.verdict = Verdict::Invalid(InvalidReason::Environment(said));
        }
        ending => {
            let said = match ending {
                Ending::PatchRejected => "the patch does not apply".to_owned(),
                Ending::TimedOut => {
                    format!("the tests were ended after {} s", decision.timed_out.unwrap_or(0))
                }
                other => other.as_str().to_owned(),
            };
            decision.detail.clone_from(&said);
            // A patch can bring all of these about, so that none of them is an excuse.
            decision.verdict = Verdict::Unresolved(said);
            match fs::remove_file(files.report()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
    }
    disk::write_json(&files.decision(), &decision)?;
    Ok(decision)
}

fn grade(row: &Instance, decision: &Decision, log: &[u8]) -> Result<Graded, EngineError> {
    let status = |(test, word): &(String, String)| (test.clone(), word.as_str().into());
    let expected: Option<StatusMap> =
        row.expected.as_ref().map(|all| all.iter().map(status).collect());
    let repo = match row.kind {
        // Its profiles are of one commit.
        Kind::SweSmith => format!("{}.{}", row.repo.replacen('/', "__", 1), row.base_commit),
        // Its parsers go by names without owners.
        Kind::R2eGym => row.repo.rsplit('/').next().unwrap_or_default().to_lowercase(),
        _ => row.repo.clone(),
    };
    let instance = dialect::Instance {
        instance_id: row.instance_id.as_str(),
        repo: &repo,
        version: row.version.as_deref().unwrap_or_default(),
        fail_to_pass: &row.fail_to_pass,
        pass_to_pass: &row.pass_to_pass,
        log_parser: row.log_parser.as_deref(),
        eval_type: row.eval_type.map(|kind| match kind {
            EvalType::PassAndFail => "pass_and_fail",
            EvalType::FailOnly => "fail_only",
        }),
        expected: expected.as_ref(),
        gold: None,
        origin: Some(native(row)),
    };
    let text = read_log(log);
    let markers = decision.secret.as_deref().map(Markers::with_secret).unwrap_or_default();
    let run = Run {
        timed_out: decision.timed_out.map(Duration::from_secs),
        // Behind a word that no test could know, the status is the shell's.
        exit_code: decision.secret.as_ref().and_then(|_| exit_code(&text, &markers)),
        markers,
    };
    Ok(grade_log(decision.dialect, &instance, &run, &text)?)
}

/// The exit status of the tests, as the script tells it. None where it is not told once.
fn exit_code(log: &str, markers: &Markers) -> Option<i32> {
    let told = |line: &str| {
        line.strip_prefix(markers.exit_code.as_str())?.strip_prefix(": ")?.trim().parse().ok()
    };
    let mut all = log.lines().filter_map(told);
    let status = all.next();
    status.filter(|_| all.next().is_none())
}

/// A verdict, and why in a few words.
fn verdict(graded: &Graded) -> (Verdict, String) {
    if let Some(reason) = &graded.invalid {
        let detail = match reason {
            InvalidReason::TimedOut => "the tests took too long".to_owned(),
            other => format!("{other:?}"),
        };
        return (Verdict::Invalid(reason.clone()), one_line(&detail));
    }
    if graded.resolved {
        return (Verdict::Resolved, String::new());
    }
    let why = match (&graded.refusal, &graded.tests_status) {
        (Some(refusal), _) => refusal.to_string(),
        (None, Some(status)) => {
            let (f2p, p2p) = (&status.fail_to_pass, &status.pass_to_pass);
            let missed = f2p.failure.iter().chain(&p2p.failure).next();
            let mut why = format!(
                "{} of {} FAIL_TO_PASS and {} of {} PASS_TO_PASS fail",
                f2p.failure.len(),
                f2p.failure.len() + f2p.success.len(),
                p2p.failure.len(),
                p2p.failure.len() + p2p.success.len()
            );
            if let Some(missed) = missed {
                why.push_str(": ");
                why.push_str(missed);
            }
            why
        }
        (None, None) => "the statuses are not those that the row expects".to_owned(),
    };
    (Verdict::Unresolved(why.clone()), one_line(&why))
}

/// Whether a dialect tells labels of what seems to have broken.
pub(crate) fn label(decision: &Decision, files: &Files) -> Option<dialect::InfraLabel> {
    if !matches!(decision.dialect, Dialect::SweBench5 | Dialect::Strict) {
        return None;
    }
    let log = fs::read(files.log()).ok()?;
    dialect::classify(&read_log(&log))
}
