//! Whole answers.

use serde_json::{Map, Value, json};

use super::blocks::{self, For, Reader};
use crate::message::{Finish, Reply, Request, Role, Usage};
use crate::wire::Problem;
use crate::wire::chat::tokens_of;
use crate::wire::fields::Fields;
use crate::wire::raw::{self, Inputs};

/// Body of a whole answer.
pub fn reply_to_json(reply: &Reply, request: &Request) -> Value {
    body(reply, request, false)
}

/// Body of a whole answer as bytes, with the arguments of tool calls as the model wrote them.
pub fn reply_to_vec(reply: &Reply, request: &Request) -> Vec<u8> {
    raw::to_vec(&body(reply, request, true))
}

fn body(reply: &Reply, request: &Request, verbatim: bool) -> Value {
    let mut body = head(reply);
    body.insert(
        "content".to_owned(),
        Value::Array(blocks::write(&reply.message, For::Reply, verbatim)),
    );
    let (reason, sequence) = stop(reply);
    body.insert("stop_reason".to_owned(), reason);
    body.insert("stop_sequence".to_owned(), sequence);
    body.insert("usage".to_owned(), usage_to_json(&reply.usage));
    if request.sampling.token_ids
        && let Some(tokens) = &reply.tokens
    {
        body.insert("prompt_token_ids".to_owned(), json!(tokens.prompt));
        body.insert("token_ids".to_owned(), json!(tokens.completion));
    }
    Value::Object(body)
}

pub(super) fn head(reply: &Reply) -> Map<String, Value> {
    let body = json!({
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [],
    });
    match body {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `stop_reason` and `stop_sequence`.
pub(super) fn stop(reply: &Reply) -> (Value, Value) {
    let sequence = reply.message.extra.get("stop_sequence").cloned().unwrap_or_default();
    let word = match &reply.finish {
        Finish::Stop if !reply.message.tool_calls.is_empty() => "tool_use",
        Finish::Stop if !sequence.is_null() => "stop_sequence",
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Refused => "refusal",
        Finish::Other(word) => word,
    };
    (json!(word), sequence)
}

pub(super) fn usage_to_json(usage: &Usage) -> Value {
    let cached = usage.cached + usage.cache_written;
    json!({
        "input_tokens": usage.prompt.saturating_sub(cached),
        "cache_creation_input_tokens": usage.cache_written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    })
}

fn usage_of(value: Option<&Value>) -> Usage {
    let count = |pointer: &str| value.and_then(|value| value.pointer(pointer)?.as_u64());
    let cached = count("/cache_read_input_tokens").unwrap_or(0);
    let cache_written = count("/cache_creation_input_tokens").unwrap_or(0);
    Usage {
        prompt: count("/input_tokens").unwrap_or(0) + cached + cache_written,
        completion: count("/output_tokens").unwrap_or(0),
        cached,
        cache_written,
        reasoning: count("/output_tokens_details/thinking_tokens")
            .or_else(|| count("/output_tokens_details/reasoning_tokens"))
            .unwrap_or(0),
    }
}

/// Reads a whole answer.
///
/// # Errors
/// Where it has no content.
pub fn reply_from_json(body: &Value) -> Result<Reply, Problem> {
    read_reply(body.clone(), &Inputs::default())
}

pub(crate) fn read_reply(body: Value, inputs: &Inputs) -> Result<Reply, Problem> {
    let mut fields = Fields::of("", body)?;
    let id = fields.text("id")?.unwrap_or_default();
    let model = fields.text("model")?.unwrap_or_default();
    let content = fields.list("content")?;
    let content = content.ok_or_else(|| fields.problem("content", "the list is missing"))?;
    let mut reader = Reader::default();
    blocks::read_content(&mut reader, "content", Some(Value::Array(content)), Some((inputs, 0)))?;
    let mut message = reader.message(Role::Assistant, Map::new());
    let finish = match fields.text("stop_reason")?.as_deref() {
        Some("end_turn" | "stop_sequence") | None => Finish::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("tool_use") => Finish::ToolCalls,
        Some("refusal") => Finish::Refused,
        Some(word) => Finish::Other(word.to_owned()),
    };
    if let Some(sequence) = fields.take("stop_sequence") {
        message.extra.insert("stop_sequence".to_owned(), sequence);
    }
    let usage = usage_of(fields.take("usage").as_ref());
    let tokens = tokens_of(fields.take("prompt_token_ids"), fields.take("token_ids"), None)?;
    Ok(Reply { id, model, message, finish, usage, tokens, logprobs: None })
}
