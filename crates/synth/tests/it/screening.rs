//! Every rule of the screening, with what it takes and what it does not take.

use palestra_synth::Reason;
use palestra_synth::tests::{Framework, ScreenRules, screen};

use crate::{GOOD_TESTS, request};

const PATH: &str = "tests/test_rows_1234.py";

fn reason(content: &str) -> Option<Reason> {
    screen(PATH, content, &ScreenRules::of(&request())).err().map(|rejection| rejection.reason)
}

/// A test with these lines in it, which is sound without them.
fn with(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "import os, shutil, subprocess, sys, time\nfrom pathlib import Path\nimport pytest\nfrom table.rows import rows\n\ndef test_rows(tmp_path, monkeypatch):\n{lines}    assert rows('a b') == ['a b']\n"
    )
}

fn check(lines: &str, want: Option<Reason>) {
    assert_eq!(reason(&with(lines)), want, "{lines}");
}

#[test]
fn places() {
    let rules = ScreenRules::of(&request());
    for (path, want) in [
        (PATH, None),
        ("tests/sub/test_a.py", None),
        ("tests/a_test.py", None),
        ("../test_a.py", Some(Reason::PathOutsideTests)),
        ("tests/../table/test_a.py", Some(Reason::PathOutsideTests)),
        ("/tests/test_a.py", Some(Reason::PathOutsideTests)),
        ("table/test_a.py", Some(Reason::PathOutsideTests)),
        ("testsuite/test_a.py", Some(Reason::PathOutsideTests)),
        ("tests/.git/test_a.py", Some(Reason::PathOutsideTests)),
        ("tests/test a.py", Some(Reason::PathOutsideTests)),
        ("tests//test_a.py", Some(Reason::PathOutsideTests)),
        ("tests/conftest.py", Some(Reason::NotATestFile)),
        ("tests/test_a.txt", Some(Reason::NotATestFile)),
        ("tests/rows.py", Some(Reason::NotATestFile)),
        ("tests/test_cells.py", Some(Reason::PathExists)),
    ] {
        let found = screen(path, GOOD_TESTS, &rules).err().map(|rejection| rejection.reason);
        assert_eq!(found, want, "{path}");
    }
}

#[test]
fn forms() {
    assert_eq!(reason(GOOD_TESTS), None);
    assert_eq!(reason("def test_a(:\n"), Some(Reason::SyntaxError));
    assert_eq!(reason("def test_a():\n    print 'x'\n"), Some(Reason::SyntaxError));
    assert_eq!(reason("x = 1\n"), Some(Reason::NoTests));
    assert_eq!(reason("def helper(): assert 1\n"), Some(Reason::NoTests));
    assert_eq!(
        reason("class Rows:\n    def test_a(self): assert rows(1)\n"),
        Some(Reason::NoTests)
    );
    let with_init =
        "class TestRows:\n    def __init__(self): pass\n    def test_a(self): assert rows(1)\n";
    assert_eq!(reason(with_init), Some(Reason::NoTests));
    assert_eq!(
        reason(&format!("{GOOD_TESTS}# {}\n", "x".repeat(70_000))),
        Some(Reason::FileTooLong)
    );
    let many: String =
        (0..61).map(|n| format!("def test_{n}():\n    assert rows({n})\n")).collect();
    assert_eq!(reason(&many), Some(Reason::TooManyTests));
    let found = screen(PATH, GOOD_TESTS, &ScreenRules::of(&request())).unwrap();
    let ids: Vec<&str> = found.tests.iter().map(|test| test.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "tests/test_rows_1234.py::test_spaces_stay",
            "tests/test_rows_1234.py::test_ends_are_stripped"
        ]
    );
    let unittest = ScreenRules { framework: Framework::Unittest, ..ScreenRules::of(&request()) };
    assert_eq!(screen(PATH, GOOD_TESTS, &unittest).unwrap_err().reason, Reason::NoTests);
    let case = "import unittest\nfrom table.rows import rows\nclass Rows(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(rows('a'), ['a'])\n";
    assert_eq!(
        screen(PATH, case, &unittest).unwrap().tests[0].id,
        "tests/test_rows_1234.py::Rows::test_a"
    );
}

#[test]
fn worthless_tests() {
    let check = |body: &str, want: Option<Reason>| {
        let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
        let text = format!(
            "import inspect, importlib\nimport pytest\nimport table\nfrom table import cells, rows\nfrom table.rows import rows, Row\n\ndef helper(x):\n    assert cells(x) == 1\n\ndef test_a(  ):\n{body}"
        );
        assert_eq!(reason(&text), want, "{body}");
    };
    let weak = Some(Reason::OnlyImports);
    check("pass", Some(Reason::NoAssertion));
    check("cells(1)", Some(Reason::NoAssertion));
    check("assert True", weak);
    check("assert rows", weak);
    check("assert rows is not None", weak);
    check("assert callable(rows)", weak);
    check("assert hasattr(table, 'rows') and callable(table.rows)", weak);
    check("assert hasattr(Row(), 'cells')", weak);
    check("assert issubclass(Row, object)", weak);
    check("assert 'rows' in dir(table)", weak);
    check("assert isinstance(Row, type)", weak);
    check("m = importlib.import_module('table')\nassert m", weak);
    check("assert 'x' in inspect.signature(rows).parameters", weak);
    check("with pytest.raises(Exception):\n    pass", weak);
    check("assert rows.__name__ == 'rows'", weak);
    check("assert table.rows == rows", weak);
    check("assert 'a' in table.NAMES", weak);
    check("x = []\nassert x == []", weak);
    // What calls what was changed, or asserts about what something does.
    check("rows('a')", None);
    check("assert cells('a') == ['a']", None);
    check("x = cells('a')\nassert x", None);
    check("x = cells('a')\ny = x\nassert isinstance(y, list)", None);
    check("assert isinstance(cells('a'), list)", None);
    check("with pytest.raises(ValueError):\n    cells(1)", None);
    check("helper(1)", None);
    check("assert table.LIMIT == 5", None);
    check("seen = []\ncells(seen.append)\nassert seen == [1]", None);
    check("for x in cells('a'):\n    assert x", None);
    check("assert [c for c in cells('a')] == []", None);
    check(
        "try:\n    cells(1)\nexcept ValueError:\n    return\nraise AssertionError('no error')",
        None,
    );
}

#[test]
fn the_network() {
    let no = Some(Reason::Network);
    check("import urllib.request\nurllib.request.urlopen('http://x')", no);
    check("import urllib.request as u\nu.urlopen('http://x')", no);
    check("from urllib.request import urlopen as get\nget('http://x')", no);
    check("import socket\nsocket.create_connection(('x', 1))", no);
    check("import requests\nrequests.get('http://x')", no);
    check("import smtplib\nsmtplib.SMTP('x')", no);
    check("import socket\na, b = socket.socketpair()", None);
    check("monkeypatch.setattr('requests.get', None)", None);
    check("from urllib.parse import urlparse\nurlparse('http://x')", None);
    // A project may be what others use for the network.
    let mut rules = ScreenRules::of(&request());
    rules.own_packages.insert("requests".into());
    let own = with("import requests\nrequests.get('http://x')");
    assert!(screen(PATH, &own, &rules).is_ok());
}

#[test]
fn programs() {
    let no = Some(Reason::Subprocess);
    check("os.system('ls')", no);
    check("subprocess.run('ls', shell=True)", no);
    check("subprocess.run(['git', 'log'])", no);
    check("subprocess.check_output('ls')", no);
    check("from subprocess import Popen\nPopen(['sh'])", no);
    check("subprocess.run([sys.executable, '-c', ''], shell=True)", no);
    check("subprocess.run([sys.executable, '-m', 'table'], check=True)", None);
    check("subprocess.run([sys.executable, '-m', 'table'], shell=False)", None);
}

#[test]
fn deleting() {
    let no = Some(Reason::DeletesFiles);
    check("os.remove('table/rows.py')", no);
    check("os.remove(os.path.join(os.path.dirname(__file__), 'x'))", no);
    check("shutil.rmtree('/')", no);
    check("from shutil import rmtree\nrmtree(tmp_path / '..')", no);
    check("Path('x').unlink()", no);
    check("shutil.move('table', tmp_path)", no);
    check("os.remove(tmp_path / 'x')", None);
    check("d = tmp_path / 'd'\nd.mkdir()\nd.rmdir()", None);
    check("p = os.path.join(str(tmp_path), 'a')\nos.remove(p)", None);
}

#[test]
fn writing() {
    let no = Some(Reason::WritesFiles);
    check("open('x', 'w').write('')", no);
    check("with open('/etc/x', mode='a') as f:\n    f.write('')", no);
    check("Path('x').write_text('')", no);
    check("Path(__file__).parent.joinpath('x').write_text('')", no);
    check("(tmp_path / '../x').write_text('')", no);
    check("os.makedirs('a/b')", no);
    check("shutil.copy(__file__, 'table/x.py')", no);
    check("Path('x').open('w')", no);
    check("import zipfile\nzipfile.ZipFile('x.zip', 'w')", no);
    check("open('x')", None);
    check("open('x', 'rb')", None);
    check("(tmp_path / 'a').write_text('')", None);
    check("p = tmp_path / 'a'\nwith p.open('w') as f:\n    f.write('')", None);
    check("with open(tmp_path / 'a', 'w') as f:\n    f.write('')", None);
    check(
        "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    open(os.path.join(d, 'x'), 'w')",
        None,
    );
    check("import io\nio.StringIO().write('x')", None);
    check("monkeypatch.chdir(tmp_path)\nopen('x', 'w')", None);
    check("monkeypatch.chdir(tmp_path)\nopen('/x', 'w')", no);
    let fixture = "import pytest\nfrom table.rows import rows\n\n@pytest.fixture\ndef home(tmp_path):\n    d = tmp_path / 'h'\n    d.mkdir()\n    return d\n\ndef test_a(home):\n    (home / 'x').write_text('')\n    assert rows('a') == ['a']\n";
    assert_eq!(reason(fixture), None);
    let case = "import tempfile, os, unittest\nfrom table.rows import rows\nclass A(unittest.TestCase):\n    def setUp(self):\n        self.dir = tempfile.mkdtemp()\n    def test_a(self):\n        open(os.path.join(self.dir, 'x'), 'w').close()\n        self.assertEqual(rows('a'), ['a'])\n";
    assert_eq!(reason(case), None);
}

#[test]
fn time_and_skipping() {
    check("time.sleep(5)", Some(Reason::Sleeps));
    check("from time import sleep\nsleep(1.5)", Some(Reason::Sleeps));
    check("time.sleep(n)", Some(Reason::Sleeps));
    check("time.sleep(0.01)", None);
    check("while True:\n    pass", Some(Reason::EndlessLoop));
    check("while 1:\n    x = 1", Some(Reason::EndlessLoop));
    check("while True:\n    break", None);
    check("pytest.skip('x')", Some(Reason::Skips));
    check("np = pytest.importorskip('numpy')", Some(Reason::Skips));
    for line in [
        "@pytest.mark.skip",
        "@pytest.mark.skipif(True, reason='x')",
        "@pytest.mark.xfail(strict=True)",
        "@unittest.skip('x')",
        "@unittest.expectedFailure",
        "@skip('x')",
    ] {
        let text = format!(
            "import pytest, unittest\nfrom unittest import skip\nfrom table.rows import rows\n{line}\ndef test_a():\n    assert rows('a')\n"
        );
        assert_eq!(reason(&text), Some(Reason::Skips), "{line}");
    }
    let module = "import pytest\nfrom table.rows import rows\npytestmark = pytest.mark.xfail\ndef test_a():\n    assert rows('a')\n";
    assert_eq!(reason(module), Some(Reason::Skips));
    check("@pytest.mark.parametrize('x', [1])\ndef inner(x): pass", None);
}

#[test]
fn tampering() {
    let no = Some(Reason::Tampers);
    check("os._exit(0)", no);
    check("exec('import os')", no);
    check("__import__('os').system('x')", no);
    check("pytest.exit('x')", no);
    let hook = format!("def pytest_runtest_makereport(item, call):\n    pass\n\n{GOOD_TESTS}");
    assert_eq!(reason(&hook), no);
    check("def pytest_own(): pass", None);
    let plugins = format!("pytest_plugins = ['x']\n{GOOD_TESTS}");
    assert_eq!(reason(&plugins), no);
    let source = Some(Reason::ReadsSource);
    check("import inspect\nassert 'strip' in inspect.getsource(rows)", source);
    check(
        "assert 'x' in open(os.path.join(os.path.dirname(__file__), '../table/rows.py')).read()",
        source,
    );
    check("data = Path(__file__).with_name('data.csv').read_text()", None);
}
