//! What models do wrong, and servers.

use std::sync::Arc;

use palestra_agent::{AgentError, Exit, Source};
use palestra_model::{Finish, ModelError, Role};
use serde_json::{Value, json};

use crate::common::{
    Scripted, calls, named, observations, paired, patch, raw_calls, run, said, sandbox, stage,
};

#[test]
fn wrong_calls_are_told_and_never_carried_out() {
    let model = Scripted::saying([
        raw_calls(&[
            ("shell", r#"{"command": "touch /testbed/bad"}"#),
            ("bash", r#"{"command": "touch /testbed/bad""#),
            ("bash", r#"["touch /testbed/bad"]"#),
            ("bash", r#"{"cmd": "touch /testbed/bad"}"#),
            ("bash", r#"{"command": ["touch", "/testbed/bad"]}"#),
            ("bash", r#"{}"#),
            ("bash", ""),
            ("edit", r#"{"command": "delete", "path": "calc.py"}"#),
            ("edit", r#"{"command": "create", "path": "bad"}"#),
            ("bash", r#"{"command": "echo fine"}"#),
        ]),
        calls(&[("submit", json!({})), ("bash", json!({"command": "touch /testbed/bad"}))]),
    ]);
    let agent = named("editor", json!({}));
    let mut live = agent.start(stage(model.clone(), sandbox())).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::Submitted);
    let shown = observations(&records);
    let expected = [
        "ERROR: there is no tool `shell`; there is `bash`, `edit`, `search`, `submit`",
        "ERROR: the arguments are not valid JSON: EOF while parsing an object at line 1 column 32",
        "ERROR: the arguments are not a JSON object",
        "ERROR: the tool `bash` has no parameter `cmd`; it takes `command`, `timeout`",
        "ERROR: the parameter `command` of `bash` must be a string",
        "ERROR: the tool `bash` needs the parameter `command`",
        "ERROR: the tool `bash` needs the parameter `command`",
        "ERROR: the parameter `command` of `edit` must be one of \"view\", \"create\", \"str_replace\", \"insert\", \"undo_edit\"",
        "ERROR: the command `create` needs the parameter `file_text`",
        "fine\n",
        "submitted",
        "ERROR: not carried out: the work was submitted before",
    ];
    assert_eq!(shown, expected);
    assert_eq!(patch(live.sandbox()), "");
    assert!(paired(&live.messages()));
    assert!(records[2].actions[..9].iter().all(|action| action.failed));
    assert!(!records[2].actions[9].failed);
    let results: Vec<_> = live
        .messages()
        .iter()
        .filter(|one| one.role == Role::Tool)
        .map(|one| one.extra.get("is_error").cloned())
        .collect();
    assert_eq!(results[8..10], [Some(json!(true)), None]);
}

#[test]
fn replies_without_an_action_end_an_attempt() {
    for (agent, options) in
        [("editor", json!({})), ("editor", json!({"format": "text"})), ("mini", json!({}))]
    {
        let model = Scripted::saying([said(""), said("\n \n"), said("x".repeat(2 << 20))]);
        let agent = named(agent, options);
        let mut live = agent.start(stage(model.clone(), sandbox())).unwrap();
        let (records, exit) = run(&mut *live);
        assert_eq!(exit, Exit::NoAction);
        let asked = model.asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        // Two hints were given, and both are in the record.
        let hints = records.iter().skip(2).filter(|record| record.source == Source::User);
        assert_eq!(hints.count(), 2);
        assert_eq!(records.last().unwrap().message.content_text().len(), 2 << 20);
    }
    // Wrong calls are no actions either, but one that works begins the count anew.
    let wrong = || calls(&[("nothing", json!({}))]);
    let fine = || calls(&[("bash", json!({"command": "date +%N"}))]);
    let model = Scripted::saying([
        wrong(),
        said("?"),
        fine(),
        wrong(),
        wrong(),
        fine(),
        said(""),
        wrong(),
        wrong(),
    ]);
    let mut live = named("editor", json!({})).start(stage(model.clone(), sandbox())).unwrap();
    assert_eq!(run(&mut *live).1, Exit::NoAction);
    assert_eq!(model.asked.lock().unwrap().len(), 9);
}

#[test]
fn a_model_that_loops_is_stopped() {
    let same = || calls(&[("bash", json!({"command": "echo same"}))]);
    let model = Scripted::new(move |_| Ok(same()));
    let mut live = named("editor", json!({})).start(stage(model.clone(), sandbox())).unwrap();
    assert_eq!(run(&mut *live).1, Exit::Loop);
    assert_eq!(model.asked.lock().unwrap().len(), 5);
    // The same action with other observations is none.
    let other = || calls(&[("bash", json!({"command": "date +%N"}))]);
    let model = Scripted::new(move |_| Ok(other()));
    let mut stage = stage(model.clone(), sandbox());
    stage.limits.steps = 8;
    let mut live = named("editor", json!({})).start(stage).unwrap();
    assert_eq!(run(&mut *live).1, Exit::StepLimit);
}

#[test]
fn a_reply_that_was_cut_off_is_not_carried_out() {
    let mut text = said("<function=bash>\n<parameter=command>touch /testbed/bad</parameter>");
    text.finish = Finish::Length;
    let mut native = raw_calls(&[("bash", r#"{"command": "touch /tes"#)]);
    native.finish = Finish::Length;
    for (format, reply) in [("text", text), ("native", native)] {
        let model = Scripted::saying([reply]);
        let agent = named("editor", json!({"format": format}));
        let mut live = agent.start(stage(model, sandbox())).unwrap();
        let (records, _) = run(&mut *live);
        let told = match format {
            "text" => records[3].message.content_text(),
            _ => observations(&records).remove(0),
        };
        assert!(told.contains("cut off"), "{told}");
        assert_eq!(patch(live.sandbox()), "");
    }
}

#[test]
fn servers_end_attempts_in_their_own_ways() {
    let failing = |error: fn() -> ModelError| Scripted::new(move |_| Err(error()));
    let start = |model: Arc<Scripted>| named("editor", json!({})).start(stage(model, sandbox()));
    let long = failing(|| ModelError::ContextTooLong { detail: "9 > 8".to_owned() });
    let progress = start(long).unwrap().step().unwrap();
    assert_eq!((progress.exit, progress.records.len()), (Some(Exit::ContextLimit), 2));
    let mut refusal = said("I will not.");
    refusal.finish = Finish::Refused;
    let progress = start(Scripted::saying([refusal])).unwrap().step().unwrap();
    assert_eq!((progress.exit, progress.records.len()), (Some(Exit::Refused), 3));
    let broken = failing(|| ModelError::Garbage { server: "s".into(), detail: "d".into() });
    assert!(matches!(start(broken).unwrap().step(), Err(AgentError::Model(_))));
    let cancelled = failing(|| ModelError::Cancelled);
    assert!(matches!(start(cancelled).unwrap().step(), Err(AgentError::Cancelled)));
}

#[test]
fn the_editor_refuses_what_it_cannot_do_exactly() {
    let edit = |arguments: Value| calls(&[("edit", arguments)]);
    let replace = |path: &str, old: &str, new: &str| {
        edit(json!({"command": "str_replace", "path": path, "old_str": old, "new_str": new}))
    };
    let cases = [
        (replace("none.py", "a", "b"), "there is no /testbed/none.py"),
        (replace("docs", "a", "b"), "/testbed/docs is a directory"),
        (replace("calc.py", "return a", "b"), "more than once, at lines 2, 6"),
        (
            replace("calc.py", "\treturn a - b", "x"),
            "(at line 2 is a text that differs from it only in white space",
        ),
        (
            replace("calc.py", "nowhere", "x"),
            "old_str is not in /testbed/calc.py; nothing was changed",
        ),
        (
            replace("crlf.txt", "one\ntwo", "x"),
            "(it would be at line 1 if its lines ended with \\r\\n",
        ),
        (replace("calc.py", "", "x"), "old_str is empty"),
        (replace("calc.py", "add", "add"), "are the same"),
        (
            edit(json!({"command": "create", "path": "calc.py", "file_text": "x"})),
            "is there already",
        ),
        (edit(json!({"command": "view", "path": "data.bin"})), "not a text file"),
        (
            edit(json!({"command": "view", "path": "calc.py", "view_range": [5, 4]})),
            "no such line or range",
        ),
        (
            edit(json!({"command": "view", "path": "calc.py", "view_range": [0, 4]})),
            "no such line or range",
        ),
        (
            edit(json!({"command": "view", "path": "calc.py", "view_range": [1]})),
            "no such line or range",
        ),
        (
            edit(json!({"command": "insert", "path": "calc.py", "insert_line": 7, "new_str": "x"})),
            "insert_line is 0 to 6",
        ),
        (
            edit(
                json!({"command": "insert", "path": "calc.py", "insert_line": -1, "new_str": "x"}),
            ),
            "insert_line is 0 to 6",
        ),
        (
            edit(json!({"command": "undo_edit", "path": "calc.py"})),
            "no edit of /testbed/calc.py is left",
        ),
        (edit(json!({"command": "view", "path": "/dev/null"})), "no regular file"),
        (edit(json!({"command": "view", "path": "/proc/1/mem"})), "/proc/1/mem"),
    ];
    let (replies, wanted): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let model = Scripted::saying(replies);
    let mut live = named("editor", json!({})).start(stage(model, sandbox())).unwrap();
    for wanted in wanted {
        let progress = live.step().unwrap();
        let action = &progress.records.last().unwrap().actions[0];
        assert!(
            action.failed && action.observation.contains(wanted),
            "{wanted}: {}",
            action.observation
        );
    }
    assert_eq!(patch(live.sandbox()), "");
}
