//! A tokenizer that anyone can do in the head: bytes, and three marks.

use serde_json::{Value, json};

use super::TokenIds;
use crate::message::{Message, Part, Reply, Request, Role, Tokens};

/// Begins a message.
const START: u32 = 256;
/// Ends one.
const END: u32 = 257;
/// Begins a tool call, and its arguments.
const CALL: u32 = 258;
/// What a model's first byte is raised by, where it is tokenised anew.
const ANEW: u32 = 1000;

/// Ids of the prompt of a request.
pub fn render(request: &Request, mode: TokenIds) -> Vec<u32> {
    let mut ids = Vec::new();
    if !request.tools.is_empty() {
        ids.push(START);
        bytes(&mut ids, "tools\n");
        for tool in request.tools.iter() {
            bytes(&mut ids, &tool.name);
            bytes(&mut ids, &tool.description);
            bytes(&mut ids, &tool.parameters.to_string());
        }
        ids.push(END);
    }
    for message in &request.messages {
        ids.push(START);
        let role = match message.role {
            Role::System => "system\n",
            Role::User => "user\n",
            Role::Assistant => "assistant\n",
            Role::Tool => "tool\n",
        };
        bytes(&mut ids, role);
        let begin = ids.len();
        said(&mut ids, message);
        if mode == TokenIds::Retokenised
            && message.role == Role::Assistant
            && let Some(first) = ids.get_mut(begin)
        {
            *first += ANEW;
        }
    }
    ids.push(START);
    bytes(&mut ids, "assistant\n");
    ids
}

/// What stands between the role and the next message.
fn said(ids: &mut Vec<u32>, message: &Message) {
    if let Some(reasoning) = &message.reasoning {
        bytes(ids, "<think>");
        bytes(ids, reasoning);
        bytes(ids, "</think>");
    }
    for part in &message.content {
        match part {
            Part::Text(text) => bytes(ids, text),
            Part::Image(url) => bytes(ids, url),
            Part::Other(value) => bytes(ids, &value.to_string()),
        }
    }
    for call in &message.tool_calls {
        ids.push(CALL);
        bytes(ids, &call.name);
        ids.push(CALL);
        bytes(ids, &call.arguments);
    }
    ids.push(END);
}

fn bytes(ids: &mut Vec<u32>, text: &str) {
    ids.extend(text.bytes().map(u32::from));
}

/// Adds to a reply what was asked for: token ids, log-probabilities, usage.
pub(super) fn complete(reply: &mut Reply, request: &Request, mode: TokenIds) {
    let sampling = &request.sampling;
    let counted = reply.usage.prompt == 0 && reply.usage.completion == 0;
    if mode == TokenIds::None || !(sampling.token_ids || sampling.logprobs) {
        if counted {
            reply.usage.prompt = (length(request) / 4).max(1) as u64;
            reply.usage.completion = (said_length(&reply.message) / 4).max(1) as u64;
        }
        return;
    }
    let prompt = render(request, mode);
    let mut completion = Vec::new();
    said(&mut completion, &reply.message);
    if counted {
        reply.usage.prompt = prompt.len() as u64;
        reply.usage.completion = completion.len() as u64;
    }
    // Any number does, as long as each place has its own.
    let logprobs: Vec<f64> =
        (0..completion.len()).map(|place| -((place % 64) as f64 + 1.0) / 64.0).collect();
    if sampling.logprobs {
        let entries = completion.iter().zip(&logprobs).map(|(id, logprob)| entry(*id, *logprob));
        reply.logprobs = Some(entries.collect());
    }
    if sampling.token_ids {
        let logprobs = if sampling.logprobs { logprobs } else { Vec::new() };
        reply.tokens = Some(Tokens { prompt, completion, logprobs });
    }
}

fn entry(id: u32, logprob: f64) -> Value {
    let (token, bytes) = match u8::try_from(id) {
        Ok(byte) => (String::from_utf8_lossy(&[byte]).into_owned(), vec![byte]),
        Err(_) => (format!("<|{id}|>"), Vec::new()),
    };
    json!({"token": token, "logprob": logprob, "bytes": bytes, "top_logprobs": []})
}

fn length(request: &Request) -> usize {
    request.messages.iter().map(|message| said_length(message) + 12).sum()
}

fn said_length(message: &Message) -> usize {
    let parts = message.content.iter().map(|part| match part {
        Part::Text(text) | Part::Image(text) => text.len(),
        Part::Other(_) => 16,
    });
    let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
    message.reasoning.as_ref().map_or(0, String::len) + parts.sum::<usize>() + calls.sum::<usize>()
}
