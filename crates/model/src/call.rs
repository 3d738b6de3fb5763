//! One call, and what is known of it afterwards.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::message::{Reply, Request};
use crate::wire::Api;

/// How a call is made, apart from what is asked.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// Each try may take so long.
    pub timeout: Duration,
    /// All tries and waits together may take so long.
    pub patience: Duration,
    /// Set by who wants to stop; looked at while waiting.
    pub stop: Arc<AtomicBool>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            patience: Duration::from_secs(3600),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// What a call took besides tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effort {
    /// Tries, the last one included.
    pub tries: u32,
    /// Seconds of the try that succeeded. Only these count against an agent's own time.
    pub seconds: f64,
    /// Seconds of failed tries and of waiting: for a rate limit, a free place, another try.
    pub waited: f64,
    /// Dollars, where a price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// A reply with what it took, and the bytes of both directions for the record.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the model said.
    pub reply: Reply,
    /// What it took.
    pub effort: Effort,
    /// Body of the request as it was sent; no headers, so no key.
    pub sent: Arc<[u8]>,
    /// Body of the response as it came (of a stream: all of its events).
    pub received: Arc<[u8]>,
}

/// Something that can be asked: a server, a cassette, a script.
pub trait Model: Send + Sync {
    /// Asks, and waits for the whole reply. Tries again what may succeed later.
    ///
    /// # Errors
    /// What remains after the last try.
    fn call(&self, request: &Request, options: &CallOptions) -> Result<Answer>;

    /// A name for messages and records: the server's address.
    fn server(&self) -> String;

    /// The form of [`Answer::sent`] and [`Answer::received`], where they have one.
    fn api(&self) -> Option<Api> {
        None
    }
}
