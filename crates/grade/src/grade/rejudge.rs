//! A stored result judged again, by the lists of tests that its task has now.

use palestra_core::{Environment, Hash, InvalidReason, TestFile, Verdict};

use super::evidence;
use super::name_tampering;
use crate::grading::{Cause, Grading, Weight, When};
use crate::judge::first_bad;

/// What the task asks for now.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// How it is run.
    pub environment: &'a Environment,
    /// The fix.
    pub gold: &'a [u8],
    /// The hidden files, with their contents.
    pub test_files: &'a [(TestFile, Option<Vec<u8>>)],
    /// What the tests are run on.
    pub test_paths: &'a [String],
    /// Tests that fail without the fix and pass with it.
    pub fail_to_pass: &'a [String],
    /// Tests that pass with and without the fix.
    pub pass_to_pass: &'a [String],
}

/// Why a stored result cannot be judged again: the attempt has to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stale {
    /// The results are of other tests.
    #[error("its hidden tests are not those that were run")]
    Tests,
    /// The results are of another environment.
    #[error("its environment is not the one that it was run in")]
    Environment,
    /// What an attempt may change is told by the fix.
    #[error("its fix is not the one that told what an attempt may change")]
    Fix,
    /// The runner, or the tamper policy.
    #[error("it was run by another version of the grader")]
    Grader,
    /// There is no report of the tests, as the machine failed.
    #[error("the machine failed when it was run, so that there is no result")]
    Machine,
    /// The attempt would be resolved now, and nothing was audited when it was run.
    #[error("it would be resolved now, and what is suspicious in it was not audited")]
    Unaudited,
}

/// Judges a stored result by what the task asks for now, from the report of the run alone. What
/// a run was ended by, or was caught at, stays as it is whatever the lists are.
pub fn rejudge(stored: &Grading, asked: &Asked<'_>) -> Result<Grading, Stale> {
    let was = &stored.evidence;
    if was.tests != evidence::tests(asked.test_files) {
        return Err(Stale::Tests);
    }
    if was.environment != evidence::environment(asked.environment) {
        return Err(Stale::Environment);
    }
    if was.gold != Hash::of(asked.gold) {
        return Err(Stale::Fix);
    }
    if was.grader != evidence::grader() {
        return Err(Stale::Grader);
    }
    let lists = evidence::lists([asked.test_paths, asked.fail_to_pass, asked.pass_to_pass]);
    let mut grading = stored.clone();
    match stored.cause {
        Cause::Infrastructure => return Err(Stale::Machine),
        Cause::Passed | Cause::TestsFailed | Cause::Unconfirmed | Cause::NoTests => {}
        _ => {
            grading.evidence.lists = lists;
            return Ok(grading);
        }
    }
    if asked.fail_to_pass.is_empty() {
        let text = "the task names no test that must pass".to_owned();
        grading.verdict = Verdict::Invalid(InvalidReason::NothingRan(text));
        grading.cause = Cause::NoTests;
    } else if stored.cause == Cause::NoTests {
        return Err(Stale::Machine);
    } else if let Some(why) = first_bad(&stored.report, asked.fail_to_pass, asked.pass_to_pass) {
        (grading.verdict, grading.cause) = (Verdict::Unresolved(why), Cause::TestsFailed);
        name_tampering(&mut grading);
    } else if stored.cause == Cause::TestsFailed {
        let suspicious = stored.tampering.iter().any(|act| act.weight == Weight::Suspicion);
        let audits = match was.options.audit {
            When::Never => false,
            When::Suspicious => suspicious,
            When::Always => true,
        };
        if audits {
            return Err(Stale::Unaudited);
        }
        (grading.verdict, grading.cause) = (Verdict::Resolved, Cause::Passed);
    } else if stored.cause == Cause::Passed && was.lists != lists && stored.audit.is_some() {
        // What was audited is the old list.
        return Err(Stale::Unaudited);
    }
    grading.evidence.lists = lists;
    Ok(grading)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use palestra_core::{Runner, TestReport, TestResult, TestStatus};

    use super::*;
    use crate::grading::{Evidence, GradeOptions, Tampering};

    fn environment() -> Environment {
        Environment {
            id: Environment::identify("3.13", ""),
            python: "3.13".to_owned(),
            python_full: "3.13.0".to_owned(),
            lock: String::new(),
            exclude_newer: String::new(),
            install: Vec::new(),
            env: BTreeMap::new(),
            runner: Runner::Pytest,
            install_key: Hash::of(b""),
        }
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    /// A run in which `a` passed and `b` failed, of a task that asks for `f2p`.
    fn stored(f2p: &[&str], cause: Cause, tampering: Vec<Tampering>) -> Grading {
        let result = |status| TestResult { status, seconds: 0.0, message: String::new() };
        let tests = [("a", TestStatus::Passed), ("b", TestStatus::Failed)];
        let tests = tests.map(|(id, status)| (id.to_owned(), result(status)));
        Grading {
            verdict: Verdict::Unresolved("as it was".to_owned()),
            cause,
            tampering,
            touches_tests: Vec::new(),
            report: TestReport { tests: tests.into(), finished: true, ..TestReport::default() },
            audit: None,
            evidence: Evidence {
                layers: Vec::new(),
                environment: evidence::environment(&environment()),
                patch: Hash::of(b"patch"),
                gold: Hash::of(b"gold"),
                tests: evidence::tests(&[]),
                lists: evidence::lists([&[], &strings(f2p), &[]]),
                grader: evidence::grader(),
                limits: BTreeMap::new(),
                options: GradeOptions::default(),
            },
            sessions: 1,
            log_tail: String::new(),
            seconds: 0.0,
        }
    }

    fn judge(stored: &Grading, f2p: &[&str], gold: &[u8]) -> Result<Grading, Stale> {
        let environment = environment();
        let asked = Asked {
            environment: &environment,
            gold,
            test_files: &[],
            test_paths: &[],
            fail_to_pass: &strings(f2p),
            pass_to_pass: &[],
        };
        rejudge(stored, &asked)
    }

    #[test]
    fn lists_of_today_decide() {
        let failed = stored(&["a", "b"], Cause::TestsFailed, Vec::new());
        let now = judge(&failed, &["a"], b"gold").unwrap();
        assert_eq!((now.verdict, now.cause), (Verdict::Resolved, Cause::Passed));
        assert_ne!(now.evidence.key(), failed.evidence.key());
        let passed = stored(&["a"], Cause::Passed, Vec::new());
        let now = judge(&passed, &["a", "b"], b"gold").unwrap();
        assert!(
            matches!(&now.verdict, Verdict::Unresolved(why) if why.contains("first is b (failed)"))
        );
        assert_eq!(judge(&passed, &[], b"gold").unwrap().cause, Cause::NoTests);
    }

    #[test]
    fn what_a_run_was_ended_by_or_caught_at_stays() {
        for cause in [Cause::Tampered, Cause::TimedOut, Cause::Died, Cause::PatchRejected] {
            let now = judge(&stored(&["a", "b"], cause, Vec::new()), &["a"], b"gold").unwrap();
            assert_eq!(now.verdict, Verdict::Unresolved("as it was".to_owned()));
        }
    }

    #[test]
    fn what_needs_a_run_is_said() {
        let seen = Tampering::new(Weight::Suspicion, "walks_frames", "", "");
        let failed = stored(&["a", "b"], Cause::TestsFailed, vec![seen]);
        assert_eq!(judge(&failed, &["a"], b"gold"), Err(Stale::Unaudited));
        assert!(judge(&failed, &["b"], b"gold").is_ok());
        assert_eq!(judge(&failed, &["b"], b"other"), Err(Stale::Fix));
        let broke = stored(&["a"], Cause::Infrastructure, Vec::new());
        assert_eq!(judge(&broke, &["a"], b"gold"), Err(Stale::Machine));
        let mut other = stored(&["a"], Cause::Passed, Vec::new());
        other.evidence.grader = Hash::of(b"older");
        assert_eq!(judge(&other, &["a"], b"gold"), Err(Stale::Grader));
        other.evidence.tests = Hash::of(b"others");
        assert_eq!(judge(&other, &["a"], b"gold"), Err(Stale::Tests));
    }
}
