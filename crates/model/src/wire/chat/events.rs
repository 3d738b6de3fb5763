//! Answers as streams.

use serde_json::{Map, Value, json};

use super::message::write_call;
use super::reply::{logprobs, said, usage_to_json, word_of};
use crate::message::{Reply, Request};
use crate::wire::Api;
use crate::wire::fields::{nth, own};
use crate::wire::sse::{data, pieces};

/// Fields of the message that are streamed in pieces, in this order.
const TEXTS: [&str; 4] = ["reasoning_content", "reasoning", "content", "refusal"];

/// The whole answer as a stream of server-sent events.
pub fn events_of(reply: &Reply, request: &Request, include_usage: bool) -> Vec<String> {
    let mut events = Vec::new();
    let token_ids = reply.tokens.as_ref().filter(|_| request.sampling.token_ids);
    let chunk = |delta: Value, finish: Option<&str>| {
        let mut body = Map::new();
        body.insert("id".to_owned(), json!(reply.id));
        body.insert("object".to_owned(), json!("chat.completion.chunk"));
        body.insert("created".to_owned(), json!(0));
        body.insert("model".to_owned(), json!(reply.model));
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        body.insert("choices".to_owned(), json!([choice]));
        if include_usage {
            body.insert("usage".to_owned(), Value::Null);
        }
        body
    };

    let mut message = said(reply);
    message.shift_remove("tool_calls");
    let texts = TEXTS.map(|key| {
        let text = message.get(key).and_then(Value::as_str).map(str::to_owned);
        if text.is_some() {
            message.shift_remove(key);
        }
        (key, text)
    });
    // What is not text comes whole, in the first chunk. Clients wait for a `content` there.
    if message.get("content").is_none_or(Value::is_null) {
        let has_text = texts.iter().any(|(key, text)| *key == "content" && text.is_some());
        message.insert("content".to_owned(), if has_text { json!("") } else { Value::Null });
    }
    let mut first = chunk(Value::Object(message), None);
    if let Some(tokens) = token_ids {
        first.insert("prompt_token_ids".to_owned(), json!(tokens.prompt));
    }
    events.push(data(&Value::Object(first)));

    // Token ids and log-probabilities are those of the whole completion. No one can say which piece
    // of text they belong to, so they come with the first one.
    let mut apart = Map::new();
    if reply.logprobs.is_some() {
        apart.insert("logprobs".to_owned(), logprobs(reply));
    }
    if let Some(tokens) = token_ids {
        apart.insert("token_ids".to_owned(), json!(tokens.completion));
    }
    let mut push = |delta: Value| {
        let mut body = chunk(delta, None);
        if let Some(choice) = body.get_mut("choices").and_then(|list| list.get_mut(0)) {
            for (key, value) in std::mem::take(&mut apart) {
                choice[key] = value;
            }
        }
        events.push(data(&Value::Object(body)));
    };
    for (key, text) in &texts {
        for piece in pieces(text.as_deref().unwrap_or("")) {
            push(json!({ *key: piece }));
        }
    }
    let kept = own(&reply.message.extra, Api::Chat);
    for (index, call) in reply.message.tool_calls.iter().enumerate() {
        let mut head = write_call(call, nth(kept, "tool_calls", index));
        head["index"] = json!(index);
        if !head.get("function").is_some_and(Value::is_object) {
            push(json!({"tool_calls": [head]}));
            continue;
        }
        head["function"]["arguments"] = json!("");
        push(json!({"tool_calls": [head]}));
        for piece in pieces(&call.arguments) {
            push(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}));
        }
    }
    if !apart.is_empty() {
        let mut body = chunk(json!({}), None);
        if let Some(choice) = body.get_mut("choices").and_then(|list| list.get_mut(0)) {
            for (key, value) in std::mem::take(&mut apart) {
                choice[key] = value;
            }
        }
        events.push(data(&Value::Object(body)));
    }

    events.push(data(&Value::Object(chunk(json!({}), Some(word_of(&reply.finish))))));
    if include_usage {
        let mut last = chunk(json!({}), None);
        last.insert("choices".to_owned(), json!([]));
        last.insert("usage".to_owned(), usage_to_json(&reply.usage));
        events.push(data(&Value::Object(last)));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}
