//! Agents on the rows of a dataset of another kind.

use std::fs;

use serde_json::{Value, json};

use super::attempts;
use crate::support::{GOOD_TEST, Palestra, Ran, Repository, can_build};

/// A row with its repository among the mirrors; the fix adds, and so does the test.
fn row(palestra: &Palestra) -> (String, String) {
    let mirrors = palestra.dir().join("mirrors");
    let repository = Repository::with_fix(mirrors.join("ada/calc"), GOOD_TEST);
    let diff = |path: &str| repository.git(&["diff", "HEAD~1", "HEAD", "--", path]);
    let row = json!({
        "instance_id": "ada__calc-1",
        "repo": "ada/calc",
        "base_commit": repository.git(&["rev-parse", "HEAD~1"]).trim(),
        "version": "1.0",
        "problem_statement": "add subtracts",
        "created_at": "2025-05-02T12:00:00Z",
        "patch": diff("calc.py"),
        "test_patch": diff("tests"),
        "FAIL_TO_PASS": ["tests/test_calc.py::test_add"],
        "PASS_TO_PASS": [],
        "install_config": {
            "python": "3.11",
            "install": "python -m pip install -e .",
            "pip_packages": ["pytest"],
            "test_cmd": "pytest --no-header -rA --tb=line --color=no -p no:cacheprovider",
            "log_parser": "parse_log_pytest",
        },
    });
    let path = palestra.dir().join("rows.jsonl");
    fs::write(&path, format!("{row}\n")).expect("a file");
    (path.to_string_lossy().into_owned(), mirrors.to_string_lossy().into_owned())
}

#[test]
fn rows_are_tried_and_judged_by_their_own_rules() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let (rows, mirrors) = row(&palestra);
    let jobs = palestra.dir().join("jobs");
    let run = |name: &str, more: &[&str]| -> Ran {
        let jobs = jobs.to_string_lossy();
        let all = ["run", "-d", &rows, "--mirrors", &mirrors, "--clone", "none", "-o", &jobs];
        palestra.run(&[&all[..], &["--job-name", name, "--json"], more].concat())
    };
    for (agent, want) in [("oracle", "resolved"), ("nop", "unresolved")] {
        let ran = run(agent, &["-a", agent, "-k", "2", "-n", "2"]);
        let report: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        assert_eq!(report["variants"][0]["invalid"], 0, "{report}");
        let all = attempts(&jobs.join(agent));
        assert_eq!(all.len(), 2, "{ran:?}");
        for (trial, record) in all {
            assert_eq!(record["verdict"]["verdict"], want, "{trial}: {record}");
            let dir = jobs.join(agent).join(&trial);
            let patch = fs::read_to_string(dir.join("artifacts/patch.diff")).expect("a patch");
            assert_eq!(patch.contains("+    return a + b"), agent == "oracle", "{patch}");
            if agent == "oracle" {
                let report = dir.join("verifier/row/run/ada__calc-1/report.json");
                let report: Value =
                    serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
                assert_eq!(report["ada__calc-1"]["resolved"], true, "{report}");
            }
        }
    }
    let ran = run("none", &["-a", "nop", "-i", "somebody__else-*"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("no task is left"), "{ran:?}");
    let ran = palestra.run(&["run", "-d", "/no/such/file.parquet", "-a", "nop"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("/no/such/file.parquet"), "{ran:?}");
}
