//! Answers as streams.

use serde_json::{Value, json};

use super::reply::{head, output, reply_to_json};
use crate::message::{Reply, Request};
use crate::wire::sse::{named, pieces};

/// The whole answer as a stream of server-sent events.
pub fn events_of(reply: &Reply, request: &Request) -> Vec<String> {
    let mut out = Out::default();
    let head = head(reply, request);
    out.push("response.created", json!({"response": head}));
    out.push("response.in_progress", json!({"response": head}));
    for (index, item) in output(reply).into_iter().enumerate() {
        out.item(index, item);
    }
    let body = reply_to_json(reply, request);
    let word = body.get("status").and_then(Value::as_str).unwrap_or("completed");
    out.push(&format!("response.{word}"), json!({"response": body}));
    out.events
}

#[derive(Default)]
struct Out {
    events: Vec<String>,
}

impl Out {
    fn push(&mut self, kind: &str, body: Value) {
        let mut event = json!({"type": kind, "sequence_number": self.events.len()});
        if let (Value::Object(event), Value::Object(body)) = (&mut event, body) {
            event.extend(body);
        }
        self.events.push(named(kind, &event));
    }

    fn item(&mut self, index: usize, item: Value) {
        if !item.is_object() {
            return;
        }
        let text = |value: &Value, key: &str| {
            value.get(key).and_then(Value::as_str).unwrap_or("").to_owned()
        };
        let (kind, id) = (text(&item, "type"), text(&item, "id"));
        let empty = match kind.as_str() {
            "message" => ("content", json!([])),
            "function_call" => ("arguments", json!("")),
            "custom_tool_call" => ("input", json!("")),
            "reasoning" => ("summary", json!([])),
            _ => ("type", json!(kind)),
        };
        let mut begun = item.clone();
        begun[empty.0] = empty.1;
        if kind != "reasoning" {
            begun["status"] = json!("in_progress");
        }
        self.push("response.output_item.added", json!({"output_index": index, "item": begun}));
        match kind.as_str() {
            "message" => {
                let parts = item.get("content").and_then(Value::as_array);
                for (place, part) in parts.into_iter().flatten().enumerate() {
                    self.part(&id, index, place, part);
                }
            }
            "function_call" => {
                let arguments = text(&item, "arguments");
                let at = json!({"item_id": id, "output_index": index});
                for piece in pieces(&arguments) {
                    let delta = with(&at, json!({"delta": piece}));
                    self.push("response.function_call_arguments.delta", delta);
                }
                let done = json!({"name": item["name"], "arguments": arguments});
                self.push("response.function_call_arguments.done", with(&at, done));
            }
            "custom_tool_call" => {
                let input = text(&item, "input");
                let at = json!({"item_id": id, "output_index": index});
                for piece in pieces(&input) {
                    let delta = with(&at, json!({"delta": piece}));
                    self.push("response.custom_tool_call_input.delta", delta);
                }
                let done = json!({"input": input});
                self.push("response.custom_tool_call_input.done", with(&at, done));
            }
            "reasoning" => {
                let parts = item.get("summary").and_then(Value::as_array);
                for (place, part) in parts.into_iter().flatten().enumerate() {
                    self.thought(&id, index, place, part);
                }
            }
            _ => {}
        }
        self.push("response.output_item.done", json!({"output_index": index, "item": item}));
    }

    fn part(&mut self, id: &str, index: usize, place: usize, part: &Value) {
        let at = json!({"item_id": id, "output_index": index, "content_index": place});
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("");
        let (key, name) = match kind {
            "output_text" => ("text", "output_text"),
            "refusal" => ("refusal", "refusal"),
            _ => {
                self.push("response.content_part.added", with(&at, json!({"part": part})));
                self.push("response.content_part.done", with(&at, json!({"part": part})));
                return;
            }
        };
        let mut begun = part.clone();
        begun[key] = json!("");
        if begun.get("logprobs").is_some() {
            begun["logprobs"] = json!([]);
        }
        self.push("response.content_part.added", with(&at, json!({"part": begun})));
        let text = part.get(key).and_then(Value::as_str).unwrap_or("");
        let mut more = json!({});
        if name == "output_text" {
            more["logprobs"] = part.get("logprobs").cloned().unwrap_or_else(|| json!([]));
        }
        let mut told = more.clone();
        for piece in pieces(text) {
            let delta = with(&at, with(&told, json!({"delta": piece})));
            self.push(&format!("response.{name}.delta"), delta);
            if told.get("logprobs").is_some() {
                told["logprobs"] = json!([]);
            }
        }
        self.push(&format!("response.{name}.done"), with(&at, with(&more, json!({key: text}))));
        self.push("response.content_part.done", with(&at, json!({"part": part})));
    }

    fn thought(&mut self, id: &str, index: usize, place: usize, part: &Value) {
        let at = json!({"item_id": id, "output_index": index, "summary_index": place});
        let mut begun = part.clone();
        begun["text"] = json!("");
        self.push("response.reasoning_summary_part.added", with(&at, json!({"part": begun})));
        let text = part.get("text").and_then(Value::as_str).unwrap_or("");
        for piece in pieces(text) {
            let delta = with(&at, json!({"delta": piece}));
            self.push("response.reasoning_summary_text.delta", delta);
        }
        self.push("response.reasoning_summary_text.done", with(&at, json!({"text": text})));
        self.push("response.reasoning_summary_part.done", with(&at, json!({"part": part})));
    }
}

fn with(fields: &Value, more: Value) -> Value {
    let mut all = fields.clone();
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}
