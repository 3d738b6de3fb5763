//! Streams into answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::reply::read_reply;
use crate::message::Reply;
use crate::wire::raw::{self, Inputs};
use crate::wire::{Problem, Progress};

/// What a stream has said so far, in the form of a whole answer.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    head: Map<String, Value>,
    blocks: BTreeMap<u64, Block>,
    stopped: bool,
    done: bool,
}

#[derive(Debug, Default)]
struct Block {
    fields: Map<String, Value>,
    /// Text of `input`, as the model wrote it.
    input: String,
}

impl Stream {
    pub(crate) fn progress(&self) -> Progress {
        match (self.stopped, self.done) {
            (_, true) if !self.head.is_empty() => Progress::Done,
            (true, _) => Progress::Finished,
            _ => Progress::Open,
        }
    }

    pub(crate) fn push(&mut self, event: Value) {
        let Value::Object(mut event) = event else { return };
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        let kind = event.shift_remove("type");
        match kind.as_ref().and_then(Value::as_str) {
            Some("message_start") => {
                if let Some(Value::Object(message)) = event.shift_remove("message") {
                    self.head = message;
                }
            }
            Some("content_block_start") => {
                if let Some(Value::Object(fields)) = event.shift_remove("content_block") {
                    self.blocks.insert(index, Block { fields, input: String::new() });
                }
            }
            Some("content_block_delta") => {
                if let Some(Value::Object(delta)) = event.shift_remove("delta") {
                    self.blocks.entry(index).or_default().delta(delta);
                }
            }
            Some("message_delta") => {
                if let Some(Value::Object(delta)) = event.shift_remove("delta") {
                    self.stopped |= delta.get("stop_reason").is_some_and(Value::is_string);
                    self.head.extend(delta);
                }
                if let Some(Value::Object(usage)) = event.shift_remove("usage") {
                    let all = self.head.entry("usage").or_insert_with(|| json!({}));
                    if let Value::Object(all) = all {
                        all.extend(usage.into_iter().filter(|(_, value)| !value.is_null()));
                    }
                }
            }
            Some("message_stop") => self.done = true,
            _ => {}
        }
    }

    pub(crate) fn finish(self) -> Result<Reply, Problem> {
        let mut inputs = Inputs::default();
        let mut content = Vec::with_capacity(self.blocks.len());
        for (index, (_, block)) in self.blocks.into_iter().enumerate() {
            let Block { mut fields, input } = block;
            let began = fields.get("input").and_then(Value::as_object);
            let empty = began.is_none_or(Map::is_empty);
            if fields.get("type") == Some(&json!("tool_use")) {
                if empty || !input.is_empty() {
                    inputs.put(0, index, raw::from_text(input));
                }
            } else if !input.is_empty()
                && let Ok(value) = serde_json::from_str(&input)
            {
                fields.insert("input".to_owned(), value);
            }
            content.push(Value::Object(fields));
        }
        let mut body = self.head;
        body.insert("content".to_owned(), Value::Array(content));
        read_reply(Value::Object(body), &inputs)
    }
}

impl Block {
    fn delta(&mut self, mut delta: Map<String, Value>) {
        let kind = delta.shift_remove("type");
        let (key, field) = match kind.as_ref().and_then(Value::as_str) {
            Some("text_delta") => ("text", "text"),
            Some("thinking_delta") => ("thinking", "thinking"),
            Some("signature_delta") => {
                if let Some(signature) = delta.shift_remove("signature") {
                    self.fields.insert("signature".to_owned(), signature);
                }
                return;
            }
            Some("citations_delta") => {
                let list = self.fields.entry("citations").or_insert_with(|| json!([]));
                if list.is_null() {
                    *list = json!([]);
                }
                if let (Some(list), Some(one)) =
                    (list.as_array_mut(), delta.shift_remove("citation"))
                {
                    list.push(one);
                }
                return;
            }
            Some("input_json_delta") => {
                if let Some(Value::String(piece)) = delta.shift_remove("partial_json") {
                    self.input.push_str(&piece);
                }
                return;
            }
            _ => return,
        };
        let Some(Value::String(piece)) = delta.shift_remove(field) else { return };
        match self.fields.get_mut(key) {
            Some(Value::String(text)) => text.push_str(&piece),
            _ => {
                self.fields.insert(key.to_owned(), Value::String(piece));
            }
        }
        if key == "text" {
            self.fields.entry("type").or_insert_with(|| json!("text"));
        }
    }
}
