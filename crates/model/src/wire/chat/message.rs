//! One message.

use serde_json::{Map, Value, json};

use crate::message::{Message, Part, Role, ToolCall};
use crate::wire::fields::{self, Fields, keep, keep_list, nth, own};
use crate::wire::{Api, Problem, ids};

/// Fields of a message's own object in `extra` that are not fields of the API.
const KEPT: [&str; 4] = ["role", "reasoning", "content", "tool_calls"];

pub(super) fn read(place: String, value: Value) -> Result<Message, Problem> {
    let mut fields = Fields::of(place, value)?;
    let mut kept = Map::new();
    let word = fields.needed_text("role")?;
    let role = match word.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => return Err(fields.problem("role", format!("`{other}` is no role"))),
    };
    if matches!(word.as_str(), "developer" | "function") {
        kept.insert("role".to_owned(), json!(word));
    }
    let content = read_content(&mut fields, &mut kept)?;
    let reasoning = read_reasoning(&mut fields, &mut kept);
    let tool_calls = read_calls(&mut fields, &mut kept)?;
    let tool_call_id = fields.text("tool_call_id")?;
    let mut extra = Map::new();
    if fields.get("refusal").is_some_and(Value::is_string) {
        extra.extend(fields.take("refusal").map(|text| ("refusal".to_owned(), text)));
    }
    fields.drop_empty(&["refusal", "audio", "function_call", "annotations", "thinking_blocks"]);
    kept.extend(fields.rest());
    keep(&mut extra, Api::Chat, kept);
    Ok(Message { role, content, reasoning, tool_calls, tool_call_id, extra })
}

fn read_content(fields: &mut Fields, kept: &mut Map<String, Value>) -> Result<Vec<Part>, Problem> {
    let parts = match fields.take("content") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![Part::Text(text)]),
        Some(Value::Array(parts)) => parts,
        Some(other) => {
            let what = format!("text or parts are expected, not {}", fields::kind(&other));
            return Err(fields.problem("content", what));
        }
    };
    let (mut content, mut unknown) = (Vec::new(), Vec::new());
    for part in parts {
        let (part, rest) = read_part(part);
        content.push(part);
        unknown.push(rest);
    }
    keep_list(kept, "content", unknown);
    Ok(content)
}

fn read_part(part: Value) -> (Part, Map<String, Value>) {
    let Value::Object(mut map) = part else {
        return match part {
            Value::String(text) => (Part::Text(text), Map::new()),
            other => (Part::Other(other), Map::new()),
        };
    };
    match (map.get("type").and_then(Value::as_str), map.get("text"), map.get("image_url")) {
        (Some("text"), Some(Value::String(_)), _) => {
            let text = match map.shift_remove("text") {
                Some(Value::String(text)) => text,
                _ => String::new(),
            };
            map.shift_remove("type");
            (Part::Text(text), map)
        }
        (Some("image_url"), _, Some(Value::Object(image)))
            if image.get("url").is_some_and(Value::is_string) =>
        {
            let mut image = image.clone();
            let url = image.shift_remove("url");
            let url = url.as_ref().and_then(Value::as_str).unwrap_or("").to_owned();
            map.shift_remove("type");
            map.shift_remove("image_url");
            if !image.is_empty() {
                map.insert("image_url".to_owned(), Value::Object(image));
            }
            (Part::Image(url), map)
        }
        _ => (Part::Other(Value::Object(map)), Map::new()),
    }
}

/// Servers spell it `reasoning_content` or `reasoning`, or both; it goes back as it came.
fn read_reasoning(fields: &mut Fields, kept: &mut Map<String, Value>) -> Option<String> {
    let is_text = |value: Option<&Value>| value.is_some_and(Value::is_string);
    let short = if is_text(fields.get("reasoning")) { fields.take("reasoning") } else { None };
    let long = fields.take("reasoning_content");
    fields.drop_empty(&["reasoning"]);
    let (text, spelling) = match (long, short) {
        (Some(long), Some(short)) if long == short => (long, Some("both")),
        (Some(long), None) => (long, None),
        (Some(long), Some(_)) => (long, None),
        (None, Some(short)) => (short, Some("reasoning")),
        (None, None) => return None,
    };
    if let Some(spelling) = spelling {
        kept.insert("reasoning".to_owned(), json!(spelling));
    }
    match text {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn read_calls(
    fields: &mut Fields,
    kept: &mut Map<String, Value>,
) -> Result<Vec<ToolCall>, Problem> {
    let (mut calls, mut unknown) = (Vec::new(), Vec::new());
    let list = fields.list("tool_calls")?.unwrap_or_default();
    for (index, value) in list.into_iter().enumerate() {
        let mut outer = Fields::of(fields.place_of(&format!("tool_calls[{index}]")), value)?;
        let custom = outer.get("custom").is_some_and(Value::is_object);
        let key = if custom { "custom" } else { "function" };
        let mut inner = Fields::of(outer.place_of(key), outer.take(key).unwrap_or_default())?;
        let name = inner.text("name")?.unwrap_or_default();
        let arguments = match inner.take(if custom { "input" } else { "arguments" }) {
            None => String::new(),
            Some(Value::String(text)) => text,
            // Some servers give the object itself.
            Some(other) => other.to_string(),
        };
        let id = outer.text("id")?.filter(|id| !id.is_empty());
        let id =
            id.unwrap_or_else(|| ids::derive("call_", &[&index.to_string(), &name, &arguments]));
        outer.take("index");
        if !custom {
            outer.take("type");
        }
        let mut rest = outer.rest();
        let inner = inner.rest();
        if !inner.is_empty() {
            rest.insert(key.to_owned(), Value::Object(inner));
        }
        calls.push(ToolCall { id, name, arguments });
        unknown.push(rest);
    }
    keep_list(kept, "tool_calls", unknown);
    Ok(calls)
}

pub(super) fn write(message: &Message) -> Map<String, Value> {
    let own = own(&message.extra, Api::Chat);
    let mut map = Map::new();
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let role = own.and_then(|own| own.get("role")).cloned().unwrap_or_else(|| json!(role));
    map.insert("role".to_owned(), role);
    map.insert("content".to_owned(), write_content(message, own));
    if let Some(reasoning) = &message.reasoning {
        let spelling = own.and_then(|own| own.get("reasoning")).and_then(Value::as_str);
        if spelling != Some("reasoning") {
            map.insert("reasoning_content".to_owned(), json!(reasoning));
        }
        if matches!(spelling, Some("reasoning" | "both")) {
            map.insert("reasoning".to_owned(), json!(reasoning));
        }
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().enumerate();
        let calls = calls.map(|(index, call)| write_call(call, nth(own, "tool_calls", index)));
        map.insert("tool_calls".to_owned(), calls.collect());
    }
    if let Some(id) = &message.tool_call_id {
        map.insert("tool_call_id".to_owned(), json!(id));
    }
    if let Some(refusal) = message.extra.get("refusal") {
        map.insert("refusal".to_owned(), refusal.clone());
    }
    if let Some(own) = own {
        // A `reasoning` that is no text is a field like any other.
        let kept = |key: &str, value: &Value| {
            KEPT.contains(&key) && (key != "reasoning" || value.is_string())
        };
        fields::add(&mut map, own.iter().filter(|(key, value)| !kept(key, value)));
    }
    map
}

fn write_content(message: &Message, own: Option<&Map<String, Value>>) -> Value {
    match message.content.as_slice() {
        // Only a message that calls tools may be without content.
        [] if !message.tool_calls.is_empty() => Value::Null,
        [] => json!(""),
        [Part::Text(text)] if nth(own, "content", 0).is_none_or(Map::is_empty) => json!(text),
        parts => {
            let parts = parts.iter().enumerate();
            parts.map(|(index, part)| write_part(part, nth(own, "content", index))).collect()
        }
    }
}

fn write_part(part: &Part, unknown: Option<&Map<String, Value>>) -> Value {
    let mut map = Map::new();
    match part {
        Part::Text(text) => {
            map.insert("type".to_owned(), json!("text"));
            map.insert("text".to_owned(), json!(text));
        }
        Part::Image(url) => {
            let mut image = Map::new();
            image.insert("url".to_owned(), json!(url));
            if let Some(more) = unknown.and_then(|map| map.get("image_url")?.as_object()) {
                fields::add(&mut image, more);
            }
            map.insert("type".to_owned(), json!("image_url"));
            map.insert("image_url".to_owned(), Value::Object(image));
        }
        Part::Other(value) => return value.clone(),
    }
    if let Some(unknown) = unknown {
        fields::add(&mut map, unknown);
    }
    Value::Object(map)
}

pub(super) fn write_call(call: &ToolCall, unknown: Option<&Map<String, Value>>) -> Value {
    let mut map = Map::new();
    let custom = unknown.and_then(|map| map.get("type")) == Some(&json!("custom"));
    let (key, arguments) = if custom { ("custom", "input") } else { ("function", "arguments") };
    let mut inner = Map::new();
    inner.insert("name".to_owned(), json!(call.name));
    inner.insert(arguments.to_owned(), json!(call.arguments));
    if let Some(more) = unknown.and_then(|map| map.get(key)?.as_object()) {
        fields::add(&mut inner, more);
    }
    map.insert("id".to_owned(), json!(call.id));
    map.insert("type".to_owned(), json!(key));
    map.insert(key.to_owned(), Value::Object(inner));
    if let Some(unknown) = unknown {
        fields::add(&mut map, unknown);
    }
    Value::Object(map)
}
