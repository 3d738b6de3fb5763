//! Which paths are tests, by name alone.

/// The rule of R2E-Gym's code: a file name `test_*`, a path that ends in `_test.py`, or a
/// directory `tests`, `Tests`, `test` or `Test` anywhere in the path.
pub fn is_r2e_test_path(path: &[u8]) -> bool {
    path.ends_with(b"_test.py")
        || path.starts_with(b"test_")
        || path.split(|b| *b == b'/').next_back().is_some_and(|name| name.starts_with(b"test_"))
        || path.split(|b| *b == b'/').any(|part| TEST_NAMES.contains(&part))
}

const TEST_NAMES: &[&[u8]] = &[b"tests", b"Tests", b"test", b"Test"];

/// Whether a path belongs to the tests: test modules, their helpers (`conftest.py`), and
/// whatever lies in a directory for tests or their data. A package `testing`, which libraries
/// ship for their users, counts as tests only at the top of the repository.
pub fn is_test_path(path: &[u8]) -> bool {
    let lower = path.to_ascii_lowercase();
    let mut parts = lower.split(|b| *b == b'/');
    let name = parts.next_back().unwrap_or_default();
    let mut first = true;
    for part in parts {
        if is_test_directory(part) || first && part == b"testing" {
            return true;
        }
        first = false;
    }
    let stem = name.strip_suffix(b".py").unwrap_or(name);
    let python = stem.len() < name.len();
    python
        && (stem.starts_with(b"test_")
            || stem.ends_with(b"_test")
            || stem.ends_with(b"_tests")
            || matches!(stem, b"conftest" | b"test" | b"tests"))
        || name.starts_with(b"test_")
        || name.ends_with(b".test")
}

fn is_test_directory(part: &[u8]) -> bool {
    let plain: Vec<u8> = part.iter().copied().filter(|b| !b"_-.".contains(b)).collect();
    matches!(
        &plain[..],
        b"test"
            | b"tests"
            | b"testdata"
            | b"testfiles"
            | b"testsuite"
            | b"testcases"
            | b"unittest"
            | b"unittests"
            | b"unittestdata"
            | b"functionaltests"
            | b"integrationtests"
            | b"regressiontests"
            | b"testsintegration"
            | b"testsfunctional"
            | b"testsunit"
            | b"e2e"
            | b"snapshots"
    )
}

/// Whether a path, which is no test, is code that a fix can be in: Python, its compiled
/// relatives, and the languages that extension modules are written in. Build scripts and
/// documentation configuration are not.
pub fn is_source_code_path(path: &[u8]) -> bool {
    let name = path.split(|b| *b == b'/').next_back().unwrap_or_default();
    let Some(dot) = name.iter().rposition(|b| *b == b'.') else { return false };
    let directory = &path[..path.len() - name.len()];
    let docs = [&b"docs/"[..], b"doc/", b"examples/", b"example/", b"benchmarks/"];
    if docs.iter().any(|d| directory.starts_with(d)) {
        return false;
    }
    if directory.is_empty() && matches!(name, b"setup.py" | b"noxfile.py" | b"tasks.py") {
        return false;
    }
    matches!(
        name[dot + 1..].to_ascii_lowercase().as_slice(),
        b"py"
            | b"pyx"
            | b"pxd"
            | b"pxi"
            | b"pyi"
            | b"c"
            | b"cc"
            | b"cpp"
            | b"cxx"
            | b"h"
            | b"hpp"
            | b"hh"
            | b"cu"
            | b"rs"
            | b"f"
            | b"f90"
            | b"go"
            | b"js"
            | b"ts"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_known_by_their_path() {
        let check = |path: &str, r2e: bool, wide: bool| {
            assert_eq!(is_r2e_test_path(path.as_bytes()), r2e, "{path}");
            assert_eq!(is_test_path(path.as_bytes()), wide, "{path}");
        };
        check("tests/test_a.py", true, true);
        check("pkg/test/data.json", true, true);
        check("Test/x", true, true);
        check("a_test.py", true, true);
        check("pkg/test_a.py", true, true);
        check("conftest.py", false, true);
        check("pkg/tests.py", false, true);
        check("testing/test.py", false, true);
        check("numpy/testing/utils.py", false, false);
        check("pkg/testdata/x.sql", false, true);
        check("unit_tests/x.py", false, true);
        check("latest/x.py", false, false);
        check("pkg/attest.py", false, false);
        check("pkg/contest.py", false, false);
        check("src/a.py", false, false);
    }

    #[test]
    fn code_is_known_by_its_name() {
        for path in ["a.py", "src/x.pyx", "ext/y.C", "docs.py"] {
            assert!(is_source_code_path(path.as_bytes()), "{path}");
        }
        for path in ["README.md", "setup.py", "docs/conf.py", "Makefile", "a.txt"] {
            assert!(!is_source_code_path(path.as_bytes()), "{path}");
        }
    }
}
