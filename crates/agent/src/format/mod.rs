//! How actions stand in a reply.

pub mod block;
pub mod xml;
