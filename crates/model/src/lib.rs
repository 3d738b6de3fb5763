//! Language models over HTTP.
//!
//! [`Model`] is what agents talk to: a [`Request`] in, an [`Answer`] out. A [`Client`] asks a server,
//! a [`Cassette`] records calls and plays them again, and a [`ScriptedServer`](scripted::ScriptedServer)
//! is a server for tests. [`wire`] has the forms of the APIs, without any server.

mod call;
pub mod cassette;
pub mod client;
mod error;
pub mod ledger;
pub mod limit;
pub mod message;
pub mod price;
pub mod scripted;
mod secret;
mod wait;
pub mod wire;

pub use call::{Answer, CallOptions, Effort, Model};
pub use cassette::Cassette;
pub use client::{Client, ClientConfig};
pub use error::{ModelError, Result};
pub use ledger::Ledger;
pub use limit::{Gauge, LimitConfig, Limits};
pub use message::{
    Finish, Message, Part, Reply, Request, Role, Sampling, Tokens, Tool, ToolCall, Usage,
};
pub use price::{Price, Prices};
pub use secret::Secret;
pub use wire::Api;
