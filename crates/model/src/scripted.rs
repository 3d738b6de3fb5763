//! A server that plays a script over the real protocols: for tests, demonstrations and benchmarks.
//!
//! It listens on loopback and speaks all three APIs, as streams too, wherever the path ends with that
//! of an API. What it says to a request is decided by a [`Script`]; how it fails, too.

mod answer;
mod body;
mod server;
mod tokens;

use std::time::Duration;

use crate::message::{Finish, Message, Reply, Request, Role, ToolCall, Usage};

pub use server::ScriptedServer;
pub use tokens::render;

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Scripted {
    /// It answers.
    Say(Say),
    /// It answers with a status and a body, and perhaps a `Retry-After` header.
    Status {
        /// HTTP status.
        status: u16,
        /// Body; where it is empty, an error in the form of the API.
        body: String,
        /// Value of the header.
        retry_after: Option<String>,
    },
    /// It answers with these bytes, and calls them what it was asked for.
    Garbage(Vec<u8>),
    /// It breaks the connection after so much of the answer (from 0 to 1).
    Half(Say, f64),
    /// It takes the request and is silent.
    Hang,
    /// It begins to answer and then is silent, with the connection open.
    Stall(Say, f64),
    /// It waits so long before each piece of the answer.
    Drip(Say, Duration),
    /// It sends comments, or spaces where no stream was asked for, and never ends.
    Endless,
    /// It answers and then never ends the stream.
    Open(Say),
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Say {
    /// Text.
    pub text: Option<String>,
    /// Thoughts.
    pub reasoning: Option<String>,
    /// Tool calls. An empty id is made up.
    pub calls: Vec<ToolCall>,
    /// Why it stops: what follows from the rest, where nothing is said.
    pub finish: Option<Finish>,
    /// Tokens: counted, where nothing is said.
    pub usage: Option<Usage>,
}

impl Say {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A call of a tool. The arguments are sent as they are, be they JSON or not.
    pub fn call(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self::default().and_call(name, arguments)
    }

    /// One more call.
    pub fn and_call(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let (name, arguments) = (name.into(), arguments.into());
        self.calls.push(ToolCall { id: String::new(), name, arguments });
        self
    }

    /// Thoughts before it.
    pub fn thinking(mut self, reasoning: impl Into<String>) -> Self {
        self.reasoning = Some(reasoning.into());
        self
    }

    /// The reply with this name. Ids of calls are made of the name.
    fn reply(self, id: String, request: &Request) -> Reply {
        let calls = self.calls.into_iter().enumerate().map(|(index, mut call)| {
            if call.id.is_empty() {
                call.id = format!("call_{}_{index}", id.trim_start_matches("scripted-"));
            }
            call
        });
        let message = Message {
            content: Vec::new(),
            reasoning: self.reasoning,
            tool_calls: calls.collect(),
            ..Message::text(Role::Assistant, "")
        };
        let content = self.text.map(crate::message::Part::Text);
        let message = Message { content: content.into_iter().collect(), ..message };
        let natural = if message.tool_calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
        Reply {
            id,
            model: request.model.clone(),
            finish: self.finish.unwrap_or(natural),
            usage: self.usage.unwrap_or_default(),
            message,
            tokens: None,
            logprobs: None,
        }
    }
}

impl From<Say> for Scripted {
    fn from(say: Say) -> Self {
        Self::Say(say)
    }
}

/// Decides what is said. Called from the threads of the server, for several requests at once.
pub trait Script: Send + Sync + 'static {
    /// What the server does with a request. The session is that of its `X-Session-ID` header.
    fn play(&self, request: &Request) -> Scripted;
}

impl<F: Fn(&Request) -> Scripted + Send + Sync + 'static> Script for F {
    fn play(&self, request: &Request) -> Scripted {
        self(request)
    }
}

/// Token ids that the server gives, where they are asked for.
///
/// They are bytes of a simple chat template, so the ids of a prompt are those of the last prompt and
/// the last completion followed by new ones, as long as nobody changed the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenIds {
    /// None.
    #[default]
    None,
    /// The same bytes are always the same ids.
    Exact,
    /// What the model said has other ids in the next prompt than it had when it was said.
    Retokenised,
}

/// How the server behaves apart from what it says.
#[derive(Debug, Clone)]
pub struct ScriptedOptions {
    /// It waits so long before it answers.
    pub latency: Duration,
    /// Token ids.
    pub tokens: TokenIds,
    /// The key that it wants; without one it takes everybody.
    pub key: Option<String>,
    /// Threads.
    pub threads: usize,
}

impl Default for ScriptedOptions {
    fn default() -> Self {
        Self { latency: Duration::ZERO, tokens: TokenIds::None, key: None, threads: 1 }
    }
}
