//! What grading adds to a bare `python -m pytest` in the same sandbox. Measures, so it runs only
//! when asked: `cargo test --release -p palestra-grade --test it overhead -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use palestra_core::environment::{ENV_DIR, TESTBED};
use palestra_core::{Hash, TestFile};
use palestra_grade::patch::BaseFile;
use palestra_grade::runner::variables;
use palestra_grade::{GradeInput, GradeOptions, RunLimits, grade};
use palestra_sandbox::Exec;

use crate::setup::{files, host, some_env, strings};

const PATCH: &str = "\
diff --git a/calc.py b/calc.py
--- a/calc.py
+++ b/calc.py
@@ -1,2 +1,2 @@
 def double(n):
-    return n + 1
+    return n + n
";
const BASE: &str = "def double(n):\n    return n + 1\n";
const FIXED: &str = "def double(n):\n    return n + n\n";
const ROUNDS: usize = 21;

fn base(path: &str) -> Option<BaseFile> {
    (path == "calc.py").then(|| (0o100644, BASE.as_bytes().to_vec()))
}

#[test]
#[ignore = "measures"]
#[expect(clippy::print_stderr, reason = "a measurement is there to be read")]
fn overhead() {
    let (Some(host), Some(mut env)) = (host(), some_env(8)) else { return };
    let layer = tempfile::tempdir().unwrap();
    fs_err::create_dir(layer.path().join("testbed")).unwrap();
    fs_err::write(layer.path().join("testbed/calc.py"), BASE).unwrap();
    env.spec.layers.push(layer.path().to_path_buf());
    for count in [10, 1000] {
        let tests: String = (0..count)
            .map(|n| format!("\n\ndef test_{n}():\n    assert double({n}) == {}\n", 2 * n))
            .collect();
        let text = format!("from calc import double\n{tests}");
        let hash = Some(Hash::of(text.as_bytes()));
        let file = TestFile { path: "test_many.py".to_owned(), mode: 0o100644, hash };
        let hidden = [(file, Some(text.clone().into_bytes()))];
        // `double(1)` is right without the fix.
        let all: Vec<String> = (0..count).map(|n| format!("test_many.py::test_{n}")).collect();
        let (kept, fixed): (Vec<_>, Vec<_>) = all.into_iter().partition(|id| id.ends_with("_1"));
        let changes = files(&[("calc.py", FIXED), ("test_many.py", &text)]);
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let sandbox = host.create(&env.spec).unwrap();
            sandbox.apply(&changes).unwrap();
            let python = format!("{ENV_DIR}/bin/python");
            let mut exec = Exec::new([&python, "-m", "pytest", "test_many.py"]).cwd(TESTBED);
            for (name, value) in variables(&env.environment) {
                exec = exec.env(name, value);
            }
            let begin = Instant::now();
            let result = sandbox.exec(&exec.timeout(Duration::from_secs(60))).unwrap();
            bare.push(begin.elapsed().as_secs_f64());
            assert!(result.outcome.success(), "{}", result.stdout.text());
            drop(sandbox);
            let input = GradeInput {
                spec: &env.spec,
                environment: &env.environment,
                base: &base,
                patch: PATCH.as_bytes(),
                gold: PATCH.as_bytes(),
                test_files: &hidden,
                test_paths: &strings(&["test_many.py"]),
                fail_to_pass: &fixed,
                pass_to_pass: &kept,
                limits: &RunLimits::default(),
                options: GradeOptions::default(),
            };
            let begin = Instant::now();
            let grading = grade(host, &input).unwrap();
            ours.push(begin.elapsed().as_secs_f64());
            assert!(grading.verdict.is_resolved() && grading.audit.is_none(), "{grading:?}");
        }
        let mut differences: Vec<f64> = ours.iter().zip(&bare).map(|(a, b)| a - b).collect();
        let [bare, ours, difference] = [&mut bare, &mut ours, &mut differences].map(|list| {
            list.sort_by(f64::total_cmp);
            [list[list.len() / 2], list[0]].map(|seconds| seconds * 1000.0)
        });
        eprintln!(
            "{count} tests: bare {:.1} ms (at best {:.1}), graded {:.1} ms (at best {:.1}), median \
             of the differences {:.1} ms",
            bare[0], bare[1], ours[0], ours[1], difference[0]
        );
    }
}
