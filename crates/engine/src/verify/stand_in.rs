//! A stand-in for a testing agent, to measure with: **it knows the hidden tests**.
//!
//! A share of the hidden tests that show the issue is taken for tests that somebody wrote, and some
//! tests are turned round, which makes them wrong: they pass where they should fail. What is simulated
//! is who wrote the tests; they are run for real.

use std::collections::{BTreeMap, BTreeSet};

use palestra_stats::SplitMix;
use serde::{Deserialize, Serialize};

use super::write::TestSample;
use crate::stored::Stored;

/// How good the testing agent is that is stood in for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StandIn {
    /// The share of the tests that show the issue which it writes.
    pub rate: f64,
    /// For each of these, how many wrong tests it writes.
    pub toxic: f64,
}

/// Appended to a file of tests: turns the tests round that are named, keeping their parameters.
const TURN: &str = r#"

def _palestra_turn_round():
    import functools
    import unittest

    def turned(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            try:
                test(*args, **kwargs)
            except unittest.SkipTest:
                raise
            except BaseException as error:
                # pytest's own failures are no Exception.
                if isinstance(error, Exception) or type(error).__name__ == "Failed":
                    return
                raise
            raise AssertionError("turned round")
        return run

    for names in WRONG:
        owner = globals()
        for name in names[:-1]:
            owner = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
        last = names[-1]
        if isinstance(owner, dict) and callable(owner.get(last)):
            owner[last] = turned(owner[last])
        elif owner is not None and callable(getattr(owner, last, None)):
            setattr(owner, last, turned(getattr(owner, last)))


_palestra_turn_round()
"#;

impl StandIn {
    /// The tests of a task; none where chance takes none.
    pub(crate) fn sample(&self, stored: &Stored, random: &mut SplitMix) -> Option<TestSample> {
        let hidden: BTreeMap<&str, &Vec<u8>> = stored
            .hidden
            .iter()
            .filter_map(|(file, content)| Some((file.path.as_str(), content.as_ref()?)))
            .collect();
        let ours =
            |test: &&String| test.split_once("::").is_some_and(|(f, _)| hidden.contains_key(f));
        let mut tests = BTreeSet::new();
        let mut right = 0;
        for test in stored.task.fail_to_pass.iter().filter(ours) {
            if random.unit() < self.rate {
                tests.insert(test.clone());
                right += 1;
            }
        }
        // A wrong test fails on the base too, or it would be found out at once: so it is one of those
        // that pass there, turned round. Where there is none, it is one that shows the issue.
        let mut victims: BTreeSet<String> = BTreeSet::new();
        let passing: Vec<&String> = stored.task.pass_to_pass.iter().filter(ours).collect();
        let failing: Vec<&String> = stored.task.fail_to_pass.iter().filter(ours).collect();
        let from = if passing.is_empty() { failing } else { passing };
        for _ in 0..right {
            if random.unit() < self.toxic && !from.is_empty() {
                victims.insert(function(from[random.below(from.len())]).to_owned());
            }
        }
        let of = |function_: &str| {
            let all = stored.task.fail_to_pass.iter().chain(&stored.task.pass_to_pass);
            all.filter(|test| function(test) == function_).cloned().collect::<Vec<_>>()
        };
        for victim in &victims {
            tests.extend(of(victim));
        }
        if tests.is_empty() {
            return None;
        }
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for (path, content) in &hidden {
            let mut content = (*content).clone();
            let turned: Vec<Vec<&str>> = victims
                .iter()
                .filter_map(|victim| victim.strip_prefix(path)?.strip_prefix("::"))
                .map(|names| names.split("::").collect())
                .collect();
            if !turned.is_empty() {
                let list = serde_json::to_string(&turned).unwrap_or_default();
                content.extend(TURN.replace("WRONG", &list).into_bytes());
            }
            files.push(((*path).to_owned(), content));
        }
        let asked = |path: &str| tests.iter().any(|test| test.starts_with(&format!("{path}::")));
        let paths = hidden.keys().filter(|p| asked(p)).map(|p| (*p).to_owned()).collect();
        let name = "stand_in".to_owned();
        Some(TestSample { name, files, paths, tests: Some(tests) })
    }
}

/// A test without its parameters.
fn function(test: &str) -> &str {
    test.split_once('[').map_or(test, |(function, _)| function)
}
