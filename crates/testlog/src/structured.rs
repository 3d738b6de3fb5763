//! The record that the runners of crate `grade` write: one JSON object a line, in the order in
//! which things happened.
//!
//! The file may be cut at any byte, hold anything that the tests wrote to it, and say the same
//! thing twice. Where it contradicts itself, the worst outcome counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use palestra_core::{TestReport, TestResult, TestStatus};
use serde::Deserialize;

/// Longest message that is kept, in bytes; the end of it is kept.
pub const MESSAGE_LIMIT: usize = 4096;
/// How many problems are kept; the rest is counted.
pub const PROBLEM_LIMIT: usize = 50;

/// Something odd in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 where no line is to blame.
    pub line: usize,
    /// What is odd.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.text),
            line => write!(f, "line {line}: {}", self.text),
        }
    }
}

/// All that one run of a runner wrote.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Results by test. A test that was begun and did not come to its end is an error; one that
    /// was collected and never begun is missing. `finished` says that the runner named a status
    /// of a complete run (0, 1 or 5).
    pub report: TestReport,
    /// Ids of the tests that were found.
    pub collected: BTreeSet<String>,
    /// Whether the runner itself could be started.
    pub started: bool,
    /// The exit status that the runner announced; to be held against the one from `wait`.
    pub exit: Option<i32>,
    /// The test that was running when the record ends.
    pub active: Option<String>,
    /// The file that was read last during collection, if no test was begun after that.
    pub collecting: Option<String>,
    /// Given paths that do not exist.
    pub missing: Vec<String>,
    /// What the runner said when it broke.
    pub internal_errors: Vec<String>,
}

impl Record {
    /// Whether a file was read, and every test found in it has come to its end.
    pub fn file_is_complete(&self, file: &str) -> bool {
        let mut tests = self.collected.iter().filter(|id| file_of(id) == file).peekable();
        self.report.collection_errors.contains_key(file)
            || self.report.tests.contains_key(file)
            || (tests.peek().is_some()
                && tests.all(|id| {
                    self.report.tests.contains_key(id) && self.active.as_deref() != Some(id)
                }))
    }
}

/// The file part of a test id.
pub fn file_of(id: &str) -> &str {
    id.split_once("::").map_or(id, |(file, _)| file)
}

#[derive(Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
enum Line {
    Session {},
    Ready {},
    Missing { file: String },
    Collecting { file: String },
    Collected { ids: Vec<String> },
    CollectError { file: String, message: String },
    CollectSkip { file: String, message: String },
    CollectionDone {},
    Start { id: String },
    Phase { id: String, when: When, outcome: Outcome, seconds: f64, message: Option<String> },
    InternalError { message: String },
    Finish {},
    Exit { status: i32 },
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum When {
    Setup,
    Call,
    Teardown,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Failed,
    Skipped,
    Xfailed,
    Xpassed,
}

impl Outcome {
    fn status(self, when: When) -> TestStatus {
        match self {
            Self::Passed => TestStatus::Passed,
            Self::Skipped => TestStatus::Skipped,
            Self::Xfailed => TestStatus::Xfail,
            Self::Xpassed => TestStatus::Xpass,
            Self::Failed if when == When::Call => TestStatus::Failed,
            Self::Failed => TestStatus::Error,
        }
    }
}

/// From best to worst.
fn badness(status: TestStatus) -> u8 {
    match status {
        TestStatus::Passed => 0,
        TestStatus::Xpass => 1,
        TestStatus::Xfail => 2,
        TestStatus::Skipped => 3,
        TestStatus::Failed => 4,
        TestStatus::Error => 5,
    }
}

/// Adds the results of a run to those of another; the worse outcome of a test counts.
pub fn merge(into: &mut TestReport, other: TestReport) {
    for (id, result) in other.tests {
        worsen(&mut into.tests, id, result);
    }
    into.collection_errors.extend(other.collection_errors);
    into.problems.extend(other.problems);
    into.problems.truncate(PROBLEM_LIMIT);
}

fn worsen(tests: &mut BTreeMap<String, TestResult>, id: String, result: TestResult) {
    match tests.get_mut(&id) {
        Some(known) => known_or_worse(known, result),
        None => {
            tests.insert(id, result);
        }
    }
}

fn known_or_worse(known: &mut TestResult, other: TestResult) {
    let seconds = known.seconds + other.seconds;
    if badness(other.status) > badness(known.status) {
        *known = other;
    }
    known.seconds = seconds;
}

/// The end of `text`, at most [`MESSAGE_LIMIT`] bytes, cut between characters.
pub fn bounded(mut text: String) -> String {
    if text.len() > MESSAGE_LIMIT {
        let mut start = text.len() - MESSAGE_LIMIT;
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text.drain(..start);
    }
    text
}

/// A test of which something was said.
#[derive(Default)]
struct Seen {
    result: Option<TestResult>,
    ended: u32,
}

/// Reads a record.
pub fn parse_record(bytes: &[u8]) -> (Record, Vec<Problem>) {
    let mut reader = Reader::default();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(line) => reader.take(number + 1, line),
            Err(error) => reader.problem(number + 1, format!("cannot be read: {error}")),
        }
    }
    reader.end()
}

/// Reads a record for its results alone; the problems stand in the report too.
pub fn parse(bytes: &[u8]) -> (TestReport, Vec<Problem>) {
    let (record, problems) = parse_record(bytes);
    (record.report, problems)
}

#[derive(Default)]
struct Reader {
    record: Record,
    seen: BTreeMap<String, Seen>,
    problems: Vec<Problem>,
    dropped: usize,
    contradicted: bool,
}

impl Reader {
    fn problem(&mut self, line: usize, text: String) {
        if self.problems.len() < PROBLEM_LIMIT {
            self.problems.push(Problem { line, text: bounded(text) });
        } else {
            self.dropped += 1;
        }
    }

    fn take(&mut self, number: usize, line: Line) {
        if self.record.exit.is_some() {
            // The runner writes its exit last, so somebody else wrote one of the two.
            self.contradicted = true;
            self.problem(number, "stands after the end of the run".to_owned());
        }
        let record = &mut self.record;
        match line {
            Line::Session {} => record.started = true,
            Line::Ready {} | Line::CollectionDone {} | Line::Finish {} => {}
            Line::Missing { file } => record.missing.push(file),
            Line::Collecting { file } => record.collecting = Some(file),
            Line::Collected { ids } => record.collected.extend(ids),
            Line::CollectError { file, message } => {
                record.report.collection_errors.insert(file, bounded(message));
            }
            Line::CollectSkip { file, message } => {
                let status = TestStatus::Skipped;
                let result = TestResult { status, seconds: 0.0, message: bounded(message) };
                worsen(&mut record.report.tests, file, result);
            }
            Line::Start { id } => {
                record.collecting = None;
                self.seen.entry(id.clone()).or_default();
                record.active = Some(id);
            }
            Line::Phase { id, when, outcome, seconds, message } => {
                self.phase(number, id, when, outcome, seconds, message);
            }
            Line::InternalError { message } => {
                if record.internal_errors.len() < PROBLEM_LIMIT {
                    record.internal_errors.push(bounded(message));
                }
            }
            Line::Exit { status } => record.exit = Some(status),
        }
    }

    fn phase(
        &mut self,
        number: usize,
        id: String,
        when: When,
        outcome: Outcome,
        seconds: f64,
        message: Option<String>,
    ) {
        let seen = self.seen.entry(id.clone()).or_default();
        let status = outcome.status(when);
        let message = bounded(message.unwrap_or_default());
        // A teardown that went well says that the test came to its end, and nothing else.
        let seconds = seconds.max(0.0);
        let result = TestResult { status, seconds, message };
        match &mut seen.result {
            Some(known) => known_or_worse(known, result),
            none => *none = Some(result),
        }
        if when != When::Teardown {
            return;
        }
        seen.ended += 1;
        let again = seen.ended == 2;
        if self.record.active.as_ref() == Some(&id) {
            self.record.active = None;
        }
        if again {
            self.problem(number, format!("{id} was run more than once; the worse outcome counts"));
        }
    }

    fn end(mut self) -> (Record, Vec<Problem>) {
        let record = &mut self.record;
        for (id, seen) in self.seen {
            let mut result = seen.result.unwrap_or(TestResult {
                status: TestStatus::Error,
                seconds: 0.0,
                message: String::new(),
            });
            let failed = badness(result.status) >= badness(TestStatus::Failed);
            if seen.ended == 0 && !failed {
                result.status = TestStatus::Error;
            }
            if seen.ended == 0 && result.message.is_empty() {
                result.message = "the run ended before this test did".to_owned();
            }
            worsen(&mut record.report.tests, id, result);
        }
        record.report.finished = matches!(record.exit, Some(0 | 1 | 5)) && !self.contradicted;
        if self.dropped > 0 {
            let text = format!("{} more problems are not listed", self.dropped);
            self.problems.push(Problem { line: 0, text });
        }
        record.report.problems = self.problems.iter().map(ToString::to_string).collect();
        (self.record, self.problems)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(lines: &[&str], id: &str) -> Option<TestStatus> {
        parse(lines.join("\n").as_bytes()).0.status(id)
    }

    fn phase(when: &str, outcome: &str) -> String {
        format!(
            r#"{{"e":"phase","id":"t","when":"{when}","outcome":"{outcome}","seconds":0.5,"message":"m"}}"#
        )
    }

    #[test]
    fn the_worst_phase_counts() {
        let check = |phases: &[(&str, &str)], want| {
            let lines: Vec<_> = phases.iter().map(|(w, o)| phase(w, o)).collect();
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            assert_eq!(status(&lines, "t"), Some(want), "{phases:?}");
        };
        check(&[("call", "passed"), ("teardown", "passed")], TestStatus::Passed);
        check(&[("call", "failed"), ("teardown", "passed")], TestStatus::Failed);
        check(&[("setup", "failed"), ("teardown", "passed")], TestStatus::Error);
        check(&[("call", "passed"), ("teardown", "failed")], TestStatus::Error);
        check(&[("setup", "skipped"), ("teardown", "passed")], TestStatus::Skipped);
        check(&[("call", "xfailed"), ("teardown", "passed")], TestStatus::Xfail);
        check(&[("call", "xpassed"), ("teardown", "passed")], TestStatus::Xpass);
        check(
            &[("call", "failed"), ("call", "passed"), ("teardown", "passed")],
            TestStatus::Failed,
        );
        let twice = [("call", "passed"), ("teardown", "passed")];
        check(&[twice, [("call", "failed"), ("teardown", "passed")]].concat(), TestStatus::Failed);
        // Without a teardown there is no final outcome.
        check(&[("call", "passed")], TestStatus::Error);
    }

    #[test]
    fn a_run_that_died_names_its_last_test() {
        let log = concat!(
            "{\"e\":\"session\",\"format\":1,\"runner\":\"pytest\"}\n",
            "{\"e\":\"collecting\",\"file\":\"a.py\"}\n",
            "{\"e\":\"collected\",\"ids\":[\"a.py::x\",\"a.py::y\",\"b.py::z\"]}\n",
            "{\"e\":\"start\",\"id\":\"a.py::x\"}\n",
            "{\"e\":\"pha",
        );
        let (record, problems) = parse_record(log.as_bytes());
        assert!(record.started && !record.report.finished);
        assert_eq!(record.active.as_deref(), Some("a.py::x"));
        assert_eq!(record.report.status("a.py::x"), Some(TestStatus::Error));
        assert_eq!(record.report.status("a.py::y"), None);
        assert!(!record.file_is_complete("a.py") && !record.file_is_complete("b.py"));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 5);
    }

    #[test]
    fn a_run_that_goes_on_after_its_exit_line_is_not_finished() {
        let forged = [
            &phase("call", "passed"),
            &phase("teardown", "passed"),
            r#"{"e":"exit","status":0}"#,
            &phase("call", "failed"),
            r#"{"e":"exit","status":1}"#,
        ];
        let (report, problems) = parse(forged.join("\n").as_bytes());
        assert!(!report.finished);
        assert_eq!(report.status("t"), Some(TestStatus::Failed));
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn only_statuses_of_complete_runs_finish() {
        for (code, want) in [(0, true), (1, true), (5, true), (2, false), (3, false), (4, false)] {
            let line = format!(r#"{{"e":"exit","status":{code}}}"#);
            assert_eq!(parse(line.as_bytes()).0.finished, want, "{code}");
        }
    }

    #[test]
    fn messages_are_bounded_between_characters() {
        let text = bounded("é".repeat(MESSAGE_LIMIT));
        assert!(text.len() <= MESSAGE_LIMIT && text.chars().all(|c| c == 'é'));
    }

    fn line() -> impl Strategy<Value = String> {
        let id = prop::sample::select(vec!["a.py::x", "a.py::y", "b.py::z[é]"]);
        let when = prop::sample::select(vec!["setup", "call", "teardown"]);
        let outcome =
            prop::sample::select(vec!["passed", "failed", "skipped", "xfailed", "xpassed"]);
        prop_oneof![
            (id.clone(), when, outcome).prop_map(|(id, when, outcome)| format!(
                r#"{{"e":"phase","id":"{id}","when":"{when}","outcome":"{outcome}","seconds":1}}"#
            )),
            id.prop_map(|id| format!(r#"{{"e":"start","id":"{id}"}}"#)),
            Just(r#"{"e":"exit","status":0}"#.to_owned()),
            "[ -~]{0,40}",
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            parse_record(&bytes);
        }

        /// What a whole record says of a test is never better than what a part of it said, once
        /// the test had come to its end in the part.
        #[test]
        fn more_lines_never_improve(lines in prop::collection::vec(line(), 0..30), keep in 0usize..30) {
            let part = parse_record(lines[..keep.min(lines.len())].join("\n").as_bytes()).0;
            let whole = parse_record(lines.join("\n").as_bytes()).0;
            for (id, result) in part.report.tests {
                let later = whole.report.status(&id).unwrap();
                prop_assert!(result.status == TestStatus::Error || badness(later) >= badness(result.status));
            }
        }
    }
}
