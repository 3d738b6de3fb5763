//! What runs say about proposed tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use palestra_core::TestReport;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::ProposedTests;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// There are tests that tell base from gold in every run: [`TestVerdict::keep`].
    Kept,
    /// A side was not run at all.
    NotRun,
    /// The file cannot be collected with the gold patch, or holds no test.
    NotCollected,
    /// A run did not come to its end.
    NotFinished,
    /// No test passes with the gold patch that fails without it, and some fail with it.
    FailsOnGold,
    /// Tests pass, and they pass without the gold patch too.
    PassesOnBase,
    /// The tests that would tell the two apart are not the same in every run.
    Flaky,
    /// Without the gold patch they fail only because a name is missing, and with it they look at
    /// nothing but the name.
    OnlyImports,
}

impl TestOutcome {
    /// Its name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::NotRun => "not_run",
            Self::NotCollected => "not_collected",
            Self::NotFinished => "not_finished",
            Self::FailsOnGold => "fails_on_gold",
            Self::PassesOnBase => "passes_on_base",
            Self::Flaky => "flaky",
            Self::OnlyImports => "only_imports",
        }
    }

    /// What a model is told that is to repair them.
    pub(super) fn complaint(self) -> &'static str {
        match self {
            Self::Kept => "Some of them do what they should, and some do not.",
            Self::NotRun => "They could not be run.",
            Self::NotCollected => "The file cannot be collected after the change.",
            Self::NotFinished => "The run did not come to its end: something hangs or crashes.",
            Self::FailsOnGold => {
                "They fail after the change, where they have to pass: they expect something else \
                 than what the changed project does."
            }
            Self::PassesOnBase => {
                "They pass before the change too, so they do not show what it changes."
            }
            Self::Flaky => "They do not give the same result every time they are run.",
            Self::OnlyImports => {
                "Before the change they fail only because a name is missing, and after it they look \
                 at nothing but the name. Call it, and compare what it does."
            }
        }
    }
}

/// How the kept tests fail on the base tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseFailure {
    /// Something behaves otherwise.
    #[default]
    Behaviour,
    /// All of them fail because a name is missing. Then only mutants of the gold patch can show
    /// that the tests look at behaviour.
    MissingName,
    /// Some so, some so.
    Mixed,
}

/// What runs say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestVerdict {
    /// How it ended.
    pub outcome: TestOutcome,
    /// Tests that fail in every run on base and pass in every run with gold.
    pub keep: BTreeSet<String>,
    /// Tests that pass always on both sides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passes_on_base: Vec<String>,
    /// Tests that never pass with gold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fails_on_gold: Vec<String>,
    /// Tests whose runs differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaky: Vec<String>,
    /// How the kept tests fail on base.
    #[serde(default)]
    pub base_failure: BaseFailure,
    /// One line more, where there is something to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl TestVerdict {
    fn end(outcome: TestOutcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            keep: BTreeSet::new(),
            passes_on_base: Vec::new(),
            fails_on_gold: Vec::new(),
            flaky: Vec::new(),
            base_failure: BaseFailure::default(),
            detail: detail.into(),
        }
    }

    /// Whether mutants of the gold patch are the only proof that is left to be made.
    pub fn needs_mutants(&self) -> bool {
        self.outcome == TestOutcome::Kept && self.base_failure != BaseFailure::Behaviour
    }

    /// The lists, as lines.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        if !self.detail.is_empty() {
            lines.push(self.detail.clone());
        }
        let keep: Vec<String> = self.keep.iter().cloned().collect();
        for (what, tests) in [
            ("right", &keep),
            ("passes before the change", &self.passes_on_base),
            ("fails after the change", &self.fails_on_gold),
            ("not always the same", &self.flaky),
        ] {
            lines.extend(tests.iter().map(|test| format!("{what}: {test}")));
        }
        lines.join("\n")
    }
}

/// Judges proposed tests by their runs: on the base tree, and with the gold patch, each as often as
/// they were run. A test is kept if no run says otherwise. Reports may tell of other tests too.
pub fn judge_runs(tests: &ProposedTests, base: &[TestReport], gold: &[TestReport]) -> TestVerdict {
    use TestOutcome as O;
    if base.is_empty() || gold.is_empty() {
        return TestVerdict::end(O::NotRun, "");
    }
    if let Some(error) = gold.iter().find_map(|run| run.collection_errors.get(&tests.path)) {
        return TestVerdict::end(O::NotCollected, last_line(error));
    }
    if gold.iter().any(|run| !run.finished) {
        return TestVerdict::end(O::NotFinished, "after the change");
    }
    let own = format!("{}::", tests.path);
    let ids: BTreeSet<&String> =
        gold.iter().flat_map(|run| run.tests.keys()).filter(|id| id.starts_with(&own)).collect();
    if ids.is_empty() {
        return TestVerdict::end(O::NotCollected, "no test of the file was found");
    }
    if base.iter().any(|run| !run.finished) {
        return TestVerdict::end(O::NotFinished, "before the change");
    }
    let mut verdict = TestVerdict::end(O::Kept, "");
    for id in ids {
        let passes = |runs: &[TestReport]| runs.iter().filter(|run| run.passed(id)).count();
        match (passes(base), passes(gold)) {
            (0, all) if all == gold.len() => drop(verdict.keep.insert(id.clone())),
            (all, too) if all == base.len() && too == gold.len() => {
                verdict.passes_on_base.push(id.clone());
            }
            (_, 0) => verdict.fails_on_gold.push(id.clone()),
            _ => verdict.flaky.push(id.clone()),
        }
    }
    let missing = verdict.keep.iter().filter(|id| {
        base.iter().all(|run| match (run.collection_errors.get(&tests.path), run.tests.get(*id)) {
            (Some(error), _) => is_missing_name(error),
            (None, Some(test)) => is_missing_name(&test.message),
            (None, None) => false,
        })
    });
    verdict.base_failure = match (missing.count(), verdict.keep.len()) {
        (0, _) => BaseFailure::Behaviour,
        (some, all) if some == all => BaseFailure::MissingName,
        _ => BaseFailure::Mixed,
    };
    verdict.outcome = if verdict.keep.is_empty() {
        match (&verdict.flaky, &verdict.fails_on_gold) {
            (flaky, _) if !flaky.is_empty() => O::Flaky,
            (_, failing) if !failing.is_empty() => O::FailsOnGold,
            _ => O::PassesOnBase,
        }
    } else if verdict.base_failure == BaseFailure::MissingName
        && verdict.keep.iter().all(|id| tests.screened.is_weak(id))
    {
        O::OnlyImports
    } else {
        O::Kept
    };
    verdict
}

/// Whether a failure only says that a name is not there.
fn is_missing_name(message: &str) -> bool {
    static MISSING: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"ImportError: cannot import name|ModuleNotFoundError: No module named|AttributeError: (?:partially initialized )?module '[^']*' .*has no attribute|AttributeError: type object '[^']*' has no attribute|NameError: name '[^']*' is not defined";
        Regex::new(pattern).unwrap_or_else(|error| unreachable!("fixed: {error}"))
    });
    MISSING.is_match(message)
}

fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().take(300).collect()
}

/// What mutants of the gold patch say about tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kills {
    /// For each mutant, in order, how many tests do not pass on it.
    pub by_mutant: Vec<usize>,
    /// For each test, how many mutants it does not pass on.
    pub by_test: BTreeMap<String, usize>,
}

impl Kills {
    /// Mutants that at least one test tells from the gold patch.
    pub fn killed(&self) -> usize {
        self.by_mutant.iter().filter(|tests| **tests > 0).count()
    }

    /// The places of the mutants that every test passes on.
    pub fn survivors(&self) -> impl Iterator<Item = usize> {
        let places = self.by_mutant.iter().enumerate();
        places.filter(|(_, tests)| **tests == 0).map(|(place, _)| place)
    }

    /// The share of mutants that are killed; `None` without any.
    pub fn score(&self) -> Option<f64> {
        let all = self.by_mutant.len();
        (all > 0).then(|| self.killed() as f64 / all as f64)
    }
}

/// Which mutants the kept tests kill. What is missing in a report did not pass, so a mutant that
/// cannot be imported or never ends is killed too.
pub fn kills(keep: &BTreeSet<String>, mutants: &[TestReport]) -> Kills {
    let mut kills =
        Kills { by_test: keep.iter().map(|id| (id.clone(), 0)).collect(), ..Kills::default() };
    for report in mutants {
        let mut count = 0;
        for (id, killed) in &mut kills.by_test {
            if !report.passed(id) {
                *killed += 1;
                count += 1;
            }
        }
        kills.by_mutant.push(count);
    }
    kills
}
