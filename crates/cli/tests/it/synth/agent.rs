//! Tests written by an agent in the sandbox: a scripted model plays it, with the tools of `editor`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{Request, Role};
use serde_json::{Value, json};

use super::{contents, tasks};
use crate::support::{PYPROJECT, Palestra, Ran, Repository, can_build};

/// What the agent does with the commit that adds a function of this name, and what comes of it.
const KINDS: [(&str, &str); 5] = [
    ("edited", "task"),
    ("shell", "task"),
    ("repaired", "task"),
    // It leaves no file, and the answer to the repair has none either.
    ("nothing", "no_code"),
    ("elsewhere", "no_code"),
];

fn repository(palestra: &Palestra) -> Repository {
    let mut repository = Repository::new(palestra.dir().join("calc"));
    let mut source = "def add(a, b):\n    return a + b\n".to_owned();
    repository.write("pyproject.toml", PYPROJECT);
    repository.write("calc.py", &source);
    repository.write("tests/test_calc.py", crate::support::GOOD_TEST);
    repository.commit("Begin");
    for (kind, _) in KINDS {
        source +=
            &format!("\n\ndef {kind}_value(number):\n    return number * 3 + len('{kind}')\n");
        repository.write("calc.py", &source);
        repository.commit(&format!("Add {kind}_value"));
    }
    repository
}

fn tests(kind: &str, right: usize) -> String {
    format!("import calc\n\n\ndef test_value():\n    assert calc.{kind}_value(2) == {right}\n")
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inside, _)| inside)
}

/// What the tools printed.
fn observed(request: &Request) -> Vec<String> {
    let messages = request.messages.iter().filter(|message| message.role == Role::Tool);
    messages.map(|message| message.content_text()).collect()
}

/// What the agent saw, by kind.
type Seen = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

fn script(seen: &Seen, request: &Request) -> Scripted {
    let prompt: String = request.messages.iter().map(|message| message.content_text()).collect();
    let kind = prompt.lines().find_map(|line| {
        line.strip_prefix("+def ")?.split('(').next()?.strip_suffix("_value").map(str::to_owned)
    });
    let kind = kind.unwrap_or_else(|| panic!("no function in {prompt}"));
    let right = 6 + kind.len();
    // A repair is asked for in one go.
    if request.tools.is_empty() {
        let path = between(&prompt, "Write `", "` anew").unwrap_or("tests/test_other.py");
        return Say::text(match kind.as_str() {
            "repaired" => {
                assert!(prompt.contains("They fail after the change"), "{prompt}");
                format!("A wrong number.\n\n````python {path}\n{}````\n", tests(&kind, right))
            }
            _ => "I have nothing to say.".to_owned(),
        })
        .into();
    }
    let path = between(&prompt, "Leave exactly one new file, `", "`").expect("a path");
    let turn = request.messages.iter().filter(|message| message.role == Role::Assistant).count();
    seen.lock().expect("a lock").insert(kind.clone(), observed(request));
    let bash = |command: String| Say::call("bash", json!({ "command": command }).to_string());
    let create = |path: &str, text: String| {
        let arguments = json!({ "command": "create", "path": path, "file_text": text });
        Say::call("edit", arguments.to_string())
    };
    match (turn, kind.as_str()) {
        (0, "edited") => create(path, tests(&kind, right)),
        // Also something that is thrown away.
        (0, "shell") => bash(format!(
            "echo '# seen' >> README.md && cat > {path} <<'END'\n{}END",
            tests(&kind, right)
        )),
        (0, "repaired") => create(path, tests(&kind, right + 1)),
        (0, "elsewhere") => create("/tmp/test_value.py", tests(&kind, right)),
        // The change is in the tree, and the tests can be run there. How long it takes is
        // different every time, and no cassette would know what comes after it.
        (1, "edited" | "shell") => {
            bash(format!("python -m pytest -q {path} 2>&1 | sed -n 's/ in .*//p'"))
        }
        _ => Say::call("submit", "{}"),
    }
    .into()
}

fn curate(palestra: &Palestra, repo: &str, out: &std::path::Path, more: &[&str]) -> Ran {
    let out = out.to_string_lossy();
    let all = ["curate", repo, "--name", "a/calc", "--out", &out, "--synth", "tests"];
    let agent = ["--tests-by", "editor", "--no-commits", "--json", "--jobs", "2"];
    palestra.run(&[&all[..], &agent, &["-m", "some-model"], more].concat())
}

#[test]
fn an_agent_writes_the_tests() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let repository = repository(&palestra);
    let repo = repository.path.to_string_lossy();
    let seen = Seen::default();
    let known = Arc::clone(&seen);
    let server =
        ScriptedServer::start(move |r: &Request| script(&known, r), ScriptedOptions::default());
    let server = server.expect("a server");
    let cassette = palestra.dir().join("cassette.jsonl");
    let cassette = cassette.to_string_lossy();
    let url = server.url();
    let out = palestra.dir().join("out");
    let ran = curate(&palestra, &repo, &out, &["--base-url", &url, "--record", &cassette]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let want: BTreeMap<String, String> =
        KINDS.iter().map(|(kind, end)| ((*kind).to_owned(), (*end).to_owned())).collect();
    assert_eq!(super::written::outcomes(&out), want, "{ran:?}");
    // What the agent ran passed, in a tree that has the change.
    let seen = seen.lock().expect("a lock").clone();
    for kind in ["edited", "shell"] {
        let last = seen[kind].last().expect("a result");
        assert!(last.contains("1 passed"), "{kind}: {last}");
    }
    let ledger = std::fs::read_to_string(out.join(".palestra/synth.jsonl")).expect("a ledger");
    for word in ["\"stage\":\"tests_agent\"", "\"reason\":\"no_file\""] {
        assert!(ledger.contains(word), "{word}: {ledger}");
    }

    let made = tasks(&out);
    assert_eq!(made.len(), 3);
    for task in &made {
        let form = std::fs::read(task.join("tests/task.json")).expect("a file");
        let form: Value = serde_json::from_slice(&form).expect("JSON");
        let form = &form["task"];
        assert_eq!(form["synthesis"]["kind"], "tests", "{form}");
        assert_eq!(form["synthesis"]["by"][0], "editor@1", "{form}");
        // The new one, and the nearest that was there.
        assert_eq!(form["test_files"].as_array().map(Vec::len), Some(2), "{form}");
        assert_eq!(form["fail_to_pass"].as_array().map(Vec::len), Some(1), "{form}");
        let gold = std::fs::read_to_string(task.join("solution/gold.patch")).expect("a file");
        assert!(!gold.contains("README") && !gold.contains("test_"), "{gold}");
    }
    let ran = palestra.run(&["gate", &out.to_string_lossy(), "--rerun", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!((&report["gold_resolved"], &report["empty_resolved"]), (&3.into(), &0.into()));
    drop(server);

    // Another machine, with the cassette alone: the same bytes.
    let other = Palestra::new();
    let second = other.dir().join("second");
    let ran = curate(&other, &repo, &second, &["--replay", &cassette]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(contents(&out), contents(&second), "from the cassette");
}
