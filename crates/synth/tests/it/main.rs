//! Proposals against a scripted model, and every check with texts that it takes and that it does
//! not take.

mod asking;
mod chain;
mod hostile;
mod minimise;
mod screening;
mod statement;
mod verdict;

use std::sync::Arc;

use palestra_model::scripted::{Say, Script, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{Api, Client, ClientConfig, Request};
use palestra_synth::tests::{ChangedCode, TestRequest, TestStyle};
use palestra_synth::{Asker, AskerConfig};

/// A server that plays a script.
fn serve(script: impl Script) -> ScriptedServer {
    ScriptedServer::start(script, ScriptedOptions::default()).unwrap()
}

/// A server that always says the same.
fn saying(text: &str) -> ScriptedServer {
    let say = Say::text(text);
    serve(move |_: &Request| Scripted::Say(say.clone()))
}

fn config(server: &ScriptedServer) -> AskerConfig {
    let client = Client::new(ClientConfig::new(Api::Chat, server.url())).unwrap();
    AskerConfig::new(Arc::new(client), "a-model")
}

fn asker(server: &ScriptedServer) -> Asker {
    Asker::new(config(server))
}

/// What the last message of a request says.
fn asked(request: &Request) -> String {
    request.messages.last().map(|message| message.content_text()).unwrap_or_default()
}

/// A change of a small project.
fn request() -> TestRequest {
    let before = "def rows(text):\n    return text.split()\n";
    let after = "def rows(text):\n    return [row.strip() for row in text.splitlines()]\n";
    let diff = "diff --git a/table/rows.py b/table/rows.py\n--- a/table/rows.py\n+++ b/table/rows.py\n@@ -1,2 +1,2 @@\n def rows(text):\n-    return text.split()\n+    return [row.strip() for row in text.splitlines()]\n";
    TestRequest {
        repository: "people/table".into(),
        subject: "Keep rows whole".into(),
        body: "Rows with spaces were cut apart.".into(),
        diff: diff.into(),
        code: vec![ChangedCode {
            path: "table/rows.py".into(),
            name: "rows".into(),
            before: Some(before.into()),
            after: Some(after.into()),
        }],
        style: TestStyle {
            example_path: Some("tests/test_cells.py".into()),
            example: Some("def test_cells():\n    assert cells('a,b') == ['a', 'b']\n".into()),
            ..TestStyle::default()
        },
        path: "tests/test_rows_1234.py".into(),
        existing: ["tests/test_cells.py".to_owned()].into(),
        python: "3.12".into(),
    }
}

const GOOD_TESTS: &str = "from table.rows import rows\n\n\ndef test_spaces_stay():\n    assert rows('a b\\nc') == ['a b', 'c']\n\n\ndef test_ends_are_stripped():\n    assert rows(' a \\n') == ['a']\n";

fn fenced(code: &str) -> String {
    format!("These tests look at both.\n\n````python tests/test_rows_1234.py\n{code}````\n")
}
