//! Requests.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::items::{self, For};
use crate::message::{Message, Part, Request, Role, Sampling};
use crate::wire::fields::{Fields, add_further, keep, own};
use crate::wire::{Api, Problem, tools};

const LOGPROBS: &str = "message.output_text.logprobs";

/// Body of a request.
pub fn request_to_json(request: &Request, stream: bool) -> Value {
    let sampling = &request.sampling;
    let kept = own(&sampling.extra, Api::Responses);
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("model", json!(request.model));
    let mut messages = request.messages.as_slice();
    if let Some((first, rest)) = messages.split_first()
        && let Some(text) = instructions_of(first)
    {
        put("instructions", json!(text));
        messages = rest;
    }
    let input = messages.iter().flat_map(|message| items::write(message, For::Request));
    put("input", input.collect());
    if let Some(tools) = tools::write(Api::Responses, &request.tools, kept) {
        put("tools", Value::Array(tools));
    }
    if let Some(choice) = &request.tool_choice {
        put("tool_choice", tools::write_choice(Api::Responses, choice));
    }
    if let Some(temperature) = sampling.temperature {
        put("temperature", json!(temperature));
    }
    if let Some(top_p) = sampling.top_p {
        put("top_p", json!(top_p));
    }
    if let Some(max) = sampling.max_tokens {
        put("max_output_tokens", json!(max));
    }
    if !sampling.stop.is_empty() {
        put("stop", json!(sampling.stop));
    }
    if let Some(effort) = &sampling.reasoning_effort {
        let mut reasoning = Map::from_iter([("effort".to_owned(), json!(effort))]);
        if let Some(more) = kept.and_then(|kept| kept.get("reasoning")?.as_object()) {
            reasoning.extend(more.clone());
        }
        put("reasoning", Value::Object(reasoning));
    }
    if sampling.logprobs {
        let mut include = vec![json!(LOGPROBS)];
        if let Some(more) = kept.and_then(|kept| kept.get("include")?.as_array()) {
            include.extend(more.iter().cloned());
        }
        put("include", Value::Array(include));
    }
    if let Some(top) = sampling.top_logprobs {
        put("top_logprobs", json!(top));
    }
    if sampling.token_ids {
        put("return_token_ids", json!(true));
    }
    if stream {
        put("stream", json!(true));
    }
    add_further(&mut map, &sampling.extra, Api::Responses, &["tools", "other_tools"]);
    Value::Object(map)
}

/// The text of a system message that did not come as an item.
fn instructions_of(message: &Message) -> Option<&str> {
    match message.content.as_slice() {
        [Part::Text(text)] if message.role == Role::System => {
            let item =
                own(&message.extra, Api::Responses).is_some_and(|own| own.contains_key("role"));
            (!item).then_some(text)
        }
        _ => None,
    }
}

/// Reads the body of a request.
///
/// # Errors
/// Where the body is not what the API allows, or refers to an earlier response.
pub fn request_from_json(body: &Value) -> Result<Request, Problem> {
    read_request(body.clone())
}

pub(crate) fn read_request(body: Value) -> Result<Request, Problem> {
    let mut fields = Fields::of("", body)?;
    for key in ["previous_response_id", "conversation", "prompt"] {
        if fields.take(key).is_some() {
            return Err(fields.problem(key, "nothing is stored; send the whole conversation"));
        }
    }
    let mut kept = Map::new();
    let model = fields.needed_text("model")?;
    let mut messages = Vec::new();
    match fields.take("instructions") {
        None => {}
        Some(Value::String(text)) => messages.push(Message::system(text)),
        Some(Value::Array(list)) => messages.extend(items::read(list, "instructions")?),
        Some(_) => return Err(fields.problem("instructions", "a text or items are expected")),
    }
    match fields.take("input") {
        Some(Value::String(text)) => messages.push(Message::user(text)),
        Some(Value::Array(list)) => messages.extend(items::read(list, "input")?),
        _ => return Err(fields.problem("input", "a text or items are expected")),
    }
    let list = fields.list("tools")?.unwrap_or_default();
    let tools = tools::read(Api::Responses, list)?.keep(&mut kept);
    let choice = fields.take("tool_choice");
    let tool_choice = choice.map(|choice| tools::read_choice(Api::Responses, choice));
    let top_logprobs = fields.count("top_logprobs")?.map(|n| n.try_into().unwrap_or(u32::MAX));
    let mut sampling = Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        max_tokens: fields.count("max_output_tokens")?,
        top_logprobs,
        token_ids: fields.flag("return_token_ids")?,
        ..Sampling::default()
    };
    if let Some(stop) = fields.take("stop") {
        sampling.stop = serde_json::from_value(stop)
            .map_err(|_| fields.problem("stop", "a list of texts is expected"))?;
    }
    if let Some(Value::Object(mut reasoning)) = fields.take("reasoning") {
        if reasoning.get("effort").is_some_and(Value::is_string)
            && let Some(Value::String(effort)) = reasoning.shift_remove("effort")
        {
            sampling.reasoning_effort = Some(effort);
        }
        if !reasoning.is_empty() {
            kept.insert("reasoning".to_owned(), Value::Object(reasoning));
        }
    }
    let mut include = fields.list("include")?.unwrap_or_default();
    let asked = include.len();
    include.retain(|one| one != LOGPROBS);
    sampling.logprobs = include.len() < asked;
    if !include.is_empty() {
        kept.insert("include".to_owned(), Value::Array(include));
    }
    if let Some(parallel) = fields.take("parallel_tool_calls") {
        sampling.extra.insert("parallel_tool_calls".to_owned(), parallel);
    }
    fields.take("stream");
    fields.take("stream_options");
    kept.extend(fields.rest());
    keep(&mut sampling.extra, Api::Responses, kept);
    let messages = messages.into_iter().map(Arc::new).collect();
    Ok(Request { model, messages, tools, tool_choice, sampling, session: None })
}
