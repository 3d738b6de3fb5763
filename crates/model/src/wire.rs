//! The forms of three APIs, read and written. Nothing here touches the world.
//!
//! What one API has and the words of [`crate::message`] have not is kept in `extra`, under the name
//! of the API (`"chat"`, `"responses"`, `"anthropic"`): so it goes back to the same API unchanged and
//! is never sent to another. In [`Message::extra`](crate::Message::extra) such an object holds the
//! unknown fields of the message, and lists of the unknown fields of its parts (`"content"`) and tool
//! calls (`"tool_calls"`). In [`Sampling::extra`](crate::Sampling::extra) what stands outside of
//! these objects is sent to every API as it is.
//!
//! Three fields of `Message::extra` mean the same everywhere: `is_error` (`true`) of a result of a
//! tool, `refusal` (text) and `stop_sequence` (text, never sent) of a message of the model.

pub mod anthropic;
pub mod chat;
mod failure;
mod fields;
mod ids;
mod raw;
pub mod responses;
mod sse;
mod tools;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use failure::Failure;
pub(crate) use ids::derive;
pub use sse::{Event, Events};

use crate::message::{Reply, Request};

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Problem {
    /// Where, such as `messages[3].content`.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl Problem {
    pub(crate) fn at(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

/// How a request wants its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streaming {
    /// As events.
    pub stream: bool,
    /// With a last event of usage. Only chat completions ask; the others always tell.
    pub include_usage: bool,
}

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Chat completions, as OpenAI, vLLM, SGLang, llama.cpp and OpenRouter speak it.
    Chat,
    /// Responses of OpenAI.
    Responses,
    /// Messages of Anthropic.
    Anthropic,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Anthropic];

    /// Its name in configuration, and the field of `extra` that holds what only it knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
        }
    }

    /// Path of its endpoint on a server, `/v1` included.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// The API whose endpoint a path ends with, whatever stands before `/v1`.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| path.ends_with(api.path()))
    }

    /// The headers that carry a key, with the version where the API wants one.
    pub fn key_headers(self, key: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Chat | Self::Responses => vec![("authorization", format!("Bearer {key}"))],
            Self::Anthropic => vec![("x-api-key", key.to_owned())],
        }
    }

    /// The key that a request was sent with, by any of the headers that clients use.
    pub fn key_of<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
        let bearer = header("authorization").and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        bearer.or_else(|| header("x-api-key"))
    }

    /// Headers that every request needs besides the key.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Chat | Self::Responses => &[],
            Self::Anthropic => &[("anthropic-version", "2023-06-01")],
        }
    }

    /// How the body of a request wants its answer.
    pub fn streaming(self, body: &Value) -> Streaming {
        let stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let asked = body.pointer("/stream_options/include_usage").and_then(Value::as_bool);
        Streaming { stream, include_usage: self != Self::Chat || asked.unwrap_or(false) }
    }

    /// Body of a request. Arguments of tool calls that are an object in this API are written anew;
    /// [`Api::request_to_vec`] keeps their bytes.
    pub fn request_to_json(self, request: &Request, stream: bool) -> Value {
        match self {
            Self::Chat => chat::request_to_json(request, stream),
            Self::Responses => responses::request_to_json(request, stream),
            Self::Anthropic => anthropic::request_to_json(request, stream),
        }
    }

    /// Body of a request, with the bytes of all arguments as the model wrote them.
    pub fn request_to_vec(self, request: &Request, stream: bool) -> Vec<u8> {
        match self {
            Self::Anthropic => anthropic::request_to_vec(request, stream),
            api => raw::plain(&api.request_to_json(request, stream)),
        }
    }

    /// Reads the body of a request. How it wants to be answered is told by [`Api::streaming`].
    ///
    /// # Errors
    /// Where the body is not what the API allows, or asks for several completions.
    pub fn request_from_json(self, body: &Value) -> Result<Request, Problem> {
        match self {
            Self::Chat => chat::request_from_json(body),
            Self::Responses => responses::request_from_json(body),
            Self::Anthropic => anthropic::request_from_json(body),
        }
    }

    /// Reads the bytes of a request, with the bytes of all arguments as they are in it.
    ///
    /// # Errors
    /// As [`Api::request_from_json`], and where the bytes are not JSON.
    pub fn request_from_slice(self, body: &[u8]) -> Result<(Request, Streaming), Problem> {
        let value = raw::parse(body)?;
        let streaming = self.streaming(&value);
        let request = match self {
            Self::Chat => chat::read_request(value)?,
            Self::Responses => responses::read_request(value)?,
            Self::Anthropic => anthropic::read_request(value, &raw::Inputs::of_request(body))?,
        };
        Ok((request, streaming))
    }

    /// Body of a whole answer. The request decides what is told besides the message.
    pub fn reply_to_json(self, reply: &Reply, request: &Request) -> Value {
        match self {
            Self::Chat => chat::reply_to_json(reply, request),
            Self::Responses => responses::reply_to_json(reply, request),
            Self::Anthropic => anthropic::reply_to_json(reply, request),
        }
    }

    /// Body of a whole answer, with the bytes of all arguments as the model wrote them.
    pub fn reply_to_vec(self, reply: &Reply, request: &Request) -> Vec<u8> {
        match self {
            Self::Anthropic => anthropic::reply_to_vec(reply, request),
            api => raw::plain(&api.reply_to_json(reply, request)),
        }
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// Where it has no completion.
    pub fn reply_from_json(self, body: &Value) -> Result<Reply, Problem> {
        match self {
            Self::Chat => chat::reply_from_json(body),
            Self::Responses => responses::reply_from_json(body),
            Self::Anthropic => anthropic::reply_from_json(body),
        }
    }

    /// Reads the bytes of a whole answer, with the bytes of all arguments as they are in it.
    ///
    /// # Errors
    /// As [`Api::reply_from_json`], and where the bytes are not JSON.
    pub fn reply_from_slice(self, body: &[u8]) -> Result<Reply, Problem> {
        let value = raw::parse(body)?;
        match self {
            Self::Chat => chat::read_reply(value),
            Self::Responses => responses::read_reply(value),
            Self::Anthropic => anthropic::read_reply(value, &raw::Inputs::of_reply(body)),
        }
    }

    /// Reads what a server sent, be it a whole answer or a stream.
    ///
    /// # Errors
    /// Where it has no completion, or is a stream that was cut off.
    pub fn reply_from_bytes(self, bytes: &[u8]) -> Result<Reply, Problem> {
        let begins = |text: &[u8]| bytes.trim_ascii_start().starts_with(text);
        if !begins(b"data:") && !begins(b"event:") && !begins(b":") {
            return self.reply_from_slice(bytes);
        }
        let mut assembler = self.assembler();
        assembler.push(bytes);
        assembler.finish()
    }

    /// The whole answer as a stream of server-sent events, each with its empty line.
    /// `include_usage` matters to chat completions only.
    pub fn events_of(self, reply: &Reply, request: &Request, include_usage: bool) -> Vec<String> {
        match self {
            Self::Chat => chat::events_of(reply, request, include_usage),
            Self::Responses => responses::events_of(reply, request),
            Self::Anthropic => anthropic::events_of(reply, request),
        }
    }

    /// Something that makes a reply of a stream.
    pub fn assembler(self) -> Assembler {
        Assembler::new(self)
    }

    /// The body of an error, as clients of this API expect it.
    pub fn error_to_json(self, status: u16, text: &str) -> Value {
        failure::to_json(self, status, text)
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Api {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        Self::ALL.into_iter().find(|api| api.name() == text).ok_or_else(|| {
            Problem::at("api", format!("`{text}` is none of chat, responses, anthropic"))
        })
    }
}

/// Makes a reply of the bytes of a stream, in pieces of any size.
#[derive(Debug)]
pub struct Assembler {
    events: Events,
    inner: Inner,
    failure: Option<Failure>,
    problem: Option<Problem>,
}

#[derive(Debug)]
enum Inner {
    Chat(Box<chat::Stream>),
    Responses(Box<responses::Stream>),
    Anthropic(Box<anthropic::Stream>),
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The completion goes on.
    Open,
    /// The completion has ended, but the stream has not said that nothing follows. Where the
    /// connection ends here in good order, some servers mean it.
    Finished,
    /// The stream has ended as the API promises.
    Done,
}

impl Assembler {
    fn new(api: Api) -> Self {
        let inner = match api {
            Api::Chat => Inner::Chat(Box::default()),
            Api::Responses => Inner::Responses(Box::default()),
            Api::Anthropic => Inner::Anthropic(Box::default()),
        };
        Self { events: Events::default(), inner, failure: None, problem: None }
    }

    /// Takes the next bytes. What is wrong in them is told by [`Assembler::finish`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.events.push(bytes);
        while let Some(event) = self.events.next() {
            if self.progress() == Progress::Done || self.failure.is_some() {
                continue;
            }
            if event.data == "[DONE]" {
                if let Inner::Chat(stream) = &mut self.inner {
                    stream.done();
                }
                continue;
            }
            if event.data.trim().is_empty() {
                continue;
            }
            let value = match serde_json::from_str::<Value>(&event.data) {
                Ok(value) => value,
                Err(error) => {
                    let what = format!("an event is not JSON ({error})");
                    self.problem.get_or_insert_with(|| Problem::at("stream", what));
                    continue;
                }
            };
            if let Some(failure) = Failure::of_event(&value) {
                self.failure = Some(failure);
                continue;
            }
            match &mut self.inner {
                Inner::Chat(stream) => stream.push(value),
                Inner::Responses(stream) => stream.push(value),
                Inner::Anthropic(stream) => stream.push(value),
            }
        }
    }

    /// How far the stream has come.
    pub fn progress(&self) -> Progress {
        match &self.inner {
            Inner::Chat(stream) => stream.progress(),
            Inner::Responses(stream) => stream.progress(),
            Inner::Anthropic(stream) => stream.progress(),
        }
    }

    /// The error that the server told within the stream, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The reply.
    ///
    /// # Errors
    /// Where the stream told an error, was not what the API promises, or ended before the completion
    /// did.
    pub fn finish(self) -> Result<Reply, Problem> {
        if let Some(failure) = self.failure {
            return Err(Problem::at("stream", format!("the server broke off: {}", failure.text)));
        }
        if self.progress() == Progress::Open {
            if let Some(problem) = self.problem {
                return Err(problem);
            }
            return Err(Problem::at("stream", "it ended before the completion did"));
        }
        match self.inner {
            Inner::Chat(stream) => stream.finish(),
            Inner::Responses(stream) => stream.finish(),
            Inner::Anthropic(stream) => stream.finish(),
        }
    }
}
