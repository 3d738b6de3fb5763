//! Language models over HTTP.
//!
//! [`Model`] is what agents talk to: a [`Request`] in, an [`Answer`] out.

mod call;
mod error;
pub mod message;

pub use call::{Answer, CallOptions, Effort, Model};
pub use error::{ModelError, Result};
pub use message::{
    Finish, Message, Part, Reply, Request, Role, Sampling, Tokens, Tool, ToolCall, Usage,
};
