//! Prompt caching.

use serde_json::{Value, json};

use crate::wire::Api;

/// Marks what is worth caching in the body of a request of messages, or of chat completions for
/// servers that pass the marks on: the tools, the system message, the last two messages of the user.
/// A body that has marks already is left alone.
pub fn mark_for_cache(api: Api, body: &mut Value) {
    if has_marks(body) {
        return;
    }
    if let Some(tool) =
        body.get_mut("tools").and_then(Value::as_array_mut).and_then(|t| t.last_mut())
    {
        mark(tool);
    }
    if let Some(system) = body.get_mut("system") {
        mark_content(system);
    }
    let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) else { return };
    let role = |message: &Value| message.get("role").and_then(Value::as_str).map(str::to_owned);
    if api == Api::Chat {
        let is_system =
            |one: &&mut Value| matches!(role(one).as_deref(), Some("system" | "developer"));
        if let Some(system) = messages.iter_mut().take(1).find(is_system) {
            mark_content(&mut system["content"]);
        }
    }
    let mut left = 2;
    for message in messages.iter_mut().rev() {
        if left > 0 && matches!(role(message).as_deref(), Some("user" | "tool")) {
            mark_content(&mut message["content"]);
            left -= 1;
        }
    }
}

fn mark(block: &mut Value) {
    if block.is_object() {
        block["cache_control"] = json!({"type": "ephemeral"});
    }
}

fn mark_content(content: &mut Value) {
    match content {
        // The API refuses marks on empty text.
        Value::String(text) if !text.is_empty() => {
            *content = json!([{"type": "text", "text": text}]);
            mark(&mut content[0]);
        }
        Value::Array(blocks) => {
            if let Some(block) = blocks.last_mut()
                && block.get("text") != Some(&json!(""))
            {
                mark(block);
            }
        }
        _ => {}
    }
}

fn has_marks(body: &Value) -> bool {
    let marked = |value: &Value| value.get("cache_control").is_some();
    let within = |list: Option<&Value>| {
        list.and_then(Value::as_array).is_some_and(|list| list.iter().any(marked))
    };
    marked(body)
        || within(body.get("tools"))
        || within(body.get("system"))
        || body.get("messages").and_then(Value::as_array).is_some_and(|messages| {
            messages.iter().any(|one| marked(one) || within(one.get("content")))
        })
}
