//! The processes of one run: installing again, the first session, and what comes after it when it
//! dies.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use palestra_core::environment::TESTBED;
use palestra_core::{Environment, TestReport};
use palestra_sandbox::{Exec, FileOp, Outcome, Sandbox};
use palestra_testlog::Record;
use palestra_testlog::structured::{bounded, file_of, merge, parse_record};

use crate::canary::{Canary, Sung};
use crate::error::GradeError;
use crate::paths::{in_testbed, needs_reinstall};
use crate::random::Random;
use crate::run::{RunLimits, TestRun};
use crate::runner;
use crate::seal;
use crate::signs::Signs;

/// Bytes of results that are kept of a session. A test writes a few hundred.
const RESULT_LIMIT: usize = 64 << 20;

/// Says which paths of the repository are taken.
pub(crate) type Taken<'a> = &'a dyn Fn(&str) -> bool;

/// A sandbox with everything in place.
pub(crate) struct Bench<'a> {
    sandbox: &'a Sandbox,
    environment: &'a Environment,
    limits: &'a RunLimits,
    random: Random,
    /// Whether canaries are run too, and which paths are not for them.
    canaries: Option<Taken<'a>>,
    sessions: usize,
    log: String,
    /// What was seen beside the results.
    pub(crate) signs: Signs,
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
        canaries: Option<Taken<'a>>,
    ) -> Result<Self, GradeError> {
        Ok(Self {
            sandbox,
            environment,
            limits,
            random: Random::new()?,
            canaries,
            sessions: 0,
            log: String::new(),
            signs: Signs::default(),
        })
    }

    fn exec(&self, argv: Vec<String>, timeout: Duration) -> Exec {
        let mut exec = Exec::new(argv).cwd(TESTBED).timeout(timeout);
        for (name, value) in runner::variables(self.environment) {
            exec = exec.env(name, value);
        }
        exec.output_limit = self.limits.output;
        exec
    }

    fn note(&mut self, parts: [&[u8]; 2]) {
        for part in parts {
            // What was flooded with is not turned into text first.
            let part = &part[part.len().saturating_sub(self.limits.output)..];
            self.log.push_str(&String::from_utf8_lossy(part));
        }
        let mut cut = self.log.len().saturating_sub(self.limits.output);
        while !self.log.is_char_boundary(cut) {
            cut += 1;
        }
        self.log.drain(..cut);
    }

    /// Whether the project has to be installed again: if the changes touch what installing reads.
    pub(crate) fn installs<'p>(&self, touched: impl Iterator<Item = &'p str>) -> bool {
        !self.environment.install.is_empty() && needs_reinstall(touched)
    }

    /// Installs the project again. `Some` if it fails.
    pub(crate) fn reinstall(&mut self) -> Result<Option<TestRun>, GradeError> {
        let timeout = Duration::from_secs(self.limits.seconds);
        let result = self.sandbox.exec(&self.exec(self.environment.install.clone(), timeout))?;
        self.note([&result.stdout.bytes, &result.stderr.bytes]);
        if result.outcome.success() {
            return Ok(None);
        }
        let install_failed = true;
        Ok(Some(TestRun { outcome: result.outcome, install_failed, ..self.not_run() }))
    }

    /// A run in which no test was run.
    pub(crate) fn not_run(&mut self) -> TestRun {
        TestRun {
            report: TestReport::default(),
            outcome: Outcome::Exited(0),
            started: false,
            died_in: None,
            install_failed: false,
            sessions: 0,
            log_tail: std::mem::take(&mut self.log),
            seconds: 0.0,
            processor: 0.0,
        }
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
            processor: 0.0,
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

    /// The canaries of a session, in place; none where a directory has an odd name.
    fn place_canaries(&mut self, paths: &[String]) -> Result<Vec<Canary>, GradeError> {
        let Some(taken) = self.canaries else { return Ok(Vec::new()) };
        let directory =
            |path: &String| path.rsplit_once('/').map_or("", |(place, _)| place).to_owned();
        let directories: BTreeSet<String> = paths.iter().map(directory).collect();
        let directories: Vec<String> =
            directories.into_iter().filter(|d| !d.contains('\n') && !d.starts_with('-')).collect();
        let mut canaries: Vec<Canary> = Vec::new();
        let mut ops = Vec::new();
        // Two, so that one can stand after the hidden tests wherever the other stands.
        let first_is_short = self.random.below(2) == 0;
        for short in [first_is_short, !first_is_short] {
            let Some(place) = self.random.pick(&directories) else { break };
            let known = |path: &str| {
                taken(path) || canaries.iter().any(|canary: &Canary| canary.path == path)
            };
            let runner = self.environment.runner;
            let canary = Canary::new(&mut self.random, place, runner, short, &known);
            let path = in_testbed(&canary.path)?;
            let bytes = canary.text.clone().into_bytes();
            ops.push(FileOp::Write { path, mode: 0o644, bytes });
            canaries.push(canary);
        }
        self.sandbox.apply(&ops)?;
        Ok(canaries)
    }

    fn session(&mut self, paths: &[String], timeout: Duration) -> Result<Session, GradeError> {
        self.sessions += 1;
        let canaries = self.place_canaries(paths)?;
        let mut given = paths.to_vec();
        if let [first, rest @ ..] = &canaries[..] {
            given.extend(rest.iter().map(|canary| canary.path.clone()));
            given.insert(self.random.below(paths.len() + 1), first.path.clone());
        }
        let key = self.random.key();
        let mut stdin: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        for canary in &canaries {
            stdin.push('\n');
            stdin.push_str(&canary.path);
        }
        let mut exec = self.exec(runner::command(self.environment.runner, &given), timeout);
        exec.stdin = stdin.into_bytes();
        exec.output_limit = RESULT_LIMIT;
        let result = self.sandbox.exec(&exec)?;
        let flooded = result.stdout.total > RESULT_LIMIT as u64;
        let opened = if flooded {
            self.signs.flood = Some(result.stdout.total);
            seal::Opened::default()
        } else {
            seal::open(&result.stdout.bytes, key)
        };
        self.note([&opened.before, &result.stderr.bytes]);
        let mut record = parse_record(&opened.record).0;
        if flooded {
            let text = format!("the record has {} bytes: it was flooded", result.stdout.total);
            record.report.problems.push(text);
        }
        // Of a record that somebody took lines from, no end is believed.
        record.report.finished &= !opened.lost;
        let session = Session { record, outcome: result.outcome };
        Ok(self.note_signs(session, &canaries, opened))
    }

    /// Takes canaries and signs out of what a session gave.
    fn note_signs(
        &mut self,
        mut session: Session,
        canaries: &[Canary],
        opened: seal::Opened,
    ) -> Session {
        let record = &mut session.record;
        if !canaries.is_empty() {
            let mut sung = Sung::new();
            for canary in canaries {
                canary.judge(&mut record.report, &mut sung);
                record.collected.retain(|id| !canary.owns(id));
                // What the run died in is said of the hidden tests only.
                record.active = record.active.take().filter(|id| !canary.owns(id));
                record.collecting = record.collecting.take().filter(|file| !canary.owns(file));
            }
            self.signs.denied += usize::from(sung.sound && record.exit == Some(0));
            // A run that died says nothing of canaries that it did not come to.
            if record.report.finished || !sung.silent.is_empty() {
                self.signs.sung.push(sung);
            }
        }
        self.signs.told.extend(opened.told);
        self.signs.foreign.extend(opened.foreign);
        self.signs.lost |= opened.lost;
        let record = &session.record;
        match (session.outcome, record.exit) {
            (outcome @ Outcome::Exited(_), None) if record.started => {
                let place = session.died_in().unwrap_or_default().to_owned();
                self.signs.left.push((outcome, place));
            }
            (outcome, Some(announced)) if outcome != Outcome::Exited(announced) => {
                self.signs.contradicted.push((announced, outcome));
            }
            _ => {}
        }
        session
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
