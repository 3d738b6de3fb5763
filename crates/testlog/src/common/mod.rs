//! Readers of common formats, for logs of test runners whatever harness ran them.
//!
//! They follow no other harness: a test that is named twice has the worse outcome, its name holds
//! the file or package and the suites it stands in, and what could not be read is a problem.

use crate::names::Names;
use crate::registry::{Entry, Parsed, Raised, table};
use crate::status::LogStatus;
use crate::structured::{PROBLEM_LIMIT, Problem, bounded};

mod cargo;
mod go;
mod jest;
mod junit;
mod mocha;
mod pytest;
mod sympy;
mod tap;
mod unittest;

pub(crate) static TABLE: &[Entry] = table! {
    "cargo" => 1, cargo::parse;
    "django" | "unittest" => 1, unittest::parse;
    "go" => 1, go::text;
    "go-json" => 1, go::json;
    "jest" => 1, jest::text;
    "jest-json" | "vitest-json" => 1, jest::json;
    "junit" => 1, junit::parse;
    "mocha" => 1, mocha::spec;
    "mocha-json" => 1, mocha::json;
    "pytest" => 1, pytest::parse;
    "sympy" => 1, sympy::parse;
    "tap" => 1, tap::parse;
    "vitest" => 1, jest::vitest;
};

/// How many documents of a log may be broken. Each of them is read up to its end at worst, so
/// without a bound the work would grow with the square of the log.
const BROKEN_LIMIT: usize = 10;

/// What a reader found so far.
struct Found {
    names: Names,
    problems: Vec<Problem>,
}

impl Found {
    fn new(log: &str) -> Self {
        Self { names: Names::new(log), problems: Vec::new() }
    }

    /// Sets the status of the test whose name the parts make, unless a worse one is known.
    fn set(&mut self, parts: &[&str], status: LogStatus) -> Result<(), Raised> {
        let name = self.names.make(parts)?;
        let known = self.names.map().get(&name).map(badness);
        if known.is_none_or(|known| badness(&status) > known) {
            self.names.map().insert(name, status);
        }
        Ok(())
    }

    /// Notes what is odd in a line, counted from 1.
    fn problem(&mut self, line: usize, text: impl Into<String>) {
        if self.problems.len() < PROBLEM_LIMIT {
            self.problems.push(Problem { line, text: bounded(text.into()) });
        }
    }

    fn finish(self, result: Result<(), Raised>) -> Parsed {
        match result.and_then(|()| self.names.finish()) {
            Ok(map) => Parsed::new(map, self.problems),
            Err(raised) => raised.into(),
        }
    }
}

/// From best to worst.
fn badness(status: &LogStatus) -> u8 {
    match status {
        LogStatus::Passed => 0,
        LogStatus::Other(_) => 1,
        LogStatus::Xfail => 2,
        LogStatus::Skipped => 3,
        LogStatus::Failed => 4,
        LogStatus::Error => 5,
    }
}
