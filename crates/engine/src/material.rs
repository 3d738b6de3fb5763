//! What a candidate is proven with, read from git: hidden files, gold patch, test paths.

use std::collections::BTreeMap;

use palestra_core::{Candidate, ChangeKind, CommitId, Hash, TestFile};
use palestra_git::{BlobReader, Repo};

use crate::error::EngineError;

/// No single file of a task may be larger.
const FILE_LIMIT: u64 = 64 << 20;

/// What a candidate is proven with.
#[derive(Debug, Clone)]
pub struct Material {
    /// The fix.
    pub fix: CommitId,
    /// The tree before it.
    pub base: CommitId,
    /// Hidden files, sorted by path.
    pub test_files: Vec<TestFile>,
    /// Content of the hidden files that are present after the fix; the target of a symlink.
    pub test_contents: BTreeMap<String, Vec<u8>>,
    /// The files that the runner is given.
    pub test_paths: Vec<String>,
    /// The source part of the fix, as a patch.
    pub gold_patch: Vec<u8>,
}

/// Why a candidate has no usable material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Reason in snake case.
    pub reason: &'static str,
    /// One line.
    pub detail: String,
}

impl Material {
    /// Reads it. The inner error is a property of the commit.
    pub fn read(
        repo: &Repo,
        blobs: &mut BlobReader,
        candidate: &Candidate,
    ) -> Result<Result<Self, Unusable>, EngineError> {
        let unusable = |reason, detail: String| Ok(Err(Unusable { reason, detail }));
        let Some(base) = candidate.base.clone() else {
            return unusable("root_commit", "there is no tree before the first commit".to_owned());
        };
        let fix = candidate.commit.clone();
        let mut test_names = Vec::new();
        let mut source_names = Vec::new();
        for file in &candidate.files {
            let names = if file.test { &mut test_names } else { &mut source_names };
            names.push(file.path.clone());
            if let Some(old) = file.old_path.as_ref().filter(|_| file.kind == ChangeKind::Renamed) {
                // A rename is a deletion and an addition, and the two may be on different sides.
                let names = if palestra_syntax::is_test_path(old.as_bytes()) {
                    &mut test_names
                } else {
                    &mut source_names
                };
                names.push(old.clone());
            }
        }
        let tree: BTreeMap<Vec<u8>, _> =
            repo.tree(&fix)?.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        let mut test_files = Vec::new();
        let mut test_contents = BTreeMap::new();
        let mut test_paths = Vec::new();
        test_names.sort();
        test_names.dedup();
        for name in test_names {
            let Some(entry) = tree.get(name.as_bytes()) else {
                test_files.push(TestFile { path: name, mode: 0, hash: None });
                continue;
            };
            if entry.is_submodule() {
                return unusable("test_is_submodule", name);
            }
            if entry.size.is_some_and(|size| size > FILE_LIMIT) {
                return unusable("test_file_too_large", name);
            }
            let content = blobs.read(&entry.oid)?;
            if content.starts_with(b"version https://git-lfs.github.com/spec/") {
                return unusable("test_is_lfs_pointer", name);
            }
            if is_runnable(&name, entry.is_symlink(), &content) {
                test_paths.push(name.clone());
            }
            let hash = Some(Hash::of(&content));
            test_files.push(TestFile { path: name.clone(), mode: entry.mode, hash });
            test_contents.insert(name, content);
        }
        if test_paths.is_empty() {
            let names: Vec<&str> = test_files.iter().map(|f| f.path.as_str()).take(3).collect();
            return unusable("no_runnable_test", names.join(", "));
        }
        let gold_patch = repo.diff(&base, &fix, &source_names)?;
        if gold_patch.is_empty() {
            return unusable("empty_gold_patch", String::new());
        }
        Ok(Ok(Self { fix, base, test_files, test_contents, test_paths, gold_patch }))
    }

    /// The hidden files with their contents, as the grader wants them.
    pub fn overlay(&self) -> Vec<(TestFile, Option<Vec<u8>>)> {
        overlay(&self.test_files, &self.test_contents)
    }
}

/// Joins hidden files with their contents.
pub fn overlay(
    files: &[TestFile],
    contents: &BTreeMap<String, Vec<u8>>,
) -> Vec<(TestFile, Option<Vec<u8>>)> {
    let content = |file: &TestFile| file.hash.as_ref().and(contents.get(&file.path)).cloned();
    files.iter().map(|file| (file.clone(), content(file))).collect()
}

/// Whether a test runner can be given the file: Python that defines tests. Helpers, data and
/// `conftest.py` are laid over the tree, but not run.
pub(crate) fn is_runnable(path: &str, symlink: bool, content: &[u8]) -> bool {
    if symlink || palestra_grade::paths::runnable([path]).is_empty() {
        return false;
    }
    let holds = |needle: &[u8]| memchr::memmem::find(content, needle).is_some();
    let name = path.rsplit('/').next().unwrap_or(path);
    let named = name.starts_with("test") || name.ends_with("_test.py");
    holds(b"def test") || holds(b"TestCase") || holds(b"class Test") || (named && holds(b">>> "))
}

#[cfg(test)]
mod tests {
    use super::is_runnable;

    #[test]
    fn only_files_that_define_tests_are_run() {
        assert!(is_runnable("tests/test_a.py", false, b"def test_x():\n    pass\n"));
        assert!(is_runnable("a/web_test.py", false, b"class WebTest(AsyncTestCase):\n"));
        assert!(!is_runnable("tests/conftest.py", false, b"def test_x():\n"));
        assert!(!is_runnable("tests/utils.py", false, b"def helper():\n"));
        assert!(!is_runnable("tests/test_a.py", true, b"test_b.py"));
        assert!(!is_runnable("tests/data.txt", false, b"def test_x():\n"));
    }
}
