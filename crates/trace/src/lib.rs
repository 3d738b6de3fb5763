//! What was said between an agent and its model, as a graph of messages with the token ids of every
//! call.
//!
//! A [`Recorder`] writes it down call by call and keeps only hashes in memory; [`read()`] gives it back
//! as a [`Graph`], whose [`Graph::branches`] are what one trains on. A [`Graph`] can also be recorded
//! to directly, in memory.
//!
//! # Messages
//!
//! Every call sends a whole conversation. Its messages are followed from the root of the graph as far
//! as they are known; the rest becomes new nodes, and what the model answers becomes a node that is
//! [`Node::sampled`]. Where the conversation does not go on from the end of a path, a new branch
//! begins, and [`Branch`] says why. Another set of tools is another root, since a model reads its tools
//! before its first message.
//!
//! A message is known if it is equal in every byte. It is also known if it is equal but for what client
//! libraries do to messages that they send back:
//!
//! - of every message: marks for prompt caches (`cache_control`), and text as a string or as a part;
//! - of the model's own: reasoning and fields without a place in [`Message`](palestra_model::Message)
//!   may be absent, arguments of tool calls may be written otherwise if they are equal as JSON, text
//!   may be cut into parts otherwise and lose white space at its ends.
//!
//! What is stored is what the model said, and [`Call::relaxed`] names the messages that came back
//! otherwise.
//!
//! # Tokens
//!
//! Nothing is ever tokenised here. The first prompt's ids belong to its messages; every later prompt
//! must begin with exactly the ids of the prompt before it and of its completion. What it has beyond
//! them belongs to the messages that are new between the two completions, as a *group*: nobody but
//! the chat template knows where in it one message ends, so the ids stand at the last message of the
//! group ([`Node::tokens`]), and the others name that node ([`Node::group`]).
//!
//! A prompt that does not begin so was tokenised anew, or written otherwise by a template. Then a new
//! branch begins after the last message up to which the ids do agree ([`Why::Tokens`]): the messages
//! from there on are entered again, with the ids that this prompt has for them, none of which is
//! sampled. So the ids along any path are exactly the ids of its last prompt and completion, and a
//! token is marked as sampled only where the server itself said that it had sampled it.
//!
//! Whether ids agree is decided by a hash of them at the recorded length, so that no ids are kept.
//!
//! A call without ids ([`Counters::missing_tokens`]) leaves a hole. It is never filled by guessing:
//! the next call with ids begins a branch before it ([`Why::Missing`]), and the path through the hole
//! is not [`Sample::complete`].

mod branch;
mod chain;
mod error;
mod file;
mod graph;
mod hash;
mod index;
mod line;
mod recorder;
mod sample;

pub use branch::{Branch, Counters, Recorded, Why};
pub use chain::{Chain, Delta};
pub use error::{Result, TraceError};
pub use file::{Read, read};
pub use graph::{Call, Graph, Node, Raw, Sent};
pub use hash::{Hash, of_messages, of_tools};
pub use index::{CallId, NodeId};
pub use line::Failed;
pub use recorder::Recorder;
pub use sample::{Incomplete, Sample};
