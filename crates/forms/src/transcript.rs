//! What was said in an attempt, from its trajectory.

use palestra_core::ChangeKind;
use palestra_core::atif::{Step, ToolCall, Trajectory};
use serde_json::Value;

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The instructions.
    System,
    /// The user, or what came back from a tool.
    User,
    /// The model.
    Assistant,
}

/// Something said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// By whom.
    pub by: Speaker,
    /// The text.
    pub text: String,
}

/// The text of a message or of an observation, be it one text or parts.
pub fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// All that came back in a step, with a blank line between.
pub(crate) fn observed(step: &Step) -> String {
    let results = step.observation.iter().flat_map(|all| &all.results);
    let texts = results.filter_map(|result| result.content.as_ref()).map(text_of);
    texts.collect::<Vec<_>>().join("\n\n")
}

/// The conversation with calls of tools as text, in the way of OpenHands' conversion for models
/// without function calls, which is what SWE-Gym's models saw: a call stands behind what was said, a
/// result is the user's.
pub fn said_in(trajectory: &Trajectory) -> Vec<Said> {
    let mut all = Vec::new();
    for step in &trajectory.steps {
        let text = text_of(&step.message);
        let by = match step.source.as_str() {
            "system" => Speaker::System,
            "agent" => Speaker::Assistant,
            _ => Speaker::User,
        };
        let written = step.tool_calls.is_empty() || text.contains("<function=");
        let text = if by != Speaker::Assistant || written {
            text
        } else {
            let calls: Vec<String> = step.tool_calls.iter().map(call_text).collect();
            format!("{text}\n\n{}", calls.join("\n\n")).trim_start().to_owned()
        };
        all.push(Said { by, text });
        for result in step.observation.iter().flat_map(|all| &all.results) {
            let Some(content) = &result.content else { continue };
            let id = result.source_call_id.as_deref();
            let call = step.tool_calls.iter().find(|call| Some(&*call.tool_call_id) == id);
            let text = match call {
                Some(call) => {
                    format!("EXECUTION RESULT of [{}]:\n{}", call.function_name, text_of(content))
                }
                None => text_of(content),
            };
            all.push(Said { by: Speaker::User, text });
        }
    }
    all
}

/// A call in OpenHands' text form: long values on lines of their own.
fn call_text(call: &ToolCall) -> String {
    let mut text = format!("<function={}>\n", call.function_name);
    for (name, value) in &call.arguments {
        let value = python(value);
        let feed = if value.contains('\n') { "\n" } else { "" };
        text.push_str(&format!("<parameter={name}>{feed}{value}{feed}</parameter>\n"));
    }
    text.push_str("</function>");
    text
}

/// A value as Python's `str` writes it.
pub(crate) fn python(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let mut out = String::from(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\t' => out.push_str("\\t"),
                    '\r' => out.push_str("\\r"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => out.extend(['\\', c]),
                    c => out.push(c),
                }
            }
            out.push(quote);
            out
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(repr).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let key = |key: &str| repr(&Value::from(key));
            let fields = fields.iter().map(|(name, v)| format!("{}: {}", key(name), repr(v)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The part of a patch that changes files which were there before, byte for byte.
pub fn existing_files(patch: &[u8]) -> String {
    let (parsed, _) = palestra_diff::parse(patch);
    let kept = parsed.files.iter().filter(|file| file.kind != ChangeKind::Added);
    let bytes: Vec<u8> = kept.flat_map(|file| file.bytes).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
