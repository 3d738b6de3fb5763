//! What runs say.

use std::collections::BTreeSet;

use palestra_core::{TestReport, TestResult, TestStatus};
use palestra_synth::tests::{
    BaseFailure, ProposedTests, ScreenRules, TestOutcome, judge_runs, kills, screen,
};

use crate::{GOOD_TESTS, request};

const PATH: &str = "tests/test_rows_1234.py";
const A: &str = "tests/test_rows_1234.py::test_spaces_stay";
const B: &str = "tests/test_rows_1234.py::test_ends_are_stripped";

fn tests(content: &str) -> ProposedTests {
    let screened = screen(PATH, content, &ScreenRules::of(&request())).unwrap();
    ProposedTests { path: PATH.into(), content: content.into(), notes: String::new(), screened }
}

fn run(results: &[(&str, bool, &str)]) -> TestReport {
    let tests = results.iter().map(|(id, passed, message)| {
        let status = if *passed { TestStatus::Passed } else { TestStatus::Failed };
        ((*id).to_owned(), TestResult { status, seconds: 0.0, message: (*message).to_owned() })
    });
    TestReport { tests: tests.collect(), finished: true, ..TestReport::default() }
}

fn broken(error: &str) -> TestReport {
    let collection_errors = [(PATH.to_owned(), error.to_owned())].into();
    TestReport { collection_errors, finished: true, ..TestReport::default() }
}

const OK: (bool, &str) = (true, "");
const BAD: (bool, &str) = (false, "E   AssertionError: assert ['a'] == ['a b']");

fn both(a: (bool, &str), b: (bool, &str)) -> TestReport {
    run(&[(A, a.0, a.1), (B, b.0, b.1), ("tests/test_cells.py::test_cells", true, "")])
}

#[test]
fn each_outcome() {
    use TestOutcome as O;
    let check = |base: &[TestReport], gold: &[TestReport], want: TestOutcome, keep: &[&str]| {
        let verdict = judge_runs(&tests(GOOD_TESTS), base, gold);
        assert_eq!(verdict.outcome, want, "{verdict:?}");
        let keep: BTreeSet<String> = keep.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(verdict.keep, keep);
        verdict
    };
    let (good, bad) = (both(OK, OK), both(BAD, BAD));
    let one = std::slice::from_ref;
    let thrice = |run: &TestReport| vec![run.clone(), run.clone(), run.clone()];
    let kept = check(&thrice(&bad), &thrice(&good), O::Kept, &[A, B]);
    assert!(!kept.needs_mutants());
    check(&[], &thrice(&good), O::NotRun, &[]);
    let partly = check(&[both(BAD, OK)], one(&good), O::Kept, &[A]);
    assert_eq!(partly.passes_on_base, [B]);
    assert!(partly.summary().contains("passes before the change: tests/test_rows"));
    check(one(&good), one(&good), O::PassesOnBase, &[]);
    check(one(&bad), one(&bad), O::FailsOnGold, &[]);
    check(&[both(BAD, OK)], &[both(BAD, OK)], O::FailsOnGold, &[]);
    check(&thrice(&bad), &[good.clone(), bad.clone(), good.clone()], O::Flaky, &[]);
    check(&[bad.clone(), good.clone(), bad.clone()], &thrice(&good), O::Flaky, &[]);
    let some = check(&thrice(&bad), &[good.clone(), both(OK, BAD), good.clone()], O::Kept, &[A]);
    assert_eq!(some.flaky, [B]);
    let error = check(one(&bad), &[broken("x\nImportError: y")], O::NotCollected, &[]);
    assert_eq!(error.detail, "ImportError: y");
    check(
        one(&bad),
        &[run(&[("tests/test_cells.py::test_cells", true, "")])],
        O::NotCollected,
        &[],
    );
    let hung = TestReport { finished: false, ..good.clone() };
    check(one(&bad), &[good.clone(), hung.clone()], O::NotFinished, &[]);
    check(&[bad, hung], &[good], O::NotFinished, &[]);
}

#[test]
fn missing_names() {
    let missing = "E   ImportError: cannot import name 'rows' from 'table.rows' (x)";
    let base = [broken(missing), broken(missing)];
    let gold = [both(OK, OK), both(OK, OK)];
    let verdict = judge_runs(&tests(GOOD_TESTS), &base, &gold);
    assert_eq!(
        (verdict.outcome, verdict.base_failure),
        (TestOutcome::Kept, BaseFailure::MissingName)
    );
    assert!(verdict.needs_mutants());
    // The same, where the tests that are left look at names alone.
    let weak = "from table.rows import rows\n\ndef test_spaces_stay():\n    assert callable(rows)\n\ndef test_ends_are_stripped():\n    assert rows('a') == ['a']\n";
    let gold = [both(OK, BAD)];
    let verdict = judge_runs(&tests(weak), &base, &gold);
    assert_eq!(verdict.outcome, TestOutcome::OnlyImports);
    let attribute = (false, "AttributeError: module 'table' has no attribute 'rows'");
    let verdict = judge_runs(&tests(GOOD_TESTS), &[both(attribute, BAD)], &[both(OK, OK)]);
    assert_eq!(verdict.base_failure, BaseFailure::Mixed);
    let crash = broken("ZeroDivisionError: x");
    let verdict = judge_runs(&tests(GOOD_TESTS), &[crash], &[both(OK, OK)]);
    assert_eq!(verdict.base_failure, BaseFailure::Behaviour);
}

#[test]
fn mutants() {
    let keep: BTreeSet<String> = [A.to_owned(), B.to_owned()].into();
    let dead = TestReport::default();
    let found = kills(&keep, &[both(OK, OK), both(BAD, OK), broken("x"), both(BAD, BAD), dead]);
    assert_eq!(found.by_mutant, [0, 1, 2, 2, 2]);
    assert_eq!((found.by_test[A], found.by_test[B]), (4, 3));
    assert_eq!(found.survivors().collect::<Vec<_>>(), [0]);
    assert_eq!((found.killed(), found.score()), (4, Some(0.8)));
    assert_eq!(kills(&keep, &[]).score(), None);
}
