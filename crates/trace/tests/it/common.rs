//! Requests and answers.

use std::sync::Arc;

use palestra_model::{
    Answer, Effort, Finish, Message, Reply, Request, Tokens, Tool, ToolCall, Usage,
};
use serde_json::json;

pub(crate) fn request(messages: &[Message]) -> Request {
    Request::new("m", messages.iter().cloned().map(Arc::new).collect())
}

pub(crate) fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: String::new(),
        parameters: json!({"type": "object"}),
    }
}

pub(crate) fn answer(message: Message, tokens: Option<(&[u32], &[u32])>) -> Answer {
    let tokens = tokens.map(|(prompt, completion)| Tokens {
        prompt: prompt.to_vec(),
        completion: completion.to_vec(),
        logprobs: completion.iter().map(|id| -f64::from(*id) / 7.0).collect(),
    });
    Answer {
        reply: Reply {
            id: "r".to_owned(),
            model: "m-1".to_owned(),
            message,
            finish: Finish::Stop,
            usage: Usage { prompt: 3, completion: 2, ..Usage::default() },
            tokens,
            logprobs: None,
        },
        effort: Effort { tries: 1, seconds: 0.25, ..Effort::default() },
        sent: Arc::from(&b"{}"[..]),
        received: Arc::from(&b"{\"x\":1}"[..]),
    }
}

pub(crate) fn calls(text: &str, arguments: &str) -> Message {
    Message {
        tool_calls: vec![ToolCall {
            id: "c1".to_owned(),
            name: "bash".to_owned(),
            arguments: arguments.to_owned(),
        }],
        ..Message::assistant(text)
    }
}
