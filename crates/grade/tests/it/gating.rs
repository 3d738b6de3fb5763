//! The gate on a small project.

use palestra_core::environment::ENV_DIR;
use palestra_core::{Runner, Verdict};
use palestra_grade::gate::GateInput;
use palestra_grade::{GateOutcome, RunLimits, gate, patch, run_tests, verdict};
use palestra_sandbox::FileOp;

use crate::setup::{files, host, some_env, strings};

const BASE: &str = "def double(n):\n    return n + n + 1\n";
const FIX: &str = "\
diff --git a/calc.py b/calc.py
--- a/calc.py
+++ b/calc.py
@@ -1,2 +1,2 @@
 def double(n):
-    return n + n + 1
+    return n + n
";

fn run_gate(test: &str, runner: Runner, runs: u32) -> Option<GateOutcome> {
    let (host, mut env) = (host()?, some_env(5)?);
    env.environment.runner = runner;
    let base = |path: &str| (path == "calc.py").then(|| (0o100644, BASE.as_bytes().to_vec()));
    let gold: Vec<FileOp> = patch::to_ops(FIX.as_bytes(), &base).unwrap();
    let layer = tempfile::tempdir().unwrap();
    let testbed = layer.path().join("testbed");
    fs_err::create_dir_all(&testbed).unwrap();
    fs_err::write(testbed.join("calc.py"), BASE).unwrap();
    env.spec.layers.push(layer.path().to_path_buf());
    let without = files(&[("tests/test_calc.py", test)]);
    let input = GateInput {
        spec: &env.spec,
        environment: &env.environment,
        with_fix: &[gold, without.clone()].concat(),
        without: &without,
        test_paths: &strings(&["tests/test_calc.py"]),
        limits: &RunLimits { seconds: 6, ..RunLimits::default() },
        runs,
    };
    Some(gate(host, &input, Vec::new()).unwrap())
}

const GOOD: &str = "\
from calc import double

def test_double():
    assert double(2) == 4

def test_type():
    assert isinstance(double(2), int)

def test_broken():
    assert double(2) == 5
";

#[test]
fn a_sound_task_is_proven() {
    let Some(outcome) = run_gate(GOOD, Runner::Pytest, 3) else { return };
    let proof = outcome.decision.unwrap();
    assert_eq!(proof.fail_to_pass, ["tests/test_calc.py::test_double"]);
    assert_eq!(proof.pass_to_pass, ["tests/test_calc.py::test_type"]);
    assert!(proof.unstable.is_empty());
    assert_eq!((outcome.record.runs, outcome.record.seconds.len()), (3, 6));
    for run in &outcome.gold {
        assert!(verdict(run, &proof.fail_to_pass, &proof.pass_to_pass).is_resolved());
    }
    for run in &outcome.base {
        let verdict = verdict(run, &proof.fail_to_pass, &proof.pass_to_pass);
        assert!(matches!(verdict, Verdict::Unresolved(_)));
    }
}

#[test]
fn unittest_proves_too() {
    let test = "\
import unittest
from calc import double

class Calc(unittest.TestCase):
    def test_double(self):
        self.assertEqual(double(2), 4)

    def test_type(self):
        self.assertIsInstance(double(2), int)
";
    let Some(outcome) = run_gate(test, Runner::Unittest, 2) else { return };
    let proof = outcome.decision.unwrap();
    assert_eq!(proof.fail_to_pass, ["tests/test_calc.py::Calc::test_double"]);
    assert_eq!(proof.pass_to_pass, ["tests/test_calc.py::Calc::test_type"]);
}

#[test]
fn unsound_candidates_are_turned_away() {
    let check = |test: &str, want: &str, runs: usize| {
        let Some(outcome) = run_gate(test, Runner::Pytest, 2) else { return };
        let reject = outcome.decision.unwrap_err();
        assert_eq!(reject.name(), want, "{reject}");
        // Nothing is run that cannot change the answer.
        assert_eq!(outcome.record.seconds.len(), runs, "{reject}");
    };
    check("def test_same(): pass\n", "no_fail_to_pass", 2);
    check("def test_same(): assert 0\n", "gold_fails", 2);
    check("import nowhere\n", "gold_does_not_run", 1);
    check("import os\ndef test_same(): os._exit(0)\n", "gold_dies", 1);
    check("import time\ndef test_same(): time.sleep(99)\n", "timed_out", 1);
}

#[test]
fn a_module_that_the_fix_makes_importable() {
    let test = "from calc import double\nassert double(0) == 0\n\ndef test_zero(): pass\n";
    let Some(outcome) = run_gate(test, Runner::Pytest, 2) else { return };
    let proof = outcome.decision.unwrap();
    assert_eq!(proof.fail_to_pass, ["tests/test_calc.py::test_zero"]);
    assert!(outcome.base[0].report.collection_errors.contains_key("tests/test_calc.py"));
}

#[test]
fn the_install_step_is_run_again_when_its_inputs_change() {
    let (Some(host), Some(mut env)) = (host(), some_env(5)) else { return };
    let python = format!("{ENV_DIR}/bin/python");
    let install = "import shutil; shutil.copy('gen.c', 'gen.py')";
    env.environment.install = strings(&[&python, "-c", install]);
    let run = |changes: &[FileOp]| {
        let paths = strings(&["test_gen.py"]);
        let limits = RunLimits { seconds: 60, ..RunLimits::default() };
        run_tests(host, &env.spec, &env.environment, changes, &paths, &limits).unwrap()
    };
    let test = ("test_gen.py", "import gen\ndef test_gen(): assert gen.V == 2\n");
    let rebuilt = run(&files(&[("gen.c", "V = 2\n"), test]));
    assert!(rebuilt.report.passed("test_gen.py::test_gen"), "{rebuilt:#?}");
    let untouched = run(&files(&[("gen.py", "V = 1\n"), test]));
    assert!(untouched.started && !untouched.report.passed("test_gen.py::test_gen"));
    // A setup.py changes here, and there is no gen.c to install from.
    let broken = run(&files(&[("setup.py", ""), test]));
    assert!(broken.install_failed && broken.log_tail.contains("gen.c"), "{broken:#?}");
    let judged = verdict(&broken, &strings(&["test_gen.py::test_gen"]), &[]);
    assert!(matches!(judged, Verdict::Unresolved(_)));
}
