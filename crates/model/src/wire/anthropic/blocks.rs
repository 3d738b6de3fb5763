//! Content blocks.
//!
//! The order of blocks and their unknown fields are kept in `extra` as `blocks`: the blocks without
//! what the words have a place for. Nothing is kept of blocks in the usual order (text and images,
//! then tool calls) that have no more fields.

use serde_json::{Map, Value, json};

use crate::message::{Message, Part, Role, ToolCall};
use crate::wire::fields::{self, Fields, own};
use crate::wire::raw::{self, Inputs};
use crate::wire::{Api, Problem, ids};

/// Blocks that are being read into one message.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) content: Vec<Part>,
    pub(super) calls: Vec<ToolCall>,
    thoughts: Vec<String>,
    skeleton: Vec<Value>,
    /// The skeleton says more than the parts and calls do.
    unusual: bool,
}

impl Reader {
    pub(super) fn is_empty(&self) -> bool {
        self.skeleton.is_empty()
    }

    /// Reads one block. `bytes` are those of its `input`, where they are known.
    pub(super) fn block(
        &mut self,
        place: String,
        block: Value,
        bytes: Option<&str>,
    ) -> Result<(), Problem> {
        let kind = block.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        let rest = match kind.as_str() {
            "text" if block.get("text").is_some_and(Value::is_string) => {
                let mut fields = Fields::of(place, block)?;
                self.content.push(Part::Text(fields.needed_text("text")?));
                fields.drop_empty(&["citations"]);
                self.unusual |= !self.calls.is_empty();
                fields.rest()
            }
            "image" if url_of(&block).is_some() => {
                self.content.push(Part::Image(url_of(&block).unwrap_or_default()));
                self.unusual |= !self.calls.is_empty();
                let mut fields = Fields::of(place, block)?;
                fields.take("source");
                fields.rest()
            }
            "tool_use" => {
                let mut fields = Fields::of(place, block)?;
                let name = fields.text("name")?.unwrap_or_default();
                let input = fields.take("input").unwrap_or_else(|| json!({}));
                let arguments = raw::from_object(&input, bytes);
                let id = fields.text("id")?.filter(|id| !id.is_empty());
                let count = self.calls.len().to_string();
                let id = id.unwrap_or_else(|| ids::derive("toolu_", &[&count, &name, &arguments]));
                self.calls.push(ToolCall { id, name, arguments });
                fields.rest()
            }
            "thinking" | "redacted_thinking" => {
                if let Some(text) = block.get("thinking").and_then(Value::as_str) {
                    self.thoughts.push(text.to_owned());
                }
                self.unusual = true;
                match block {
                    Value::Object(map) => map,
                    _ => Map::new(),
                }
            }
            _ => {
                self.content.push(Part::Other(block));
                self.unusual |= !self.calls.is_empty();
                Map::from_iter([("type".to_owned(), json!("other"))])
            }
        };
        self.unusual |= rest.len() > 1;
        self.skeleton.push(Value::Object(rest));
        Ok(())
    }

    /// The message, with further unknown fields.
    pub(super) fn message(self, role: Role, mut unknown: Map<String, Value>) -> Message {
        if self.unusual {
            unknown.insert("blocks".to_owned(), Value::Array(self.skeleton));
        }
        let mut extra = Map::new();
        fields::keep(&mut extra, Api::Anthropic, unknown);
        let reasoning = (!self.thoughts.is_empty()).then(|| self.thoughts.join("\n\n"));
        let Self { content, calls: tool_calls, .. } = self;
        Message { role, content, reasoning, tool_calls, tool_call_id: None, extra }
    }
}

/// Reads content: a text, or blocks.
pub(super) fn read_content(
    reader: &mut Reader,
    place: &str,
    content: Option<Value>,
    inputs: Option<(&Inputs, usize)>,
) -> Result<(), Problem> {
    match content {
        None => Ok(()),
        Some(Value::String(text)) => {
            reader.block(place.to_owned(), json!({"type": "text", "text": text}), None)
        }
        Some(Value::Array(blocks)) => {
            for (index, block) in blocks.into_iter().enumerate() {
                let bytes = inputs.and_then(|(inputs, message)| inputs.get(message, index));
                reader.block(format!("{place}[{index}]"), block, bytes)?;
            }
            Ok(())
        }
        Some(other) => {
            let what = format!("text or blocks are expected, not {}", fields::kind(&other));
            Err(Problem::at(place, what))
        }
    }
}

fn url_of(block: &Value) -> Option<String> {
    let source = block.get("source")?;
    let text = |key: &str| source.get(key).and_then(Value::as_str);
    match text("type")? {
        "base64" => Some(format!("data:{};base64,{}", text("media_type")?, text("data")?)),
        "url" => Some(text("url")?.to_owned()),
        _ => None,
    }
}

/// Where blocks are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A server: no thoughts without a signature, no empty text.
    Request,
    /// A client.
    Reply,
}

/// The blocks of a message; results of tools are written by [`result_block`].
pub(super) fn write(message: &Message, wanted: For, verbatim: bool) -> Vec<Value> {
    let own = own(&message.extra, Api::Anthropic);
    let chat = fields::own(&message.extra, Api::Chat);
    let skeleton = own.and_then(|own| own.get("blocks")?.as_array());
    let mut parts = message.content.iter().enumerate();
    let mut calls = message.tool_calls.iter();
    let mut blocks = Vec::new();
    let mut part_block = |blocks: &mut Vec<Value>, rest: Option<&Map<String, Value>>| {
        let Some((index, part)) = parts.next() else { return false };
        if let Some(block) = write_part(part, wanted, message) {
            let foreign = fields::nth(chat, "content", index);
            blocks.push(with_rest(block, rest, foreign));
        }
        true
    };
    if let Some(skeleton) = skeleton {
        for rest in skeleton.iter().filter_map(Value::as_object) {
            match rest.get("type").and_then(Value::as_str) {
                Some("tool_use") => {
                    if let Some(call) = calls.next() {
                        blocks.push(with_rest(write_call(call, verbatim), Some(rest), None));
                    }
                }
                Some("thinking" | "redacted_thinking") => {
                    blocks.push(Value::Object(rest.clone()));
                }
                _ => {
                    part_block(&mut blocks, Some(rest));
                }
            }
        }
    } else if let Some(thoughts) = chat.and_then(|own| own.get("thinking_blocks")?.as_array()) {
        blocks.extend(thoughts.iter().cloned());
    } else if wanted == For::Reply
        && let Some(reasoning) = &message.reasoning
    {
        blocks.push(json!({"type": "thinking", "thinking": reasoning, "signature": ""}));
    }
    while part_block(&mut blocks, None) {}
    if message.content.is_empty()
        && let Some(refusal) = message.extra.get("refusal")
    {
        blocks.push(json!({"type": "text", "text": refusal}));
    }
    blocks.extend(calls.map(|call| write_call(call, verbatim)));
    blocks
}

fn write_part(part: &Part, wanted: For, message: &Message) -> Option<Value> {
    match part {
        // The API refuses empty text. Beside anything else it says nothing.
        Part::Text(text)
            if text.is_empty()
                && wanted == For::Request
                && message.content.len() + message.tool_calls.len() > 1 =>
        {
            None
        }
        Part::Text(text) => Some(json!({"type": "text", "text": text})),
        Part::Image(url) => {
            let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
            let source = match inline {
                Some((kind, data)) => json!({"type": "base64", "media_type": kind, "data": data}),
                None => json!({"type": "url", "url": url}),
            };
            Some(json!({"type": "image", "source": source}))
        }
        Part::Other(value) => Some(value.clone()),
    }
}

fn write_call(call: &ToolCall, verbatim: bool) -> Value {
    let input = raw::to_object(&call.arguments, verbatim);
    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
}

/// Adds unknown fields; of chat completions' those that mean Anthropic's cache.
fn with_rest(
    mut block: Value,
    rest: Option<&Map<String, Value>>,
    chat: Option<&Map<String, Value>>,
) -> Value {
    if let Value::Object(map) = &mut block {
        if let Some(rest) = rest {
            fields::add(map, rest);
        }
        let cache = chat.into_iter().flatten().filter(|(key, _)| *key == "cache_control");
        fields::add(map, cache);
    }
    block
}

/// The result of a tool as a block.
pub(super) fn result_block(message: &Message) -> Value {
    let own = own(&message.extra, Api::Anthropic);
    let mut map = Map::new();
    map.insert("type".to_owned(), json!("tool_result"));
    map.insert("tool_use_id".to_owned(), json!(message.tool_call_id.as_deref().unwrap_or("")));
    map.insert("content".to_owned(), text_or(write(message, For::Request, false)));
    if let Some(error) = message.extra.get("is_error") {
        map.insert("is_error".to_owned(), error.clone());
    }
    if let Some(own) = own {
        fields::add(&mut map, own.iter().filter(|(key, _)| *key != "blocks"));
    }
    let chat = fields::own(&message.extra, Api::Chat);
    with_rest(Value::Object(map), None, chat)
}

/// One block of nothing but text is written as the text.
pub(super) fn text_or(blocks: Vec<Value>) -> Value {
    if let [Value::Object(block)] = blocks.as_slice()
        && block.len() == 2
        && let (Some("text"), Some(text @ Value::String(_))) =
            (block.get("type").and_then(Value::as_str), block.get("text"))
    {
        return text.clone();
    }
    Value::Array(blocks)
}

/// The result of a tool, read.
pub(super) fn read_result(place: String, block: Value) -> Result<Message, Problem> {
    let mut fields = Fields::of(place, block)?;
    fields.take("type");
    let id = fields.needed_text("tool_use_id")?;
    let mut reader = Reader::default();
    let content = fields.take("content");
    read_content(&mut reader, &fields.place_of("content"), content, None)?;
    let error = fields.take("is_error");
    let mut message = reader.message(Role::Tool, fields.rest());
    message.extra.extend(error.map(|error| ("is_error".to_owned(), error)));
    message.tool_call_id = Some(id);
    Ok(message)
}
