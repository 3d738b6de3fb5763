//! Paths of a repository: which are safe, which tests can be run on, which an install reads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use palestra_core::environment::TESTBED;

use crate::error::GradeError;

/// The place of a repository path in a sandbox. Refuses whatever leads out of the repository or
/// into git's own files.
pub fn in_testbed(path: &str) -> Result<PathBuf, GradeError> {
    match objection(path.as_bytes()) {
        None => Ok(Path::new(TESTBED).join(path)),
        Some(why) => Err(GradeError::Path { path: path.to_owned(), why }),
    }
}

/// [`in_testbed`] of a path that need not be UTF-8, with the objection alone as the error.
pub fn bytes_in_testbed(path: &[u8]) -> Result<PathBuf, &'static str> {
    match objection(path) {
        None => Ok(Path::new(TESTBED).join(OsStr::from_bytes(path))),
        Some(why) => Err(why),
    }
}

/// Files by whose name one knows that an install reads them.
pub(crate) const INSTALL_NAMES: [&str; 11] = [
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "MANIFEST.in",
    "versioneer.py",
    "CMakeLists.txt",
    "meson.build",
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "hatch_build.py",
];
/// Extensions of files that an install compiles.
pub(crate) const INSTALL_EXTENSIONS: [&str; 20] = [
    "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "pyx", "pxd", "pxi", "f", "f90", "for", "rs",
    "cu", "s", "i", "tp", "in",
];

fn objection(path: &[u8]) -> Option<&'static str> {
    if path.is_empty() || path.contains(&0) {
        return Some("is empty or holds a zero byte");
    }
    for part in path.split(|b| *b == b'/') {
        match part {
            // An absolute path has an empty first part.
            b"" => return Some("is absolute or has an empty part"),
            b"." | b".." => return Some("has a '.' or '..' part"),
            part if part.eq_ignore_ascii_case(b".git") => return Some("leads into .git"),
            _ => {}
        }
    }
    None
}

/// Of the changed test paths, those that a runner can be given: Python modules that are not
/// mere support (`conftest.py`, `__init__.py`).
pub fn runnable<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let support = ["conftest.py", "__init__.py", "__main__.py", "setup.py"];
    let mut chosen: Vec<String> = paths
        .into_iter()
        .filter(|path| path.ends_with(".py"))
        .filter(|path| !support.contains(&base_name(path)) || is_test_package(path))
        .map(str::to_owned)
        .collect();
    chosen.sort();
    chosen.dedup();
    chosen
}

/// Whether this is the `__init__.py` of a folder that is named as a test, and so may hold tests.
fn is_test_package(path: &str) -> bool {
    path.strip_suffix("/__init__.py").is_some_and(|folder| base_name(folder).starts_with("test_"))
}

/// Whether a change of these paths can change what installing the project gives, so that the
/// install step has to be run again.
pub fn needs_reinstall<'a>(paths: impl IntoIterator<Item = &'a str>) -> bool {
    paths.into_iter().any(|path| {
        let name = base_name(path);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        INSTALL_NAMES.contains(&name)
            || INSTALL_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
    })
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_out_of_the_repository_are_refused() {
        for path in
            ["", "/a", "../a", "a/../../b", "a//b", "./a", ".git/config", "a/.GIT/hooks/x", "a\0"]
        {
            assert!(in_testbed(path).is_err(), "{path:?}");
        }
        assert_eq!(in_testbed("a/.gitignore").unwrap(), Path::new("/testbed/a/.gitignore"));
    }

    #[test]
    fn support_files_are_not_run() {
        let paths = [
            "tests/test_b.py",
            "tests/conftest.py",
            "tests/data.sql",
            "a/__init__.py",
            "tests/test_c/__init__.py",
            "tests/test_a.py",
        ];
        assert_eq!(
            runnable(paths),
            ["tests/test_a.py", "tests/test_b.py", "tests/test_c/__init__.py"]
        );
    }

    #[test]
    fn what_an_install_reads() {
        assert!(needs_reinstall(["a/b.py", "pkg/_speedups.c"]));
        assert!(needs_reinstall(["setup.py"]));
        assert!(!needs_reinstall(["a/b.py", "README.rst", "tests/test_setup.py"]));
    }
}
