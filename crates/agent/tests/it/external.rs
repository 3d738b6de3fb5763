//! Agents that are programs of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use palestra_agent::external::{External, ExternalSpec};
use palestra_agent::{Agent, AgentError, Exit};
use palestra_sandbox::{Network, Policy, SandboxSpec, Writable};
use serde_json::{Value, json};

use crate::common::{Scripted, host, named, patch, repository, run, sandbox, skip, stage};

/// An agent that is a shell script.
fn script(body: &str) -> External {
    let text = format!(
        r#"
name = "script"
version = "1"
[run]
command = ["sh", "{{work}}/agent.sh", "{{model}}", "{{base_url}}"]
env = {{ STATEMENT = "{{statement_file}}" }}
[[run.files]]
path = "{{work}}/agent.sh"
content = '''
{body}
'''
[result]
file = "{{work}}/result.json"
pointer = "/status"
[result.exits]
done = "submitted"
tired = "step_limit"
"#
    );
    External::new(ExternalSpec::parse(&text).unwrap())
}

#[test]
fn a_program_is_run_and_its_result_is_read() {
    let cases: [(&str, Option<Exit>); 5] = [
        (
            "pwd; echo $1 $2; cat $STATEMENT; echo; echo $PATH | cut -d: -f1; echo x > new; echo '{\"status\": \"done\"}' > /palestra/result.json; exit 3",
            Some(Exit::Submitted),
        ),
        ("echo '{\"status\": \"tired\"}' > /palestra/result.json", Some(Exit::StepLimit)),
        ("echo '{\"status\": \"odd\"}' > /palestra/result.json", None),
        ("echo no result", None),
        ("sleep 100", Some(Exit::TimeLimit)),
    ];
    for (body, wanted) in cases {
        let mut stage = stage(Scripted::saying([]), sandbox());
        stage.aid.gateway = Some("http://gateway/sessions/x/".to_owned());
        stage.limits.time =
            std::time::Duration::from_secs(if body.starts_with("sleep") { 1 } else { 60 });
        let mut live = script(body).start(stage).unwrap();
        let result = live.step();
        let Some(wanted) = wanted else {
            assert!(matches!(result, Err(AgentError::Setup { .. })), "{body}: {result:?}");
            continue;
        };
        let progress = result.unwrap();
        assert_eq!(progress.exit, Some(wanted));
        if body.starts_with("pwd") {
            let files = &progress.records[1].extra["files"];
            assert_eq!(
                files["/palestra/output.txt"],
                "/testbed\nscript http://gateway/sessions/x/v1\n`add` subtracts. {{directory}}\n/opt/env/bin\n"
            );
            assert!(patch(live.sandbox()).contains("+x\n"));
        }
    }
    assert!(script("true").start(stage(Scripted::saying([]), sandbox())).is_err());
}

/// Answers chat completions with these tool calls, one after the other; the address.
fn server(commands: Vec<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut commands = commands.into_iter();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            loop {
                let (mut length, mut line) = (0, String::new());
                while stream.read_line(&mut line).is_ok_and(|count| count > 0) && line != "\r\n" {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                if line.is_empty() {
                    break;
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let asked: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(asked["model"], "script");
                let command = commands.next().unwrap_or("true");
                let arguments = json!({"command": command}).to_string();
                let answer = json!({
                    "id": "x", "object": "chat.completion", "created": 1, "model": "script",
                    "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
                        "role": "assistant", "content": "I act.",
                        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "bash", "arguments": arguments}}],
                    }}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
                })
                .to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                let stream = stream.get_mut();
                stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
            }
        }
    });
    address
}

/// With `PALESTRA_AGENT_LAYER`: a directory with `opt/agents/mini-swe-agent`, as its plan makes it.
#[test]
fn the_real_mini_swe_agent_repairs() {
    let Some(layer) = std::env::var_os("PALESTRA_AGENT_LAYER").map(PathBuf::from) else {
        skip("PALESTRA_AGENT_LAYER names no layer with mini-swe-agent");
        return;
    };
    for (last, wanted) in
        [("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", Exit::Submitted), ("true", Exit::StepLimit)]
    {
        let address = server(vec!["pwd", "sed -i 's/a - b/a + b/' calc.py", last]);
        let rule = format!("gateway:80={address}");
        let spec = SandboxSpec {
            layers: vec![repository().clone(), layer.clone()],
            network: Network::Allow(Arc::new(Policy::from_rules([rule]).unwrap())),
            writable: Writable::Tmpfs { bytes: 256 << 20 },
            ..SandboxSpec::default()
        };
        let mut stage = stage(Scripted::saying([]), host().create(&spec).unwrap());
        stage.aid.gateway = Some("http://gateway/sessions/x".to_owned());
        stage.limits.steps = 5;
        let mut live = named("mini-swe-agent", json!({})).start(stage).unwrap();
        let (records, exit) = run(&mut *live);
        assert_eq!(exit, wanted, "{records:?}");
        let files = &records[1].extra["files"];
        let trajectory: Value =
            serde_json::from_str(files["/palestra/trajectory.json"].as_str().unwrap()).unwrap();
        assert_eq!(trajectory["trajectory_format"], "mini-swe-agent-1.1");
        let patch = patch(live.sandbox());
        assert!(
            patch.starts_with("diff --git a/calc.py") && patch.contains("+    return a + b\n"),
            "{patch}"
        );
        assert_eq!(patch.matches("diff --git").count(), 1);
    }
}
