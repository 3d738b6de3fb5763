//! Each agent repairs a small repository and submits.

use palestra_agent::{Exit, Source};
use palestra_model::Role;
use serde_json::json;

use crate::common::{
    Scripted, calls, named, observations, paired, patch, python, read, run, said, sandbox, skip,
    stage,
};

const FIXED: &str = "diff --git a/calc.py b/calc.py";

#[test]
fn the_editor_repairs_with_native_calls() {
    let model = Scripted::saying([
        calls(&[("bash", json!({"command": "pwd; echo $PATH | cut -d: -f1; ls"}))]),
        calls(&[
            ("edit", json!({"command": "view", "path": "calc.py", "view_range": [1, 3]})),
            ("search", json!({"pattern": "return a [-*]", "path": "."})),
            (
                "edit",
                json!({"command": "str_replace", "path": "/testbed/calc.py", "old_str": "    return a - b", "new_str": "    return a + b"}),
            ),
        ]),
        calls(&[(
            "bash",
            json!({"command": "PYTHONDONTWRITEBYTECODE=1 python3 -c 'from calc import add; print(add(1, 2))' || true"}),
        )]),
        calls(&[("submit", json!({}))]),
    ]);
    let agent = named("editor", json!({}));
    let mut live = agent.start(stage(model.clone(), sandbox())).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::Submitted);
    let sources: Vec<_> = records.iter().map(|record| record.source).collect();
    use Source::{Agent, System, User};
    assert_eq!(sources, [System, User, Agent, Agent, Agent, Agent]);
    assert!(records[1].message.content_text().contains("`add` subtracts. {{directory}}"));
    let shown = observations(&records);
    assert_eq!(
        shown[0],
        "/testbed\n/opt/env/bin\ncalc.py\ncrlf.txt\ndata.bin\ndocs\nlatin.txt\nlink.py\nrun.sh\ntests\n"
    );
    assert_eq!(
        shown[1],
        "/testbed/calc.py has 6 lines; these are 1 to 3:\n     1\tdef add(a, b):\n     2\t    return a - b\n     3\t\n"
    );
    assert_eq!(shown[2], "calc.py:2:    return a - b\ncalc.py:6:    return a * 2\n");
    assert!(
        shown[3].starts_with(
            "edited /testbed/calc.py:\n     1\tdef add(a, b):\n     2\t    return a + b\n"
        ),
        "{}",
        shown[3]
    );
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert_eq!(asked[0].tools.len(), 4);
    assert!(asked.iter().all(|request| paired(&request.messages)));
    // What the model said is sent back as it was.
    assert_eq!(*asked[3].messages[2], *records[2].message);
    assert_eq!(asked[3].messages[2].reasoning.as_deref(), Some("  hm \n"));
    assert!(paired(&live.messages()));
    let sandbox = live.finish();
    let patch = patch(&sandbox);
    assert!(
        patch.starts_with(FIXED) && patch.contains("-    return a - b\n+    return a + b\n"),
        "{patch}"
    );
}

#[test]
fn the_editor_repairs_with_calls_in_the_text() {
    let model = Scripted::saying([
        said(
            "I look.\n\n<function=bash>\n<parameter=command>\ncat calc.py\n</parameter>\n</function>",
        ),
        said(
            "<function=edit>\n<parameter=command>str_replace</parameter>\n<parameter=path>/testbed/calc.py</parameter>\n<parameter=old_str>    return a - b</parameter>\n<parameter=new_str>    return a + b</parameter>\n</function>\n<function=submit>\n</function>",
        ),
    ]);
    let agent = named("editor", json!({"format": "text"}));
    let mut live = agent.start(stage(model.clone(), sandbox())).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::Submitted);
    assert!(records[0].message.content_text().contains("`insert_line` (integer): For insert"));
    let asked = model.asked.lock().unwrap();
    assert!(asked[0].tools.is_empty());
    let last = asked[1].messages.last().unwrap();
    assert_eq!(last.role, Role::User);
    assert!(last.content_text().starts_with("Result of bash:\ndef add(a, b):\n"));
    assert_eq!(last.content_text(), observations(&records)[0]);
    let ids: Vec<_> =
        records.iter().flat_map(|record| &record.actions).map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["call_1", "call_2", "call_3"]);
    assert!(read(live.sandbox(), "calc.py").starts_with(b"def add(a, b):\n    return a + b\n"));
}

#[test]
fn mini_repairs_with_one_command_in_each_reply() {
    for shell in ["stateless", "persistent"] {
        let model = Scripted::saying([
            said("THOUGHT: look\n\n```bash\ncd docs && pwd\n```"),
            said("```bash\npwd; echo err >&2; exit 3\n```"),
            said("two\n```bash\ntrue\n```\n```bash\ntrue\n```"),
            said("```mswea_bash_command\nsed -i 's/a - b/a + b/' /testbed/calc.py\n```"),
            said("```bash\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```"),
        ]);
        let agent = named("mini", json!({"shell": shell}));
        let mut live = agent.start(stage(model, sandbox())).unwrap();
        let (records, exit) = run(&mut *live);
        assert_eq!(exit, Exit::Submitted, "{records:?}");
        let shown = observations(&records);
        assert_eq!(shown[0], "<returncode>0</returncode>\n<output>\n/testbed/docs\n</output>");
        let (place, ended) = match shell {
            "stateless" => ("/testbed", ""),
            _ => (
                "/testbed/docs",
                "<exception>[the shell ended; the next command starts a new one]</exception>\n",
            ),
        };
        assert_eq!(
            shown[1],
            format!("{ended}<returncode>3</returncode>\n<output>\n{place}\nerr\n</output>")
        );
        assert!(patch(live.sandbox()).contains("+    return a + b\n"));
    }
}

#[test]
fn mini_knows_native_calls_too() {
    let model = Scripted::saying([
        calls(&[("bash", json!({"command": "sed -i 's/a - b/a + b/' calc.py"}))]),
        calls(&[("bash", json!({"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"}))]),
    ]);
    let agent = named("mini", json!({"format": "native"}));
    assert_eq!(agent.tools().len(), 1);
    let mut live = agent.start(stage(model, sandbox())).unwrap();
    assert_eq!(run(&mut *live).1, Exit::Submitted);
    assert!(patch(live.sandbox()).contains("+    return a + b\n"));
}

#[test]
fn oracle_applies_the_fix_and_nop_nothing() {
    let gold = b"diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1,3 +1,3 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n \ndiff --git a/new/run.sh b/new/run.sh\nnew file mode 100755\n--- /dev/null\n+++ b/new/run.sh\n@@ -0,0 +1 @@\n+#!/bin/sh\ndiff --git a/docs/README.md b/docs/README.md\ndeleted file mode 100644\n--- a/docs/README.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-# calc\n";
    let silent = || Scripted::saying([]);
    for name in ["oracle", "nop"] {
        let agent = named(name, json!({}));
        assert!(!agent.needs_model());
        let mut stage = stage(silent(), sandbox());
        stage.aid.gold = Some(gold.to_vec());
        let mut live = agent.start(stage).unwrap();
        let (records, exit) = run(&mut *live);
        assert_eq!(exit, Exit::Submitted);
        assert_eq!(records[0].source, Source::User);
        let patch = patch(&live.finish());
        if name == "nop" {
            assert_eq!(patch, "");
        } else {
            assert!(patch.contains("+    return a + b\n"), "{patch}");
            assert!(patch.contains("deleted file mode 100644"), "{patch}");
            assert!(patch.contains("new file mode 100755"), "{patch}");
        }
    }
    let agent = named("oracle", json!({}));
    assert!(agent.start(stage(silent(), sandbox())).is_err());
    let mut wrong = stage(silent(), sandbox());
    wrong.aid.gold = Some(String::from_utf8_lossy(gold).replace("a - b", "a / b").into_bytes());
    assert!(agent.start(wrong).unwrap().step().is_err());
}

#[test]
fn r2egym_looks_like_the_original() {
    let call = |text: &str| said(format!("I act.\n\n{text}"));
    let model = Scripted::saying([
        call(
            "<function=file_editor>\n  <parameter=command>view</parameter>\n  <parameter=path>/testbed</parameter>\n</function>",
        ),
        call("<function=search>\n  <parameter=search_term>return a</parameter>\n</function>"),
        call(
            "<function=search>\n  <parameter=search_term>return a</parameter>\n  <parameter=path>calc.py</parameter>\n</function>",
        ),
        call(
            "<function=execute_bash>\n  <parameter=cmd>echo out; echo err >&2; exit 2</parameter>\n</function>",
        ),
        call("<function=execute_bash>\n  <parameter=command>seq 100</parameter>\n</function>"),
        call(
            "<function=file_editor>\n  <parameter=command>str_replace</parameter>\n  <parameter=path>/testbed/calc.py</parameter>\n  <parameter=old_str>    return a - b</parameter>\n  <parameter=new_str>    return a + b</parameter>\n</function>",
        ),
        call(
            "<function=file_editor>\n  <parameter=command>view</parameter>\n  <parameter=path>/testbed/calc.py</parameter>\n  <parameter=view_range>[1, 2]</parameter>\n</function>",
        ),
        call("<function=finish>\n  <parameter=command>submit</parameter>\n</function>"),
    ]);
    let agent = named("r2egym", json!({"soft_steps": 6}));
    let mut live = agent.start(stage(model.clone(), sandbox())).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::Submitted);
    let first = records[1].message.content_text();
    assert!(first.contains("<github_issue>\n`add` subtracts. {{directory}}\n</github_issue>"));
    assert!(first.ends_with("\nSteps Remaining: 6"), "{first}");
    let shown = observations(&records);
    assert!(shown[0].starts_with("Execution output of [file_editor]:\nHere's the files and directories up to 2 levels deep in /testbed, excluding hidden:\n/testbed\n/testbed/calc.py\n"), "{}", shown[0]);
    assert!(shown[0].ends_with("\n\nSteps Remaining: 5"), "{}", shown[0]);
    assert_eq!(
        shown[1],
        "Execution output of [search]:\nFound 2 matches for \"return a\" in /testbed:\n./calc.py (2 matches)\nEnd of matches for \"return a\" in /testbed\n\nSteps Remaining: 4"
    );
    assert_eq!(
        shown[2],
        "Execution output of [search]:\nMatches for \"return a\" in /testbed/calc.py:\n2:    return a - b\n6:    return a * 2\n\nSteps Remaining: 3"
    );
    assert_eq!(
        shown[3],
        "Exit code: Error: Exit code 2\nExecution output of [execute_bash]:\nError executing command:\n\n[STDOUT]\n\nout \n\n[STDERR]\n\nerr\n\nSteps Remaining: 2"
    );
    assert!(
        shown[4]
            .starts_with("Exit code: 0\nExecution output of [execute_bash]:\n[STDOUT]\n\n1\n2\n"),
        "{}",
        shown[4]
    );
    assert!(shown[4].contains("\n38\n--------------------------------------------------\n<Observation truncated in middle for saving context>\n--------------------------------------------------\n65\n"), "{}", shown[4]);
    assert!(shown[5].starts_with("Execution output of [file_editor]:\nThe file /testbed/calc.py has been edited. Here's the result of running `cat -n` on a snippet of /testbed/calc.py:\n     1\tdef add(a, b):\n     2\t    return a + b\n"), "{}", shown[5]);
    assert!(
        shown[5].ends_with(
            "You have reached the maximum number of steps. Please submit your answer NOW."
        )
    );
    assert!(shown[6].contains("`cat -n` on the file: /testbed/calc.py:\n     1 def add(a, b):\n     2     return a + b\n"), "{}", shown[6]);
    assert_eq!(shown[7], "<<< Finished >>>");
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked[3].messages.last().unwrap().content_text(), shown[2]);
    let system = asked[0].messages[0].content_text();
    assert!(system.contains("–– BEGIN FUNCTION #1: file_editor ––"), "{system}");
    assert!(patch(live.sandbox()).starts_with(FIXED));
    assert_eq!(named("r2egym", json!({"format": "native"})).tools().len(), 4);
}

#[test]
fn openhands_looks_like_the_original() {
    let model = Scripted::saying([
        said(
            "First.\n\n<function=execute_bash>\n<parameter=command>\ncd docs\nfalse\n</parameter>\n",
        ),
        said(
            "<function=execute_bash>\n<parameter=command>pwd</parameter>\n<parameter=is_input>false</parameter>\n</function>",
        ),
        said(
            "<function=str_replace_editor>\n<parameter=command>insert</parameter>\n<parameter=path>/testbed/calc.py</parameter>\n<parameter=insert_line>1</parameter>\n<parameter=new_str>    b = -b</parameter>\n</function>",
        ),
        said(
            "<function=str_replace_editor>\n<parameter=command>view</parameter>\n<parameter=path>calc.py</parameter>\n</function>",
        ),
        said("<function=finish>\n</function>"),
    ]);
    let agent = named("openhands", json!({"format": "text"}));
    let mut live = agent.start(stage(model.clone(), sandbox())).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::Submitted);
    let shown = observations(&records);
    assert_eq!(
        shown[0],
        "EXECUTION RESULT of [execute_bash]:\n\n[Command finished with exit code 1]"
    );
    assert_eq!(
        shown[1],
        "EXECUTION RESULT of [execute_bash]:\n/testbed/docs\n[Command finished with exit code 0]"
    );
    assert_eq!(
        shown[2],
        "EXECUTION RESULT of [str_replace_editor]:\nThe file /testbed/calc.py has been edited. Here's the result of running `cat -n` on a snippet of the edited file:\n     1\tdef add(a, b):\n     2\t    b = -b\n     3\t    return a - b\n     4\t\n     5\t\n     6\tdef double(a):\nReview the changes and make sure they are as expected (correct indentation, no duplicate lines, etc). Edit the file again if necessary."
    );
    assert_eq!(
        shown[3],
        "EXECUTION RESULT of [str_replace_editor]:\nERROR:\nInvalid `path` parameter: calc.py. The path should be an absolute path, starting with `/`. Maybe you meant /testbed/calc.py?"
    );
    let system = model.asked.lock().unwrap()[0].messages[0].content_text();
    assert!(
        system.contains("\n---- BEGIN FUNCTION #1: execute_bash ----\nDescription: "),
        "{system}"
    );
    assert!(read(live.sandbox(), "calc.py").starts_with(b"def add(a, b):\n    b = -b\n"));
    let names: Vec<_> = named("openhands", json!({"think": true}))
        .tools()
        .into_iter()
        .map(|tool| tool.name)
        .collect();
    assert_eq!(names, ["execute_bash", "think", "finish", "str_replace_editor"]);
}

#[test]
fn replay_plays_an_attempt_again_and_tells_what_differs() {
    let model = Scripted::saying([
        calls(&[("edit", json!({"command": "create", "path": "new.txt", "file_text": "x\n"}))]),
        calls(&[
            ("bash", json!({"command": "cat calc.py | head -2; cat new.txt"})),
            ("bash", json!({"command": "true"})),
        ]),
        calls(&[("submit", json!({}))]),
    ]);
    let agent = named("editor", json!({}));
    let mut live = agent.start(stage(model, sandbox())).unwrap();
    let (records, _) = run(&mut *live);
    let before = patch(&live.finish());
    let replay = named("replay", json!({"agent": "editor"}));
    assert!(!replay.needs_model());
    for changed in [false, true] {
        let sandbox = sandbox();
        if changed {
            sandbox
                .exec(&palestra_sandbox::Exec::new(["sed", "-i", "s/-/+/", "/testbed/calc.py"]))
                .unwrap();
        }
        let mut stage = stage(Scripted::saying([]), sandbox);
        stage.aid.recorded = records.clone();
        let mut live = replay.start(stage).unwrap();
        let (again, exit) = run(&mut *live);
        assert_eq!(exit, Exit::Submitted);
        let diverging: Vec<_> = again
            .iter()
            .filter_map(|record| record.extra.get("divergences"))
            .map(|found| found[0]["action"].as_u64())
            .collect();
        if changed {
            assert_eq!(diverging, [Some(0)]);
        } else {
            assert_eq!(diverging, []);
            assert_eq!(observations(&again), observations(&records));
            assert_eq!(patch(&live.finish()), before);
        }
    }
}

#[test]
fn unknown_agents_and_options_are_refused() {
    let options = |value: serde_json::Value| value.as_object().unwrap().clone();
    for (name, given) in [
        ("editr", json!({})),
        ("editor", json!({"colour": 1})),
        ("editor", json!({"format": "json"})),
        ("r2egym", json!({"soft_steps": -1})),
        ("nop", json!({"format": "text"})),
        ("replay", json!({"agent": "replay"})),
    ] {
        assert!(palestra_agent::agent(name, &options(given.clone())).is_err(), "{name} {given}");
    }
    for name in palestra_agent::names() {
        let agent = palestra_agent::agent(name, &options(json!({}))).unwrap();
        assert_eq!(agent.name(), *name);
        assert_eq!(
            agent.describe(),
            palestra_agent::agent(name, &options(json!({}))).unwrap().describe()
        );
    }
}

#[test]
fn agentless_takes_the_best_of_its_samples() {
    if !python() {
        skip("the base of the sandbox has no python3, which checks the samples");
        return;
    }
    let change = |new: &str| {
        said(format!(
            "I think.\n\n### calc.py\n<<<<<<< SEARCH\n    return a - b\n=======\n{new}\n>>>>>>> REPLACE\n"
        ))
    };
    let model = Scripted::saying([
        said("```\ncalc.py\nnone.py\n```"),
        said("```\ncalc.py\nfunction: add\n```"),
        change("    return a * b"),
        change("    return (a"),
        change("    return a + b  "),
        said("nothing"),
        change("    # It adds.\n    return a + b"),
    ]);
    let agent = named("agentless", json!({"samples": 5}));
    let mut live = agent.start(stage(model.clone(), sandbox())).unwrap();
    let (records, exit) = run(&mut *live);
    assert_eq!(exit, Exit::Submitted);
    let asked = model.asked.lock().unwrap();
    let temperatures: Vec<_> = asked.iter().map(|request| request.sampling.temperature).collect();
    assert_eq!(temperatures[1..5], [None, Some(0.0), Some(0.8), Some(0.8)]);
    assert!(asked[0].messages[1].content_text().contains("<files>\ncalc.py\n"));
    assert!(asked[1].messages[1].content_text().contains("1-2: def add(a, b):\n"));
    assert!(
        asked[2].messages[1]
            .content_text()
            .contains("### calc.py\ndef add(a, b):\n    return a - b\n")
    );
    for record in records.iter().filter(|record| record.answer.is_some()) {
        assert_eq!(record.sent.as_ref().map(Vec::len), Some(2));
    }
    let last = records.last().unwrap();
    assert_eq!(last.extra["taken"], 2, "{:?}", last.extra);
    assert_eq!(last.extra["failed"][0]["why"], "it holds no change");
    assert_eq!(last.extra["samples"][1]["checked"]["readable"], false);
    assert_eq!(last.extra["samples"][2]["checked"]["votes"], 2);
    assert!(patch(live.sandbox()).contains("+    return a + b  \n"));
    // Without any change nothing is submitted.
    let model = Scripted::saying([said("calc.py"), said("?"), said("?")]);
    let agent = named("agentless", json!({"samples": 1, "temperatures": []}));
    let mut live = agent.start(stage(model, sandbox())).unwrap();
    assert_eq!(run(&mut *live).1, Exit::NoAction);
    assert_eq!(patch(live.sandbox()), "");
}
