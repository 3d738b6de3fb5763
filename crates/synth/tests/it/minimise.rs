//! Smaller files of tests.

use std::collections::BTreeSet;

use palestra_synth::tests::minimise;

fn smaller(content: &str, keep: &[&str]) -> String {
    let keep: BTreeSet<String> = keep.iter().map(|id| format!("tests/test_a.py::{id}")).collect();
    minimise(content, &keep)
}

const FILE: &str = r#""""Rows."""
from __future__ import annotations

import os
import sys
import json as j, re
from table import rows, cells, \
    other

TEXT = """a


b"""
UNUSED = other()
sys.path.insert(0, "x")


@pytest.fixture(scope="module", name="home")
def _home(tmp_path):
    return os.fspath(tmp_path)


@pytest.fixture(autouse=True)
def clean():
    yield


def helper(x):
    return deeper(x)


def deeper(x):
    return j.dumps(x)


def lonely():
    return re.compile("x")


# About the first.
# More about it.
@pytest.mark.parametrize("x", [1, 2])
def test_first(x, home):
    assert helper(rows(x)) == TEXT


# About the second.
def test_second():
    assert cells(1)


class TestThings:
    size = 1

    def setup_method(self):
        self.x = 1

    def make(self):
        return rows(self.size)

    def unused(self):
        return 1

    def test_a(self):
        assert self.make() == 1

    def test_b(self):
        assert cells(2)


class TestOthers:
    def test_c(self):
        assert 1


if __name__ == "__main__":
    lonely_main = 1
"#;

#[test]
fn what_is_needed_stays() {
    let text = smaller(FILE, &["test_first[1]", "test_first[2-x::y]"]);
    for want in [
        "\"\"\"Rows.\"\"\"\nfrom __future__ import annotations\n",
        "import os\n",
        "import sys\n",
        "import json as j\n",
        "from table import rows\n\nTEXT = \"\"\"a\n\n\nb\"\"\"\n",
        "def _home(tmp_path)",
        "def clean()",
        "def deeper(x)",
        "# About the first.\n# More about it.\n@pytest.mark",
        "sys.path.insert",
    ] {
        assert!(text.contains(want), "{want}\n---\n{text}");
    }
    for gone in
        [", re", "cells", "UNUSED", "other", "lonely()", "second", "TestThings", "TestOthers"]
    {
        assert!(!text.contains(gone), "{gone}\n---\n{text}");
    }
}

#[test]
fn methods_of_classes() {
    let text = smaller(FILE, &["TestThings::test_a"]);
    for want in
        ["size = 1", "def setup_method", "def make", "def test_a", "from table import rows\n"]
    {
        assert!(text.contains(want), "{want}\n---\n{text}");
    }
    for gone in ["def unused", "test_b", "test_first", "cells", "TestOthers"] {
        assert!(!text.contains(gone), "{gone}\n---\n{text}");
    }
    // What is left reads as if it had been written so.
    assert!(text.contains("        assert self.make() == 1\n\n\nif __name__"), "{text}");
}

#[test]
fn nothing_is_lost_by_mistake() {
    let all = [
        "test_first[1]",
        "test_second",
        "TestThings::test_a",
        "TestThings::test_b",
        "TestOthers::test_c",
    ];
    let text = smaller(FILE, &all);
    assert!(
        text.contains("def test_second") && text.contains("def test_b") && text.contains("test_c")
    );
    assert_eq!(smaller(FILE, &["test_nothing"]), FILE);
    assert_eq!(smaller("def test_a(:\n", &["test_a"]), "def test_a(:\n");
    // Again it stays as it is.
    assert_eq!(smaller(&text, &all), text);
    let once = smaller(FILE, &["TestThings::test_a"]);
    assert_eq!(smaller(&once, &["TestThings::test_a"]), once);
}
