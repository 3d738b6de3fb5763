//! Messages and tools as cells.

use palestra_model::{Message, Role, Tool};
use serde_json::Value;

use crate::table::{Cell, Kind};
use crate::template::tool_json;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Arguments of calls as text; as JSON otherwise.
    pub(crate) arguments_as_text: bool,
    /// `train` and `weight` in every message.
    pub(crate) loss: bool,
}

impl Style {
    /// The kind of one message.
    pub(crate) fn kind(self) -> Kind {
        let arguments = if self.arguments_as_text { Kind::Text } else { Kind::Json };
        let function = Kind::Struct(vec![("name", Kind::Text), ("arguments", arguments)]);
        let call = vec![("id", Kind::Text), ("type", Kind::Text), ("function", function)];
        let mut fields = vec![
            ("role", Kind::Text),
            ("content", Kind::Text),
            ("reasoning_content", Kind::Text),
            ("tool_calls", Kind::Struct(call).list()),
            ("tool_call_id", Kind::Text),
        ];
        if self.loss {
            fields.extend([("train", Kind::Bool), ("weight", Kind::Float64)]);
        }
        Kind::Struct(fields)
    }

    /// One message. `weight` is that of [`crate::Loss::of`].
    pub(crate) fn cell<'a>(self, message: &'a Message, weight: f64) -> Cell<'a> {
        let call = |call: &'a palestra_model::ToolCall| {
            let arguments = if self.arguments_as_text || is_json(&call.arguments) {
                Cell::text(call.arguments.as_str())
            } else {
                Cell::json(&call.arguments)
            };
            let function = Cell::Struct(vec![Cell::text(call.name.as_str()), arguments]);
            Cell::Struct(vec![Cell::text(call.id.as_str()), Cell::text("function"), function])
        };
        let calls = match message.tool_calls.is_empty() {
            true => Cell::Null,
            false => Cell::List(message.tool_calls.iter().map(call).collect()),
        };
        let mut fields = vec![
            Cell::text(role(message.role)),
            content(message),
            Cell::maybe(message.reasoning.as_deref()),
            calls,
            Cell::maybe(message.tool_call_id.as_deref()),
        ];
        if self.loss {
            let train = match message.role {
                Role::Assistant => Cell::Bool(weight > 0.0),
                _ => Cell::Bool(false),
            };
            fields.extend([train, Cell::Float(weight)]);
        }
        Cell::Struct(fields)
    }

    /// A conversation.
    pub(crate) fn list<'a>(self, messages: &'a [Message], weights: &[f64]) -> Cell<'a> {
        let weight = |at: usize| weights.get(at).copied().unwrap_or(1.0);
        Cell::List(messages.iter().enumerate().map(|(at, m)| self.cell(m, weight(at))).collect())
    }
}

/// The text of a message, without a copy where it is in one piece.
pub(crate) fn content(message: &Message) -> Cell<'_> {
    match message.content.as_slice() {
        [palestra_model::Part::Text(text)] => Cell::text(text.as_str()),
        _ => Cell::text(message.content_text()),
    }
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Tools as one JSON text; `None` where there are none.
pub(crate) fn tools(tools: &[Tool]) -> Option<String> {
    if tools.is_empty() {
        return None;
    }
    Some(Value::Array(tools.iter().map(tool_json).collect()).to_string())
}

/// `{"name": …, "arguments": {…}}` of every call; `None` where arguments are no JSON object.
pub(crate) fn calls(message: &Message) -> Option<Vec<Value>> {
    let call = |call: &palestra_model::ToolCall| {
        let arguments: Value = serde_json::from_str(&call.arguments).ok()?;
        arguments
            .is_object()
            .then(|| serde_json::json!({"name": call.name, "arguments": arguments}))
    };
    message.tool_calls.iter().map(call).collect()
}
