//! Whole answers.

use serde_json::{Map, Value, json};

use super::items::{self, For, Turn};
use crate::message::{Finish, Reply, Request, Usage};
use crate::wire::chat::tokens_of;
use crate::wire::fields::{Fields, own};
use crate::wire::{Api, Problem, tools};

/// Body of a whole answer.
pub fn reply_to_json(reply: &Reply, request: &Request) -> Value {
    let mut body = head(reply, request);
    let (status, details) = status(reply);
    body.insert("status".to_owned(), json!(status));
    body.insert("incomplete_details".to_owned(), details);
    body.insert("output".to_owned(), Value::Array(output(reply)));
    body.insert("usage".to_owned(), usage_to_json(&reply.usage));
    if request.sampling.token_ids
        && let Some(tokens) = &reply.tokens
    {
        body.insert("prompt_token_ids".to_owned(), json!(tokens.prompt));
        body.insert("token_ids".to_owned(), json!(tokens.completion));
    }
    Value::Object(body)
}

/// The items, with log-probabilities at the first text.
pub(super) fn output(reply: &Reply) -> Vec<Value> {
    let mut items = items::write(&reply.message, For::Reply(&reply.id));
    if let Some(logprobs) = &reply.logprobs {
        let is_text = |part: &&mut Value| part.get("type") == Some(&json!("output_text"));
        let part = items
            .iter_mut()
            .filter_map(|item| item.get_mut("content")?.as_array_mut())
            .flatten()
            .find(is_text);
        if let Some(part) = part {
            part["logprobs"] = logprobs.clone();
        }
    }
    items
}

/// The response before anything was said.
pub(super) fn head(reply: &Reply, request: &Request) -> Map<String, Value> {
    let kept = own(&request.sampling.extra, Api::Responses);
    let tools = tools::write(Api::Responses, &request.tools, kept).unwrap_or_default();
    let choice =
        request.tool_choice.as_ref().map(|choice| tools::write_choice(Api::Responses, choice));
    let parallel = request.sampling.extra.get("parallel_tool_calls");
    let body = json!({
        "id": reply.id,
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "model": reply.model,
        "output": [],
        "parallel_tool_calls": parallel.cloned().unwrap_or_else(|| json!(true)),
        "temperature": request.sampling.temperature,
        "tool_choice": choice.unwrap_or_else(|| json!("auto")),
        "tools": tools,
        "top_p": request.sampling.top_p,
        "max_output_tokens": request.sampling.max_tokens,
        "usage": null,
    });
    match body {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `status` and `incomplete_details`.
pub(super) fn status(reply: &Reply) -> (&'static str, Value) {
    let reason = match &reply.finish {
        Finish::Stop | Finish::ToolCalls => return ("completed", Value::Null),
        Finish::Refused if reply.message.extra.contains_key("refusal") => {
            return ("completed", Value::Null);
        }
        Finish::Length => "max_output_tokens",
        Finish::Refused => "content_filter",
        Finish::Other(word) => word,
    };
    ("incomplete", json!({"reason": reason}))
}

fn usage_to_json(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.prompt,
        "input_tokens_details":
            {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    })
}

fn usage_of(value: Option<&Value>) -> Usage {
    let count =
        |pointer: &str| value.and_then(|value| value.pointer(pointer)?.as_u64()).unwrap_or(0);
    Usage {
        prompt: count("/input_tokens"),
        completion: count("/output_tokens"),
        cached: count("/input_tokens_details/cached_tokens"),
        cache_written: count("/input_tokens_details/cache_write_tokens"),
        reasoning: count("/output_tokens_details/reasoning_tokens"),
    }
}

/// Reads a whole answer.
///
/// # Errors
/// Where it has no output, or failed.
pub fn reply_from_json(body: &Value) -> Result<Reply, Problem> {
    read_reply(body.clone())
}

pub(crate) fn read_reply(body: Value) -> Result<Reply, Problem> {
    let mut fields = Fields::of("", body)?;
    if let Some(error) = fields.take("error") {
        return Err(fields.problem("error", error.to_string()));
    }
    let id = fields.text("id")?.unwrap_or_default();
    let model = fields.text("model")?.unwrap_or_default();
    let list = fields.list("output")?;
    let list = list.ok_or_else(|| fields.problem("output", "the list is missing"))?;
    let mut turn = Turn::default();
    for (index, item) in list.into_iter().enumerate() {
        turn.item(format!("output[{index}]"), item)?;
    }
    let logprobs = std::mem::take(&mut turn.logprobs);
    let logprobs = (!logprobs.is_empty()).then_some(Value::Array(logprobs));
    let message = turn.message();
    let reason = fields.take("incomplete_details");
    let reason = reason.as_ref().and_then(|details| details.get("reason")?.as_str());
    let finish = match (fields.text("status")?.as_deref(), reason) {
        (Some("incomplete"), Some("max_output_tokens")) => Finish::Length,
        (Some("incomplete"), Some("content_filter")) => Finish::Refused,
        (Some("incomplete"), Some(word)) => Finish::Other(word.to_owned()),
        (Some("completed") | None, _) if !message.tool_calls.is_empty() => Finish::ToolCalls,
        (Some("completed") | None, _) if message.extra.contains_key("refusal") => Finish::Refused,
        (Some("completed") | None, _) => Finish::Stop,
        (Some(word), _) => Finish::Other(word.to_owned()),
    };
    let usage = usage_of(fields.take("usage").as_ref());
    let ids = (fields.take("prompt_token_ids"), fields.take("token_ids"));
    let tokens = tokens_of(ids.0, ids.1, logprobs.as_ref())?;
    Ok(Reply { id, model, message, finish, usage, tokens, logprobs })
}
