//! Agents that ask a server: a scripted one, which speaks the real protocol.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer, TokenIds};
use palestra_model::{Request, Role};
use serde_json::{Value, json};

use super::{Gym, attempts, harbor_reads};

/// What the server knows: the fix of every task, by the task's statement.
pub(crate) struct Fixes(BTreeMap<String, (String, String)>);

impl Fixes {
    pub(crate) fn of(gym: &Gym) -> Self {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(&gym.tasks).expect("tasks").flatten() {
            let read = |name: &str| std::fs::read_to_string(entry.path().join(name));
            let (Ok(statement), Ok(gold)) = (read("instruction.md"), read("solution/gold.patch"))
            else {
                continue;
            };
            let id = entry.file_name().to_string_lossy().into_owned();
            all.insert(statement.trim().to_owned(), (id, gold));
        }
        Self(all)
    }

    /// Whether the server solves a task: every second one.
    pub(crate) fn solves(&self, id: &str) -> bool {
        let mut ids: Vec<_> = self.0.values().map(|(id, _)| id).collect();
        ids.sort();
        ids.iter().position(|one| *one == id).expect("a task") % 2 == 0
    }

    /// The commands with which a task is solved, or not.
    pub(crate) fn commands(&self, request: &Request) -> Vec<String> {
        let said: String = request
            .messages
            .iter()
            .filter(|message| message.role == Role::User)
            .map(|message| message.content_text())
            .collect();
        let found = self.0.iter().find(|(statement, _)| said.contains(statement.as_str()));
        let (_, (id, gold)) = found.expect("a statement that is known");
        let fix = format!("cd /testbed && git apply <<'END_OF_PATCH'\n{gold}\nEND_OF_PATCH");
        let vain = "cd /testbed && echo '# seen' >> README.md".to_owned();
        vec![
            "cd /testbed && git log --oneline && git status --short".to_owned(),
            if self.solves(id) { fix } else { vain },
        ]
    }
}

/// How many times the model has spoken.
pub(crate) fn turn(request: &Request) -> usize {
    request.messages.iter().filter(|message| message.role == Role::Assistant).count()
}

fn native(fixes: &Fixes, request: &Request) -> Scripted {
    let commands = fixes.commands(request);
    let tool = |name: &str| request.tools.iter().find(|tool| tool.name == name);
    match commands.get(turn(request)) {
        Some(command) => {
            let name = ["bash", "execute_bash"].into_iter().find(|name| tool(name).is_some());
            let name = name.expect("a shell");
            let parameter = tool(name).expect("a shell").parameters["properties"]
                .as_object()
                .and_then(|all| all.keys().find(|key| ["command", "cmd"].contains(&key.as_str())))
                .expect("a parameter")
                .clone();
            Say::call(name, json!({ parameter: command }).to_string())
                .thinking("Let me see.")
                .into()
        }
        None => {
            let name = ["submit", "finish"].into_iter().find(|name| tool(name).is_some());
            Say::call(name.expect("an end"), "{}").into()
        }
    }
}

fn check(gym: &Gym, fixes: &Fixes, name: &str) {
    for (trial, record) in attempts(&gym.job(name)) {
        let id = record["instance_id"].as_str().expect("an id");
        let want = if fixes.solves(id) { "resolved" } else { "unresolved" };
        assert_eq!(record["verdict"]["verdict"], want, "{trial}: {record}");
        assert_eq!(record["exit"], "submitted", "{trial}: {record}");
    }
    harbor_reads(&gym.job(name));
    assert_eq!(gym.sandboxes(), 0);
}

#[test]
fn native_tools_and_tokens() {
    let Some(gym) = Gym::open() else { return };
    let fixes = Arc::new(Fixes::of(&gym));
    let known = Arc::clone(&fixes);
    let options = ScriptedOptions {
        tokens: TokenIds::Exact,
        key: Some("sk-very-secret".to_owned()),
        ..ScriptedOptions::default()
    };
    let server = ScriptedServer::start(move |r: &Request| native(&known, r), options);
    let server = server.expect("a server");
    let url = server.url();
    for api in ["chat", "responses", "anthropic"] {
        let name = format!("editor-{api}");
        let more = ["-a", "editor", "-m", "some-model", "--base-url", &url, "--api", api];
        let mut command = gym.command(&name, &more);
        command.args(["--key-env", "MY_KEY", "-n", "4", "--token-ids", "--logprobs", "--stream"]);
        let output = command.env("MY_KEY", "sk-very-secret").output().expect("palestra runs");
        assert!(output.status.success(), "{output:?}");
        check(&gym, &fixes, &name);
        // The key is nowhere.
        for file in walk(&gym.job(&name)) {
            let bytes = std::fs::read(&file).expect("a file");
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("sk-very-secret"), "{}", file.display());
        }
        if api == "chat" {
            tokens(&gym, &name);
        }
    }
    // A wrong key stops the job before it has wasted anything.
    let mut command = gym.command("wrong-key", &["-a", "editor", "-m", "m", "--base-url", &url]);
    let output = command.env("OPENAI_API_KEY", "sk-wrong-one").output().expect("palestra runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("refuses the key") && !text.contains("sk-wrong-one"), "{text}");
    assert!(attempts(&gym.job("wrong-key")).is_empty());
}

/// Prompt and completion ids of an attempt form one chain.
fn tokens(gym: &Gym, name: &str) {
    for trial in attempts(&gym.job(name)).keys() {
        let path = gym.job(name).join(trial).join("agent/trajectory.json");
        let text = std::fs::read(path).expect("a trajectory");
        let trajectory: Value = serde_json::from_slice(&text).expect("a trajectory");
        let counts = &trajectory["extra"]["trace"];
        assert_eq!(counts["calls"], 3, "{counts}");
        assert_eq!(counts["branches_tokens"], 0, "{counts}");
        assert_eq!(counts["missing_tokens"], 0, "{counts}");
        let read = palestra_trace::read(&gym.job(name).join(trial).join("agent/trace.jsonl"));
        let samples = read.expect("a trace").graph.branches();
        assert_eq!(samples.len(), 1);
        assert!(samples[0].complete());
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn a_server_in_trouble_is_no_failure_of_the_agent() {
    let Some(gym) = Gym::open() else { return };
    let fixes = Arc::new(Fixes::of(&gym));
    let known = Arc::clone(&fixes);
    let calls = AtomicU32::new(0);
    let script = move |request: &Request| match calls.fetch_add(1, Ordering::Relaxed) % 5 {
        0 => Scripted::Status {
            status: 429,
            body: "{}".to_owned(),
            retry_after: Some("0".to_owned()),
        },
        1 => Scripted::Status { status: 500, body: "oh".to_owned(), retry_after: None },
        _ => native(&known, request),
    };
    let server = ScriptedServer::start(script, ScriptedOptions::default()).expect("a server");
    let more = ["-a", "editor", "-m", "m", "--base-url", &server.url(), "-n", "4"];
    let report = gym.report("j", &more);
    assert_eq!(report["variants"][0]["invalid"], 0, "{report}");
    check(&gym, &fixes, "j");
    // One that says nothing but no at all.
    let script = |_: &Request| Scripted::Status {
        status: 400,
        body: "{\"error\":{\"message\":\"no such model\"}}".to_owned(),
        retry_after: None,
    };
    let server = ScriptedServer::start(script, ScriptedOptions::default()).expect("a server");
    let more = ["-a", "editor", "-m", "m", "--base-url", &server.url(), "-l", "2"];
    let report = gym.report("no", &more);
    let variant = &report["variants"][0];
    assert_eq!((&variant["invalid"], &variant["resolved"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(variant["exits"]["model_rejected"], 2, "{report}");
    harbor_reads(&gym.job("no"));
}

#[test]
fn attempts_fork_and_share_what_was_before() {
    let Some(gym) = Gym::open() else { return };
    let fixes = Arc::new(Fixes::of(&gym));
    let known = Arc::clone(&fixes);
    let latency = Duration::from_millis(2);
    let options = ScriptedOptions { latency, ..ScriptedOptions::default() };
    let server = ScriptedServer::start(move |r: &Request| native(&known, r), options);
    let server = server.expect("a server");
    let more =
        ["-a", "editor", "-m", "m", "--base-url", &server.url(), "--branch-at", "2:3", "-l", "2"];
    let report = gym.report("j", &more);
    assert_eq!(report["over"], 6, "{report}");
    check(&gym, &fixes, "j");
    // Two calls of the stem, and then one of each branch.
    assert_eq!(server.requests(), 2 * (2 + 3));
    for (trial, record) in attempts(&gym.job("j")) {
        assert_eq!(record["forked"]["at"], 2, "{trial}");
        assert_eq!(record["steps"], 3, "{trial}");
    }
}

#[test]
fn an_agent_that_never_submits_is_stopped_and_graded() {
    let Some(gym) = Gym::open() else { return };
    let count = AtomicU32::new(0);
    let script = move |_: &Request| -> Scripted {
        let n = count.fetch_add(1, Ordering::Relaxed);
        Say::call("bash", json!({"command": format!("echo {n}")}).to_string()).into()
    };
    let server = ScriptedServer::start(script, ScriptedOptions::default()).expect("a server");
    let more =
        ["-a", "editor", "-m", "m", "--base-url", &server.url(), "-l", "1", "--max-steps", "7"];
    let report = gym.report("j", &more);
    let variant = &report["variants"][0];
    assert_eq!((&variant["unresolved"], &variant["steps"]), (&json!(1), &json!(7)), "{report}");
    assert_eq!(variant["exits"]["step_limit"], 1, "{report}");
}

#[test]
fn a_cassette_gives_the_same_without_a_server() {
    let Some(gym) = Gym::open() else { return };
    let fixes = Arc::new(Fixes::of(&gym));
    let known = Arc::clone(&fixes);
    let options = ScriptedOptions::default();
    let server = ScriptedServer::start(move |r: &Request| native(&known, r), options);
    let server = server.expect("a server");
    let tape = gym.palestra.dir().join("tape.jsonl").to_string_lossy().into_owned();
    let url = server.url();
    let more = ["-a", "editor", "-m", "m", "--base-url", &url, "-l", "2", "--record", &tape];
    gym.report("recorded", &more);
    drop(server);
    gym.report("replayed", &["-a", "editor", "-m", "m", "-l", "2", "--replay", &tape]);
    let patches = |name: &str| -> Vec<Value> {
        attempts(&gym.job(name)).values().map(|one| one["patch"].clone()).collect()
    };
    assert_eq!(patches("recorded"), patches("replayed"));
    check(&gym, &fixes, "replayed");
    // And so does what an attempt said, through the same tools.
    let from = format!("from={}", gym.job("recorded").display());
    gym.report("again", &["-a", "replay", "--ak", &from, "-l", "2"]);
    assert_eq!(patches("recorded"), patches("again"));
    check(&gym, &fixes, "again");
}
