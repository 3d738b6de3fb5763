//! A small project with a task of its own, proven by the gate, and patches for it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use palestra_core::{Environment, Hash, Runner, TestFile};
use palestra_diff::{Change, File, MakeOptions, make};
use palestra_grade::gate::GateInput;
use palestra_grade::patch::{BaseFile, to_ops};
use palestra_grade::{
    GradeInput, GradeOptions, Grading, RunLimits, Weight, gate, grade, overlay_ops,
};
use palestra_sandbox::{SandboxSpec, Writable};

use crate::setup::{Env, host, some_env, strings};

pub(crate) const CORE: &str = "\
\"\"\"Prices and what they come to.\"\"\"


def total(prices, tax=0):
    \"\"\"The sum of prices, with so many percent on top.\"\"\"
    amount = 0
    for price in prices:
        amount += price
    return amount + tax


def parse(text):
    \"\"\"A name and a price, such as `tea: 3`.\"\"\"
    name, _, price = text.partition(':')
    return name, int(price)
";

pub(crate) const TEXT: &str = "\
def shout(text):
    return text.upper()


def fold(text, width):
    return text[:width]
";

const BASE: [(&str, &str); 11] = [
    ("README.rst", "Tally\n=====\n"),
    ("setup.py", "from setuptools import setup\n\nsetup()\n"),
    (
        "setup.cfg",
        "[metadata]\nname = tally\nversion = 1.0\n\n[options]\npackages = tally\n\n[tool:pytest]\naddopts = -v\n",
    ),
    (
        "pyproject.toml",
        "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n",
    ),
    (
        "conftest.py",
        "import pytest\n\nimport tally\n\n\n@pytest.fixture\ndef prices():\n    return [100, 50]\n",
    ),
    ("tally/__init__.py", "from tally.core import parse, total\n"),
    ("tally/core.py", CORE),
    ("tally/text.py", TEXT),
    ("tests/__init__.py", ""),
    ("tests/helpers.py", "def same(one, other):\n    assert one == other, (one, other)\n"),
    (
        "tests/test_core.py",
        "from tally import total\n\n\ndef test_total(prices):\n    assert total(prices) == 150\n",
    ),
];

pub(crate) const FIXED: &str = "\
\"\"\"Prices and what they come to.\"\"\"


def total(prices, tax=0):
    \"\"\"The sum of prices, with so many percent on top.\"\"\"
    amount = 0
    for price in prices:
        amount += price
    return amount + amount * tax // 100


def parse(text):
    \"\"\"A name and a price, such as `tea: 3`.\"\"\"
    name, colon, price = text.partition(':')
    if not colon:
        raise LookupError(text)
    return name.strip(), int(price)
";

pub(crate) const FIXED_TEXT: &str = "\
def shout(text):
    return text.upper() + '!'


def fold(text, width):
    return [text[at:at + width] for at in range(0, len(text), width)]
";

const HIDDEN: [(&str, &str); 3] = [
    (
        "tests/test_core.py",
        "\
import unittest

import pytest

from tally import parse, total
from tests.helpers import same


def test_total(prices):
    assert total(prices) == 150


def test_tax(prices):
    assert total(prices, tax=10) == 165


def test_helper():
    same(total([10], tax=50), 15)


@pytest.mark.parametrize('text', ['tea: 3', ' tea :3'])
def test_parse(text):
    assert parse(text) == ('tea', 3)


def test_refuses():
    with pytest.raises(LookupError):
        parse('tea')


class TestTotal(unittest.TestCase):
    def test_large(self):
        self.assertEqual(total([1000, 1000], tax=5), 2100)
",
    ),
    (
        "tests/test_text.py",
        "\
from tally.text import fold, shout


def test_shout():
    assert shout('tea') == 'TEA!'


def test_fold():
    assert fold('abcde', 2) == ['ab', 'cd', 'e']
",
    ),
    (
        "tests/deep/test_deep.py",
        "from tally import total\n\n\ndef test_deep():\n    assert total([7], tax=100) == 14\n",
    ),
];

/// The task, as an engine would have it.
pub(crate) struct Project {
    spec: SandboxSpec,
    environment: Environment,
    tests: Vec<(TestFile, Option<Vec<u8>>)>,
    paths: Vec<String>,
    fail_to_pass: Vec<String>,
    pass_to_pass: Vec<String>,
    _layer: tempfile::TempDir,
}

/// What stands at a path of the base tree.
pub(crate) fn base(path: &str) -> Option<BaseFile> {
    let found = BASE.iter().find(|(name, _)| *name == path)?;
    Some((0o100644, found.1.as_bytes().to_vec()))
}

/// A file of an attempt: its content, a symlink's target, or nothing.
#[derive(Clone)]
pub(crate) enum Put {
    Text(String),
    Bytes(Vec<u8>),
    Link(&'static str),
    Gone,
}

impl From<&str> for Put {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Put {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A patch that makes these files of the base tree.
pub(crate) fn patch(files: &[(&str, Put)]) -> Vec<u8> {
    let changes: Vec<Change> = files
        .iter()
        .map(|(path, put)| {
            let file = |mode, content: &[u8]| Some(File { mode, content: content.to_vec() });
            Change {
                path: path.as_bytes().to_vec(),
                old: base(path).map(|(mode, content)| File { mode, content }),
                new: match put {
                    Put::Text(text) => file(0o100644, text.as_bytes()),
                    Put::Bytes(bytes) => file(0o100644, bytes),
                    Put::Link(target) => file(0o120000, target.as_bytes()),
                    Put::Gone => None,
                },
            }
        })
        .collect();
    make(&changes, &MakeOptions::default())
}

/// The fix, with these files as well.
pub(crate) fn gold_with(files: &[(&str, Put)]) -> Vec<u8> {
    let mut all: BTreeMap<&str, Put> =
        [("tally/core.py", FIXED.into()), ("tally/text.py", FIXED_TEXT.into())].into();
    all.extend(files.iter().cloned());
    patch(&all.into_iter().collect::<Vec<_>>())
}

impl Project {
    fn new(env: Env, installs: bool) -> Self {
        let host = host().unwrap();
        let Env { mut spec, mut environment } = env;
        let layer = tempfile::tempdir().unwrap();
        for (path, text) in BASE {
            let path = layer.path().join("testbed").join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        spec.layers.push(layer.path().to_path_buf());
        spec.writable = Writable::Tmpfs { bytes: 256 << 20 };
        environment.env.insert("PYTHONPATH".to_owned(), "/testbed".to_owned());
        environment.runner = Runner::Pytest;
        let python = format!("{}/bin/python", palestra_core::environment::ENV_DIR);
        if installs {
            environment.install = strings(&[&python]);
            let arguments = "-m pip install -q --no-index --no-build-isolation --no-deps -e .";
            environment.install.extend(arguments.split(' ').map(str::to_owned));
        }
        let tests: Vec<_> = HIDDEN
            .iter()
            .map(|(path, text)| {
                let hash = Some(Hash::of(text.as_bytes()));
                let file = TestFile { path: (*path).to_owned(), mode: 0o100644, hash };
                (file, Some(text.as_bytes().to_vec()))
            })
            .collect();
        let paths: Vec<String> = HIDDEN.iter().map(|(path, _)| (*path).to_owned()).collect();
        let test_ops = overlay_ops(&tests).unwrap();
        let gold_ops = to_ops(&gold_with(&[]), &base).unwrap();
        let input = GateInput {
            spec: &spec,
            environment: &environment,
            with_fix: &[gold_ops, test_ops.clone()].concat(),
            without: &test_ops,
            test_paths: &paths,
            limits: &RunLimits { seconds: 60, ..RunLimits::default() },
            runs: 1,
        };
        let proof = gate(host, &input, Vec::new()).unwrap().decision.unwrap();
        let (fail_to_pass, pass_to_pass) = (proof.fail_to_pass, proof.pass_to_pass);
        assert!(fail_to_pass.len() >= 2, "{fail_to_pass:?}");
        Self { spec, environment, tests, paths, fail_to_pass, pass_to_pass, _layer: layer }
    }

    /// The one project of this program; `None`, with a word on standard error, where it cannot be
    /// run.
    pub(crate) fn get() -> Option<&'static Self> {
        static PROJECT: OnceLock<Option<Project>> = OnceLock::new();
        let made = PROJECT.get_or_init(|| {
            host()?;
            Some(Self::new(some_env(8)?, false))
        });
        made.as_ref()
    }

    /// The same with another environment, into which it can be installed.
    pub(crate) fn installed(env: Env) -> Self {
        Self::new(env, true)
    }

    pub(crate) fn grade(&self, patch: &[u8], seconds: u64, options: GradeOptions) -> Grading {
        let input = GradeInput {
            spec: &self.spec,
            environment: &self.environment,
            base: &base,
            patch,
            gold: &gold_with(&[]),
            test_files: &self.tests,
            test_paths: &self.paths,
            fail_to_pass: &self.fail_to_pass,
            pass_to_pass: &self.pass_to_pass,
            limits: &RunLimits { seconds, ..RunLimits::default() },
            options,
        };
        grade(host().unwrap(), &input).unwrap()
    }
}

const THREATS: &str = include_str!("../../../THREATS.md");

/// What a forgery must come to: not resolved, and named.
pub(crate) fn refuse(project: &Project, name: &str, files: &[(&str, Put)], named: &[&str]) {
    refuse_within(project, name, files, named, 60);
}

pub(crate) fn refuse_within(
    project: &Project,
    name: &str,
    files: &[(&str, Put)],
    named: &[&str],
    seconds: u64,
) {
    let grading = project.grade(&patch(files), seconds, GradeOptions::default());
    show(name, &grading);
    let palestra_core::Verdict::Unresolved(text) = &grading.verdict else {
        panic!("{name}: {grading:#?}");
    };
    // What the page says of it.
    let start = format!("| {name} | ");
    let row = THREATS.lines().find_map(|line| line.strip_prefix(&start));
    let row = row.unwrap_or_else(|| panic!("THREATS.md has no row for {name:?}"));
    for word in named {
        assert!(row.contains(word), "THREATS.md says {row:?} of {name:?}, which is {word:?}");
        let known = grading.names().contains(word) || text.contains(word);
        assert!(
            known,
            "{name}: {word} is not among {:?}\n{text}\n{}",
            grading.names(),
            grading.log_tail
        );
        assert!(text.contains(word), "{name}: {text}");
    }
}

/// What a solution must come to: resolved, and nothing that would be proof.
pub(crate) fn accept(
    project: &Project,
    name: &str,
    patch: &[u8],
    options: GradeOptions,
) -> Grading {
    let grading = project.grade(patch, 60, options);
    show(name, &grading);
    assert!(grading.verdict.is_resolved(), "{name}: {grading:#?}");
    let proof = grading.tampering.iter().find(|act| act.weight == Weight::Proof);
    assert_eq!(proof, None, "{name}");
    grading
}

/// A line for a table, for those who ask for it with `--nocapture`.
#[expect(clippy::print_stderr, reason = "a table is there to be read")]
fn show(name: &str, grading: &Grading) {
    let verdict = match &grading.verdict {
        palestra_core::Verdict::Resolved => "resolved".to_owned(),
        palestra_core::Verdict::Unresolved(_) => format!("unresolved ({:?})", grading.cause),
        other => format!("{other:?}"),
    };
    let audit = grading.audit.as_ref().map_or(String::new(), |audit| {
        format!(" [audit: {} rounds, {} twins]", audit.rounds, audit.twins.len())
    });
    eprintln!(
        "| {name} | {verdict} | {}{audit} | {:.2} s |",
        grading.names().join(", "),
        grading.seconds
    );
}
