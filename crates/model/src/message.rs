//! What is said to a model and what it says: plain data, without the words of any one API.
//!
//! Text is kept as it came. Arguments of a tool call stay the text that the model wrote, be it JSON
//! or not; who wants values parses them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The instructions; what some APIs call the developer.
    System,
    /// The user, or an observation of a scaffold without tools.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(String),
    /// An image: a URL, which may be a `data:` one.
    Image(String),
    /// Anything else, in the form of the API that it came from.
    Other(Value),
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its name within the conversation. Made up where the API gives none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments, byte for byte as the model wrote them: JSON if it kept to the rules.
    pub arguments: String,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said. Empty where the message is only tool calls.
    pub content: Vec<Part>,
    /// What the model thought before it spoke, where the API tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Tool calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Of a [`Role::Tool`] message: the call that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Fields of the API's own form that have no place above, such as signatures of thoughts. They
    /// are sent back to the same API unchanged.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message of text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: vec![Part::Text(text.into())],
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            extra: Map::new(),
        }
    }

    /// Instructions.
    pub fn system(text: impl Into<String>) -> Self {
        Self::text(Role::System, text)
    }

    /// A message of the user.
    pub fn user(text: impl Into<String>) -> Self {
        Self::text(Role::User, text)
    }

    /// A message of the model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::text(Role::Assistant, text)
    }

    /// The result of a tool call.
    pub fn tool(call: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tool_call_id: Some(call.into()), ..Self::text(Role::Tool, text) }
    }

    /// Whether it is the result of a tool call that failed, where the API or the scaffold told so
    /// (`is_error` in [`Message::extra`]).
    pub fn is_error(&self) -> bool {
        self.extra.get("is_error") == Some(&Value::Bool(true))
    }

    /// All text of the content, joined without anything between.
    pub fn content_text(&self) -> String {
        self.content
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// How to sample. What is `None` is not sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// At most so many tokens of completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Texts that end the completion.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Effort of reasoning, in the API's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Ask for the log-probability of every sampled token.
    pub logprobs: bool,
    /// How many alternatives to ask for at each token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// Ask for token ids (`return_token_ids`, an extension of vLLM and SGLang).
    pub token_ids: bool,
    /// Further fields of the request's body, sent as they are.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// A request. Messages are shared, so that a long history costs nothing to pass on or to branch.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The model's name as the server knows it.
    pub model: String,
    /// The conversation.
    pub messages: Vec<Arc<Message>>,
    /// The tools on offer.
    pub tools: Arc<[Tool]>,
    /// Which tool to call, in the form of chat completions; `None` leaves it to the model.
    pub tool_choice: Option<Value>,
    /// How to sample.
    pub sampling: Sampling,
    /// Conversations with one name go to one replica, where the server knows `X-Session-ID`.
    pub session: Option<String>,
}

impl Request {
    /// A conversation without tools.
    pub fn new(model: impl Into<String>, messages: Vec<Arc<Message>>) -> Self {
        Self {
            model: model.into(),
            messages,
            tools: Arc::from([]),
            tool_choice: None,
            sampling: Sampling::default(),
            session: None,
        }
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It was done.
    Stop,
    /// [`Sampling::max_tokens`] or the context's end.
    Length,
    /// It wants tools to be called.
    ToolCalls,
    /// A filter or a refusal.
    Refused,
    /// The API's own word.
    Other(String),
}

/// Tokens that were paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt: u64,
    /// Tokens of the completion, reasoning included.
    pub completion: u64,
    /// Of the prompt: read from a cache.
    pub cached: u64,
    /// Of the prompt: written to a cache at a price.
    pub cache_written: u64,
    /// Of the completion: reasoning.
    pub reasoning: u64,
}

impl std::ops::Sub for Usage {
    type Output = Self;

    /// What was used between two moments.
    fn sub(self, then: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_sub(then.prompt),
            completion: self.completion.saturating_sub(then.completion),
            cached: self.cached.saturating_sub(then.cached),
            cache_written: self.cache_written.saturating_sub(then.cache_written),
            reasoning: self.reasoning.saturating_sub(then.reasoning),
        }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt += other.prompt;
        self.completion += other.completion;
        self.cached += other.cached;
        self.cache_written += other.cache_written;
        self.reasoning += other.reasoning;
    }
}

/// Token ids of one call, as the engine had them. Nothing here was ever tokenised by us.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// The whole prompt.
    pub prompt: Vec<u32>,
    /// The completion.
    pub completion: Vec<u32>,
    /// Log-probability of each token of the completion; empty where they were not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<f64>,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The API's name of the completion.
    pub id: String,
    /// The model that answered, as it names itself.
    pub model: String,
    /// What it said.
    pub message: Message,
    /// Why it stopped.
    pub finish: Finish,
    /// What it took.
    pub usage: Usage,
    /// Token ids, where the server gives them.
    pub tokens: Option<Tokens>,
    /// Log-probabilities as the API gave them (the `content` list of chat completions).
    pub logprobs: Option<Value>,
}
