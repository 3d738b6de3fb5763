//! What a gateway and its sessions are started with.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use palestra_model::client::Backoff;
use palestra_model::{Answer, Api, Model, Request, Sampling, Secret, Usage};
use palestra_trace::Recorded;
use serde::{Deserialize, Deserializer, Serialize};

/// Where answers come from.
#[derive(Clone)]
pub enum Upstream {
    /// A server.
    Http {
        /// Its name in [`SessionOptions::upstream`].
        name: String,
        /// Its URL, with or without `/v1`.
        base_url: String,
        /// What it speaks.
        api: Api,
        /// Its key.
        key: Option<Secret>,
        /// Further headers of every request.
        headers: Vec<(String, Secret)>,
    },
    /// Anything that can be asked, such as a client with limits of rate or a cassette. It tries again
    /// by itself, and answers in one piece.
    Model {
        /// Its name in [`SessionOptions::upstream`].
        name: String,
        /// What is asked.
        model: Arc<dyn Model>,
    },
}

impl Upstream {
    /// A server, named by its URL.
    pub fn http(base_url: impl Into<String>, api: Api, key: Option<String>) -> Self {
        let base_url = base_url.into();
        Self::Http {
            name: base_url.clone(),
            base_url,
            api,
            key: key.map(Secret::from),
            headers: Vec::new(),
        }
    }

    /// Something that can be asked, named as it names its server.
    pub fn model(model: Arc<dyn Model>) -> Self {
        Self::Model { name: model.server(), model }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Http { name, .. } | Self::Model { name, .. } => name,
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { name, api, .. } => write!(f, "Http({name}, {api})"),
            Self::Model { name, .. } => write!(f, "Model({name})"),
        }
    }
}

/// Who may create, look at and end sessions over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Admin {
    /// Nobody; sessions belong to the program. Agents reach the same port.
    #[default]
    Closed,
    /// Whoever sends this as a bearer's token.
    Key(Secret),
    /// Anybody who reaches the port.
    Open,
}

/// A call that was recorded. It is told before the client sees the end of the answer, and one call
/// of a session after the other.
#[derive(Debug)]
pub struct Recording<'a> {
    /// The session.
    pub session: &'a str,
    /// What was asked, as the upstream was asked.
    pub request: &'a Request,
    /// What came back.
    pub answer: &'a Arc<Answer>,
    /// Its place in the graph.
    pub recorded: &'a Recorded,
}

/// Is told of every call that was recorded. Runs on a thread that may block.
pub type Hook = Arc<dyn Fn(&Recording<'_>) + Send + Sync>;

/// What a call of a model costs, in dollars, where that is known.
pub type Price = Arc<dyn Fn(&str, &Usage) -> Option<f64> + Send + Sync>;

/// What a gateway is started with.
#[derive(Clone)]
pub struct GatewayOptions {
    /// Where to listen. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where answers come from. Sessions are spread over them by name, and stay with one.
    pub upstreams: Vec<Upstream>,
    /// Directory of the records: `<session>/trace.jsonl`. Without it they are kept until the gateway
    /// is dropped.
    pub directory: Option<PathBuf>,
    /// Settings of sessions that nobody created. `None` refuses such sessions.
    pub implicit: Option<SessionOptions>,
    /// Who may manage sessions over HTTP.
    pub admin: Admin,
    /// How long one try may be silent: until a whole answer is there, or until the next piece of a
    /// stream.
    pub timeout: Duration,
    /// How long all tries of a call and the waits between them may take.
    pub patience: Duration,
    /// The waits between tries.
    pub backoff: Backoff,
    /// After so much silence a client that waits for a stream is sent a comment.
    pub keep_alive: Duration,
    /// The longest body of a request, in bytes.
    pub request_bytes: usize,
    /// The longest answer, in bytes.
    pub response_bytes: usize,
    /// Whether the name of the session is sent as `cache_salt`, which keeps the prefix caches of
    /// sessions apart (an extension of vLLM).
    pub cache_salt: bool,
    /// Is told of every call.
    pub on_call: Option<Hook>,
    /// Prices, where the upstream does not tell the cost.
    pub price: Option<Price>,
    /// Threads that serve. Blocking work has its own.
    pub threads: usize,
}

impl GatewayOptions {
    /// A gateway on a free port of the loopback interface, for sessions that the program creates.
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            upstreams,
            directory: None,
            implicit: None,
            admin: Admin::Closed,
            timeout: Duration::from_secs(600),
            patience: Duration::from_secs(3600),
            backoff: Backoff::default(),
            keep_alive: Duration::from_secs(10),
            request_bytes: 64 << 20,
            response_bytes: 64 << 20,
            cache_salt: false,
            on_call: None,
            price: None,
            threads: 2,
        }
    }
}

impl fmt::Debug for GatewayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayOptions")
            .field("bind", &self.bind)
            .field("upstreams", &self.upstreams)
            .field("directory", &self.directory)
            .field("implicit", &self.implicit)
            .field("admin", &self.admin)
            .field("timeout", &self.timeout)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// What a session is started with. In JSON every field may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionOptions {
    /// The model that is asked for, whatever the client says.
    pub model: Option<String>,
    /// How to sample, whatever the client says. What is not set stays the client's.
    pub sampling: Sampling,
    /// Ask for token ids and log-probabilities. Only for servers that know `return_token_ids`.
    pub tokens: bool,
    /// Bounds. Each is looked at before a call.
    pub budget: Budget,
    /// The name of the only upstream that may be asked.
    pub upstream: Option<String>,
    /// What the client must send as its key. Without it any key will do.
    #[serde(deserialize_with = "secret")]
    pub secret: Option<Secret>,
    /// Directory of the record, where it is not the gateway's.
    pub directory: Option<PathBuf>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::from))
}

/// Bounds of a session. A call that was begun within them is finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Calls that have an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Tokens of all prompts and completions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}
