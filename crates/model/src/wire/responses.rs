//! Responses of OpenAI.
//!
//! - What the model says in one turn is a list of items there (thoughts, text, calls) and one
//!   [`Message`](crate::Message) here. Items that follow each other without anything of the user
//!   between them are one turn.
//! - `instructions` are the first system message.
//! - Nothing is stored: a request that refers to an earlier response is refused.
//! - Seed does not exist there, nor a mark for results of tools that are errors.

mod events;
mod items;
mod reply;
mod request;
mod stream;

pub use events::events_of;
pub(super) use reply::read_reply;
pub use reply::{reply_from_json, reply_to_json};
pub(super) use request::read_request;
pub use request::{request_from_json, request_to_json};
pub(super) use stream::Stream;
