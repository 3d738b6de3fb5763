//! A real command-line agent from PyPI in the sandbox, with nothing but the gateway in reach.

use std::sync::Arc;

use palestra_model::Request;
use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use serde_json::{Value, json};

use super::scripted::{Fixes, turn};
use super::{Gym, attempts, harbor_reads};
use crate::support::{PYPROJECT, Palestra, Repository, can_build};

/// Ten tasks out of ten fixes of one repository.
fn ten() -> Option<Gym> {
    if !can_build() {
        return None;
    }
    let palestra = Palestra::new();
    let mut repository = Repository::new(palestra.dir().join("r"));
    repository.write("pyproject.toml", PYPROJECT);
    let source = |right: u32| -> String {
        let body = |n| if n < right { format!("a + {n}") } else { format!("a - {n} - 1") };
        (0..10).map(|n| format!("def add_{n}(a):\n    return {}\n\n\n", body(n))).collect()
    };
    repository.write("calc.py", &source(0));
    repository.write("tests/test_nothing.py", "def test_nothing():\n    pass\n");
    repository.commit("Begin");
    for n in 0..10 {
        repository.write("calc.py", &source(n + 1));
        let test = format!(
            "from calc import add_{n}\n\n\ndef test_add_{n}():\n    assert add_{n}(5) == {}\n",
            5 + n
        );
        repository.write(&format!("tests/test_{n}.py"), &test);
        repository.commit(&format!("Fix add_{n}, which took away what it should add"));
    }
    let out = palestra.dir().join("tasks");
    let (repo, out_text) = (repository.path.to_string_lossy(), out.to_string_lossy().into_owned());
    let ran = palestra.run(&["curate", &repo, "--name", "test/ten", "--out", &out_text, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("a report");
    let count = report["tasks"].as_u64().expect("a number of tasks");
    assert_eq!(count, 10, "{report}");
    Some(Gym { palestra, tasks: out, count })
}

/// In the words of mini-swe-agent: a tool `bash`, and a line that ends the work.
fn script(fixes: &Fixes, request: &Request) -> Scripted {
    let commands = fixes.commands(request);
    let end = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT".to_owned();
    let command = commands.get(turn(request)).unwrap_or(&end);
    if request.tools.iter().any(|tool| tool.name == "bash") {
        let call = Say::call("bash", json!({ "command": command }).to_string());
        return Say { text: Some("THOUGHT: on we go.".to_owned()), ..call }.into();
    }
    Say::text(format!("THOUGHT: on we go.\n\n```mswea_bash_command\n{command}\n```")).into()
}

#[test]
fn mini_swe_agent_solves_what_its_model_solves() {
    let Some(gym) = ten() else { return };
    let fixes = Arc::new(Fixes::of(&gym));
    let known = Arc::clone(&fixes);
    let options =
        ScriptedOptions { key: Some("sk-secret".to_owned()), ..ScriptedOptions::default() };
    let server = ScriptedServer::start(move |r: &Request| script(&known, r), options);
    let server = server.expect("a server");
    let url = server.url();
    let more = ["-a", "mini-swe-agent", "-m", "scripted", "--base-url", &url, "-n", "4"];
    let output = gym.command("j", &more).env("OPENAI_API_KEY", "sk-secret").output();
    let ran = crate::support::Ran::from(output.expect("palestra runs"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let all = attempts(&gym.job("j"));
    assert_eq!(all.len(), 10);
    let mut resolved = 0;
    for (trial, record) in &all {
        let solves = fixes.solves(record["instance_id"].as_str().expect("an id"));
        let want = if solves { "resolved" } else { "unresolved" };
        assert_eq!(record["verdict"]["verdict"], want, "{trial}: {record}");
        assert_eq!(record["steps"], 3, "{trial}: {record}");
        resolved += u32::from(solves);
        let path = gym.job("j").join(trial).join("agent/trajectory.json");
        let text = std::fs::read_to_string(path).expect("a trajectory");
        assert!(text.contains("COMPLETE_TASK") && !text.contains("sk-secret"), "{trial}");
    }
    assert_eq!(resolved, 5);
    harbor_reads(&gym.job("j"));
    assert_eq!(gym.sandboxes(), 0);
}
