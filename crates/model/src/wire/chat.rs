//! Chat completions of OpenAI, with what vLLM, SGLang, llama.cpp and OpenRouter add.

mod events;
mod message;
mod reply;
mod request;
mod stream;

pub use events::events_of;
pub(super) use reply::{read_reply, tokens_of};
pub use reply::{reply_from_json, reply_to_json};
pub(super) use request::read_request;
pub use request::{request_from_json, request_to_json};
pub(super) use stream::Stream;
