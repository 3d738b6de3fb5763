//! `*.traj.json` of mini-swe-agent.

use std::path::Path;

use serde_json::Value;

use super::{Refused, json};
use crate::episode::{Episode, Origin, repository_of};

pub(super) fn read(value: &Value, path: &Path) -> Result<Episode, Refused> {
    let refuse = |what: &str| Err(Refused::foreign(format!("{}: {what}", path.display())));
    let format = json::text(value, &["trajectory_format"]).unwrap_or_default();
    if !format.starts_with("mini-swe-agent-1") {
        return refuse("trajectory_format is not mini-swe-agent-1");
    }
    let Some(Value::Array(messages)) = value.get("messages") else {
        return refuse("it has no messages");
    };
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.trim_end_matches(".traj.json");
    let task = json::text(value, &["instance_id"]).unwrap_or(stem);
    let content = palestra_core::Hash::of(value.to_string().as_bytes());
    let id = format!("{task}#{}", content.short());
    let mut episode = Episode::new(Origin::MiniSweAgent, id, task);
    episode.repository = repository_of(task);
    episode.agent = "mini-swe-agent".to_owned();
    let model = ["info", "config", "model", "model_name"];
    episode.model = json::text(value, &model).map(str::to_owned);
    // It ends with a message of its own about the end, whose role no model knows.
    episode.messages = messages.iter().filter_map(json::message).collect();
    let exit = json::text(value, &["info", "exit_status"]);
    episode.exit = exit.map(str::to_owned);
    episode.finished = exit == Some("Submitted");
    let submission = json::text(value, &["info", "submission"]);
    episode.patch = submission.filter(|patch| !patch.is_empty()).map(str::to_owned);
    episode.cost = json::number(value, &["info", "model_stats", "instance_cost"]);
    let calls = json::at(value, &["info", "model_stats", "api_calls"]).and_then(Value::as_u64);
    let turns = episode.turns() as u64;
    episode.steps = u32::try_from(calls.unwrap_or(turns)).unwrap_or(u32::MAX);
    Ok(episode)
}
