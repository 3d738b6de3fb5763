//! What the tests share: a host, a small repository, and models that follow a script.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use palestra_agent::{
    Agent, Aid, Assignment, ContextPolicy, Exit, Limits, Live, Record, Stage, agent,
};
use palestra_model::{
    Answer, CallOptions, Effort, Finish, Message, Model, ModelError, Reply, Request, Role,
    Sampling, ToolCall, Usage,
};
use palestra_sandbox::{
    DiffOptions, Exec, Host, HostConfig, Sandbox, SandboxSpec, Store, Writable,
};
use serde_json::{Value, json};

/// One host for all tests.
pub(crate) fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        // Always the same, since nothing drops it: each run removes what the one before left.
        let state = std::env::temp_dir().join("palestra-agent-tests");
        Host::start(&HostConfig::new(state)).unwrap()
    })
}

/// The small repository, as a layer; with a file of CRLF lines, a binary one and a script.
pub(crate) fn repository() -> &'static PathBuf {
    static LAYER: OnceLock<PathBuf> = OnceLock::new();
    LAYER.get_or_init(|| {
        let store = Store::open(std::env::temp_dir().join("palestra-agent-tests-store")).unwrap();
        let files: [(&str, bool, &[u8]); 7] = [
            (
                "calc.py",
                false,
                b"def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n",
            ),
            ("docs/README.md", false, b"# calc\n"),
            (
                "tests/test_calc.py",
                false,
                b"from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
            ),
            ("crlf.txt", false, b"one\r\ntwo\r\nno end"),
            ("data.bin", false, b"\x7fELF\0\0\x01"),
            ("latin.txt", false, b"caf\xe9\nend\n"),
            ("run.sh", true, b"#!/bin/sh\necho old\n"),
        ];
        store
            .build_layer("repository-1", |layer| {
                for (path, executable, bytes) in files {
                    let key = format!("agent tests 1 {path}");
                    let path = format!("testbed/{path}");
                    layer.file(&path, executable, &key, || Ok(bytes.to_vec()))?;
                }
                layer.symlink("testbed/link.py", "calc.py")
            })
            .unwrap()
    })
}

/// A sandbox with a small repository in `/testbed`.
pub(crate) fn sandbox() -> Sandbox {
    let writable = Writable::Tmpfs { bytes: 256 << 20 };
    let layers = vec![repository().clone()];
    host().create(&SandboxSpec { layers, writable, ..SandboxSpec::default() }).unwrap()
}

/// Whether the base of the sandboxes has Python.
pub(crate) fn python() -> bool {
    PathBuf::from("/usr/bin/python3").exists()
}

/// Says why a test proves nothing here.
#[expect(clippy::print_stderr, reason = "the only way for a test to say so")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

pub(crate) fn sh(sandbox: &Sandbox, script: &str) -> String {
    let result = sandbox.exec(&Exec::new(["sh", "-c", script]).cwd("/testbed")).unwrap();
    assert!(result.outcome.success(), "{script}: {result:?}");
    result.stdout.text()
}

/// The content of a file, byte for byte.
pub(crate) fn read(sandbox: &Sandbox, path: &str) -> Vec<u8> {
    sandbox.read(PathBuf::from("/testbed").join(path), 64 << 20).unwrap().unwrap()
}

/// Everything that was changed in the repository, as a patch.
pub(crate) fn patch(sandbox: &Sandbox) -> String {
    let options = DiffOptions {
        top: "/testbed".into(),
        exclude: Vec::new(),
        bounds: palestra_sandbox::Bounds::default(),
    };
    String::from_utf8(sandbox.diff(&options).unwrap()).unwrap()
}

type Script = dyn FnMut(&Request) -> Result<Reply, ModelError> + Send;

/// A model that does what a closure says.
pub(crate) struct Scripted {
    script: Mutex<Box<Script>>,
    /// What was asked.
    pub(crate) asked: Mutex<Vec<Request>>,
}

impl Scripted {
    pub(crate) fn new(
        script: impl FnMut(&Request) -> Result<Reply, ModelError> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(Box::new(script)), asked: Mutex::default() })
    }

    /// Says these, one after the other, and then nothing.
    pub(crate) fn saying(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        let mut replies: VecDeque<_> = replies.into_iter().collect();
        Self::new(move |_| {
            Ok(replies.pop_front().unwrap_or_else(|| said("I have no more to say.")))
        })
    }
}

impl Model for Scripted {
    fn call(&self, request: &Request, _: &CallOptions) -> Result<Answer, ModelError> {
        self.asked.lock().unwrap().push(request.clone());
        let reply = (self.script.lock().unwrap())(request)?;
        let effort = Effort { tries: 1, seconds: 0.5, waited: 9.0, cost: Some(0.01) };
        Ok(Answer { reply, effort, sent: Arc::from(*b"{}"), received: Arc::from(*b"{}") })
    }

    fn server(&self) -> String {
        "script".to_owned()
    }
}

/// A reply of text.
pub(crate) fn said(text: impl Into<String>) -> Reply {
    Reply {
        id: "r".to_owned(),
        model: "script".to_owned(),
        message: Message::assistant(text),
        finish: Finish::Stop,
        usage: Usage { prompt: 100, completion: 10, ..Usage::default() },
        tokens: None,
        logprobs: None,
    }
}

/// A reply with native calls.
pub(crate) fn calls(calls: &[(&str, Value)]) -> Reply {
    let texts: Vec<_> = calls.iter().map(|(tool, value)| (*tool, value.to_string())).collect();
    raw_calls(&texts.iter().map(|(tool, text)| (*tool, text.as_str())).collect::<Vec<_>>())
}

/// A reply with native calls whose arguments are any text.
pub(crate) fn raw_calls(calls: &[(&str, &str)]) -> Reply {
    let mut reply = said("I act.");
    reply.finish = Finish::ToolCalls;
    reply.message.reasoning = Some("  hm \n".to_owned());
    reply.message.extra.insert("signature".to_owned(), json!("s=="));
    reply.message.tool_calls = calls
        .iter()
        .enumerate()
        .map(|(number, (name, arguments))| ToolCall {
            id: format!("c{number}"),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
        })
        .collect();
    reply
}

/// What an attempt is started with.
pub(crate) fn stage(model: Arc<dyn Model>, sandbox: Sandbox) -> Stage {
    Stage {
        sandbox,
        assignment: Arc::new(Assignment {
            id: "tiny-1".to_owned(),
            statement: "`add` subtracts. {{directory}}".to_owned(),
            directory: "/testbed".into(),
            path: vec!["/opt/env/bin".into()],
        }),
        model,
        model_name: "script".to_owned(),
        sampling: Sampling::default(),
        limits: Limits::default(),
        context: ContextPolicy::None,
        session: "s".to_owned(),
        stop: Arc::new(AtomicBool::new(false)),
        aid: Aid::default(),
    }
}

pub(crate) fn named(name: &str, options: Value) -> Arc<dyn Agent> {
    agent(name, options.as_object().unwrap()).unwrap()
}

/// Goes on until the attempt is over.
pub(crate) fn run(live: &mut dyn Live) -> (Vec<Record>, Exit) {
    let mut records = Vec::new();
    for _ in 0..200 {
        let progress = live.step().unwrap();
        records.extend(progress.records);
        if let Some(exit) = progress.exit {
            return (records, exit);
        }
    }
    panic!("it never ended: {records:?}");
}

/// All observations, in order.
pub(crate) fn observations(records: &[Record]) -> Vec<String> {
    records.iter().flat_map(|record| &record.actions).map(|one| one.observation.clone()).collect()
}

/// Whether every native call is answered by just one result, in order.
pub(crate) fn paired(messages: &[Arc<Message>]) -> bool {
    let mut wanted: VecDeque<String> = VecDeque::new();
    for message in messages {
        if message.role == Role::Tool {
            if wanted.pop_front() != message.tool_call_id {
                return false;
            }
        } else if !wanted.is_empty() {
            return false;
        } else {
            wanted = message.tool_calls.iter().map(|call| call.id.clone()).collect();
        }
    }
    wanted.is_empty()
}
