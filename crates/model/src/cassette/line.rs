//! One recording.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key::Key;
use crate::call::{Answer, Effort};
use crate::error::{ModelError, Result};
use crate::message::{Reply, Request};
use crate::wire::Api;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) key: String,
    /// How many equal requests were recorded before.
    pub(super) n: u64,
    pub(super) model: String,
    /// Hash of everything but the messages.
    pub(super) settings: String,
    /// Hash of each message.
    pub(super) messages: Vec<String>,
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) effort: Effort,
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub(super) sent: Bytes,
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub(super) received: Bytes,
}

/// Where the reply is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// In the bytes that were received, which this API reads.
    Received(Api),
    /// Here, because nothing reads it from the bytes.
    Reply(Box<Reply>),
    /// Nowhere: the server refused.
    Error(ModelError),
}

impl Line {
    /// `None` where another try might end otherwise.
    pub(super) fn of(
        key: Key,
        n: u64,
        request: &Request,
        api: Option<Api>,
        result: &Result<Answer>,
    ) -> Option<Self> {
        let (outcome, effort, sent, received) = match result {
            Ok(answer) => {
                let readable = api.filter(|api| {
                    api.reply_from_bytes(&answer.received).is_ok_and(|reply| reply == answer.reply)
                });
                let outcome = match readable {
                    Some(api) => Outcome::Received(api),
                    None => Outcome::Reply(Box::new(answer.reply.clone())),
                };
                let (sent, received) = (answer.sent.clone(), answer.received.clone());
                (outcome, answer.effort.clone(), Bytes(sent), Bytes(received))
            }
            Err(error @ (ModelError::ContextTooLong { .. } | ModelError::Rejected { .. })) => {
                let none = Bytes::default;
                (Outcome::Error(error.clone()), Effort::default(), none(), none())
            }
            Err(_) => return None,
        };
        Some(Self {
            key: key.whole,
            n,
            model: request.model.clone(),
            settings: key.settings,
            messages: key.messages,
            outcome,
            effort,
            sent,
            received,
        })
    }
}

/// Bytes: a text where they are one, else base64.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Bytes(pub(super) Arc<[u8]>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<T> {
    Text(T),
    Base64 { base64: String },
}

impl Bytes {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => Form::Text(text).serialize(serializer),
            Err(_) => {
                Form::<&str>::Base64 { base64: STANDARD.encode(&self.0) }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Form::<String>::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_bytes().into())),
            Form::Base64 { base64 } => {
                let bytes = STANDARD.decode(base64).map_err(serde::de::Error::custom)?;
                Ok(Self(bytes.into()))
            }
        }
    }
}
