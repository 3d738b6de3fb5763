//! A run into a verdict.

use palestra_core::{InvalidReason, TestReport, Verdict};
use palestra_sandbox::Outcome;

use crate::run::TestRun;

/// Judges a run by the tests that must pass. Strict: a test that is missing, was skipped, failed
/// as announced or did not come to its end has not passed, and neither has a run that did not
/// come to its end.
pub fn verdict(run: &TestRun, fail_to_pass: &[String], pass_to_pass: &[String]) -> Verdict {
    if fail_to_pass.is_empty() {
        let text = "the task names no test that must pass".to_owned();
        return Verdict::Invalid(InvalidReason::NothingRan(text));
    }
    let timed_out = run.outcome == Outcome::TimedOut;
    if run.install_failed {
        return match timed_out {
            true => Verdict::Invalid(InvalidReason::TimedOut),
            false => Verdict::Unresolved("the project cannot be installed".to_owned()),
        };
    }
    if !run.started {
        return Verdict::Invalid(match timed_out {
            true => InvalidReason::TimedOut,
            false => InvalidReason::NothingRan(format!(
                "the test runner could not be started ({:?}): {}",
                run.outcome,
                last_line(&run.log_tail)
            )),
        });
    }
    let listed = || fail_to_pass.iter().chain(pass_to_pass);
    let bad: Vec<&String> = listed().filter(|id| !run.report.passed(id)).collect();
    if timed_out {
        // Only a test that did come to its end and did not pass settles it.
        let certain = |id: &&String| {
            run.report.status(id).is_some() && run.died_in.as_deref() != Some(id.as_str())
        };
        if !bad.iter().any(certain) {
            return Verdict::Invalid(InvalidReason::TimedOut);
        }
    }
    match first_bad(&run.report, fail_to_pass, pass_to_pass) {
        Some(why) => Verdict::Unresolved(why),
        None if run.report.finished => Verdict::Resolved,
        None => Verdict::Unresolved(format!(
            "the run did not come to its end ({:?}{})",
            run.outcome,
            run.died_in.as_ref().map_or(String::new(), |place| format!(", in {place}")),
        )),
    }
}

/// How many of the tests that must pass did not, and the first of them.
pub(crate) fn first_bad(
    report: &TestReport,
    fail_to_pass: &[String],
    pass_to_pass: &[String],
) -> Option<String> {
    let listed = || fail_to_pass.iter().chain(pass_to_pass);
    let bad: Vec<&String> = listed().filter(|id| !report.passed(id)).collect();
    let first = bad.first()?;
    let status = report.status(first);
    let status = status.map_or("missing".to_owned(), |s| format!("{s:?}").to_lowercase());
    let (bad, all) = (bad.len(), listed().count());
    Some(format!("{bad} of {all} tests did not pass; the first is {first} ({status})"))
}

/// The last line with something in it, for a message.
pub(crate) fn last_line(log: &str) -> &str {
    log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output")
}

#[cfg(test)]
mod tests {
    use palestra_core::{TestReport, TestResult, TestStatus};

    use super::*;

    fn run(tests: &[(&str, TestStatus)], finished: bool, outcome: Outcome) -> TestRun {
        let tests = tests
            .iter()
            .map(|(id, status)| {
                let result = TestResult { status: *status, seconds: 0.0, message: String::new() };
                ((*id).to_owned(), result)
            })
            .collect();
        TestRun {
            report: TestReport { tests, finished, ..TestReport::default() },
            outcome,
            started: true,
            died_in: None,
            install_failed: false,
            sessions: 1,
            log_tail: String::new(),
            seconds: 0.0,
            processor: 0.0,
        }
    }

    fn judge(run: &TestRun) -> Verdict {
        verdict(run, &["f".to_owned()], &["p".to_owned()])
    }

    #[test]
    fn only_a_full_finished_pass_resolves() {
        use TestStatus::{Error, Failed, Passed, Skipped, Xfail, Xpass};
        let ended = Outcome::Exited(0);
        assert!(judge(&run(&[("f", Passed), ("p", Xpass)], true, ended)).is_resolved());
        for status in [Failed, Error, Skipped, Xfail] {
            let verdict = judge(&run(&[("f", Passed), ("p", status)], true, ended));
            assert!(matches!(verdict, Verdict::Unresolved(_)), "{status:?}");
        }
        let missing = judge(&run(&[("f", Passed)], true, ended));
        assert!(matches!(missing, Verdict::Unresolved(text) if text.contains("p (missing)")));
        let unfinished = judge(&run(&[("f", Passed), ("p", Passed)], false, ended));
        assert!(matches!(unfinished, Verdict::Unresolved(_)));
    }

    #[test]
    fn a_timeout_is_invalid_unless_a_test_has_failed_already() {
        use TestStatus::{Error, Failed, Passed};
        let late = Outcome::TimedOut;
        let invalid = Verdict::Invalid(InvalidReason::TimedOut);
        assert_eq!(judge(&run(&[("f", Passed)], false, late)), invalid);
        let mut hung = run(&[("f", Error)], false, late);
        hung.died_in = Some("f".to_owned());
        assert_eq!(judge(&hung), invalid);
        let failed = judge(&run(&[("f", Failed)], false, late));
        assert!(matches!(failed, Verdict::Unresolved(_)));
    }

    #[test]
    fn nothing_to_judge_by_is_invalid() {
        let run = run(&[], true, Outcome::Exited(5));
        assert!(matches!(verdict(&run, &[], &[]), Verdict::Invalid(InvalidReason::NothingRan(_))));
        assert!(matches!(judge(&run), Verdict::Unresolved(_)));
    }
}
