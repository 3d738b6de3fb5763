//! The graph with all that is said in it.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palestra_model::{Answer, Effort, Finish, Message, Request, Sampling, Tool, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::branch::{Branch, Counters, Recorded};
use crate::chain::{Chain, Delta};
use crate::hash::Hash;
use crate::index::{CallId, Index, NodeId, Placed};

/// A message in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name. A parent's is always smaller.
    pub id: NodeId,
    /// What was said before; `None` begins a conversation.
    pub parent: Option<NodeId>,
    /// The hash of the message.
    pub hash: Hash,
    /// The message. Of a sampled one: as the model said it.
    pub message: Arc<Message>,
    /// Whether the model said it in the call that made this node.
    pub sampled: bool,
    /// The ids that it adds: its own and those of the nodes that name it as their group.
    pub tokens: Option<Delta>,
    /// The node at which its ids stand, where that is another.
    pub group: Option<NodeId>,
    /// All ids from the root up to here, where they are known.
    pub chain: Option<Chain>,
    /// The call that it became known by.
    pub call: CallId,
}

/// A call: all that is known of it but the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its name.
    pub id: CallId,
    /// What the model said. The conversation that was sent is the path to it.
    pub head: NodeId,
    /// Why it did not simply go on from the end of a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branched: Option<Branch>,
    /// Nodes of the path whose messages were sent otherwise than they stand there, for the first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relaxed: Vec<NodeId>,
    /// Seconds since 1970 at which it was recorded, as the caller's clock said.
    pub time: f64,
    /// The model that was asked for.
    pub model: String,
    /// The model that answered, as it names itself.
    pub answered: String,
    /// The API's name of the completion.
    pub reply: String,
    /// The session that was named to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// How it was sampled.
    pub sampling: Sampling,
    /// Which tool was to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// The hash of the tools on offer.
    pub tools: Hash,
    /// The hash of the messages that were sent.
    pub prompt: Hash,
    /// Why the model stopped.
    pub finish: Finish,
    /// Tokens that were paid for.
    pub usage: Usage,
    /// What it took besides.
    pub effort: Effort,
    /// Whether there were log-probabilities that are not one for each id, and were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wrong_logprobs: bool,
    /// Of the body that was sent.
    pub sent: Sent,
    /// The body that came back.
    pub received: Raw,
}

/// What is kept of the body of a request. What it said is in the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its bytes.
    pub length: usize,
    /// Their hash.
    pub hash: Hash,
}

/// The bytes of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raw {
    /// They are UTF-8.
    Text(String),
    /// They are not; in Base64.
    Base64(String),
}

impl Raw {
    /// Bytes as they can stand in JSON.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// The bytes; `None` if the Base64 is broken.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

impl Call {
    pub(crate) fn new(placed: &Placed, request: &Request, answer: &Answer, time: f64) -> Self {
        let reply = &answer.reply;
        Self {
            id: placed.recorded.call,
            head: placed.recorded.head,
            branched: placed.recorded.branched,
            relaxed: placed.recorded.relaxed.clone(),
            time,
            model: request.model.clone(),
            answered: reply.model.clone(),
            reply: reply.id.clone(),
            session: request.session.clone(),
            sampling: request.sampling.clone(),
            tool_choice: request.tool_choice.clone(),
            tools: placed.tools,
            prompt: placed.prompt,
            finish: reply.finish.clone(),
            usage: reply.usage,
            effort: answer.effort.clone(),
            wrong_logprobs: placed.wrong_logprobs,
            sent: Sent { length: answer.sent.len(), hash: Hash::of(&answer.sent) },
            received: Raw::of(&answer.received),
        }
    }
}

/// A graph of messages. Grows only.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(crate) index: Index,
    pub(crate) nodes: Vec<Node>,
    pub(crate) calls: Vec<Call>,
    pub(crate) tools: HashMap<Hash, Arc<[Tool]>>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a call. `time` is in seconds since 1970.
    pub fn record(&mut self, request: &Request, answer: &Answer, time: f64) -> Recorded {
        let placed = self.index.place(request, answer);
        self.tools.entry(placed.tools).or_insert_with(|| request.tools.clone());
        self.calls.push(Call::new(&placed, request, answer, time));
        self.nodes.extend(placed.nodes);
        placed.recorded
    }

    /// The nodes by rising id. Parents stand before their children.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The calls by rising id.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// A node by its name.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        let place = self.nodes.binary_search_by_key(&id, |node| node.id).ok()?;
        self.nodes.get(place)
    }

    /// A call by its name.
    pub fn call(&self, id: CallId) -> Option<&Call> {
        let place = self.calls.binary_search_by_key(&id, |call| call.id).ok()?;
        self.calls.get(place)
    }

    /// A set of tools by its hash.
    pub fn tools(&self, hash: Hash) -> Option<&Arc<[Tool]>> {
        self.tools.get(&hash)
    }

    /// The nodes from the root to this one.
    pub fn path(&self, id: NodeId) -> Vec<&Node> {
        let mut path = Vec::new();
        let mut next = Some(id);
        while let Some(node) = next.and_then(|id| self.node(id)) {
            path.push(node);
            // A damaged file cannot make this run for ever.
            next = node.parent.filter(|parent| *parent < node.id);
        }
        path.reverse();
        path
    }

    /// Counts of calls and branches.
    pub fn counters(&self) -> Counters {
        self.index.counters
    }
}
