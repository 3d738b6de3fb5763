//! Shells, budgets, contexts, forks, interrupts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use palestra_agent::{AgentError, ContextPolicy, Exit, Limits};
use palestra_model::{Role, Usage};
use serde_json::json;

use crate::common::{
    Scripted, calls, named, observations, paired, patch, read, run, said, sandbox, stage,
};

fn bash(command: &str) -> palestra_model::Reply {
    calls(&[("bash", json!({"command": command}))])
}

#[test]
fn the_shell_stays_stops_and_comes_back() {
    let model = Scripted::saying([
        bash("cd docs; X=1; echo $PAGER $GIT_TERMINAL_PROMPT $TERM"),
        calls(&[(
            "bash",
            json!({"command": "echo before; sleep 100; echo after", "timeout": 0.3}),
        )]),
        bash("pwd; echo $X"),
        bash("exit 7"),
        bash("pwd; echo $X; kill -9 $$"),
        bash("printf 'a\\0b\\377'\nif then"),
        bash("seq 1 100000"),
        bash("true"),
        bash("echo \0"),
        calls(&[("submit", json!({}))]),
    ]);
    let mut stage = stage(model, sandbox());
    stage.limits.observation = 1000;
    let mut live = named("editor", json!({})).start(stage).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::Submitted);
    let shown = observations(&records);
    assert_eq!(shown[0], "cat 0 dumb\n");
    assert!(shown[1].starts_with("before\n[the command was stopped after 0.3 s"), "{}", shown[1]);
    assert_eq!(shown[2], "/testbed/docs\n1\n");
    assert_eq!(shown[3], "[the shell ended; the next command starts a new one]\n[exit status 7]");
    assert!(
        shown[4].starts_with("/testbed\n\n[ended by signal 9]\n[this ran in a new shell"),
        "{}",
        shown[4]
    );
    assert!(
        shown[5].contains("a\u{2400}b\u{fffd}") && shown[5].contains("syntax error"),
        "{}",
        shown[5]
    );
    assert!(
        shown[5].contains(
            "[1 bytes are not UTF-8 and shown as \u{fffd}; 1 NUL bytes are shown as \u{2400}]"
        ),
        "{}",
        shown[5]
    );
    // Half a kilobyte at each end, and what is between is counted.
    assert!(
        shown[6].starts_with("1\n2\n") && shown[6].ends_with("\n99999\n100000\n"),
        "{}",
        shown[6]
    );
    assert!(shown[6].contains("[... 587895 bytes (more than "), "{}", shown[6]);
    assert_eq!(shown[7], "[no output, exit status 0]");
    assert!(shown[8].contains("NUL"), "{}", shown[8]);
    let statuses: Vec<_> =
        records.iter().flat_map(|record| &record.actions).map(|one| one.status).collect();
    assert_eq!(statuses[..5], [Some(0), None, Some(0), Some(7), Some(137)]);
    assert!(records.iter().any(|record| record.tool_seconds >= 0.3));
}

#[test]
fn budgets_are_looked_at_before_each_call() {
    let endless = || Scripted::new(|_| Ok(bash("date +%N")));
    let limits = Limits::default;
    // A call takes 0.5 s, 110 tokens and a cent.
    let cases = [
        (Limits { steps: 4, ..limits() }, Exit::StepLimit, 4),
        (Limits { steps: 0, ..limits() }, Exit::StepLimit, 0),
        (Limits { time: Duration::from_millis(1200), ..limits() }, Exit::TimeLimit, 3),
        (Limits { tokens: Some(300), ..limits() }, Exit::TokenLimit, 3),
        (Limits { cost: Some(0.015), ..limits() }, Exit::CostLimit, 2),
        (Limits { context: Some(110), ..limits() }, Exit::ContextLimit, 0),
    ];
    for (limits, wanted, count) in cases {
        let model = endless();
        let mut stage = stage(model.clone(), sandbox());
        stage.limits = limits;
        let mut live = named("editor", json!({})).start(stage).unwrap();
        let (records, exit) = run(&mut *live);
        assert_eq!(exit, wanted);
        assert_eq!(model.asked.lock().unwrap().len(), count, "{wanted:?}");
        // The statement is in the record, whatever happens.
        assert_eq!(records.len(), 2 + count);
    }
}

#[test]
fn a_stop_is_heeded_between_calls() {
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let set = stop.clone();
    let model = Scripted::new(move |_| {
        set.store(true, Ordering::Relaxed);
        Ok(calls(&[("bash", json!({"command": "touch bad"}))]))
    });
    let mut stage = stage(model, sandbox());
    stage.stop = stop;
    let mut live = named("editor", json!({})).start(stage).unwrap();
    assert!(matches!(live.step(), Err(AgentError::Cancelled)));
    assert!(matches!(live.step(), Err(AgentError::Cancelled)));
    assert_eq!(patch(live.sandbox()), "");
}

#[test]
fn forks_go_their_own_ways() {
    let model = Scripted::new(|request| {
        let turns = request.messages.iter().filter(|one| one.role == Role::Assistant).count();
        let session = request.session.clone().unwrap_or_default();
        Ok(match turns {
            0 => bash("cd docs; X=kept; f() { echo f $1; }; echo one > ../new"),
            1 => calls(&[(
                "edit",
                json!({"command": "str_replace", "path": "calc.py", "old_str": "a - b", "new_str": "a + b"}),
            )]),
            2 if session == "s.1" => {
                calls(&[("edit", json!({"command": "undo_edit", "path": "calc.py"}))])
            }
            2 => bash(&format!("pwd; f $X; cat ../new; echo {session} >> ../new")),
            3 => bash("pwd; f $X; cat ../new"),
            _ => calls(&[("submit", json!({}))]),
        })
    });
    let mut live = named("editor", json!({})).start(stage(model, sandbox())).unwrap();
    live.step().unwrap();
    live.step().unwrap();
    let before = live.messages();
    let mut children = live.fork(2).unwrap();
    for child in &children {
        let messages = child.messages();
        assert_eq!(messages, before);
        assert!(messages.iter().zip(&before).all(|(one, other)| Arc::ptr_eq(one, other)));
    }
    // A fork of a fork, before it went on.
    let grandchild = children[1].fork(1).unwrap();
    children.extend(grandchild);
    children.push(live);
    let mut all = Vec::new();
    for child in &mut children {
        let (records, exit) = run(&mut **child);
        assert_eq!((exit, records.len()), (Exit::Submitted, 3));
        all.push(observations(&records));
    }
    let base = "/testbed/docs\nf kept\none\n";
    assert!(all[0][0].starts_with("took back"), "{:?}", all[0]);
    assert_eq!(all[0][1], base);
    for (said, name) in all[1..].iter().zip(["s.2", "s.2.1", "s"]) {
        assert_eq!(said[0], base);
        assert_eq!(said[1], format!("{base}{name}\n"));
    }
    assert!(
        read(children[0].sandbox(), "calc.py").starts_with(b"def add(a, b):\n    return a - b\n")
    );
    assert!(
        read(children[1].sandbox(), "calc.py").starts_with(b"def add(a, b):\n    return a + b\n")
    );
    // The budget goes on, too.
    let model = Scripted::new(|_| Ok(bash("date +%N")));
    let mut stage = stage(model, sandbox());
    stage.limits.steps = 3;
    let mut live = named("editor", json!({})).start(stage).unwrap();
    live.step().unwrap();
    let mut child = live.fork(1).unwrap().remove(0);
    assert_eq!(run(&mut *child).0.len(), 2);
}

#[test]
fn old_observations_are_masked_in_what_is_sent() {
    for format in ["native", "text"] {
        let reply = move |number: usize| match format {
            "native" => bash(&format!("echo {number}; seq 50")),
            _ => said(format!(
                "<function=bash>\n<parameter=command>echo {number}; seq 50</parameter>\n</function>"
            )),
        };
        let model = Scripted::saying((0..4).map(reply));
        let mut stage = stage(model.clone(), sandbox());
        stage.context = ContextPolicy::MaskObservations { keep: 1 };
        stage.limits.steps = 4;
        let mut live = named("editor", json!({"format": format})).start(stage).unwrap();
        let (records, _) = run(&mut *live);
        let asked = model.asked.lock().unwrap();
        let masked = |messages: &[Arc<palestra_model::Message>]| {
            messages
                .iter()
                .filter(|one| one.content_text().contains("left out to save context"))
                .count()
        };
        let counts: Vec<_> = asked.iter().map(|request| masked(&request.messages)).collect();
        assert_eq!(counts, [0, 0, 1, 2]);
        assert!(asked.iter().all(|request| paired(&request.messages)));
        let sent: Vec<_> = records[2..].iter().map(|record| record.sent.clone()).collect();
        assert_eq!(sent[..2], [None, None]);
        assert_eq!(sent[3].as_ref(), Some(&asked[3].messages));
        assert_eq!(masked(&live.messages()), 3);
        // The record has everything.
        assert!(observations(&records).iter().all(|text| text.contains("\n50\n")));
    }
}

#[test]
fn a_long_history_is_summarised() {
    let model = Scripted::new(|request| {
        let last = request.messages.last().unwrap().content_text();
        let mut reply = if last.starts_with("The conversation is getting long.") {
            said("I did three things.")
        } else {
            bash("date +%N")
        };
        let prompt = request.messages.len() as u64 * 100;
        reply.usage = Usage { prompt, completion: 0, ..Usage::default() };
        Ok(reply)
    });
    let mut stage = stage(model.clone(), sandbox());
    stage.context = ContextPolicy::Summarise { above: 900, keep: 2 };
    stage.limits.steps = 12;
    let mut live = named("editor", json!({})).start(stage).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::StepLimit);
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked.len(), 12);
    assert!(asked.iter().all(|request| paired(&request.messages)));
    let summaries: Vec<_> = records
        .iter()
        .filter(|record| record.extra.get("context") == Some(&json!("summary")))
        .collect();
    assert!(summaries.len() >= 3 && summaries.len() % 3 == 0, "{}", summaries.len());
    assert!(summaries[1].answer.is_some() && summaries[1].sent.is_some());
    assert_eq!(
        summaries[2].message.content_text(),
        "What was done before, in your own words:\n\nI did three things."
    );
    let after = records.iter().rfind(|record| record.answer.is_some()).unwrap();
    let sent = after.sent.as_ref().unwrap();
    assert_eq!(sent, &asked.last().unwrap().messages);
    assert_eq!(sent[2].content_text(), summaries[2].message.content_text());
    assert_eq!(sent[3].role, Role::Assistant);
}
