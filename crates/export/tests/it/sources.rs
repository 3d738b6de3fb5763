//! Attempts that other tools wrote down.

use std::path::{Path, PathBuf};

use palestra_export::{
    ExportError, FileForm, Form, Origin, Outcome, Reason, Target, Verdicts, export, find, read,
};
use palestra_model::Role;
use serde_json::{Value, json};

use crate::support::{lines, put, request};

fn dir() -> tempfile::TempDir {
    tempfile::TempDir::new().expect("a directory")
}

fn only(path: &Path) -> palestra_export::Episode {
    let mut all = Vec::new();
    find(path, &mut |place| all.push(read(&place.expect("a place")).expect("an attempt")))
        .expect("attempts");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn jsonl(path: PathBuf, rows: &[Value]) -> PathBuf {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn harbors_trials() {
    let dir = dir();
    let trial = dir.path().join("jobs/2026/task__abc");
    put(
        &trial.join("result.json"),
        &json!({
            "task_name": "org/a__b-1", "trial_name": "task__abc",
            "agent_info": {"name": "terminus-2", "version": "1"},
            "agent_result": {"n_input_tokens": 7, "n_output_tokens": 3, "cost_usd": 0.5},
            "verifier_result": {"rewards": {"reward": 1.0}},
        }),
    );
    put(
        &trial.join("agent/trajectory.json"),
        &json!({
            "schema_version": "ATIF-v1.6", "session_id": "s",
            "agent": {"name": "terminus-2", "version": "1", "model_name": "m"},
            "steps": [
                {"step_id": 1, "source": "user", "message": "do it"},
                {"step_id": 2, "source": "agent", "message": "ok",
                 "tool_calls": [{"tool_call_id": "c", "function_name": "bash",
                                 "arguments": {"command": "ls"}}],
                 "observation": {"results": [{"source_call_id": "c", "content": "a.py"}]},
                 "metrics": {"prompt_token_ids": [1, 2], "completion_token_ids": [3],
                             "logprobs": [-0.5]}},
                {"step_id": 3, "source": "agent", "message": "done",
                 "metrics": {"prompt_token_ids": [1, 2, 3, 4], "completion_token_ids": [5],
                             "logprobs": [-0.25]}},
            ],
        }),
    );
    let episode = only(&dir.path().join("jobs"));
    assert_eq!((episode.origin, episode.task.as_str()), (Origin::Harbor, "a__b-1"));
    assert_eq!((episode.outcome, episode.tokens, episode.steps), (Outcome::Resolved, 10, 2));
    let roles: Vec<_> = episode.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
    assert_eq!(episode.chains.len(), 1);
    assert_eq!(episode.chains[0].ids, [1, 2, 3, 4, 5]);
    assert_eq!(episode.chains[0].mask, [0, 0, 1, 0, 1]);
    assert_eq!(episode.chains[0].logprobs, Some(vec![0.0, 0.0, -0.5, 0.0, -0.25]));
}

#[test]
fn mini_swe_agent_with_verdicts_from_a_report() {
    let dir = dir();
    let path = dir.path().join("runs/psf__x-1/psf__x-1.traj.json");
    put(
        &path,
        &json!({
            "trajectory_format": "mini-swe-agent-1.1", "instance_id": "psf__x-1",
            "info": {"exit_status": "Submitted", "submission": "diff --git a/x b/x\n",
                     "model_stats": {"instance_cost": 0.1, "api_calls": 2},
                     "config": {"model": {"model_name": "m"}}},
            "messages": [
                {"role": "system", "content": "s"}, {"role": "user", "content": "u"},
                {"role": "assistant", "content": "```bash\nls\n```", "extra": {"cost": 1}},
                {"role": "user", "content": [{"type": "text", "text": "out"}]},
                {"role": "assistant", "content": "end"},
                {"role": "exit", "content": "Submitted"},
            ],
        }),
    );
    let episode = only(dir.path());
    assert_eq!((episode.outcome.clone(), episode.finished), (Outcome::Ungraded, true));
    assert_eq!((episode.messages.len(), episode.steps), (5, 2));
    let mut request = request("set", Target::Trl);
    let out = dir.path().join("out");
    let refused = export(&[dir.path().join("runs")], &request, &out, &mut |_| {});
    assert!(refused.expect_err("ungraded").to_string().contains("1 ungraded"));
    let report = dir.path().join("report.json");
    put(&report, &json!({"resolved_ids": ["psf__x-1"], "unresolved_ids": []}));
    request.verdicts = Some(report);
    let card = export(&[dir.path().join("runs")], &request, &out, &mut |_| {}).expect("a set");
    assert_eq!(card.outcomes["resolved"], 1);
}

#[test]
fn r2e_gyms_lines() {
    let dir = dir();
    let step = |thought: &str, action: &str| {
        json!({"step_idx": 0, "thought": thought, "action": action, "observation": "seen",
               "done": false, "token_usage_total": 5, "total_step_time": 1.5})
    };
    let row = |reward: f64, exit: &str, word: &str| {
        json!({
            "trajectory_steps": [step(word, "<function=search></function>"), step("", "<function=finish></function>")],
            "problem_statement": "It breaks.", "docker_image": "namanjain12/pandas_final:abc",
            "agent_args": {"system_prompt": "sys", "instance_prompt": "Fix: {problem_statement}", "llm_name": "m"},
            "exit_reason": exit, "output_patch": "diff", "reward": reward,
            "ds": {"repo_name": "pandas"},
        })
    };
    let path = jsonl(
        dir.path().join("traj.jsonl"),
        &[
            row(1.0, "agent", "a"),
            row(0.0, "max_step_limit", "b"),
            row(0.0, "llm_query_error", "c"),
        ],
    );
    let mut all = Vec::new();
    find(&path, &mut |place| all.push(read(&place.expect("a place")).expect("an attempt")))
        .expect("attempts");
    assert_eq!(all[0].messages[1].content_text(), "Fix: It breaks.");
    assert_eq!(all[0].messages[2].content_text(), "a\n\n<function=search></function>");
    assert_eq!(all[0].repository.as_deref(), Some("pandas"));
    assert_eq!((all[0].tokens, all[0].seconds, all[0].finished), (10, 3.0, true));
    assert_eq!((&all[1].outcome, all[1].finished), (&Outcome::Unresolved, false));
    assert!(!all[2].trainable);
    let mut request = request("v", Target::LlamaFactory);
    request.form = Form::Kto;
    request.selection.verdicts = Verdicts::Both;
    request.file = Some(FileForm::Jsonl);
    let card = export(&[path], &request, &dir.path().join("out"), &mut |_| {}).expect("a set");
    assert_eq!((card.rows, card.count(Reason::Invalid)), (2, 1));
    assert_eq!(lines(&dir.path().join("out/train.jsonl")).len(), 2);
}

#[test]
fn openhands_events() {
    let dir = dir();
    let answer = |id: &str, calls: Value| json!({"id": id, "choices": [{"message": {"role": "assistant", "content": "think", "tool_calls": calls}}]});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "bash", "arguments": "{\"command\": \"ls\"}"}});
    let both = answer("r1", json!([call("c1"), call("c2")]));
    let acts = |id: &str| {
        json!({"source": "agent", "action": "run", "args": {"command": "ls"},
               "tool_call_metadata": {"tool_call_id": id, "function_name": "bash", "model_response": both}})
    };
    let saw = |id: &str| {
        json!({"source": "agent", "observation": "run", "content": "a.py", "cause": 3,
               "tool_call_metadata": {"tool_call_id": id}})
    };
    let row = json!({
        "instance_id": "a__b-1", "instruction": "fix it", "metadata": {"agent_class": "CodeActAgent",
        "llm_config": {"model": "m"}}, "instance": {"repo": "a/b"}, "error": null,
        "test_result": {"git_patch": "diff", "report": {"resolved": true}},
        "metrics": {"accumulated_cost": 0.25},
        "history": [
            {"source": "agent", "action": "system", "args": {"content": "sys", "tools": [
                {"type": "function", "function": {"name": "bash", "parameters": {}}}]}},
            {"source": "user", "action": "message", "args": {"content": "fix it"}},
            acts("c1"), saw("c1"), acts("c2"), saw("c2"),
            {"source": "agent", "action": "finish", "args": {"thought": "done"}},
        ],
    });
    let path = jsonl(dir.path().join("output.jsonl"), &[row]);
    let episode = only(&path);
    assert!(episode.finished);
    assert_eq!((episode.outcome, episode.tools.len()), (Outcome::Resolved, 1));
    let roles: Vec<_> = episode.messages.iter().map(|message| message.role).collect();
    use Role::{Assistant, System, Tool, User};
    assert_eq!(roles, [System, User, Assistant, Tool, Tool, Assistant]);
    assert_eq!(episode.messages[2].tool_calls.len(), 2);
    let foreign = json!({"instance_id": "a__b-1", "history": [{"kind": "new"}]});
    let path = jsonl(dir.path().join("new.jsonl"), &[foreign]);
    let mut found = Vec::new();
    find(&path, &mut |place| found.push(read(&place.expect("a place")))).expect("a line");
    assert_eq!(found[0].as_ref().map_err(|e| e.reason).err(), Some(Reason::UnknownForm));
}

#[test]
fn what_is_no_job_is_refused_with_what_was_looked_for() {
    let dir = dir();
    std::fs::write(dir.path().join("notes.txt"), "hello").expect("written");
    let refused = find(dir.path(), &mut |_| {}).expect_err("nothing there");
    assert!(matches!(refused, ExportError::NoAttempts { .. }));
    assert!(refused.to_string().contains("Harbor"), "{refused}");
    assert!(find(&dir.path().join("absent"), &mut |_| {}).is_err());
}
