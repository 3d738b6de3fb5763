//! Layers, and isolated places to run programs in.
//!
//! Knows nothing of tasks, tests or agents.

pub mod spec;

pub use spec::{
    Bind, Exec, ExecResult, FileOp, Limits, Network, Outcome, Output, SandboxSpec, Writable,
};
