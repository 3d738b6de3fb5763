//! Manifests of made-up repositories.

use super::*;

fn manifest(files: &[(&str, &str)]) -> Manifest {
    let read = |path: &str| {
        files.iter().find(|(p, _)| *p == path).map(|(_, text)| text.as_bytes().to_vec())
    };
    let paths: Vec<&str> = files.iter().map(|(p, _)| *p).collect();
    super::read(&read, &paths)
}

fn show(files: &[(&str, &str)]) -> String {
    let m = manifest(files);
    let list = |items: &[String]| items.join(" | ");
    let pythons: Vec<String> = m.python.declared.iter().map(Minor::to_string).collect();
    let mut out = format!(
        "name: {}\npython: {} [{}]\nruntime: {}\ntest: {}\noptional: {}\nbuild: {}",
        m.name.as_deref().unwrap_or("-"),
        m.python.requires.as_deref().unwrap_or("-"),
        pythons.join(" "),
        list(&m.runtime),
        list(&m.test),
        list(&m.optional),
        list(&m.build),
    );
    if !m.tox_test.is_empty() {
        out.push_str(&format!("\ntox: {}", list(&m.tox_test)));
    }
    for (minor, lines) in &m.per_python {
        out.push_str(&format!("\ntox on {minor}: {}", list(lines)));
    }
    for (factors, line) in &m.conditional {
        out.push_str(&format!("\nif {}: {line}", factors.join(" or ")));
    }
    if !m.constraints.is_empty() {
        out.push_str(&format!("\nconstraints: {}", list(&m.constraints)));
    }
    if !m.env.is_empty() {
        out.push_str(&format!("\nenv: {:?}", m.env));
    }
    for problem in &m.problems {
        out.push_str(&format!("\nproblem: {problem}"));
    }
    out
}

#[test]
fn standard_metadata_with_groups() {
    let text = r#"
[build-system]
requires = ["hatchling>=1.20", "hatch-vcs"]
build-backend = "hatchling.build"
[project]
name = "Kite_Fly"
requires-python = ">=3.9"
dependencies = ["attrs>=22", "idna; python_version < '3.12'"]
classifiers = ["Programming Language :: Python :: 3.9", "Programming Language :: Python :: 3.12"]
[project.optional-dependencies]
wind = ["numpy"]
all = ["kite-fly[wind]", "kite.fly[sea]"]
sea = ["gsw"]
test = ["pytest>=7", "coverage", "kite-fly[wind]"]
docs = ["sphinx", "alabaster"]
[dependency-groups]
dev = [{include-group = "typing"}, "hypothesis", "ruff"]
typing = ["mypy", "typing-inspect"]
[tool.pytest.ini_options]
addopts = ["-n", "2", "--strict-markers"]
asyncio_mode = "auto"
"#;
    insta::assert_snapshot!(show(&[("pyproject.toml", text)]), @r"
    name: Kite_Fly
    python: >=3.9 [3.9 3.12]
    runtime: attrs>=22 | idna; python_version < '3.12'
    test: hypothesis | numpy | pytest-asyncio | pytest-xdist | pytest>=7 | typing-inspect
    optional: gsw | numpy
    build: hatch-vcs | hatchling>=1.20
    ");
    assert!(manifest(&[("pyproject.toml", text)]).uses_scm);
}

#[test]
fn poetry_tables() {
    let text = r#"
[tool.poetry]
name = "barge"
classifiers = ["Programming Language :: Python :: 3.8"]
[tool.poetry.dependencies]
python = "^3.7"
requests = "^2.20"
toml = { version = "*", optional = true }
tomli = { version = ">=1", python = "<3.11" }
old = [{ version = "1.0", python = "<3.8" }, { version = "^2", python = ">=3.8" }]
fork = { git = "https://example.org/fork.git", rev = "abc" }
here = { path = "../here" }
[tool.poetry.extras]
config = ["toml"]
[tool.poetry.dev-dependencies]
pytest = "^5.2"
black = "*"
[tool.poetry.group.extra-checks.dependencies]
freezegun = "~1.2"
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"#;
    insta::assert_snapshot!(show(&[("pyproject.toml", text)]), @r"
    name: barge
    python: >=3.7,<4 [3.8]
    runtime: fork @ git+https://example.org/fork.git@abc | old==1.0 ; python_version < '3.8' | old>=2,<3 ; python_version >= '3.8' | requests>=2.20,<3 | tomli>=1 ; python_version < '3.11'
    test: pytest>=5.2,<6
    optional: toml
    build: poetry-core
    ");
}

#[test]
fn setup_py_without_running_it() {
    let setup = r#"
import os, sys
from setuptools import setup, find_packages
from gull import __version__

here = os.path.dirname(__file__)

def read(name):
    with open(os.path.join(here, name)) as f:
        return f.read()

requires = ['six>=1.4', 'lxml' ">=3"]
if sys.version_info < (3, 4):
    requires.append('enum34')
requires += ['pytz']
extras = {'fast': ['ujson'], ':python_version < "3.3"': ['funcsigs']}
extras['test'] = ['mock', 'pytest-cov']
kwargs = dict(zip_safe=False)
kwargs['tests_require'] = [line for line in read('requirements-test.txt').splitlines() if line]
setup(
    name='gull', version=__version__,
    python_requires='>=2.7, !=3.0.*',
    packages=find_packages(),
    install_requires=requires + ['dateutil-like'],
    extras_require=extras,
    setup_requires=['setuptools_scm>=1.15'],
    classifiers=[
        'Programming Language :: Python :: 2.7',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.5',
    ],
    **kwargs
)
"#;
    let test = "-r more.txt\nnose  # old\nfreezegun==0.3.15 --hash=sha256:aa\n-e .[fast]\n";
    let files = [
        ("setup.py", setup),
        ("requirements-test.txt", test),
        ("more.txt", "responses\n-c limits.txt\n"),
        ("limits.txt", "responses<1\n"),
    ];
    insta::assert_snapshot!(show(&files), @r#"
    name: gull
    python: >=2.7, !=3.0.* [2.7 3.5]
    runtime: dateutil-like | funcsigs ; python_version < "3.3" | lxml>=3 | pytz | six>=1.4
    test: freezegun==0.3.15 | mock | nose | responses | ujson
    optional: 
    build: setuptools_scm>=1.15
    constraints: responses<1
    "#);
    let m = manifest(&files);
    assert!(m.uses_scm && m.imports.contains("gull"));
}

#[test]
fn declarative_setup_cfg() {
    let text = "[metadata]\nname = crab\nclassifiers =\n    Programming Language :: Python :: 3\n    \
                Programming Language :: Python :: 3.6\n[options]\npython_requires = >=3.6\n\
                install_requires =\n    click>=7  # cli\n    tomli; python_version<'3.11'\n\
                [options.extras_require]\ntesting =\n    pytest\n    pytest-timeout\n\
                [tool:pytest]\naddopts = --cov=crab --timeout=10\n";
    insta::assert_snapshot!(show(&[("setup.cfg", text), ("setup.py", "import setuptools\nsetuptools.setup()\n")]), @r"
    name: crab
    python: >=3.6 [3.6]
    runtime: click>=7 | tomli; python_version<'3.11'
    test: pytest | pytest-cov | pytest-timeout
    optional: 
    build:
    ");
}

#[test]
fn tox_environments() {
    let tox = "[tox]\nenvlist = py{36,37}-django{22,30}, pypy3, docs\n\
               [base]\ndeps =\n    pytest>=3\n    mock\n\
               [testenv]\ndeps =\n    {[base]deps}\n    -rtests/requirements.txt\n    \
               django22: Django>=2.2,<3\n    py36: dataclasses\n    full: pycurl\n\
               setenv =\n    PYTHONWARNINGS=error\n    SPEED=9\n    HERE={toxinidir}\n\
               [testenv:py27]\ndeps = mock<2\n\
               [testenv:docs]\ndeps = sphinx\n\
               [testenv:extra-deps]\ndeps =\n    {[base]deps}\n    Pillow\n\
               [pytest]\naddopts = --reactor=default\n";
    let files = [("tox.ini", tox), ("tests/requirements.txt", "testfixtures\nflake8\n")];
    insta::assert_snapshot!(show(&files), @r#"
    name: -
    python: - [2.7 3.6 3.7]
    runtime: 
    test: pytest-twisted
    optional: Pillow | mock | pytest>=3 | testfixtures
    build: 
    tox: pytest>=3 | mock | testfixtures
    tox on 2.7: mock<2
    if django22: Django>=2.2,<3
    if py36: dataclasses
    if full: pycurl
    env: {"SPEED": "9"}
    "#);
}

#[test]
fn plain_requirements_files() {
    let files = [
        ("setup.py", "from distutils.core import setup\nsetup(name='newt')\n"),
        ("requirements.txt", "flask==1.0\nblack\ngit+https://example.org/frog.git#egg=frog\n"),
        ("requirements.in", "flask\nblack\n"),
        ("dev-requirements.txt", "pytest\ntwine\n"),
        ("requirements/docs.txt", "sphinx\n"),
        (".travis.yml", "python:\n  - 3.7\n  - 3.8\n"),
    ];
    insta::assert_snapshot!(show(&files), @r"
    name: newt
    python: - [3.7 3.8]
    runtime: flask
    test: pytest
    optional: 
    build:
    ");
    let bad = [("pyproject.toml", "[project\n"), ("setup.py", "x = 1\n")];
    insta::assert_snapshot!(show(&bad), @r"
    name: -
    python: - []
    runtime: 
    test: 
    optional: 
    build: 
    problem: pyproject.toml: unclosed table, expected `]`
    problem: setup.py: no call of setup() found
    ");
}
