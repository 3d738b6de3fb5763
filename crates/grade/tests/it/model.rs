//! What the fixture project gives, whatever the pytest.

use std::collections::BTreeMap;

use palestra_core::TestStatus;
use palestra_core::TestStatus::{Error, Failed, Passed, Skipped, Xfail, Xpass};

/// What the fixture's well-behaved files are run with.
pub(crate) const PATHS: [&str; 7] = [
    "tests/test_plain.py",
    "tests/test_broken.py",
    "tests/test_module_skip.py",
    "tests/sub_a/test_same.py",
    "tests/sub_b",
    "tests/test_rude.py",
    "tests/not_there.py",
];

const TESTS: [(&str, TestStatus); 38] = [
    ("tests/sub_a/test_same.py::test_same_name", Passed),
    ("tests/sub_b/test_same.py::test_same_name", Failed),
    ("tests/test_module_skip.py", Skipped),
    ("tests/test_plain.py::Case::test_expected", Xfail),
    ("tests/test_plain.py::Case::test_not_ok", Failed),
    ("tests/test_plain.py::Case::test_ok", Passed),
    ("tests/test_plain.py::Case::test_skipped", Skipped),
    ("tests/test_plain.py::Case::test_sub", Failed),
    ("tests/test_plain.py::Case::test_sub_ok", Passed),
    ("tests/test_plain.py::TestBrokenClass::test_one", Error),
    ("tests/test_plain.py::TestBrokenClass::test_two", Error),
    ("tests/test_plain.py::TestPlainClass::TestInner::test_deep", Passed),
    ("tests/test_plain.py::TestPlainClass::test_method", Passed),
    ("tests/test_plain.py::test_error_in_setup", Error),
    ("tests/test_plain.py::test_error_in_teardown", Error),
    ("tests/test_plain.py::test_fail", Failed),
    ("tests/test_plain.py::test_names[[e]]", Passed),
    ("tests/test_plain.py::test_names[a b]", Passed),
    ("tests/test_plain.py::test_names[c::d]", Passed),
    ("tests/test_plain.py::test_names[plain]", Passed),
    ("tests/test_plain.py::test_names[x/y]", Passed),
    ("tests/test_plain.py::test_pass", Passed),
    ("tests/test_plain.py::test_skip", Skipped),
    ("tests/test_plain.py::test_skipif", Skipped),
    ("tests/test_plain.py::test_unicode_\u{e9}", Passed),
    ("tests/test_plain.py::test_xfail", Xfail),
    ("tests/test_plain.py::test_xfail_strict", Failed),
    ("tests/test_plain.py::test_xpass", Xpass),
    ("tests/test_rude.py::test_after_chdir", Passed),
    ("tests/test_rude.py::test_chdir_and_remove", Passed),
    ("tests/test_rude.py::test_child_goes_on", Passed),
    ("tests/test_rude.py::test_fails_while_patched", Failed),
    ("tests/test_rude.py::test_fork_without_exec", Passed),
    ("tests/test_rude.py::test_leaves_a_daemon", Passed),
    ("tests/test_rude.py::test_leaves_a_thread", Passed),
    ("tests/test_rude.py::test_monkeypatches", Passed),
    ("tests/test_rude.py::test_prints_much", Passed),
    ("tests/test_rude.py::test_writes_over_the_environment", Passed),
];

/// Every test of [`PATHS`].
pub(crate) fn expected() -> BTreeMap<String, TestStatus> {
    TESTS.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect()
}
