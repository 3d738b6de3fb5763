//! How SWE-smith 0.0.9 builds and tests the repositories of its rows: its profiles.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;

/// What most profiles of Python run.
const USUAL: &str = "source /opt/miniconda3/bin/activate; conda activate testbed; \
                     pytest --disable-warnings --color=no --tb=no --verbose";
const USUAL_INSTALL: &str = "python -m pip install -e .";

/// A profile: one repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SmithProfile {
    /// Version of the interpreter; `None` for what is not Python, which is only had from images.
    pub python: Option<String>,
    /// Commands that install it, in Python.
    pub install: Vec<String>,
    /// The command that runs the tests.
    pub test_cmd: String,
    /// How long the tests may take, seconds.
    pub timeout: u64,
    /// Whether only the files of a row's tests are run.
    pub min_testing: bool,
}

impl Default for SmithProfile {
    fn default() -> Self {
        Self {
            python: None,
            install: vec![USUAL_INSTALL.to_owned()],
            test_cmd: USUAL.to_owned(),
            timeout: 90,
            min_testing: false,
        }
    }
}

impl SmithProfile {
    /// The command that runs the tests of a row with these lists.
    pub fn command(&self, fail_to_pass: &[String], pass_to_pass: &[String]) -> String {
        let mut command = self.test_cmd.clone();
        if self.min_testing {
            for file in smith_test_files(fail_to_pass, pass_to_pass) {
                command.push(' ');
                command.push_str(file);
            }
        }
        command
    }
}

/// The files of these tests as SWE-smith names them: those of each list sorted, one list after the
/// other. They are put back after a patch.
pub fn smith_test_files<'a>(
    fail_to_pass: &'a [String],
    pass_to_pass: &'a [String],
) -> Vec<&'a str> {
    let files = |tests: &'a [String]| -> BTreeSet<&'a str> {
        tests.iter().map(|test| test.split("::").next().unwrap_or(test)).collect()
    };
    files(fail_to_pass).into_iter().chain(files(pass_to_pass)).collect()
}

static PROFILES: LazyLock<HashMap<String, SmithProfile>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/specs-swesmith.json")).unwrap_or_default()
});

/// The profile of a repository (`owner/name`) at a commit (its first 8 digits at least). `None`
/// where SWE-smith has none, or has one whose command or files a function decides.
pub fn smith_profile(repo: &str, commit: &str) -> Option<&'static SmithProfile> {
    let commit = commit.get(..8)?;
    PROFILES.get(&format!("{}.{commit}", repo.replacen('/', "__", 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_repository_and_commit() {
        assert_eq!(PROFILES.len(), 581);
        assert_eq!(PROFILES.values().filter(|profile| profile.python.is_some()).count(), 129);
        let found = smith_profile("andialbrecht/sqlparse", "e57923b3").unwrap();
        assert_eq!((found.python.as_deref(), found.test_cmd.as_str()), (Some("3.10"), USUAL));
        assert_eq!(found.install, [USUAL_INSTALL]);
        assert_eq!(smith_profile("andialbrecht/sqlparse", "00000000"), None);
        assert_eq!(smith_profile("andialbrecht/sqlparse", "e5"), None);
    }

    #[test]
    fn some_run_the_files_of_their_tests_alone() {
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let (f2p, p2p) = (strings(&["b.py::x", "b.py::y"]), strings(&["c.py::z", "a.py::w"]));
        assert_eq!(smith_test_files(&f2p, &p2p), ["b.py", "a.py", "c.py"]);
        let all = SmithProfile::default();
        assert_eq!(all.command(&f2p, &p2p), USUAL);
        let some = SmithProfile { min_testing: true, test_cmd: "t".to_owned(), ..all };
        assert_eq!(some.command(&f2p, &p2p), "t b.py a.py c.py");
    }
}
