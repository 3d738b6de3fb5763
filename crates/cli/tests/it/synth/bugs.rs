//! Bugs without a model.

use serde_json::Value;

use super::{contents, tasks};
use crate::support::{PYPROJECT, Palestra, Repository, can_build};

const CALC: &str = "\
def total(rows):
    result = 0
    for row in rows:
        if row is None:
            continue
        result += row
    return result


def clamp(value, low, high):
    if value < low:
        return low
    elif value > high:
        return high
    else:
        return value


def describe(values, limit=3):
    if not values:
        return 'nothing'
    shown = values[:limit]
    text = ', '.join(str(value) for value in shown)
    if len(values) > limit:
        text = text + ', ...'
    return text
";

const TESTS: &str = "\
from calc import clamp, describe, total


def test_total():
    assert total([1, None, 2]) == 3


def test_clamp():
    assert [clamp(v, 0, 10) for v in (-1, 5, 11)] == [0, 5, 10]


def test_describe():
    assert describe([1, 2, 3, 4]) == '1, 2, 3, ...'
    assert describe([1]) == '1'


def test_describe_nothing():
    assert describe([]) == 'nothing'
";

fn repository(palestra: &Palestra) -> Repository {
    let mut repository = Repository::new(palestra.dir().join("calc"));
    repository.write("pyproject.toml", PYPROJECT);
    repository.write("calc.py", CALC);
    repository.write("tests/test_calc.py", TESTS);
    repository.commit("Begin");
    repository
}

#[test]
fn the_same_seed_gives_the_same_tasks_and_all_of_them_hold() {
    if !can_build() {
        return;
    }
    // Two homes are two machines, as far as anything is remembered.
    let mut made = Vec::new();
    for jobs in ["1", "4"] {
        let palestra = Palestra::new();
        let repository = repository(&palestra);
        let (repo, out) = (repository.path.to_string_lossy(), palestra.dir().join("out"));
        let out_text = out.to_string_lossy();
        let ran = palestra.run(&[
            "curate",
            &repo,
            "--name",
            "a/calc",
            "--out",
            &out_text,
            "--synth",
            "bugs",
            "--no-commits",
            "--max-bugs",
            "12",
            "--combine",
            "2",
            "--seed",
            "7",
            "--jobs",
            jobs,
            "--json",
        ]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).expect("a report");
        let bugs = &report["bugs"][0];
        let count = bugs["tasks"].as_u64().expect("a number");
        assert!(count >= 6 && count as usize == tasks(&out).len(), "{bugs}");
        assert!(bugs["cpu_seconds"].as_f64().is_some_and(|seconds| seconds > 0.1), "{bugs}");
        if jobs == "1" {
            holds(&palestra, &out_text, count);
            again(&palestra, &repo, &out_text, count);
        }
        made.push(contents(&out));
    }
    let [first, second] = &made[..] else { panic!("two") };
    let names = |all: &std::collections::BTreeMap<_, _>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(first), names(second));
    for (path, bytes) in first {
        assert_eq!(
            String::from_utf8_lossy(bytes),
            String::from_utf8_lossy(&second[path]),
            "{}",
            path.display()
        );
    }
}

/// Gold resolves and nothing does not, from the directories alone; agents see neither the fix nor
/// the tests that find the bug.
fn holds(palestra: &Palestra, out: &str, count: u64) {
    let ran = palestra.run(&["gate", out, "--rerun", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let seen: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!((&seen["gold_resolved"], &seen["empty_resolved"]), (&count.into(), &0.into()));
    let jobs = palestra.dir().join("jobs");
    let jobs = jobs.to_string_lossy();
    for (agent, want) in [("oracle", count), ("nop", 0)] {
        let more = ["-p", out, "-a", agent, "-n", "2", "-o", &jobs, "--job-name", agent, "--json"];
        let ran = palestra.run(&[&["run"][..], &more[..]].concat());
        let report: Value = serde_json::from_str(&ran.stdout).expect("a report");
        assert_eq!(report["variants"][0]["resolved"], want, "{report}");
    }
    for task in tasks(std::path::Path::new(out)) {
        let read = |name: &str| std::fs::read_to_string(task.join(name)).expect("a file");
        let toml = read("task.toml");
        assert!(toml.contains("synthesis = \"bug\""), "{toml}");
        assert!(!read("instruction.md").contains("test_calc"), "{}", read("instruction.md"));
        assert!(read("environment/base.patch").contains("calc.py"));
        assert_eq!(read("environment/base.removed"), "tests/test_calc.py\n");
        assert!(read("environment/Dockerfile").contains("base.removed"));
    }
}

/// What was decided is not done again.
fn again(palestra: &Palestra, repo: &str, out: &str, count: u64) {
    let ran = palestra.run(&[
        "curate",
        repo,
        "--name",
        "a/calc",
        "--out",
        out,
        "--synth",
        "bugs",
        "--no-commits",
        "--max-bugs",
        "12",
        "--combine",
        "2",
        "--seed",
        "7",
        "--jobs",
        "1",
        "--json",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains(" task "), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!(report["bugs"][0]["tasks"], count);
}

#[test]
fn a_red_suite_is_refused() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let mut repository = repository(&palestra);
    repository.write("calc.py", &CALC.replace("result += row", "result -= row"));
    repository.commit("Break it");
    let repo = repository.path.to_string_lossy();
    let out = palestra.dir().join("out");
    let arguments =
        ["curate", &repo, "--out", &out.to_string_lossy(), "--synth", "bugs", "--no-commits"];
    let ran = palestra.run(&arguments);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for word in ["suite_is_red", "test_total", "1 tests fail and 3 pass"] {
        assert!(ran.stderr.contains(word), "{ran:?}");
    }
    assert!(tasks(&out).is_empty());
    // The commit before it is as good as ever.
    let one = ["--at", "HEAD~1", "--bug-kinds", "func_pm_remove_loop", "--likelihood", "0.01"];
    let ran = palestra.run(&[&arguments[..], &one].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let made = tasks(&out);
    assert!(!made.is_empty());
    for task in &made {
        let name = task.to_string_lossy();
        assert!(name.contains(".func_pm_remove_loop__"), "{name}");
    }
    for (more, words) in [
        (["--bug-kinds", "typo"], "func_pm_op_change, func_pm_op_swap"),
        (["--likelihood", "1.5"], "it must be a number from 0 to 1"),
    ] {
        let ran = palestra.run(&[&arguments[..], &more].concat());
        assert!(ran.code == Some(2) && ran.stderr.contains(words), "{ran:?}");
    }
    let ran = palestra.run(&[&arguments[..], &["--at", "no-such-revision"]].concat());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("no-such-revision"), "{ran:?}");
}
