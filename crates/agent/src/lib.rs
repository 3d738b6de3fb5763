//! Agents that try tasks.
//!
//! An [`Agent`] makes attempts; an attempt under way is a [`Live`], which goes on step by step and can
//! be forked at any of them.

mod agent;
mod seconds;

pub use agent::{
    Action, Agent, AgentError, Aid, Assignment, ContextPolicy, Exit, Limits, Live, Progress,
    Record, Source, Stage,
};
