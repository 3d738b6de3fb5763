//! Which of several changes to take: whether they can be read, what tests say, how many agree.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use palestra_core::Hash;
use palestra_sandbox::{FileOp, Outcome, Sandbox, SandboxError, Snapshot};
use serde_json::{Value, json};

use crate::agent::Assignment;
use crate::agentless::edits::{Changed, vote};
use crate::shell::run_alone;

/// Test files that are run at most.
const TESTS: usize = 6;
/// What of the output of tests is kept, bytes.
const KEEP: usize = 1 << 20;

/// What is known of a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Checked {
    /// Python can read its files.
    pub(super) readable: bool,
    /// Tests that fail with it and not without; `None` if no tests could be run.
    pub(super) broken: Option<usize>,
    /// How many samples say the same.
    pub(super) votes: usize,
}

/// The number of the best change: readable, breaking least, said most often, and earliest.
pub(super) fn best(checked: &[Checked]) -> Option<usize> {
    let rank =
        |one: &Checked| (one.readable, std::cmp::Reverse(one.broken.unwrap_or(0)), one.votes);
    // Of those that are as good as each other the first.
    checked.iter().enumerate().rev().max_by_key(|(_, one)| rank(one)).map(|(index, _)| index)
}

/// For the record.
pub(super) fn told(checked: &Checked) -> Value {
    json!({"readable": checked.readable, "broken": checked.broken, "votes": checked.votes})
}

/// Test files that belong to changed files by their names.
pub(super) fn tests_near(files: &[&str], changed: &BTreeSet<&str>) -> Vec<String> {
    let stem = |path: &str| {
        Path::new(path).file_stem().map(|stem| stem.to_string_lossy().trim_matches('_').to_owned())
    };
    let wanted: BTreeSet<String> = changed
        .iter()
        .filter_map(|path| stem(path))
        .flat_map(|stem| [format!("test_{stem}"), format!("{stem}_test"), format!("test{stem}")])
        .collect();
    let mut found: Vec<String> = files
        .iter()
        .filter(|path| path.ends_with(".py"))
        .filter(|path| {
            changed.contains(*path) && path.contains("test")
                || stem(path).is_some_and(|stem| wanted.contains(&stem))
        })
        .map(|path| (*path).to_owned())
        .collect();
    found.truncate(TESTS);
    found
}

/// Where changes are tried: each in a sandbox of its own.
pub(super) struct Trial<'a> {
    pub(super) snapshot: Snapshot,
    pub(super) assignment: &'a Arc<Assignment>,
    pub(super) tests: Vec<String>,
    pub(super) timeout: Duration,
}

impl Trial<'_> {
    /// Looks at all changes.
    pub(super) fn check(&self, changes: &[Changed]) -> Result<Vec<Checked>, SandboxError> {
        let before = match self.tests.is_empty() {
            true => None,
            false => self.failing(&self.snapshot.create()?)?,
        };
        let keys: Vec<Hash> = changes.iter().map(vote).collect();
        let mut known: HashMap<&Hash, Checked> = HashMap::new();
        let mut all = Vec::with_capacity(changes.len());
        for (change, key) in changes.iter().zip(&keys) {
            if !known.contains_key(key) {
                let votes = keys.iter().filter(|other| *other == key).count();
                known.insert(key, self.one(change, votes, before.as_ref())?);
            }
            all.push(known.get(key).cloned().unwrap_or_default());
        }
        Ok(all)
    }

    fn one(
        &self,
        change: &Changed,
        votes: usize,
        before: Option<&BTreeSet<String>>,
    ) -> Result<Checked, SandboxError> {
        let sandbox = self.snapshot.create()?;
        write(&sandbox, &self.assignment.directory, change)?;
        let python: Vec<_> = change.keys().filter(|path| path.ends_with(".py")).collect();
        let mut command = "set -e\nfor python in python python3; do command -v $python >/dev/null && break; done\n".to_owned();
        for path in &python {
            command.push_str(&format!(
                "$python -c 'import ast, sys; ast.parse(open(sys.argv[1], \"rb\").read())' {}\n",
                quoted(path)
            ));
        }
        let readable = python.is_empty() || self.run(&sandbox, &command)?.0 == Outcome::Exited(0);
        let mut checked = Checked { readable, broken: None, votes };
        if let Some(before) = before.filter(|_| readable) {
            let after = self.failing(&sandbox)?;
            // That they do not even start is worse than any that fails.
            let broken = after.map_or(usize::MAX, |after| after.difference(before).count());
            checked.broken = Some(broken);
        }
        Ok(checked)
    }

    /// The tests that fail; `None` if they could not be run.
    fn failing(&self, sandbox: &Sandbox) -> Result<Option<BTreeSet<String>>, SandboxError> {
        let files: Vec<_> = self.tests.iter().map(|path| quoted(path)).collect();
        let command = format!(
            "for python in python python3; do command -v $python >/dev/null && break; done\n$python -B -m pytest -q --tb=no -rfE -p no:cacheprovider {}",
            files.join(" ")
        );
        let (outcome, output) = self.run(sandbox, &command)?;
        // 0 and 1 are what pytest says of tests that ran; without it, 1 comes with no such report.
        let reported = output.lines().any(|line| {
            [" passed", " failed", " error", " skipped"].iter().any(|word| line.contains(word))
        });
        if !matches!(outcome, Outcome::Exited(0 | 1)) || !reported {
            return Ok(None);
        }
        let failed = output.lines().filter_map(|line| {
            let rest = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR "))?;
            Some(rest.split(" - ").next().unwrap_or(rest).to_owned())
        });
        Ok(Some(failed.collect()))
    }

    fn run(&self, sandbox: &Sandbox, command: &str) -> Result<(Outcome, String), SandboxError> {
        let ran = run_alone(sandbox, self.assignment, command, self.timeout, KEEP, false)?;
        Ok((ran.outcome, String::from_utf8_lossy(&ran.output).into_owned()))
    }
}

/// A word of a command.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Writes changed files; those that are there keep their modes.
pub(super) fn write(
    sandbox: &Sandbox,
    directory: &Path,
    changed: &Changed,
) -> Result<(), SandboxError> {
    let mut ops = Vec::new();
    for (path, content) in changed {
        let path = directory.join(path);
        let (path, mode) = crate::editor::target(sandbox, &path)?;
        ops.push(FileOp::Write { path, mode, bytes: content.clone() });
    }
    sandbox.apply(&ops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_chosen() {
        let one = |readable, broken, votes| Checked { readable, broken, votes };
        let all = [
            one(false, None, 9),
            one(true, Some(2), 5),
            one(true, Some(0), 1),
            one(true, Some(0), 2),
            one(true, Some(0), 2),
        ];
        assert_eq!(best(&all), Some(3));
        assert_eq!(best(&all[..2]), Some(1));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn tests_are_found_by_name() {
        let files = ["a/calc.py", "tests/test_calc.py", "a/calc_test.py", "tests/test_other.py"];
        let found = tests_near(&files, &["a/calc.py"].into());
        assert_eq!(found, ["tests/test_calc.py", "a/calc_test.py"]);
    }
}
