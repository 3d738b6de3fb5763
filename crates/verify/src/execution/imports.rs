//! Which test files can notice a change, by what they import.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use palestra_syntax::{is_test_path, universal_newlines};
use serde::{Deserialize, Serialize};

/// A Python file of the repository.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// Its path from the top of the repository, with slashes.
    pub path: &'a str,
    /// What is in it.
    pub source: &'a [u8],
}

/// A test file that can notice a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its path.
    pub path: String,
    /// Imports between it and what changed: 0 if it changed itself or has the name of what changed,
    /// 1 if it imports what changed, and so on.
    pub distance: usize,
}

/// The choice of test files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Nearest first; equals by path.
    pub tests: Vec<Chosen>,
    /// Test files that were near enough, but too many.
    pub left_out: usize,
    /// Changed paths that no test file reaches.
    pub unreached: Vec<String>,
}

/// Chooses test files for changed paths: those from which a chain of at most `depth` imports leads
/// to a change, the nearest `limit` of them.
pub fn choose_tests(
    files: &[SourceFile<'_>],
    changed: &[String],
    depth: usize,
    limit: usize,
) -> Choices {
    let graph = Graph::of(files);
    let mut distance: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unreached = Vec::new();
    for path in changed {
        let found = graph.reached_from(path, depth);
        if !found.keys().any(|p| is_test_path(p.as_bytes())) {
            unreached.push(path.clone());
        }
        for (path, far) in found {
            let known = distance.entry(path).or_insert(far);
            *known = far.min(*known);
        }
    }
    let mut tests: Vec<Chosen> = distance
        .into_iter()
        .filter(|(path, _)| is_test_file(path))
        .map(|(path, distance)| Chosen { path: path.to_owned(), distance })
        .collect();
    tests.sort_by(|a, b| (a.distance, &a.path).cmp(&(b.distance, &b.path)));
    let left_out = tests.len().saturating_sub(limit);
    tests.truncate(limit);
    unreached.sort();
    unreached.dedup();
    Choices { tests, left_out, unreached }
}

/// The paths that a patch changes, before and after; each once, in order. Paths that are no UTF-8 are
/// left out, as no import can name them.
pub fn changed_paths(patch: &[u8]) -> Vec<String> {
    let (parsed, _) = palestra_diff::parse(patch);
    let both = parsed.files.iter().flat_map(|file| [&file.old_path, &file.new_path]);
    let paths: BTreeSet<String> =
        both.filter_map(|path| String::from_utf8(path.to_vec()).ok()).collect();
    paths.into_iter().collect()
}

/// A file that has tests of its own, rather than helpers.
fn is_test_file(path: &str) -> bool {
    let stem = stem(path);
    is_test_path(path.as_bytes())
        && (stem.starts_with("test") || stem.ends_with("_test") || stem.ends_with("_tests"))
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".py").unwrap_or(name)
}

/// Who imports whom.
struct Graph<'a> {
    paths: BTreeSet<&'a str>,
    importers: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Graph<'a> {
    fn of(files: &[SourceFile<'a>]) -> Self {
        let paths: BTreeSet<&str> = files.iter().map(|file| file.path).collect();
        let mut modules: BTreeMap<String, Vec<&'a str>> = BTreeMap::new();
        for path in &paths {
            for name in names_of(path, &paths) {
                modules.entry(name).or_default().push(path);
            }
        }
        let mut importers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for file in files {
            for name in imported(file) {
                let Some(found) = modules.get(&name) else { continue };
                // The shortest path is that of the package itself, not of one vendored inside.
                let Some(target) = found.iter().min_by_key(|path| (path.len(), **path)) else {
                    continue;
                };
                if *target != file.path {
                    importers.entry(target).or_default().insert(file.path);
                }
            }
        }
        Self { paths, importers }
    }

    /// Files that a change of this one can be noticed in, with the number of imports between.
    fn reached_from(&self, changed: &str, depth: usize) -> BTreeMap<&'a str, usize> {
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        let mut queue = VecDeque::new();
        if let Some(path) = self.paths.get(changed) {
            found.insert(path, 0);
            queue.push_back(*path);
        }
        let stem = stem(changed).trim_start_matches('_');
        if !stem.is_empty() && stem != "init__" && changed.ends_with(".py") {
            let named = [format!("test_{stem}"), format!("{stem}_test"), format!("tests_{stem}")];
            for path in &self.paths {
                if named.iter().any(|name| self::stem(path) == name) {
                    found.insert(path, 0);
                }
            }
        }
        while let Some(path) = queue.pop_front() {
            let far = found.get(path).copied().unwrap_or_default();
            if far == depth {
                continue;
            }
            for importer in self.importers.get(path).into_iter().flatten() {
                if !found.contains_key(importer) {
                    found.insert(importer, far + 1);
                    queue.push_back(importer);
                }
            }
        }
        found
    }
}

/// The dotted names that a file can be imported by: with any number of leading directories left
/// out, since any of them may be on Python's path, but for packages.
fn names_of(path: &str, paths: &BTreeSet<&str>) -> Vec<String> {
    let Some(module) = path.strip_suffix(".py") else { return Vec::new() };
    let module = module.strip_suffix("/__init__").unwrap_or(module);
    let parts: Vec<&str> = module.split('/').collect();
    let package = |to: usize| {
        to > 0 && paths.contains(format!("{}/__init__.py", parts[..to].join("/")).as_str())
    };
    (0..parts.len()).filter(|from| !package(*from)).map(|from| parts[from..].join(".")).collect()
}

/// The modules that a file imports, as dotted names; of `from a import b` both `a` and `a.b`.
fn imported(file: &SourceFile<'_>) -> BTreeSet<String> {
    let source = universal_newlines(file.source);
    let text = String::from_utf8_lossy(&source);
    let mut names = BTreeSet::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("import ") {
            let parts = bare(rest).split(',').filter_map(|part| part.split_whitespace().next());
            // `import a.b` runs `a` too.
            parts.for_each(|name| names.extend(prefixes(name)));
        } else if let Some((from, what)) =
            line.strip_prefix("from ").and_then(|rest| rest.split_once(" import"))
        {
            let Some(from) = absolute(from.trim(), file.path) else { continue };
            let mut what = what.to_owned();
            while what.contains('(') && !what.contains(')') || what.trim_end().ends_with('\\') {
                let Some(more) = lines.next() else { break };
                let so_far = what.trim_end().trim_end_matches('\\').len();
                what.truncate(so_far);
                what.push(' ');
                what.push_str(bare(more));
            }
            let parts = bare(&what).split([',', '(', ')']);
            let parts = parts.filter_map(|part| part.split_whitespace().next());
            names.extend(parts.map(|name| format!("{from}.{name}")));
            names.extend(prefixes(&from));
        }
    }
    names
}

/// Without a comment.
fn bare(line: &str) -> &str {
    line.split('#').next().unwrap_or(line)
}

fn prefixes(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('.').collect();
    (1..=parts.len()).map(|to| parts[..to].join(".")).collect()
}

/// The name behind `from`, where it may begin with dots.
fn absolute(from: &str, path: &str) -> Option<String> {
    let name = from.trim_start_matches('.');
    let dots = from.len() - name.len();
    if dots == 0 {
        return Some(name.to_owned());
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    for _ in 0..dots {
        parts.pop()?;
    }
    parts.extend((!name.is_empty()).then_some(name));
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_its_paths() {
        let patch = b"diff --git a/x.py b/y.py\nsimilarity index 100%\nrename from x.py\n\
            rename to y.py\ndiff --git a/b.py b/b.py\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-a\n+b\n";
        assert_eq!(changed_paths(patch), ["b.py", "x.py", "y.py"]);
        assert!(changed_paths(b"no patch").is_empty());
    }

    #[test]
    fn tests_are_found_by_what_they_import() {
        let sources: [(&str, &str); 9] = [
            ("src/pkg/__init__.py", "from .core import run\n"),
            (
                "src/pkg/core.py",
                "from . import util\nfrom pkg.deep.leaf import (\n  x,  # why\n  y\n)\n",
            ),
            ("src/pkg/util.py", "import os\n"),
            ("src/pkg/deep/leaf.py", ""),
            ("tests/test_util.py", "import pkg.util as u\n"),
            ("tests/test_run.py", "def f():\n    from pkg import run\n"),
            ("tests/test_alone.py", "import json\n"),
            ("tests/helper.py", "from pkg import util\n"),
            ("tests/test_with_helper.py", "from .helper import thing\n"),
        ];
        let files: Vec<SourceFile<'_>> = sources
            .iter()
            .map(|(path, source)| SourceFile { path, source: source.as_bytes() })
            .collect();
        let choose = |changed: &str, depth, limit| {
            let choices = choose_tests(&files, &[changed.to_owned()], depth, limit);
            let tests = choices.tests.into_iter().map(|t| (t.path, t.distance)).collect::<Vec<_>>();
            (tests, choices.left_out, choices.unreached)
        };
        let (tests, left_out, unreached) = choose("src/pkg/util.py", 9, 9);
        let want =
            [("tests/test_util.py", 0), ("tests/test_with_helper.py", 2), ("tests/test_run.py", 3)];
        assert_eq!(tests.iter().map(|(p, d)| (p.as_str(), *d)).collect::<Vec<_>>(), want);
        assert!(left_out == 0 && unreached.is_empty());
        assert_eq!(choose("src/pkg/util.py", 2, 1).0.len(), 1);
        assert_eq!(choose("src/pkg/util.py", 2, 1).1, 1);
        let (leaf, ..) = choose("src/pkg/deep/leaf.py", 4, 9);
        // Importing `pkg.util` runs `pkg`, which reaches the leaf.
        let want = ["tests/test_run.py", "tests/test_util.py"];
        assert!(want.iter().all(|w| leaf.iter().any(|(p, _)| p == w)), "{leaf:?}");
        assert_eq!(choose("README.md", 9, 9), (vec![], 0, vec!["README.md".to_owned()]));
        assert_eq!(choose("tests/test_alone.py", 9, 9).0, [("tests/test_alone.py".to_owned(), 0)]);
    }
}
