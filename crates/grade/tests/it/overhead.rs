//! What sandbox and plugin add to a bare `python -m pytest`. Measures, so it runs only when asked:
//! `cargo test -p palestra-grade --test it overhead -- --ignored --nocapture`.

use std::process::{Command, Stdio};
use std::time::Instant;

use palestra_core::environment::ENV_DIR;
use palestra_grade::{RunLimits, run_tests};

use crate::setup::{files, host, some_env, strings};

#[test]
#[ignore = "measures"]
#[expect(clippy::print_stderr, reason = "a measurement is there to be read")]
fn overhead() {
    let (Some(host), Some(env)) = (host(), some_env(8)) else { return };
    for count in [10, 1000] {
        let text: String =
            (0..count).map(|n| format!("def test_{n}(): assert {n} >= 0\n")).collect();
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("test_many.py"), &text).unwrap();
        let python = env.spec.layers[0].join(ENV_DIR.trim_start_matches('/')).join("bin/python");
        let changes = files(&[("test_many.py", &text)]);
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..11 {
            let begin = Instant::now();
            let status = Command::new(&python)
                .args(["-m", "pytest", "test_many.py"])
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .status()
                .unwrap();
            bare.push(begin.elapsed().as_secs_f64());
            assert!(status.success());
            let paths = strings(&["test_many.py"]);
            let limits = RunLimits::default();
            let run = run_tests(host, &env.spec, &env.environment, &changes, &paths, &limits);
            let run = run.unwrap();
            assert_eq!(run.report.passes(), count);
            ours.push(run.seconds);
        }
        bare.sort_by(f64::total_cmp);
        ours.sort_by(f64::total_cmp);
        eprintln!("{count} tests: bare {:.3} s, graded {:.3} s (medians)", bare[5], ours[5]);
    }
}
