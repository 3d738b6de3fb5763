//! What a run on the fixed tree says about the environment it was made in.

use std::collections::BTreeMap;

use palestra_core::{TestReport, TestResult, TestStatus};
use palestra_grade::TestRun;

/// Whether every touched test was collected, ran to its end and passed. Tests that skip
/// themselves, announce their failure, or fail for want of a network (which no test has here)
/// do not count against it.
pub(crate) fn works(run: &TestRun) -> bool {
    run.report.finished
        && run.report.collection_errors.is_empty()
        && run.report.passes() > 0
        && run.report.tests.values().all(|test| !has_failed(test) || wants_network(test))
}

fn has_failed(test: &TestResult) -> bool {
    matches!(test.status, TestStatus::Error | TestStatus::Failed)
}

/// Whether a failure says that a host could not be found or reached.
fn wants_network(test: &TestResult) -> bool {
    const SIGNS: [&str; 6] = [
        "Temporary failure in name resolution",
        "Name or service not known",
        "Network is unreachable",
        "DNSLookupError",
        "DNS lookup failed",
        "No address associated with hostname",
    ];
    SIGNS.iter().any(|sign| test.message.contains(sign))
}

/// Which of two runs shows the better environment.
pub(crate) fn rank(run: &TestRun) -> (bool, usize, std::cmp::Reverse<usize>) {
    let errors = run.report.collection_errors.len();
    (works(run), run.report.passes(), std::cmp::Reverse(errors))
}

/// Every test and file that failed, with what it said.
pub(crate) fn failing(report: &TestReport) -> BTreeMap<&str, &str> {
    let files =
        report.collection_errors.iter().map(|(file, error)| (file.as_str(), error.as_str()));
    let tests = report.tests.iter().filter(|(_, t)| has_failed(t));
    files.chain(tests.map(|(test, t)| (test.as_str(), t.message.as_str()))).collect()
}

/// How many tests pass, and the first that fails with what it said.
pub(crate) fn counts(report: &TestReport) -> String {
    let mut text = format!("{} of {} tests pass", report.passes(), report.tests.len());
    let without = report.tests.values().filter(|t| has_failed(t) && wants_network(t)).count();
    if without > 0 {
        text.push_str(&format!(", {without} want a network"));
    }
    if let Some((file, error)) = report.collection_errors.iter().next() {
        text.push_str(&format!("; {file} cannot be collected: {}", last_line(error)));
    }
    let failing = report.tests.iter().find(|(_, t)| has_failed(t) && !wants_network(t));
    if let Some((test, result)) = failing {
        text.push_str(&format!("; {test}: {}", what_failed(&result.message)));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

/// The line of a failure that says most: the last that pytest marks, or else the last.
fn what_failed(message: &str) -> &str {
    let marked = message.lines().rev().find_map(|line| line.strip_prefix("E "));
    marked.unwrap_or_else(|| last_line(message)).trim()
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

/// What a repair can learn from: what was printed, and what single tests said.
pub(crate) fn evidence(run: &TestRun) -> String {
    let mut text = String::new();
    for (file, error) in &run.report.collection_errors {
        text.push_str(&format!("ERROR collecting {file}\n{error}\n"));
    }
    for (test, result) in &run.report.tests {
        if !result.status.is_pass() && !result.message.is_empty() && text.len() < 1 << 20 {
            text.push_str(&format!("{:?} {test}\n{}\n", result.status, result.message));
        }
    }
    text.push_str(&run.log_tail);
    text
}

pub(crate) fn why_nothing_passes(run: &TestRun) -> (&'static str, String) {
    use palestra_sandbox::Outcome;
    if run.outcome == Outcome::TimedOut {
        return ("timed_out", "the tests do not end on the fixed tree".to_owned());
    }
    if run.outcome == Outcome::OutOfMemory {
        return ("out_of_memory", "the tests use more memory than they may".to_owned());
    }
    if let Some((file, error)) = run.report.collection_errors.iter().next() {
        let last = last_line(error);
        return ("gold_cannot_be_collected", one_line(&format!("{file}: {last}")));
    }
    if let Some((test, result)) = run.report.tests.iter().find(|(_, t)| !t.status.is_pass()) {
        return ("gold_fails", one_line(&format!("{test}: {}", what_failed(&result.message))));
    }
    ("gold_does_not_run", one_line(last_line(&run.log_tail)))
}

/// The text of a failing test, or of the file that could not be collected.
pub(crate) fn failure_text<'a>(report: &'a TestReport, test: &str) -> Option<&'a str> {
    if let Some(result) = report.tests.get(test) {
        return Some(&result.message);
    }
    let file = test.split("::").next()?;
    report.collection_errors.get(file).map(String::as_str)
}

/// The first 200 characters, on one line.
pub(crate) fn one_line(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    flat.chars().take(200).collect()
}
