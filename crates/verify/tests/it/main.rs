//! Scores, cascades, the critic and the benchmark, with real replies over HTTP where models are asked.

mod answers;
mod bench;
mod choose;
mod critic;
mod execution;
mod forms;
mod plots;

use palestra_core::atif::{
    AgentInfo, Observation, ObservationResult, SCHEMA_VERSION, Step, ToolCall, Trajectory,
};
use serde_json::{Map, Value, json};

/// A trajectory of these steps.
fn trajectory(steps: Vec<Step>) -> Trajectory {
    let mut trajectory = Trajectory {
        schema_version: SCHEMA_VERSION.to_owned(),
        session_id: None,
        trajectory_id: None,
        agent: AgentInfo {
            name: "a".to_owned(),
            version: "1".to_owned(),
            model_name: None,
            tool_definitions: Vec::new(),
            extra: Map::new(),
        },
        steps,
        notes: None,
        final_metrics: None,
        extra: Map::new(),
    };
    (1..).zip(&mut trajectory.steps).for_each(|(id, step)| step.step_id = id);
    trajectory
}

fn plain(source: &str, text: &str) -> Step {
    Step {
        step_id: 0,
        timestamp: None,
        source: source.to_owned(),
        model_name: None,
        message: text.into(),
        reasoning_content: None,
        tool_calls: Vec::new(),
        observation: None,
        metrics: None,
        is_copied_context: None,
        llm_call_count: None,
        extra: Map::new(),
    }
}

/// A turn of the agent with one call.
fn turn(said: &str, tool: &str, arguments: Value, observed: &str, failed: bool) -> Step {
    let arguments = match arguments {
        Value::Object(fields) => fields,
        other => [("value".to_owned(), other)].into_iter().collect(),
    };
    let mut extra = Map::new();
    if failed {
        extra.insert("failed".to_owned(), json!(true));
    }
    let call = ToolCall {
        tool_call_id: "c".to_owned(),
        function_name: tool.to_owned(),
        arguments,
        extra: Map::new(),
    };
    let result = ObservationResult {
        source_call_id: Some("c".to_owned()),
        content: Some(observed.into()),
        extra,
    };
    Step {
        tool_calls: vec![call],
        observation: Some(Observation { results: vec![result] }),
        ..plain("agent", said)
    }
}

/// A change of one file.
fn patch(path: &str, removed: &str, added: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{removed}\n+{added}\n"
    )
}
