//! `palestra grade` and `palestra regrade` on a row made on the spot.

use std::fs;

use serde_json::{Value, json};

use crate::support::{GOOD_TEST, Palestra, Ran, Repository, can_build};

/// A dataset of one row, with its repository among the mirrors.
struct Row {
    palestra: Palestra,
    dataset: String,
    mirrors: String,
}

const ID: &str = "ada__calc-1";

impl Row {
    fn new() -> Self {
        let palestra = Palestra::new();
        let mirrors = palestra.dir().join("mirrors");
        let repository = Repository::with_fix(mirrors.join("ada/calc"), GOOD_TEST);
        let diff = |path: &str| repository.git(&["diff", "HEAD~1", "HEAD", "--", path]);
        let row = json!({
            "instance_id": ID,
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
        fs::write(&path, format!("{row}\n")).unwrap();
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        Self { dataset: text(path), mirrors: text(mirrors), palestra }
    }

    fn out(&self, name: &str) -> String {
        self.palestra.dir().join(name).to_string_lossy().into_owned()
    }

    fn grade(&self, predictions: &str, out: &str) -> Ran {
        let out = self.out(out);
        self.palestra.run(&[
            "grade",
            "-d",
            &self.dataset,
            "-p",
            predictions,
            "--mirrors",
            &self.mirrors,
            "--clone",
            "none",
            "--out",
            &out,
            "--json",
        ])
    }

    /// A file of one prediction.
    fn prediction(&self, name: &str, patch: &str) -> String {
        let line = json!({"instance_id": ID, "model_name_or_path": "a/b", "model_patch": patch});
        let path = self.out(name);
        fs::write(&path, format!("{line}\n")).unwrap();
        path
    }
}

fn report(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn read(path: String) -> Value {
    serde_json::from_slice(&fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))).unwrap()
}

#[test]
fn gold_resolves_nothing_does_not_and_a_run_is_graded_again() {
    if !can_build() {
        return;
    }
    let row = Row::new();
    assert_eq!(report(&row.grade("gold", "gold"))["resolved"], 1);
    let verdict = read(format!("{}/gold/{ID}/verdict.json", row.out("gold")));
    assert_eq!(verdict["verdict"]["verdict"], "resolved", "{verdict}");
    let theirs = read(format!("{}/gold.gold.json", row.out("gold")));
    assert_eq!(theirs["resolved_ids"], json!([ID]));
    assert_eq!(theirs["schema_version"], 2);
    let theirs = read(format!("{}/gold/{ID}/report.json", row.out("gold")));
    assert_eq!(
        theirs[ID]["tests_status"]["FAIL_TO_PASS"]["success"],
        json!(["tests/test_calc.py::test_add"])
    );

    let nothing = report(&row.grade("empty", "empty"));
    assert_eq!((&nothing["resolved"], &nothing["decided"]), (&0.into(), &1.into()));

    // The same run in another place is not done again.
    let again = row.grade("gold", "elsewhere");
    assert_eq!(report(&again)["resolved"], 1);
    assert!(again.stderr.contains("run before"), "{}", again.stderr);

    let dir = row.out("gold");
    let regrade = |more: &[&str]| {
        let words = ["regrade", "-d", &row.dataset, "--run-id", "gold", "--out", &dir, "--json"];
        row.palestra.run(&[&words[..], more].concat())
    };
    assert_eq!(report(&regrade(&[]))["resolved"], 1);
    // Whoever does not trust a log does not trust this one: its markers were known beforehand.
    assert_eq!(report(&regrade(&["--dialect", "strict"]))["resolved"], 0);
    fs::write(format!("{dir}/gold/{ID}/test_output.txt"), "PASSED everything\n").unwrap();
    let changed = regrade(&[]);
    assert_ne!(changed.code, Some(0));
    assert!(changed.stderr.contains("test_output.txt"), "{}", changed.stderr);
}

#[test]
fn predictions_end_in_what_they_deserve() {
    if !can_build() {
        return;
    }
    let row = Row::new();
    let right = "diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,2 @@\n \
                 def add(a, b):\n-    return a - b\n+    return b + a\n";
    // A file with a byte that no text has, as git writes it.
    let mut other = Repository::new(row.palestra.dir().join("other"));
    other.write("data.bin", "\0\u{1}\u{2}\n");
    other.commit("Binary");
    let empty_tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let binary = other.git(&["diff", "--binary", empty_tree, "HEAD"]);
    assert!(binary.contains("GIT binary patch"), "{binary}");
    let tests = "diff --git a/tests/test_calc.py b/tests/test_calc.py\n\
                 --- a/tests/test_calc.py\n+++ b/tests/test_calc.py\n@@ -1,2 +1,2 @@\n\
                 -def test_nothing():\n+def test_add():\n     pass\n";
    let cases = [
        ("right", right.to_owned(), "graded", "resolved"),
        (
            "binary",
            format!("{right}{}", binary.trim_end().to_owned() + "\n\n"),
            "graded",
            "resolved",
        ),
        // Another line before the change: the last rung takes it with fuzz.
        ("fuzz", right.replace("add(a, b):", "add(a, *b):"), "graded", "resolved"),
        ("tests", tests.to_owned(), "graded", "unresolved"),
        ("wrong", right.replace("b + a", "a * b"), "graded", "unresolved"),
        ("elsewhere", right.replace("calc.py", "none.py"), "patch_rejected", "unresolved"),
        // The last rung of this ladder, `patch`, takes line ends as they come.
        ("crlf", right.replace('\n', "\r\n"), "graded", "resolved"),
        (
            "half",
            right.lines().take(6).collect::<Vec<_>>().join("\n"),
            "patch_rejected",
            "unresolved",
        ),
        ("outside", right.replace("calc.py", "../../etc/x"), "patch_rejected", "unresolved"),
        ("text", "I would add the numbers.".to_owned(), "patch_rejected", "unresolved"),
        ("empty", String::new(), "empty_patch", "unresolved"),
    ];
    let mut wrong = Vec::new();
    for (name, patch, ending, verdict) in cases {
        let file = row.prediction(&format!("{name}.jsonl"), &patch);
        report(&row.grade(&file, name));
        let said = read(format!("{}/a__b/{ID}/verdict.json", row.out(name)));
        if said["ending"] != ending || said["verdict"]["verdict"] != verdict {
            wrong.push(format!("{name}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn input_that_cannot_be_graded_is_refused() {
    let row = Row::new();
    let refused = |ran: Ran, word: &str| {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(word), "{word:?} is not said: {}", ran.stderr);
    };
    let other = row.out("other.jsonl");
    fs::write(
        &other,
        "{\"instance_id\":\"x\",\"model_name_or_path\":\"m\",\"model_patch\":\"\"}\n",
    )
    .unwrap();
    refused(row.grade(&other, "o"), "not in the dataset");
    let twice = row.prediction("twice.jsonl", "x");
    let line = fs::read_to_string(&twice).unwrap();
    fs::write(&twice, format!("{line}{line}")).unwrap();
    refused(row.grade(&twice, "o"), "more than one prediction");
    refused(row.grade("/nowhere/at/all.jsonl", "o"), "/nowhere/at/all.jsonl");
    let none = row.palestra.run(&["grade", "-d", &row.dataset, "-p", "gold", "-i", "nobody"]);
    refused(none, "nobody");
    let dialect = ["grade", "-d", &row.dataset, "-p", "gold", "--dialect", "mine"];
    refused(row.palestra.run(&dialect), "unknown dialect");
    fs::write(&row.dataset, "{\"instance_id\":\"x\"}\n").unwrap();
    refused(row.grade("gold", "o"), "rows.jsonl");
}

#[test]
fn our_own_tasks_are_graded_and_judged_again() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let repository = palestra.dir().join("repository");
    Repository::with_fix(repository.clone(), GOOD_TEST);
    let text = |name: &str| palestra.dir().join(name).to_string_lossy().into_owned();
    let tasks = text("tasks");
    let made = palestra.run(&["curate", &repository.to_string_lossy(), "--out", &tasks]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let run = |command: &str, name: &str, more: &[&str]| {
        let out = text(name);
        let words = [command, "-d", &tasks, "--run-id", name, "--out", &out, "--json"];
        palestra.run(&[&words[..], more].concat())
    };
    assert_eq!(report(&run("grade", "gold", &["-p", "gold"]))["resolved"], 1);
    assert_eq!(report(&run("grade", "empty", &["-p", "empty"]))["resolved"], 0);
    assert_eq!(report(&run("regrade", "gold", &[]))["resolved"], 1);
    assert_eq!(report(&run("regrade", "empty", &[]))["resolved"], 0);
    let refused = run("regrade", "gold", &["--dialect", "strict"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");

    // Where the report is gone, the verdict stays and it is said which.
    let model = palestra.dir().join("gold/gold");
    let task = fs::read_dir(model).unwrap().flatten().next().unwrap().path();
    fs::remove_file(task.join("grading.json")).unwrap();
    let kept = run("regrade", "gold", &[]);
    assert_eq!(kept.code, Some(1), "{kept:?}");
    assert!(kept.stderr.contains("is not judged again: it has no grading.json"), "{}", kept.stderr);
    let said: Value = serde_json::from_str(&kept.stdout).unwrap();
    assert_eq!(said["resolved"], 1);
}
