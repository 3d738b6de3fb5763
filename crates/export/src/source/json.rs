//! Values that other tools wrote, taken as they come.

use palestra_model::{Message, Part, Role, ToolCall};
use serde_json::{Map, Value};

/// The text at a path of keys.
pub(super) fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path)?.as_str()
}

/// What stands at a path of keys.
pub(super) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// A number at a path of keys.
pub(super) fn number(value: &Value, path: &[&str]) -> Option<f64> {
    at(value, path)?.as_f64()
}

/// Content: text, or a list of parts.
pub(super) fn parts(content: &Value) -> Vec<Part> {
    match content {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::Text(text.clone())],
        Value::Array(all) => all
            .iter()
            .map(|part| match part.get("text").and_then(Value::as_str) {
                Some(text) => Part::Text(text.to_owned()),
                None => Part::Other(part.clone()),
            })
            .collect(),
        other => vec![Part::Text(other.to_string())],
    }
}

/// A message of OpenAI's chat form; `None` for a role that is unknown.
pub(super) fn message(value: &Value) -> Option<Message> {
    let role = match text(value, &["role"])? {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return None,
    };
    let reasoning = text(value, &["reasoning_content"]).or_else(|| text(value, &["reasoning"]));
    Some(Message {
        role,
        content: value.get("content").map(parts).unwrap_or_default(),
        reasoning: reasoning.map(str::to_owned),
        tool_calls: calls(value),
        tool_call_id: text(value, &["tool_call_id"]).map(str::to_owned),
        extra: Map::new(),
    })
}

fn calls(message: &Value) -> Vec<ToolCall> {
    let Some(Value::Array(all)) = message.get("tool_calls") else { return Vec::new() };
    let call = |value: &Value| {
        let function = value.get("function").unwrap_or(value);
        Some(ToolCall {
            id: text(value, &["id"]).unwrap_or_default().to_owned(),
            name: text(function, &["name"])?.to_owned(),
            arguments: match function.get("arguments") {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => "{}".to_owned(),
                Some(other) => other.to_string(),
            },
        })
    };
    all.iter().filter_map(call).collect()
}

/// A tool in OpenAI's form, or bare.
pub(super) fn tool(value: &Value) -> Option<palestra_model::Tool> {
    let function = value.get("function").unwrap_or(value);
    Some(palestra_model::Tool {
        name: text(function, &["name"])?.to_owned(),
        description: text(function, &["description"]).unwrap_or_default().to_owned(),
        parameters: function
            .get("parameters")
            .or_else(|| function.get("input_schema"))
            .cloned()
            .unwrap_or_else(|| serde_json::json!({"type": "object", "properties": {}})),
    })
}
