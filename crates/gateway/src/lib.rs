//! An HTTP server in front of language models that records what passes.
//!
//! An agent that speaks chat completions, responses or Anthropic's messages is given a base URL of a
//! [`Gateway`] instead of its model's: `http://host:port/sessions/NAME` (with `/v1` behind it for
//! clients of OpenAI). Every call of the session is recorded as a graph of messages with token ids,
//! see [`palestra_trace`].
//!
//! ```no_run
//! use palestra_gateway::{Gateway, GatewayOptions, SessionOptions, Upstream};
//! use palestra_model::Api;
//!
//! let upstream = Upstream::http("https://api.example.org", Api::Chat, Some("key".to_owned()));
//! let gateway = Gateway::start(GatewayOptions::new(vec![upstream]))?;
//! let session = gateway.create("attempt-1", SessionOptions::default(), None)?;
//! println!("{}/sessions/attempt-1", gateway.url());
//! // … an agent works …
//! println!("{:?}", session.status());
//! session.stop("the attempt is over");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is passed on
//!
//! - Where client and upstream speak the same API, the body goes on byte for byte, but for the fields
//!   that a session sets ([`SessionOptions`]) and those that ask for token ids and usage. Events come
//!   back as they arrive. The event of usage that only the gateway asked for is left out.
//! - Where they do not, requests and replies are converted by [`palestra_model::wire`]. A stream is
//!   then made of the whole reply.
//! - Keys of clients are never passed on, and the upstream's key never comes back: not in an answer,
//!   an error, a record, or the `Debug` form of anything here.
//!
//! # What the client does not notice
//!
//! - A limit of rate, an overload, a broken connection: the call is made again, with growing waits,
//!   until [`GatewayOptions::patience`] is over. A stream is made again only until its first event.
//!   After that it can only be broken off, and the client is told so in the stream.
//! - A client that waits for a stream is sent comments, so that no time limit on silence strikes.
//!
//! The end of an answer is held back until the call is recorded, so whatever the client does next
//! comes after it in the record.

mod backend;
mod call;
mod client;
mod edit;
mod error;
mod gateway;
mod models;
mod options;
mod patience;
mod respond;
mod router;
mod session;
mod sse;
mod stream;

pub use error::{GatewayError, Result};
pub use gateway::Gateway;
pub use options::{
    Admin, Budget, GatewayOptions, Hook, Price, Recording, SessionOptions, Upstream,
};
pub use session::{Session, Status};
