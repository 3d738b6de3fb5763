//! What the agent `replay` plays: an attempt of an earlier job.

use std::path::Path;
use std::sync::Arc;

use palestra_agent::{Action, Record, Source};
use palestra_core::atif::Trajectory;
use palestra_core::job;
use palestra_model::Message;
use serde_json::{Map, Value};

use super::failure::{Failure, FailureKind};

/// What an attempt said, byte for byte from its trace, with what its tools gave.
pub(super) fn recorded(trial: &Path) -> Result<Vec<Record>, Failure> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| {
        let message = format!("{} cannot be replayed: {error}", path.display());
        Failure::new(FailureKind::TaskBroken, message)
    };
    let path = trial.join(job::TRACE);
    let graph = palestra_trace::read(&path).map_err(|error| wrong(&path, &error))?.graph;
    let Some(last) = graph.calls().last() else {
        return Err(wrong(&path, &"it holds no call of a model"));
    };
    let spoken = graph.path(last.head).into_iter().filter(|node| node.sampled);
    let spoken: Vec<Arc<Message>> = spoken.map(|node| Arc::clone(&node.message)).collect();
    let path = trial.join(job::TRAJECTORY);
    let bytes = fs_err::read(&path).map_err(|error| wrong(&path, &error))?;
    let trajectory: Trajectory =
        serde_json::from_slice(&bytes).map_err(|error| wrong(&path, &error))?;
    let turns = trajectory.steps.into_iter().filter(|step| step.llm_call_count == Some(1));
    let actions = turns.map(|step| {
        let results = step.observation.map(|all| all.results).unwrap_or_default();
        let calls = step.tool_calls.into_iter().zip(results);
        calls
            .map(|(call, result)| Action {
                id: call.tool_call_id,
                tool: call.function_name,
                arguments: call.arguments,
                observation: match result.content {
                    Some(Value::String(text)) => text,
                    _ => String::new(),
                },
                failed: result.extra.contains_key("failed"),
                status: result
                    .extra
                    .get("status")
                    .and_then(Value::as_i64)
                    .and_then(|status| i32::try_from(status).ok()),
            })
            .collect::<Vec<_>>()
    });
    let actions = actions.chain(std::iter::repeat(Vec::new()));
    let record = |(message, actions)| Record {
        source: Source::Agent,
        message,
        actions,
        answer: None,
        sent: None,
        tool_seconds: 0.0,
        extra: Map::new(),
    };
    Ok(spoken.into_iter().zip(actions).map(record).collect())
}
