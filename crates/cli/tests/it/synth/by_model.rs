//! Bugs by a model: a scripted one, of whose bugs one is good.

use std::collections::BTreeMap;

use palestra_model::Request;
use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use serde_json::Value;

use super::tasks;
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
    return value


def describe(values, limit=3):
    if not values:
        return 'nothing'
    shown = values[:limit]
    text = ', '.join(str(value) for value in shown)
    return text


def spread(values):
    least = min(values)
    most = max(values)
    if least == most:
        return 0
    return most - least


def longest(words):
    best = ''
    for word in words:
        if len(word) > len(best):
            best = word
    return best


def halves(values):
    middle = len(values) // 2
    first = values[:middle]
    second = values[middle:]
    return first, second
";

const TESTS: &str = "\
from calc import clamp, describe, halves, longest, spread, total


def test_total():
    assert total([1, None, 2]) == 3
    assert total([]) == 0


def test_clamp():
    assert [clamp(v, 0, 10) for v in (-1, 5, 11)] == [0, 5, 10]


def test_describe():
    assert describe([1, 2, 3, 4]) == '1, 2, 3'


def test_spread():
    assert spread([3, 1, 2]) == 2


def test_longest():
    assert longest(['a', 'abc']) == 'abc'


def test_halves():
    assert halves([1, 2, 3]) == ([1], [2, 3])
";

/// What comes of the bug that is asked for in each function: the reason where there is one.
const ENDS: [(&str, &str); 6] = [
    ("total", "task"),
    ("clamp", "same_meaning"),
    ("describe", "no_code"),
    ("spread", "syntax_error"),
    ("longest", "no_test_fails"),
    ("halves", "tells_the_bug"),
];

const GOOD: &str = "\
def total(rows):
    result = 0
    for row in rows:
        if row is None:
            break
        result += row
    return result
";

/// The same in other words: brackets, a blank line, a comment.
const SAME: &str = "\
def clamp(value, low, high):
    if (value < low):
        return low
    elif value > high:
        return high

    return value
";

const BROKEN: &str = "\
def spread(values):
    least = min(values
    return max(values) - least
";

/// Only of two words of one length, which no test has.
const UNSEEN: &str = "\
def longest(words):
    best = ''
    for word in words:
        if len(word) >= len(best):
            best = word
    return best
";

const TELLING: &str = "\
def halves(values):
    middle = len(values) // 2
    first = values[:middle]
    second = values[middle + 1:]  # bug: one value is lost
    return first, second
";

fn script(request: &Request) -> Scripted {
    let prompt: String = request.messages.iter().map(|message| message.content_text()).collect();
    let asked = ENDS.iter().map(|(name, _)| *name).find(|name| {
        [format!("Put one mistake into `{name}`"), format!("Implement `{name}`")]
            .iter()
            .any(|sentence| prompt.contains(sentence))
    });
    let block = |code: &str| {
        format!("The loop ends at a gap in the rows too early.\n\n````python\n{code}````\n")
    };
    Say::text(match asked.unwrap_or_else(|| panic!("no function in {prompt}")) {
        "total" => block(GOOD),
        "clamp" => block(SAME),
        "spread" => block(BROKEN),
        "longest" => block(UNSEEN),
        "halves" => block(TELLING),
        _ => "Colourless green functions sleep furiously. 42!".to_owned(),
    })
    .into()
}

fn lines(out: &std::path::Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join(".palestra").join(name)).expect(name);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn exactly_the_right_bugs_become_tasks() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let mut repository = Repository::new(palestra.dir().join("calc"));
    repository.write("pyproject.toml", PYPROJECT);
    repository.write("calc.py", CALC);
    repository.write("tests/test_calc.py", TESTS);
    repository.commit("Begin");
    let server = ScriptedServer::start(script, ScriptedOptions::default()).expect("a server");
    let (repo, url) = (repository.path.to_string_lossy(), server.url());
    let out = palestra.dir().join("out");
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
        "0",
        "--model-bugs",
        "20",
        "-m",
        "some-model",
        "--base-url",
        &url,
        "--jobs",
        "2",
        "--json",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(server.requests(), ENDS.len() as u64, "each function is asked for once");

    // What the model said and what the tests said of it.
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut refused: Vec<String> = Vec::new();
    for entry in lines(&out, "synth.jsonl") {
        if let Some(reason) = entry["reason"].as_str() {
            refused.push(reason.to_owned());
        }
    }
    for entry in lines(&out, "bugs.jsonl") {
        let place = entry["place"].as_str().expect("a place");
        let name = place.rsplit(' ').next().expect("a name").to_owned();
        found.insert(name, entry["rejected"].as_str().unwrap_or("task").to_owned());
    }
    refused.sort();
    assert_eq!(refused, ["no_code", "same_meaning", "syntax_error", "tells_the_bug"], "{ran:?}");
    let want = [("longest", "no_test_fails"), ("total", "task")];
    assert_eq!(found, want.map(|(a, b)| (a.to_owned(), b.to_owned())).into(), "{ran:?}");

    let made = tasks(&out);
    let [task] = &made[..] else { panic!("{made:?}") };
    let read = |name: &str| std::fs::read_to_string(task.join(name)).expect("a file");
    let form: Value = serde_json::from_str(&read("tests/task.json")).expect("JSON");
    let form = &form["task"];
    assert_eq!(form["fail_to_pass"], serde_json::json!(["tests/test_calc.py::test_total"]));
    let synthesis = &form["synthesis"];
    assert_eq!((&synthesis["kind"], &synthesis["model"]), (&"bug".into(), &"some-model".into()));
    let by = synthesis["by"][0].as_str().expect("a prompt");
    assert!(by == "bug-subtle@1" || by == "bug-rewrite@1", "{synthesis}");
    let gold = read("solution/gold.patch");
    assert!(gold.contains("-            break\n+            continue\n"), "{gold}");
    let statement = read("instruction.md");
    assert!(!statement.contains("too early"), "the model's note is told: {statement}");
    let ran = palestra.run(&["gate", &out_text, "--rerun", "--json"]);
    let seen: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!(
        (&seen["gold_resolved"], &seen["empty_resolved"]),
        (&1.into(), &0.into()),
        "{ran:?}"
    );
}
