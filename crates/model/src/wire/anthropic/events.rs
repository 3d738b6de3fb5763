//! Answers as streams.

use serde_json::{Map, Value, json};

use super::blocks::{self, For};
use super::reply::{head, stop, usage_to_json};
use crate::message::{Reply, Request};
use crate::wire::raw;
use crate::wire::sse::{named, pieces};

/// The whole answer as a stream of server-sent events.
pub fn events_of(reply: &Reply, request: &Request) -> Vec<String> {
    let mut message = head(reply);
    message.insert("stop_reason".to_owned(), Value::Null);
    message.insert("stop_sequence".to_owned(), Value::Null);
    let mut usage = usage_to_json(&reply.usage);
    usage["output_tokens"] = json!(0);
    message.insert("usage".to_owned(), usage);
    if request.sampling.token_ids
        && let Some(tokens) = &reply.tokens
    {
        message.insert("prompt_token_ids".to_owned(), json!(tokens.prompt));
        message.insert("token_ids".to_owned(), json!(tokens.completion));
    }
    let mut events = vec![event(json!({"type": "message_start", "message": message}))];
    let mut calls = reply.message.tool_calls.iter();
    let written = blocks::write(&reply.message, For::Reply, false);
    for (index, block) in written.into_iter().enumerate() {
        let Value::Object(mut block) = block else { continue };
        let kind = block.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        // Pieces as (type of the delta, its field, text).
        let mut deltas: Vec<(&str, &str, String)> = Vec::new();
        match kind.as_str() {
            "text" => deltas.push(("text_delta", "text", blank(&mut block, "text"))),
            "thinking" => {
                deltas.push(("thinking_delta", "thinking", blank(&mut block, "thinking")));
                deltas.push(("signature_delta", "signature", blank(&mut block, "signature")));
            }
            "tool_use" => {
                let arguments = calls.next().map(|call| raw::to_text(&call.arguments));
                block.insert("input".to_owned(), json!({}));
                let arguments = arguments.unwrap_or_default();
                deltas.push(("input_json_delta", "partial_json", arguments));
            }
            _ => {}
        }
        events.push(event(
            json!({"type": "content_block_start", "index": index, "content_block": block}),
        ));
        for (kind, field, text) in deltas {
            // A signature is not cut: clients replace it by each piece.
            let whole = kind == "signature_delta" && !text.is_empty();
            let whole = whole.then_some(text.as_str());
            let cut = pieces(if whole.is_some() { "" } else { &text });
            for piece in whole.into_iter().chain(cut) {
                let delta = json!({"type": kind, field: piece});
                events.push(event(
                    json!({"type": "content_block_delta", "index": index, "delta": delta}),
                ));
            }
        }
        events.push(event(json!({"type": "content_block_stop", "index": index})));
    }
    let (reason, sequence) = stop(reply);
    events.push(event(json!({
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": sequence},
        "usage": usage_to_json(&reply.usage),
    })));
    events.push(event(json!({"type": "message_stop"})));
    events
}

fn event(value: Value) -> String {
    named(value.get("type").and_then(Value::as_str).unwrap_or(""), &value)
}

/// Takes a text out and leaves an empty one.
fn blank(block: &mut Map<String, Value>, key: &str) -> String {
    match block.insert(key.to_owned(), json!("")) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}
