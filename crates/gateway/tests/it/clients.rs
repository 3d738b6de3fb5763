//! The real `openai`, `anthropic` and `litellm` packages, unchanged.

use std::process::Command;

use palestra_model::scripted::{Say, Scripted};
use palestra_model::{Api, Request, Role};
use serde_json::{Value, json};

use crate::common::{graph, place};

const ARGUMENTS: &str = r#"{"command": "ls  -la \"x\"\n\té", "n": [1.50, null]}"#;
const TEXT: &str = "Looking.\n\n  <b> ";
const RESULT: &str = "a b\n\n  c \u{e9}\u{1f600}";

fn script(request: &Request) -> Scripted {
    match request.messages.last() {
        Some(last) if last.role == Role::Tool => {
            Say::text(format!("done: {}", last.content_text())).into()
        }
        _ => Say::text(TEXT).and_call("bash", ARGUMENTS).into(),
    }
}

#[expect(clippy::print_stderr, reason = "the only way for a test to say so")]
fn run(library: &str, cases: usize) {
    let Some(python) = std::env::var_os("PALESTRA_CLIENTS_PYTHON") else {
        eprintln!(
            "skipped: PALESTRA_CLIENTS_PYTHON names no Python with openai, anthropic, litellm"
        );
        return;
    };
    let places: Vec<_> = Api::ALL.into_iter().map(|api| place(api, script)).collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients.py");
    let mut command = Command::new(python);
    command.arg(script).arg(library).args(places.iter().map(|place| place.gateway.url()));
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(variable);
    }
    let output = command.env("NO_PROXY", "127.0.0.1").output().expect("Python runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut failed = String::new();
    let mut seen = 0;
    for line in text.lines() {
        let found: Value = serde_json::from_str(line).expect("a line of JSON");
        let case = found["case"].as_str().expect("a name");
        seen += 1;
        let place = found["place"].as_u64().expect("a number") as usize;
        let problem = match found.get("error") {
            Some(error) => format!("{error} {}", found["trace"].as_str().unwrap_or_default()),
            None => check(&places[place], case, &found["seen"]),
        };
        if !problem.is_empty() {
            failed.push_str(&format!("\n--- before {}, {case}: {problem}", Api::ALL[place]));
        }
    }
    assert!(failed.is_empty(), "{failed}\n{errors}");
    assert!(seen >= places.len() * cases, "{seen} cases:\n{text}{errors}");
}

/// What is wrong with a case.
fn check(place: &crate::common::Place, case: &str, seen: &Value) -> String {
    if let Some(models) = seen.get("models") {
        return if *models == json!(["scripted"]) { String::new() } else { models.to_string() };
    }
    let done = format!("done: {RESULT}");
    if seen["last"] != json!(done) {
        return format!("the last text is {}", seen["last"]);
    }
    let graph = graph(&place.session(case));
    if seen.get("name").is_none() {
        return if graph.calls().len() == 1 { String::new() } else { "not one call".to_owned() };
    }
    let arguments = seen["arguments"].as_str().and_then(|text| serde_json::from_str(text).ok());
    let expected: Value = serde_json::from_str(ARGUMENTS).expect("JSON");
    if seen["text"] != json!(TEXT) || seen["name"] != json!("bash") || arguments != Some(expected) {
        return format!("the first answer is {seen}");
    }
    let samples = graph.branches();
    let counters = graph.counters();
    if graph.calls().len() != 2 || samples.len() != 1 {
        return format!("{counters:?} {:#?}", graph.nodes());
    }
    let roles: Vec<Role> = samples[0].messages.iter().map(|message| message.role).collect();
    let expected = [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant];
    if roles != expected {
        return format!("the roles are {roles:?}");
    }
    let said = &samples[0].messages[2];
    let tool = samples[0].messages[3].content_text();
    if said.content_text() != TEXT || said.tool_calls[0].arguments != ARGUMENTS || tool != RESULT {
        return format!("the record has {:#?}", samples[0].messages);
    }
    if samples[0].messages[1].content_text() != "  list\tthe files\r\n" {
        return format!("the prompt is {:?}", samples[0].messages[1]);
    }
    String::new()
}

#[test]
fn openai() {
    run("openai", 6);
}

#[test]
fn anthropic() {
    run("anthropic", 2);
}

#[test]
fn litellm() {
    run("litellm", 4);
}
