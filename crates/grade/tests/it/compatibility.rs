//! The same results from every pytest.

use std::collections::BTreeMap;

use palestra_core::{Environment, TestStatus};
use palestra_grade::runner::NO_ADDOPTS;
use palestra_grade::{RunLimits, run_tests};
use palestra_testlog::pytest_text;

use crate::model::{PATHS, expected};
use crate::setup::{MATRIX, Wanted, env_for, files, fixture, host, strings, tree_ops};

fn check(wanted: &Wanted) {
    check_with(wanted, "");
}

fn check_with(wanted: &Wanted, addopts: &str) {
    let (Some(host), Some(mut env)) = (host(), env_for(wanted)) else { return };
    env.environment.env.insert("PYTEST_ADDOPTS".to_owned(), addopts.to_owned());
    let changes = tree_ops(&fixture());
    let limits = RunLimits { seconds: 120, ..RunLimits::default() };
    let run =
        run_tests(host, &env.spec, &env.environment, &changes, &strings(&PATHS), &limits).unwrap();
    let found: BTreeMap<_, _> =
        run.report.tests.iter().map(|(id, result)| (id.clone(), result.status)).collect();
    assert_eq!(found, expected(), "{wanted:?}\n{}", run.log_tail);
    assert!(run.report.finished && run.started, "{run:?}");
    assert_eq!(run.sessions, 1);
    let broken: Vec<_> = run.report.collection_errors.iter().collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert_eq!(broken[0].0, "tests/test_broken.py");
    assert!(broken[0].1.contains("module_that_does_not_exist"));
    assert!(run.report.problems.is_empty(), "{:?}", run.report.problems);
    let failed = &run.report.tests["tests/test_plain.py::test_fail"];
    assert!(failed.message.contains("1 == 2"), "{failed:?}");
}

#[test]
fn pytest_of_2016() {
    check(&MATRIX[0]);
    check(&MATRIX[1]);
}

#[test]
fn pytest_3_and_4() {
    check(&MATRIX[2]);
    check(&MATRIX[3]);
}

#[test]
fn pytest_5_and_6() {
    check(&MATRIX[4]);
    check(&MATRIX[5]);
}

#[test]
fn pytest_7_to_9() {
    for wanted in &MATRIX[6..] {
        check(wanted);
    }
}

/// Neither parallel workers, nor random order, nor an early stop, nor coverage.
#[test]
fn options_of_the_project_change_nothing() {
    let packages = &["pytest==7.4.4", "pytest-xdist", "pytest-randomly", "pytest-cov"];
    let wanted = Wanted { python: "3.10", packages };
    check_with(&wanted, "-n 2 --dist loadfile --randomly-seed=7 -x --cov=tests");
}

/// An option that no plugin knows stops pytest; the project's `addopts` can be left out.
#[test]
fn options_of_absent_plugins_can_be_left_out() {
    for wanted in [&MATRIX[0], &MATRIX[7]] {
        let (Some(host), Some(mut env)) = (host(), env_for(wanted)) else { continue };
        let changes = files(&[
            ("pytest.ini", "[pytest]\naddopts = --option-of-an-absent-plugin\n"),
            ("test_x.py", "def test_x(): pass\n"),
        ]);
        let (paths, limits) = (strings(&["test_x.py"]), RunLimits::default());
        let run = |environment: &Environment| {
            run_tests(host, &env.spec, environment, &changes, &paths, &limits).unwrap()
        };
        let stopped = run(&env.environment);
        assert!(stopped.started && !stopped.report.finished && stopped.report.tests.is_empty());
        assert!(stopped.log_tail.contains("--option-of-an-absent-plugin"));
        env.environment.env.insert(NO_ADDOPTS.to_owned(), "1".to_owned());
        assert!(run(&env.environment).report.passed("test_x.py::test_x"));
    }
}

/// The parser of printed summaries agrees with the record, but for skipped tests, which a summary
/// does not name.
#[test]
fn printed_summaries_say_the_same() {
    for wanted in [&MATRIX[3], &MATRIX[5], &MATRIX[7], &MATRIX[8]] {
        let (Some(host), Some(mut env)) = (host(), env_for(wanted)) else { continue };
        env.environment.env.insert("PYTEST_ADDOPTS".to_owned(), "-rA".to_owned());
        let paths = strings(&PATHS[..5]);
        let limits = RunLimits::default();
        let changes = tree_ops(&fixture());
        let run = run_tests(host, &env.spec, &env.environment, &changes, &paths, &limits).unwrap();
        let mut record: BTreeMap<_, _> =
            run.report.tests.iter().map(|(id, r)| (id.clone(), r.status)).collect();
        record.retain(|_, status| *status != TestStatus::Skipped);
        let printed = pytest_text::parse(&run.log_tail);
        let found: BTreeMap<_, _> =
            printed.tests.iter().map(|(id, r)| (id.clone(), r.status)).collect();
        assert_eq!(found, record, "{wanted:?}\n{}", run.log_tail);
        assert!(printed.finished);
        assert!(printed.collection_errors.contains_key("tests/test_broken.py"));
    }
}
