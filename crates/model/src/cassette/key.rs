//! What makes two requests the same.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::line::Line;
use crate::message::{Message, Part, Request, Role, ToolCall};

/// Hashes of a request: of all of it, and of its pieces, so that the nearest one can be found.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) whole: String,
    pub(super) messages: Vec<String>,
    pub(super) settings: String,
}

impl Key {
    pub(super) fn of(request: &Request) -> Self {
        let messages: Vec<String> =
            request.messages.iter().map(|message| hash(&Canonical::of(message))).collect();
        let sampling = serde_json::to_value(&request.sampling).map(sorted).unwrap_or_default();
        let tools = request
            .tools
            .iter()
            .map(|tool| json!([tool.name, tool.description, sorted(tool.parameters.clone())]));
        let tools: Vec<Value> = tools.collect();
        let choice = request.tool_choice.clone().map(sorted);
        let settings = hash(&json!([request.model, tools, choice, sampling]));
        let whole = hash(&json!([settings, messages]));
        Self { whole, messages, settings }
    }

    /// What keeps the request from being the one of the nearest recording.
    pub(super) fn nearest(&self, lines: &[Arc<Line>], request: &Request) -> String {
        let shared = |line: &Line| {
            let pairs = line.messages.iter().zip(&self.messages);
            pairs.take_while(|(theirs, ours)| theirs == ours).count()
        };
        let best = lines.iter().enumerate().max_by_key(|(place, line)| {
            let same = line.settings == self.settings;
            (shared(line), same, std::cmp::Reverse(*place))
        });
        let Some((place, line)) = best else {
            return "it holds no calls".to_owned();
        };
        let (call, common) = (place + 1, shared(line));
        let (ours, theirs) = (self.messages.len(), line.messages.len());
        if common < ours && common < theirs {
            let message = &request.messages[common];
            return format!(
                "message {common} differs from that of the nearest one, call {call}; it is now \
                 {}: {}",
                role(message.role),
                beginning(message)
            );
        }
        if ours != theirs {
            return format!(
                "it has {ours} messages; the nearest one, call {call}, has {theirs}, of which the \
                 first {common} are the same"
            );
        }
        format!(
            "the messages are those of call {call}, but the model, the tools or the sampling differ"
        )
    }
}

/// A message without what only one API knows.
#[derive(Serialize)]
struct Canonical<'a> {
    role: Role,
    content: Vec<&'a Part>,
    reasoning: &'a str,
    tool_calls: &'a [ToolCall],
    tool_call_id: Option<&'a str>,
}

impl<'a> Canonical<'a> {
    fn of(message: &'a Message) -> Self {
        let empty = |part: &&Part| !matches!(part, Part::Text(text) if text.is_empty());
        Self {
            role: message.role,
            content: message.content.iter().filter(empty).collect(),
            reasoning: message.reasoning.as_deref().unwrap_or(""),
            tool_calls: &message.tool_calls,
            tool_call_id: message.tool_call_id.as_deref(),
        }
    }
}

fn hash(value: &impl Serialize) -> String {
    let mut hasher = blake3::Hasher::new();
    // A hasher takes everything, and a value has only texts as keys.
    let _ = serde_json::to_writer(&mut hasher, value);
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Fields in the order of their names.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: Map<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            map.sort_keys();
            Value::Object(map)
        }
        Value::Array(list) => list.into_iter().map(sorted).collect(),
        value => value,
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn beginning(message: &Message) -> String {
    let mut text = message.content_text();
    if let (true, Some(call)) = (text.is_empty(), message.tool_calls.first()) {
        text = format!("{} {}", call.name, call.arguments);
    }
    let short: String = text.chars().take(120).collect();
    format!("{short:?}")
}
