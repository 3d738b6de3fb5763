//! Jobs on disk as `palestra run` writes them, made here of invented attempts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use palestra_export::{Card, ExportRequest, Result, Target, export};
use palestra_model::{
    Answer, Effort, Finish, Message, Reply, Request, Role, Tokens, Tool, ToolCall, Usage,
};
use palestra_trace::Recorder;
use serde_json::{Value, json};
use tempfile::TempDir;

/// An invented attempt.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) name: String,
    pub(crate) task: String,
    pub(crate) resolved: Option<bool>,
    /// Calls of the model, the last one included that submits.
    pub(crate) calls: usize,
    /// Stands in what the model says, so that attempts differ.
    pub(crate) word: String,
    pub(crate) exit: &'static str,
    pub(crate) failure: Option<&'static str>,
    pub(crate) tampering: bool,
    pub(crate) tokens: bool,
}

impl Attempt {
    pub(crate) fn new(task: &str, number: usize, resolved: bool) -> Self {
        Self {
            name: format!("{task}__{number}"),
            task: task.to_owned(),
            resolved: Some(resolved),
            calls: 3,
            word: format!("attempt {number}"),
            exit: "submitted",
            failure: None,
            tampering: false,
            tokens: true,
        }
    }
}

pub(crate) fn tools() -> Arc<[Tool]> {
    let tool = |name: &str, parameters: Value| Tool {
        name: name.to_owned(),
        description: format!("Runs {name} <here> & \"now\"."),
        parameters,
    };
    Arc::from([
        tool(
            "bash",
            json!({"type": "object", "properties": {"command": {"type": "string"}},
                   "required": ["command"]}),
        ),
        tool(
            "edit",
            json!({"type": "object", "properties": {"path": {"type": "string"},
                   "line": {"type": "integer"}, "text": {"type": "string"}}}),
        ),
    ])
}

fn call(id: &str, name: &str, arguments: &Value) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_string() }
}

/// What the model says in a turn.
fn said(attempt: &Attempt, turn: usize) -> Message {
    let id = |n: usize| format!("call_{turn}_{n}");
    let word = &attempt.word;
    let bash = json!({"command": format!("grep -rn 'ü {word}' src | head -{turn}")});
    let edit = json!({"path": "src/a.py", "line": turn, "text": format!("x = \"{word}\"\n")});
    if turn + 1 == attempt.calls {
        return Message::assistant(format!("Done: {word}."));
    }
    if turn == 0 {
        return Message {
            reasoning: Some(format!("First I look, {word}.")),
            tool_calls: vec![call(&id(0), "bash", &bash), call(&id(1), "edit", &edit)],
            ..Message::assistant("Let me look.")
        };
    }
    Message { tool_calls: vec![call(&id(0), "edit", &edit)], ..Message::assistant("") }
}

/// What comes back: the second call of a turn fails.
fn results(message: &Message) -> Vec<Message> {
    let result = |(at, call): (usize, &ToolCall)| {
        let mut result = Message::tool(&call.id, format!("output of {}\nline two <b>", call.name));
        if at > 0 {
            result.extra.insert("is_error".to_owned(), true.into());
        }
        result
    };
    message.tool_calls.iter().enumerate().map(result).collect()
}

/// The conversation of an attempt as it should come out.
pub(crate) fn talk(attempt: &Attempt) -> Vec<Message> {
    let mut talk = vec![
        Message::system("You are an engineer."),
        Message::user(format!("Solve {}: it breaks — badly.", attempt.task)),
    ];
    for turn in 0..attempt.calls {
        let message = said(attempt, turn);
        let more = results(&message);
        talk.push(message);
        talk.extend(more);
    }
    talk
}

fn ids(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

fn record(attempt: &Attempt, path: &Path) {
    let mut recorder = Recorder::open(path).expect("a trace");
    let talk = talk(attempt);
    let mut known: Vec<u32> = Vec::new();
    let mut messages: Vec<Arc<Message>> = Vec::new();
    let mut time = 0.0;
    for message in talk {
        if message.role != Role::Assistant {
            known.extend(ids(&format!("<{:?}>", message.content_text())));
            messages.push(Arc::new(message));
            continue;
        }
        let mut request = Request::new("some-model", messages.clone());
        request.tools = tools();
        let completion = ids(&format!("[{}{}]", message.content_text(), message.tool_calls.len()));
        let logprobs = completion.iter().map(|id| -f64::from(*id) / 7.0).collect();
        let tokens = Tokens { prompt: known.clone(), completion: completion.clone(), logprobs };
        known.extend(completion);
        let reply = Reply {
            id: "r".to_owned(),
            model: "some-model".to_owned(),
            message: message.clone(),
            finish: Finish::Stop,
            usage: Usage { prompt: 10, completion: 5, ..Usage::default() },
            tokens: attempt.tokens.then_some(tokens),
            logprobs: None,
        };
        let effort = Effort { tries: 1, ..Effort::default() };
        let answer = Answer { reply, effort, sent: Arc::from([]), received: Arc::from([]) };
        time += 1.0;
        recorder.record(&request, &answer, time).expect("recorded");
        messages.push(Arc::new(message));
    }
}

pub(crate) fn put(path: &Path, value: &Value) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, serde_json::to_vec_pretty(value).expect("JSON")).expect("written");
}

/// Writes an attempt below a job.
pub(crate) fn write(job: &Path, attempt: &Attempt) -> PathBuf {
    let dir = job.join(&attempt.name);
    let verdict = match attempt.resolved {
        Some(true) => json!({"verdict": "resolved"}),
        Some(false) => json!({"verdict": "unresolved", "reason": "1 of 2"}),
        None => Value::Null,
    };
    let tampering = if attempt.tampering { json!(["strong: edits tests"]) } else { json!([]) };
    put(
        &dir.join("attempt.json"),
        &json!({
            "trial": attempt.name, "instance_id": attempt.task, "variant": 0, "attempt": 1, "tries": 1,
            "exit": if attempt.failure.is_some() { Value::Null } else { attempt.exit.into() },
            "failure": attempt.failure.map(|kind| json!({"kind": kind, "message": "it broke"})),
            "verdict": verdict, "tampering": tampering, "steps": attempt.calls,
            "usage": {"prompt": 30, "completion": 15}, "model_retries": 0,
            "seconds": {"agent": 2.5}, "patch_bytes": 0, "left_out": 0, "layers": [],
            "agent": {"name": "editor"}, "started_at": "2026-01-01T00:00:00Z",
            "ran_at": "2026-01-01T00:00:01Z", "finished_at": "2026-01-01T00:00:02Z",
        }),
    );
    put(
        &dir.join("config.json"),
        &json!({
            "task": {"path": "/nowhere"}, "trial_name": attempt.name, "trials_dir": "x",
            "agent": {"name": "editor", "model_name": "some-model"}, "job_id": "j",
        }),
    );
    let patch = dir.join("artifacts/patch.diff");
    std::fs::create_dir_all(patch.parent().expect("a parent")).expect("a directory");
    let text = format!(
        "diff --git a/src/a.py b/src/a.py\n--- a/src/a.py\n+++ b/src/a.py\n\
                        @@ -1 +1 @@\n-x\n+{}\n",
        attempt.word
    );
    std::fs::write(patch, text).expect("written");
    std::fs::create_dir_all(dir.join("agent")).expect("a directory");
    record(attempt, &dir.join("agent/trace.jsonl"));
    dir
}

/// A job with attempts at some tasks.
pub(crate) struct Job {
    pub(crate) dir: TempDir,
}

impl Job {
    pub(crate) fn new(attempts: &[Attempt]) -> Self {
        let dir = TempDir::new().expect("a directory");
        let job = Self { dir };
        for attempt in attempts {
            write(&job.path(), attempt);
        }
        job
    }

    /// Tasks with two successes and two failures each.
    pub(crate) fn mixed(tasks: &[&str]) -> Self {
        let mut all = Vec::new();
        for task in tasks {
            for number in 1..=4 {
                let mut attempt = Attempt::new(task, number, number <= 2);
                attempt.calls = 2 + number % 3;
                all.push(attempt);
            }
        }
        Self::new(&all)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("jobs/job")
    }

    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }

    pub(crate) fn export(&self, request: &ExportRequest) -> Result<Card> {
        let out = self.out(&request.name);
        export(&[self.path()], request, &out, &mut |_| {})
    }
}

pub(crate) const TASKS: [&str; 3] = ["a__b-1", "a__b-2", "c__d-0123456789ab"];

pub(crate) fn request(name: &str, target: Target) -> ExportRequest {
    ExportRequest::new(name, target)
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[expect(clippy::print_stderr, reason = "tests say what they leave out")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// The Python that a variable names, if it can import what is needed.
pub(crate) fn python(variable: &str, modules: &str) -> Option<PathBuf> {
    let Some(python) = std::env::var_os(variable) else {
        skip(&format!("{variable} names no Python"));
        return None;
    };
    let found = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        skip(&format!("the Python that {variable} names has not all of {modules}"));
        return None;
    }
    Some(PathBuf::from(python))
}

/// Runs a script offline and gives what it printed.
pub(crate) fn run(python: &Path, script: &str, arguments: &[&Path]) -> String {
    let cache = TempDir::new().expect("a directory");
    let output = Command::new(python)
        .arg("-c")
        .arg(script)
        .args(arguments)
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", cache.path())
        .env("CUDA_VISIBLE_DEVICES", "")
        .env("DISABLE_VERSION_CHECK", "1")
        .output()
        .expect("python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Says what was seen.
#[expect(clippy::print_stderr, reason = "tests say what they compared")]
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}
