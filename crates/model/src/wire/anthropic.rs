//! Messages of Anthropic.
//!
//! - Results of tools stand in a message of the user there, together with the text that follows; here
//!   each is a [`Message`](crate::Message) of its own.
//! - `input` is an object there and text here. Text that is no JSON object travels in an object with
//!   the one field `__raw_arguments`; no text at all is an empty object.
//! - Thoughts are sent back with their signatures, as they came. Thoughts of another API have none,
//!   and stay out of requests.
//! - Seed and log-probabilities do not exist there. `max_tokens` must be; it is 8192 where nothing is
//!   said.

mod blocks;
mod cache;
mod events;
mod reply;
mod request;
mod stream;

pub use cache::mark_for_cache;
pub use events::events_of;
pub(super) use reply::read_reply;
pub use reply::{reply_from_json, reply_to_json, reply_to_vec};
pub(super) use request::read_request;
pub use request::{request_from_json, request_to_json, request_to_vec};
pub(super) use stream::Stream;
