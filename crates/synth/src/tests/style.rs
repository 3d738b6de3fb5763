//! How a repository tests: where, with what, and in which manner.

use serde::{Deserialize, Serialize};

use crate::prompt::clip;

/// Bytes of the example that a prompt has.
pub(super) const EXAMPLE_LIMIT: usize = 12_000;

/// What runs the tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// pytest, which runs classes of unittest too.
    #[default]
    Pytest,
    /// unittest alone.
    Unittest,
}

impl Framework {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pytest => "pytest",
            Self::Unittest => "unittest",
        }
    }
}

/// How a repository tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestStyle {
    /// What runs the tests.
    pub framework: Framework,
    /// Where a new test file goes; empty for the top of the repository.
    pub directory: String,
    /// A test file of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_path: Option<String>,
    /// Its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Default for TestStyle {
    /// pytest in `tests`: what a repository without tests gets.
    fn default() -> Self {
        Self {
            framework: Framework::Pytest,
            directory: "tests".to_owned(),
            example_path: None,
            example: None,
        }
    }
}

impl TestStyle {
    /// The style of the nearest test file. `pytest` says whether the environment has pytest; with
    /// it, files of unittest are run by it too.
    pub fn of(nearest: &Nearest, content: &str, pytest: bool) -> Self {
        let framework = if pytest { Framework::Pytest } else { Framework::Unittest };
        Self {
            framework,
            directory: nearest.directory.clone(),
            example_path: Some(nearest.path.clone()),
            example: Some(clip(content, EXAMPLE_LIMIT)),
        }
    }
}

/// The test file that is nearest to a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// Its path.
    pub path: String,
    /// Its directory; empty for the top of the repository.
    pub directory: String,
}

/// The test file that is nearest to the changed files, of all paths of a tree: one that is named
/// after a changed module before others, then one whose path has the most in common with it.
/// `None` where the tree has no test file.
pub fn nearest<'a>(tree: impl Iterator<Item = &'a str>, changed: &[&str]) -> Option<Nearest> {
    let stem = |path: &str| -> String {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default().trim_matches('_').to_ascii_lowercase()
    };
    let parts = |path: &str| -> Vec<String> {
        path.split('/').map(|part| part.trim_end_matches(".py").to_ascii_lowercase()).collect()
    };
    let score = |path: &str| {
        let own = stem(path);
        let own =
            own.strip_prefix("test_").or(own.strip_suffix("_test")).unwrap_or(&own).to_owned();
        let own_parts = parts(path);
        changed
            .iter()
            .map(|changed| {
                let theirs = parts(changed);
                let named = usize::from(own == stem(changed));
                let common = theirs.iter().filter(|part| own_parts.contains(part)).count();
                let mentions = usize::from(own.contains(&stem(changed)) && !own.is_empty());
                named * 100 + mentions * 10 + common
            })
            .max()
            .unwrap_or(0)
    };
    let mut best: Option<(usize, usize, &str)> = None;
    for path in tree.filter(|path| is_test_file(path)) {
        let rank = (score(path), usize::MAX - path.matches('/').count(), path);
        let better = best.is_none_or(|(score, depth, name)| {
            (rank.0, rank.1) > (score, depth) || (rank.0, rank.1) == (score, depth) && path < name
        });
        if better {
            best = Some(rank);
        }
    }
    let (_, _, path) = best?;
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    Some(Nearest { path: path.to_owned(), directory: directory.to_owned() })
}

/// Whether the runner takes a file for tests by its name.
pub(super) fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".py").unwrap_or_default();
    stem.starts_with("test_") && stem.len() > 5 || stem.ends_with("_test") && stem.len() > 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_test_file() {
        let tree = ["a/x.py", "tests/test_a.py", "tests/sub/test_split.py", "tests/conftest.py"];
        let near = |changed: &[&str]| nearest(tree.into_iter(), changed).unwrap().path;
        assert_eq!(near(&["a/split.py"]), "tests/sub/test_split.py");
        assert_eq!(near(&["a/other.py"]), "tests/test_a.py");
        assert_eq!(near(&[]), "tests/test_a.py");
        assert_eq!(nearest(["a.py", "tests/__init__.py"].into_iter(), &["a.py"]), None);
        let top = nearest(["test_a.py"].into_iter(), &[]).unwrap();
        assert_eq!(top.directory, "");
    }
}
