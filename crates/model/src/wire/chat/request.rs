//! Requests.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::message;
use crate::message::{Request, Sampling};
use crate::wire::fields::{Fields, add_further, keep, own};
use crate::wire::{Api, Problem, tools};

/// Body of a request. With `stream`, events are asked for, and usage at their end.
pub fn request_to_json(request: &Request, stream: bool) -> Value {
    let sampling = &request.sampling;
    let kept = own(&sampling.extra, Api::Chat);
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("model", json!(request.model));
    let messages = request.messages.iter();
    put("messages", messages.map(|one| Value::Object(message::write(one))).collect());
    if let Some(tools) = tools::write(Api::Chat, &request.tools, kept) {
        put("tools", Value::Array(tools));
    }
    if let Some(choice) = &request.tool_choice {
        put("tool_choice", choice.clone());
    }
    if let Some(temperature) = sampling.temperature {
        put("temperature", json!(temperature));
    }
    if let Some(top_p) = sampling.top_p {
        put("top_p", json!(top_p));
    }
    if let Some(max) = sampling.max_tokens {
        put(spelling_of_max(sampling), json!(max));
    }
    if let Some(seed) = sampling.seed {
        put("seed", json!(seed));
    }
    if !sampling.stop.is_empty() {
        put("stop", json!(sampling.stop));
    }
    if let Some(effort) = &sampling.reasoning_effort {
        put("reasoning_effort", json!(effort));
    }
    if sampling.logprobs {
        put("logprobs", json!(true));
    }
    if let Some(top) = sampling.top_logprobs {
        put("top_logprobs", json!(top));
    }
    if sampling.token_ids {
        put("return_token_ids", json!(true));
    }
    if stream {
        put("stream", json!(true));
        put("stream_options", json!({"include_usage": true}));
    }
    let kept = ["tools", "other_tools", "max_completion_tokens"];
    add_further(&mut map, &sampling.extra, Api::Chat, &kept);
    Value::Object(map)
}

/// Newer models of OpenAI want another name; whoever put it into `extra` knows.
fn spelling_of_max(sampling: &Sampling) -> &'static str {
    let kept = own(&sampling.extra, Api::Chat);
    let named = |map: &Map<String, Value>| map.contains_key("max_completion_tokens");
    if named(&sampling.extra) || kept.is_some_and(named) {
        "max_completion_tokens"
    } else {
        "max_tokens"
    }
}

/// Reads the body of a request.
///
/// # Errors
/// Where the body is not what the API allows, or asks for several completions.
pub fn request_from_json(body: &Value) -> Result<Request, Problem> {
    read_request(body.clone())
}

pub(crate) fn read_request(body: Value) -> Result<Request, Problem> {
    let mut fields = Fields::of("", body)?;
    let mut kept = Map::new();
    let model = fields.needed_text("model")?;
    let list = fields.list("messages")?;
    let list = list.ok_or_else(|| fields.problem("messages", "the list is missing"))?;
    let mut messages = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        messages.push(Arc::new(message::read(format!("messages[{index}]"), value)?));
    }
    let list = fields.list("tools")?.unwrap_or_default();
    let tools = tools::read(Api::Chat, list)?.keep(&mut kept);
    let tool_choice = fields.take("tool_choice");
    if fields.count("n")?.is_some_and(|n| n > 1) {
        return Err(fields.problem("n", "only one completion can be asked for at a time"));
    }
    let max = fields.count("max_completion_tokens")?;
    if max.is_some() {
        kept.insert("max_completion_tokens".to_owned(), json!(max));
    }
    let max_tokens = max.or(fields.count("max_tokens")?);
    let stop = match fields.take("stop") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(value) => serde_json::from_value(value)
            .map_err(|_| fields.problem("stop", "a text or a list of texts is expected"))?,
    };
    let top_logprobs = fields.count("top_logprobs")?.map(|n| n.try_into().unwrap_or(u32::MAX));
    let mut sampling = Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        max_tokens,
        seed: if fields.get("seed").is_some_and(Value::is_u64) {
            fields.count("seed")?
        } else {
            None
        },
        stop,
        reasoning_effort: fields.text("reasoning_effort")?,
        logprobs: fields.flag("logprobs")?,
        top_logprobs,
        token_ids: fields.flag("return_token_ids")?,
        extra: Map::new(),
    };
    if let Some(parallel) = fields.take("parallel_tool_calls") {
        sampling.extra.insert("parallel_tool_calls".to_owned(), parallel);
    }
    fields.take("stream");
    fields.take("stream_options");
    kept.extend(fields.rest());
    keep(&mut sampling.extra, Api::Chat, kept);
    Ok(Request { model, messages, tools, tool_choice, sampling, session: None })
}
