//! What a test run said, test by test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The outcome of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestStatus {
    /// Ran and held.
    Passed,
    /// Ran and did not hold.
    Failed,
    /// Did not run to its end: setup, teardown or collection broke.
    Error,
    /// Was not run on purpose.
    Skipped,
    /// Failed, as announced.
    Xfail,
    /// Passed although a failure was announced.
    Xpass,
}

impl TestStatus {
    /// Whether the status counts as success. A skipped test is no success; an announced
    /// failure is not one either, because nothing was shown to work.
    pub fn is_pass(self) -> bool {
        matches!(self, Self::Passed | Self::Xpass)
    }
}

/// The outcome of one test, with what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The outcome.
    pub status: TestStatus,
    /// Wall time, seconds.
    #[serde(default)]
    pub seconds: f64,
    /// The end of the failure text, bounded in size.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The outcome of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Results by test id (`path::Class::test[param]`, relative to the repository).
    pub tests: BTreeMap<String, TestResult>,
    /// Files that could not be collected, with the error. All their tests count as failed.
    #[serde(default)]
    pub collection_errors: BTreeMap<String, String>,
    /// Whether the runner said that it came to its end.
    pub finished: bool,
    /// What was odd about the record: lines that could not be read, tests reported twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl TestReport {
    /// The status of a test; `None` where the run says nothing about it.
    pub fn status(&self, test: &str) -> Option<TestStatus> {
        self.tests.get(test).map(|t| t.status)
    }

    /// Whether the test passed. Missing is not passed.
    pub fn passed(&self, test: &str) -> bool {
        self.status(test).is_some_and(TestStatus::is_pass)
    }

    /// How many tests passed.
    pub fn passes(&self) -> usize {
        self.tests.values().filter(|t| t.status.is_pass()).count()
    }
}
