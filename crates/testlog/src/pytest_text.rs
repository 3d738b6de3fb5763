//! The summary that pytest prints with `-rA`. For logs of others: our own runs are read from a
//! [record](crate::structured) instead, since a text can be printed by the tests themselves.
//!
//! Skipped tests are not named in such a summary, and so are missing from the report.

use palestra_core::{TestReport, TestResult, TestStatus};

use crate::structured::{bounded, merge};

/// Reads the last summary of a log. Without one, the report is empty and not finished.
pub fn parse(log: &str) -> TestReport {
    let lines: Vec<String> = log.lines().map(plain).collect();
    let mut report = TestReport::default();
    let Some(start) = lines.iter().rposition(|line| is_header(line)) else {
        report.finished = lines.iter().any(|line| is_end(line));
        return report;
    };
    for line in &lines[start + 1..] {
        if is_end(line) {
            report.finished = true;
            break;
        }
        let Some((word, rest)) = line.split_once(' ') else { continue };
        let status = match word {
            "PASSED" => TestStatus::Passed,
            "FAILED" => TestStatus::Failed,
            "ERROR" => TestStatus::Error,
            "XFAIL" => TestStatus::Xfail,
            "XPASS" => TestStatus::Xpass,
            // A failing part of a test: `SUBFAILED(i=1) id`, `SUBFAIL id`.
            _ if word.starts_with("SUBFAIL") => TestStatus::Failed,
            _ => continue,
        };
        let rest = match word.starts_with("SUBFAIL") {
            // What stands between may hold spaces: `SUBFAILED[some words] (i=1) id`.
            true => rest
                .find("::")
                .map_or(rest, |at| rest[..at].rfind(' ').map_or(rest, |space| &rest[space + 1..])),
            false => rest,
        };
        let (id, message) = split_reason(rest.trim_start());
        if status == TestStatus::Error && !id.contains("::") {
            report.collection_errors.insert(id.to_owned(), bounded(message.to_owned()));
            continue;
        }
        let result = TestResult { status, seconds: 0.0, message: bounded(message.to_owned()) };
        // A test whose teardown broke is named twice.
        let tests = [(id.replace("::()::", "::"), result)].into();
        merge(&mut report, TestReport { tests, ..TestReport::default() });
    }
    report
}

/// The line without colours and without the carriage return that a terminal adds.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        rest = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        let mut after = rest.chars();
        after.next();
        rest = after.as_str();
    }
    out.push_str(rest);
    out.truncate(out.trim_end_matches('\r').len());
    out
}

fn is_header(line: &str) -> bool {
    line.starts_with('=') && line.trim_matches('=') == " short test summary info "
}

/// `==== 1 failed, 2 passed in 0.12s ====`, or the same without the rule.
fn is_end(line: &str) -> bool {
    let text = line.trim_matches('=').trim();
    let counts = ["passed", "failed", "error", "errors", "skipped", "xfailed", "xpassed", "ran"];
    let Some((before, after)) = text.rsplit_once(" in ") else { return false };
    after.starts_with(|c: char| c.is_ascii_digit())
        && before.split([' ', ',']).any(|word| counts.contains(&word))
        && (line.starts_with('=') || text.starts_with(|c: char| c.is_ascii_digit()))
}

/// Parts `id - reason`. Parameters may hold the same characters, so those in brackets do not
/// count as long as the brackets are closed.
fn split_reason(text: &str) -> (&str, &str) {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && text[at..].starts_with(" - ") => {
                return (&text[..at], &text[at + 3..]);
            }
            _ => {}
        }
    }
    match text.split_once(" - ") {
        Some(parts) if depth > 0 => parts,
        _ => (text.trim_end(), ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_summary_counts() {
        let log = "\
PASSED forged.py::test_early
=========================== short test summary info ============================
PASSED forged.py::test_shown_as_captured_output
collected 3 items
\u{1b}[36m\u{1b}[1m=========================== short test summary info ============================\u{1b}[0m\r
\u{1b}[32mPASSED\u{1b}[0m a.py::\u{1b}[1mtest_x[a - b]\u{1b}[0m\r
PASSED a.py::test_td
ERROR a.py::test_td - RuntimeError: teardown - broke
ERROR b.py - ImportError: x
SUBFAILED[two words] (i=1) a.py::T::test_sub - assert 0
PASSED a.py::T::test_sub
FAILED a.py::test_y - assert 1 == 2
XPASS a.py::test_odd reason
SKIPPED [2] a.py:3: not today
==================== 1 failed, 2 passed, 1 error in 0.01s =====================
PASSED late.py::test_late
";
        let report = parse(log);
        let found: Vec<_> = report.tests.iter().map(|(id, r)| (id.as_str(), r.status)).collect();
        let want = [
            ("a.py::T::test_sub", TestStatus::Failed),
            ("a.py::test_odd reason", TestStatus::Xpass),
            ("a.py::test_td", TestStatus::Error),
            ("a.py::test_x[a - b]", TestStatus::Passed),
            ("a.py::test_y", TestStatus::Failed),
        ];
        assert_eq!(found, want);
        assert_eq!(report.tests["a.py::test_td"].message, "RuntimeError: teardown - broke");
        assert_eq!(report.collection_errors["b.py"], "ImportError: x");
        assert!(report.finished);
    }

    #[test]
    fn a_cut_log_is_not_finished() {
        let log = "===== short test summary info =====\nPASSED a.py::x\n";
        assert!(!parse(log).finished);
        assert!(parse("3 passed in 0.10s\n").finished);
        assert!(!parse("he came in 3 days\n").finished);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_survived(text in "\\PC*|(=* short test summary info =*\n[A-Z]{4,6} .*\n)*") {
            parse(&text);
        }
    }
}
