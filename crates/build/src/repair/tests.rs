//! Every rule with a log as it really reads.

use super::*;

fn recipe(python: &str) -> Recipe {
    let text = format!(
        r#"{{"python": "{python}", "exclude_newer": "2020-01-01T00:00:00Z",
            "requirements": ["lxml==4.1", "pytest", "frog @ git+https://example.org/frog"],
            "optional": ["Pillow", "bpython"], "build": ["setuptools", "wheel"],
            "constraints": [], "fingerprint": "f", "own_modules": ["gull"]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

const MINORS: &[Minor] =
    &[Minor(3, 6), Minor(3, 7), Minor(3, 8), Minor(3, 9), Minor(3, 11), Minor(3, 13)];

fn said(python: &str, step: Step, log: &str) -> String {
    repair(&recipe(python), step, log, &[], MINORS).map_or("-".to_owned(), |(_, why)| {
        why.split_once(": ").map_or(why.clone(), |(_, what)| what.to_owned())
    })
}

#[test]
fn the_rules_read() {
    let rules: Rules = toml::from_str(include_str!("../../data/rules.toml")).unwrap();
    assert_eq!(rules.rule.len(), RULES.rules.len(), "a pattern does not compile");
}

#[test]
fn each_rule_does_what_it_says() {
    use Step::{Install, Resolve, Sync, Test};
    let cases: &[(&str, Step, &str, &str)] = &[
        (
            "3.8",
            Resolve,
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because bpython was not found in the package registry and you require bpython",
            "leave out bpython",
        ),
        ("3.8", Resolve, "Because nosuch was not found in the package registry", "-"),
        (
            "3.8",
            Resolve,
            "No solution found\nBecause the current Python version (3.8.18) does not satisfy Python>=3.9 and lxml==4.1",
            "any version of what is pinned",
        ),
        (
            "3.8",
            Resolve,
            "error: Git operation failed\n  failed to clone into: /opt/cache/git-v0",
            "any version of frog",
        ),
        (
            "3.8",
            Sync,
            "  × Failed to build `pillow==5.0`\n  ├─▶ The build backend returned an error",
            "leave out pillow",
        ),
        (
            "3.8",
            Sync,
            "  × Failed to build `greenlet==0.4`\n  help: `greenlet` (v0.4) was included because `bpython` (v0.2) depends on `greenlet`",
            "leave out bpython",
        ),
        ("3.8", Sync, "  × Failed to build `lxml==4.1`\n", "any version of lxml"),
        ("3.8", Sync, "  × Failed to build `psutil==4.1`\n", "psutil of 400 days later"),
        (
            "3.8",
            Sync,
            "x.c:3:10: fatal error: libpq-fe.h: No such file or directory\n× Failed to build `psycopg2==2.1`",
            "the header libpq-fe.h is missing; Debian has it in libpq-dev; leave out everything optional",
        ),
        ("3.8", Sync, "error in suds setup command: use_2to3 is invalid.", "limit setuptools<58"),
        (
            "3.8",
            Sync,
            "pkg_resources.extern.packaging.version.InvalidVersion: Invalid version: '0.23ubuntu1'",
            "limit setuptools<66",
        ),
        (
            "3.8",
            Install,
            "ModuleNotFoundError: No module named 'pkg_resources'",
            "require setuptools<81",
        ),
        (
            "3.8",
            Install,
            "distutils.errors.DistutilsError: Could not find suitable distribution for Requirement.parse('pytest-runner>=2')",
            "require pytest-runner>=2",
        ),
        (
            "3.8",
            Install,
            "    from Cython.Build import cythonize\nModuleNotFoundError: No module named 'Cython'",
            "require Cython",
        ),
        (
            "3.8",
            Install,
            "error: something else",
            "put it on PYTHONPATH; PYTHONPATH=/testbed/src:/testbed",
        ),
        (
            "3.8",
            Test,
            "  File \"x.py\", line 3\n    def f(async=True):\n              ^\nSyntaxError: invalid syntax",
            "Python 3.6",
        ),
        ("3.8", Test, "AttributeError: module 'time' has no attribute 'clock'", "Python 3.7"),
        (
            "3.8",
            Test,
            "TypeError: required field \"type_ignores\" missing from Module",
            "Python 3.7",
        ),
        ("3.9", Test, "AttributeError: 'Thread' object has no attribute 'isAlive'", "Python 3.8"),
        (
            "3.11",
            Test,
            "ImportError: cannot import name 'Mapping' from 'collections' (/x/collections/__init__.py)",
            "Python 3.9",
        ),
        ("3.11", Test, "TypeError: required field \"lineno\" missing from alias", "Python 3.9"),
        (
            "3.11",
            Test,
            "AttributeError: module 'inspect' has no attribute 'getargspec'. Did you mean",
            "Python 3.9",
        ),
        ("3.13", Test, "ModuleNotFoundError: No module named 'imp'", "Python 3.11"),
        ("3.13", Test, "ModuleNotFoundError: No module named 'distutils'", "require setuptools<81"),
        ("3.13", Test, "ModuleNotFoundError: No module named 'telnetlib'", "Python 3.11"),
        ("3.6", Test, "ModuleNotFoundError: No module named 'dataclasses'", "Python 3.7"),
        ("3.7", Test, "ImportError: cannot import name 'Protocol' from 'typing'", "Python 3.8"),
        ("3.8", Test, "TypeError: 'type' object is not subscriptable", "Python 3.9"),
        (
            "3.9",
            Test,
            "TypeError: unsupported operand type(s) for |: 'type' and 'NoneType'",
            "Python 3.11",
        ),
        ("3.9", Test, "ModuleNotFoundError: No module named 'tomllib'", "Python 3.11"),
        (
            "3.8",
            Test,
            "Fixture \"x\" called directly. Fixtures are not meant to be called directly",
            "limit pytest<4",
        ),
        (
            "3.8",
            Test,
            "AttributeError: module 'pytest' has no attribute 'config'",
            "limit pytest<5",
        ),
        (
            "3.8",
            Test,
            "TypeError: attrib() got an unexpected keyword argument 'convert'",
            "limit attrs<19.2",
        ),
        ("3.8", Test, "pytest.PytestRemovedIn8Warning: Support for nose tests", "limit pytest<8"),
        (
            "3.8",
            Test,
            "ERROR: /testbed/tox.ini: 'minversion' requires pytest-6.0, actual pytest-5.4'",
            "require pytest>=6.0; packages of 90 days later",
        ),
        ("3.8", Test, "E       fixture 'event_loop' not found", "require pytest-asyncio<1"),
        (
            "3.8",
            Test,
            "pytest: error: unrecognized arguments: --cov=x --timeout=3",
            "require pytest-cov; require pytest-timeout",
        ),
        (
            "3.8",
            Test,
            "ERROR: Missing required plugins: pytest-mock, pytest-env",
            "require pytest-mock; require pytest-env",
        ),
        (
            "3.8",
            Test,
            "E       fixture 'mocker' not found\nE       fixture 'own_thing' not found",
            "require pytest-mock",
        ),
        (
            "3.8",
            Test,
            "PytestUnknownMarkWarning: Unknown pytest.mark.asyncio - is this a typo?",
            "require pytest-asyncio",
        ),
        (
            "3.8",
            Test,
            "'timeout' not found in `markers` configuration option",
            "require pytest-timeout",
        ),
        (
            "3.8",
            Test,
            "ImportError: cannot import name 'soft_unicode' from 'markupsafe'",
            "require MarkupSafe<2.1",
        ),
        (
            "3.8",
            Test,
            "ImportError: cannot import name 'escape' from 'jinja2'",
            "require Jinja2<3.1",
        ),
        (
            "3.8",
            Test,
            "ImportError: cannot import name 'url_quote' from 'werkzeug.urls'",
            "require Werkzeug<2.1",
        ),
        (
            "3.8",
            Test,
            "AttributeError: module 'numpy' has no attribute 'int'.",
            "require numpy<1.24",
        ),
        (
            "3.8",
            Test,
            "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.0",
            "require numpy<2",
        ),
        (
            "3.8",
            Test,
            "ModuleNotFoundError: No module named 'yaml'\nModuleNotFoundError: No module named 'PIL.Image'\nImportError: No module named mock",
            "require PyYAML; require Pillow; require mock",
        ),
        (
            "3.8",
            Test,
            "ModuleNotFoundError: No module named 'gull.sub'",
            "PYTHONPATH=/testbed/src:/testbed",
        ),
        (
            "3.8",
            Resolve,
            "Because all versions of bpython have a non-PEP 625-compliant source distribution filename",
            "leave out bpython",
        ),
        (
            "3.8",
            Resolve,
            "Because all versions of lxml have a non-PEP 625-compliant source distribution filename",
            "leave out lxml",
        ),
        (
            "3.8",
            Test,
            "Exception: did not get expected log message",
            "PYTEST_ADDOPTS=--log-level=DEBUG",
        ),
        ("3.8", Test, "assert 1 == 2", "-"),
    ];
    let mut wrong = Vec::new();
    for (python, step, log, expected) in cases {
        let got = said(python, *step, log);
        if got != *expected {
            wrong.push(format!("{log}\n   gives {got}\n   not   {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_tried_twice() {
    let first = recipe("3.8");
    let log = "× No solution found when resolving dependencies";
    let mut tried = vec![first.clone()];
    let mut current = first;
    let mut rules = Vec::new();
    while let Some((next, why)) = repair(&current, Step::Resolve, log, &tried, MINORS) {
        assert!(!tried.iter().any(|t| t.same_result(&next)));
        rules.push(why);
        tried.push(next.clone());
        current = next;
        if rules.len() == 5 {
            break;
        }
    }
    assert!(rules[0].contains("any version of what is pinned"), "{rules:?}");
    assert!(rules[1].contains("everything optional"), "{rules:?}");
    assert!(rules[2].contains("30 days later"), "{rules:?}");
    assert_eq!(repair(&current, Step::Machine, log, &tried, MINORS), None);
}
