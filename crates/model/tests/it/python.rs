//! The clients that people use, unchanged, against the scripted server.

use std::process::Command;

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer, TokenIds};
use palestra_model::{Request, Role};

/// Names a Python that has the packages openai, anthropic and litellm, and mcp, without which litellm
/// knows no tools.
const PYTHON: &str = "PALESTRA_CLIENTS_PYTHON";

/// Calls a tool, and repeats what it brought.
fn script(request: &Request) -> Scripted {
    let last = request.messages.last().unwrap();
    let text = last.content_text();
    if text == "fail" {
        return Scripted::Status { status: 400, body: String::new(), retry_after: None };
    }
    if last.role == Role::Tool {
        return Say::text(format!("  It said:\r\n{text}")).into();
    }
    let say = Say::text("I look. é🤖").thinking("Where am I?");
    say.and_call("bash", "{\"command\": \"ls </function> \\u00e9\\n\"}").into()
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn run(client: &str) {
    let Some(python) = std::env::var_os(PYTHON) else {
        eprintln!("skipped: {PYTHON} does not name a Python with openai, anthropic and litellm");
        return;
    };
    let options = ScriptedOptions {
        key: Some("a-test-key".to_owned()),
        tokens: TokenIds::Exact,
        ..ScriptedOptions::default()
    };
    let server = ScriptedServer::start(script, options).unwrap();
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients.py"))
        .args([client, &server.url()])
        // The proxies and keys of whoever runs this are not for loopback.
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .env_remove("all_proxy")
        .env_remove("ALL_PROXY")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.ends_with("fine\n"), "{told}\n{wrong}");
}

#[test]
fn openai_chat() {
    run("openai_chat");
}

#[test]
fn openai_responses() {
    run("openai_responses");
}

#[test]
fn anthropic_messages() {
    run("anthropic_messages");
}

#[test]
fn litellm_chat() {
    run("litellm_chat");
}

#[test]
fn litellm_anthropic() {
    run("litellm_anthropic");
}
