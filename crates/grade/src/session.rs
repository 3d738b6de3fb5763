//! The processes of one run: installing again, the first session, and what comes after it when it
//! dies.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use palestra_core::environment::TESTBED;
use palestra_core::{Environment, TestReport};
use palestra_sandbox::{Exec, ExecResult, Outcome, Sandbox, SandboxError};
use palestra_testlog::Record;
use palestra_testlog::structured::{bounded, file_of, merge, parse_record};

use crate::error::GradeError;
use crate::paths::needs_reinstall;
use crate::run::{RunLimits, TestRun};
use crate::runner;

/// Largest result file that is read, bytes. A test writes a few hundred.
const RESULT_LIMIT: u64 = 64 << 20;

/// A sandbox with everything in place.
pub(crate) struct Bench<'a> {
    sandbox: &'a Sandbox,
    environment: &'a Environment,
    limits: &'a RunLimits,
    sessions: usize,
    log: String,
}

/// One process of the runner.
struct Session {
    record: Record,
    outcome: Outcome,
}

impl Session {
    /// Whether it came to its end, and `wait` says the same as the runner.
    fn finished(&self) -> bool {
        self.record.report.finished
            && matches!(self.outcome, Outcome::Exited(code) if Some(code) == self.record.exit)
    }

    /// What it was busy with when it died.
    fn died_in(&self) -> Option<&str> {
        if self.finished() {
            return None;
        }
        let broke = !self.record.internal_errors.is_empty() || self.record.exit.is_none();
        let during_collection = self.record.collecting.as_deref().filter(|_| broke);
        self.record.active.as_deref().or(during_collection)
    }
}

impl<'a> Bench<'a> {
    pub(crate) fn new(
        sandbox: &'a Sandbox,
        environment: &'a Environment,
        limits: &'a RunLimits,
    ) -> Self {
        Self { sandbox, environment, limits, sessions: 0, log: String::new() }
    }

    fn exec(&self, argv: Vec<String>, timeout: Duration) -> Exec {
        let mut exec = Exec::new(argv).cwd(TESTBED).timeout(timeout);
        for (name, value) in runner::variables(self.environment) {
            exec = exec.env(name, value);
        }
        exec.output_limit = self.limits.output;
        exec
    }

    fn note(&mut self, result: &ExecResult) {
        self.log.push_str(&result.stdout.text());
        self.log.push_str(&result.stderr.text());
        let mut cut = self.log.len().saturating_sub(self.limits.output);
        while !self.log.is_char_boundary(cut) {
            cut += 1;
        }
        self.log.drain(..cut);
    }

    /// Installs the project again if the changes touch what installing reads. `Some` if it fails.
    pub(crate) fn reinstall<'p>(
        &mut self,
        touched: impl Iterator<Item = &'p str>,
    ) -> Result<Option<TestRun>, GradeError> {
        if self.environment.install.is_empty() || !needs_reinstall(touched) {
            return Ok(None);
        }
        let timeout = Duration::from_secs(self.limits.seconds);
        let result = self.sandbox.exec(&self.exec(self.environment.install.clone(), timeout))?;
        self.note(&result);
        if result.outcome.success() {
            return Ok(None);
        }
        Ok(Some(TestRun {
            report: TestReport::default(),
            outcome: result.outcome,
            started: false,
            died_in: None,
            install_failed: true,
            sessions: 0,
            log_tail: std::mem::take(&mut self.log),
            seconds: 0.0,
        }))
    }

    /// Runs everything at once; where that dies, the files that it did not come to one by one,
    /// so that one file cannot take the others along.
    pub(crate) fn run(&mut self, test_paths: &[String]) -> Result<TestRun, GradeError> {
        let full = Duration::from_secs(self.limits.seconds);
        let first = self.session(test_paths, full)?;
        let died_in = first.died_in().map(str::to_owned);
        let mut finished = first.finished();
        let mut outcome = first.outcome;
        let mut report = first.record.report.clone();
        let left = if finished { Vec::new() } else { left_over(&first, test_paths) };
        let deadline = Instant::now() + full;
        // What a session of its own cannot finish is not finished; the file that killed the first
        // session is not run again, and so stays unfinished.
        let mut all = died_in.is_none() && !left.is_empty();
        for (number, path) in left.iter().enumerate() {
            // Half of what is left to each, so that one that hangs leaves something to the rest.
            let time = deadline.saturating_duration_since(Instant::now());
            let time = if number + 1 < left.len() { time / 2 } else { time };
            if time < Duration::from_millis(100) {
                all = false;
                outcome = Outcome::TimedOut;
                break;
            }
            let session = self.session(std::slice::from_ref(path), time)?;
            if !session.finished() {
                all = false;
                if !matches!(session.outcome, Outcome::Exited(_)) {
                    outcome = session.outcome;
                }
                self.blame(&mut report, &session, path);
            }
            merge(&mut report, session.record.report);
        }
        finished |= all;
        if !finished && self.sessions == 1 {
            let file = match (&died_in, test_paths) {
                (Some(place), _) => file_of(place).to_owned(),
                (None, [path]) => path.clone(),
                (None, _) => String::new(),
            };
            if !file.is_empty() {
                self.blame(&mut report, &first, &file);
            }
        } else if let Some(place) = &died_in {
            self.blame(&mut report, &first, file_of(place));
        }
        report.finished = finished;
        Ok(TestRun {
            report,
            outcome,
            started: first.record.started,
            died_in,
            install_failed: false,
            sessions: self.sessions,
            log_tail: std::mem::take(&mut self.log),
            seconds: 0.0,
        })
    }

    /// Says of a file that was never collected that it could not be.
    fn blame(&self, report: &mut TestReport, session: &Session, file: &str) {
        if session.record.collected.iter().any(|id| file_of(id) == file) {
            return;
        }
        let text = match session.record.internal_errors.first() {
            Some(error) => error.clone(),
            None => format!("the run ended here ({:?})\n{}", session.outcome, self.log),
        };
        report.collection_errors.entry(file.to_owned()).or_insert_with(|| bounded(text));
    }

    fn session(&mut self, paths: &[String], timeout: Duration) -> Result<Session, GradeError> {
        let number = self.sessions;
        self.sessions += 1;
        let argv = runner::command(self.environment.runner, number, paths);
        let result = self.sandbox.exec(&self.exec(argv, timeout))?;
        self.note(&result);
        let path = runner::results(number);
        let record = match self.sandbox.read(&path, RESULT_LIMIT) {
            Ok(bytes) => parse_record(&bytes.unwrap_or_default()).0,
            // The tests made the file too large, or replaced it: nothing in it is to be trusted.
            Err(error @ (SandboxError::TooLarge { .. } | SandboxError::NotRegular { .. })) => {
                let mut record = Record::default();
                record.report.problems.push(error.to_string());
                record
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Session { record, outcome: result.outcome })
    }
}

/// The files of a session that died, without those whose tests have all ended and without the one
/// in which it died. Empty where running again would only repeat what is known.
fn left_over(session: &Session, test_paths: &[String]) -> Vec<String> {
    let record = &session.record;
    let mut files = BTreeSet::new();
    for path in test_paths {
        let below: BTreeSet<&str> = record
            .collected
            .iter()
            .map(|id| file_of(id))
            .filter(|file| is_below(file, path))
            .collect();
        if below.is_empty() {
            files.insert(path.as_str());
        }
        files.extend(below);
    }
    files
        .extend(record.collecting.as_deref().filter(|f| test_paths.iter().any(|p| is_below(f, p))));
    let all = files.len();
    let died_in = session.died_in().map(file_of);
    files.retain(|file| Some(*file) != died_in && !record.file_is_complete(file));
    files.retain(|file| !record.missing.iter().any(|missing| missing == file));
    if all == 1 || !record.started {
        return Vec::new();
    }
    files.into_iter().map(str::to_owned).collect()
}

fn is_below(file: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    file == path || file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_paths() {
        assert!(is_below("a/b.py", "a") && is_below("a/b.py", "a/") && is_below("a", "a"));
        assert!(!is_below("ab/c.py", "a"));
    }
}
