//! Agents that try tasks.
//!
//! An [`Agent`] makes attempts; an attempt under way is a [`Live`], which goes on step by step and can
//! be forked at any of them. [`agent()`] knows them by name. Most are a [`Scaffold`] (prompts, tools,
//! texts) in a [`ToolLoop`] that asks, carries out and tells.

mod agent;
mod agentless;
mod asker;
pub mod budget;
mod clip;
pub mod context;
mod editor;
pub mod external;
pub mod format;
mod hands;
mod plain;
mod prompt;
mod read;
mod registry;
mod replay;
mod scaffold;
mod scaffolds;
mod schema;
mod seconds;
mod shell;
mod tool_loop;
mod tools;

pub use agent::{
    Action, Agent, AgentError, Aid, Assignment, ContextPolicy, Exit, Limits, Live, Progress,
    Record, Source, Stage,
};
pub use agentless::{Agentless, AgentlessOptions};
pub use hands::Hands;
pub use plain::Plain;
pub use registry::{AgentOptions, agent, names};
pub use replay::Replay;
pub use scaffold::{Call, ChatAgent, Format, NoAction, Observed, Scaffold};
pub use scaffolds::editor::EditorScaffold;
pub use scaffolds::mini::MiniScaffold;
pub use scaffolds::openhands::OpenHandsScaffold;
pub use scaffolds::r2egym::{R2eOptions, R2eScaffold};
pub use tool_loop::ToolLoop;
