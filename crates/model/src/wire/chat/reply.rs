//! Whole answers.

use serde_json::{Map, Value, json};

use super::message;
use crate::message::{Finish, Message, Part, Reply, Request, Tokens, Usage};
use crate::wire::fields::{Fields, own};
use crate::wire::{Api, Problem, ids};

/// Body of a whole answer.
pub fn reply_to_json(reply: &Reply, request: &Request) -> Value {
    let mut choice = Map::new();
    choice.insert("index".to_owned(), json!(0));
    choice.insert("message".to_owned(), Value::Object(said(reply)));
    choice.insert("logprobs".to_owned(), logprobs(reply));
    choice.insert("finish_reason".to_owned(), json!(word_of(&reply.finish)));
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(reply.id));
    body.insert("object".to_owned(), json!("chat.completion"));
    body.insert("created".to_owned(), json!(0));
    body.insert("model".to_owned(), json!(reply.model));
    if request.sampling.token_ids
        && let Some(tokens) = &reply.tokens
    {
        choice.insert("token_ids".to_owned(), json!(tokens.completion));
        body.insert("prompt_token_ids".to_owned(), json!(tokens.prompt));
    }
    body.insert("choices".to_owned(), json!([choice]));
    body.insert("usage".to_owned(), usage_to_json(&reply.usage));
    Value::Object(body)
}

/// The message. Clients expect its text in one piece.
pub(super) fn said(reply: &Reply) -> Map<String, Value> {
    let mut map = message::write(&reply.message);
    let content = &reply.message.content;
    if content.iter().all(|part| matches!(part, Part::Text(_))) {
        let text =
            if content.is_empty() { Value::Null } else { json!(reply.message.content_text()) };
        map.insert("content".to_owned(), text);
    }
    // Signed thoughts under the name that LiteLLM gave them, so that clients can send them back.
    if !map.contains_key("thinking_blocks")
        && let Some(blocks) =
            own(&reply.message.extra, Api::Anthropic).and_then(|own| own.get("blocks")?.as_array())
    {
        let thought = |block: &&Value| {
            let kind = block.get("type").and_then(Value::as_str);
            matches!(kind, Some("thinking" | "redacted_thinking"))
        };
        let blocks: Vec<&Value> = blocks.iter().filter(thought).collect();
        if !blocks.is_empty() {
            map.insert("thinking_blocks".to_owned(), json!(blocks));
        }
    }
    map
}

pub(super) fn logprobs(reply: &Reply) -> Value {
    match &reply.logprobs {
        Some(list) => json!({"content": list, "refusal": null}),
        None => Value::Null,
    }
}

pub(super) fn usage_to_json(usage: &Usage) -> Value {
    let mut prompt = json!({"cached_tokens": usage.cached});
    if usage.cache_written > 0 {
        prompt["cache_write_tokens"] = json!(usage.cache_written);
    }
    json!({
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}

pub(super) fn word_of(finish: &Finish) -> &str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Refused => "content_filter",
        Finish::Other(word) => word,
    }
}

fn finish_of(word: Option<&str>, message: &Message) -> Finish {
    match word {
        Some("stop") if message.extra.contains_key("refusal") => Finish::Refused,
        Some("stop") => Finish::Stop,
        Some("length") => Finish::Length,
        Some("tool_calls" | "function_call") => Finish::ToolCalls,
        Some("content_filter") => Finish::Refused,
        Some(word) => Finish::Other(word.to_owned()),
        None if !message.tool_calls.is_empty() => Finish::ToolCalls,
        None => Finish::Stop,
    }
}

pub(super) fn usage_of(value: Option<&Value>) -> Usage {
    let count = |pointers: &[&str]| {
        let value = value?;
        pointers.iter().find_map(|pointer| value.pointer(pointer)?.as_u64())
    };
    Usage {
        prompt: count(&["/prompt_tokens"]).unwrap_or(0),
        completion: count(&["/completion_tokens"]).unwrap_or(0),
        cached: count(&[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_cache_hit_tokens",
            "/cache_read_input_tokens",
        ])
        .unwrap_or(0),
        cache_written: count(&[
            "/prompt_tokens_details/cache_write_tokens",
            "/prompt_tokens_details/cache_creation_tokens",
            "/cache_creation_input_tokens",
        ])
        .unwrap_or(0),
        reasoning: count(&["/completion_tokens_details/reasoning_tokens", "/reasoning_tokens"])
            .unwrap_or(0),
    }
}

/// Reads a whole answer: its first choice.
///
/// # Errors
/// Where it has no completion.
pub fn reply_from_json(body: &Value) -> Result<Reply, Problem> {
    read_reply(body.clone())
}

pub(crate) fn read_reply(body: Value) -> Result<Reply, Problem> {
    let mut fields = Fields::of("", body)?;
    let id = fields.text("id")?.unwrap_or_default();
    let model = fields.text("model")?.unwrap_or_default();
    let usage = usage_of(fields.take("usage").as_ref());
    let mut prompt_ids = fields.take("prompt_token_ids");
    let choices = fields.list("choices")?.unwrap_or_default();
    let choice = choices.into_iter().next();
    let choice = choice.ok_or_else(|| fields.problem("choices", "there is no choice"))?;
    let mut choice = Fields::of("choices[0]", choice)?;
    let value = choice.take("message");
    let mut value = value.ok_or_else(|| choice.problem("message", "it is missing"))?;
    if let Some(map) = value.as_object_mut()
        && !map.get("role").is_some_and(Value::is_string)
    {
        map.insert("role".to_owned(), json!("assistant"));
    }
    let mut message = message::read("choices[0].message".to_owned(), value)?;
    // Made-up names differ from one completion to the next.
    for (index, call) in message.tool_calls.iter_mut().enumerate() {
        if call.id == ids::derive("call_", &[&index.to_string(), &call.name, &call.arguments]) {
            call.id = ids::derive("call_", &[&id, &index.to_string(), &call.name, &call.arguments]);
        }
    }
    let word = choice.text("finish_reason")?;
    let finish = finish_of(word.as_deref(), &message);
    let logprobs = choice.take("logprobs").and_then(|value| match value {
        Value::Object(mut map) => map.shift_remove("content").filter(|list| !list.is_null()),
        _ => None,
    });
    if prompt_ids.is_none() {
        prompt_ids = choice.take("prompt_token_ids");
    }
    let tokens = tokens_of(prompt_ids, choice.take("token_ids"), logprobs.as_ref())?;
    Ok(Reply { id, model, message, finish, usage, tokens, logprobs })
}

/// Token ids, where both lists are there.
pub(crate) fn tokens_of(
    prompt: Option<Value>,
    completion: Option<Value>,
    logprobs: Option<&Value>,
) -> Result<Option<Tokens>, Problem> {
    let (Some(prompt), Some(completion)) = (prompt, completion) else { return Ok(None) };
    let read = |value: Value, name: &str| {
        serde_json::from_value::<Vec<u32>>(value)
            .map_err(|_| Problem::at(name, "a list of token ids is expected"))
    };
    let prompt = read(prompt, "prompt_token_ids")?;
    let completion = read(completion, "token_ids")?;
    let list = logprobs.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let logprobs: Vec<f64> =
        list.iter().filter_map(|entry| entry.get("logprob")?.as_f64()).collect();
    let logprobs = if logprobs.len() == completion.len() { logprobs } else { Vec::new() };
    Ok(Some(Tokens { prompt, completion, logprobs }))
}
