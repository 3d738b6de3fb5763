//! Trajectories of R2E-Gym, one a line.

use palestra_model::Message;
use serde_json::Value;

use super::{Refused, json};
use crate::episode::{Episode, Origin, Outcome};

pub(super) fn read(value: &Value) -> Result<Episode, Refused> {
    let Some(Value::Array(steps)) = value.get("trajectory_steps") else {
        return Err(Refused::foreign("trajectory_steps is no list"));
    };
    let image = json::text(value, &["docker_image"]).unwrap_or_default();
    let ds = value.get("ds").cloned().unwrap_or_default();
    let instance = json::text(&ds, &["instance_id"]).map(str::to_owned);
    let Some(task) = instance.or_else(|| image.rsplit('/').next().map(str::to_owned)) else {
        return Err(Refused::corrupt("it names no task"));
    };
    if task.is_empty() {
        return Err(Refused::corrupt("it names no task"));
    }
    let content = palestra_core::Hash::of(value.to_string().as_bytes());
    let mut episode =
        Episode::new(Origin::R2eGym, format!("{task}#{}", content.short()), task.clone());
    let named = json::text(&ds, &["repo_name"]).or_else(|| json::text(&ds, &["repo"]));
    let of_image = image.rsplit('/').next().and_then(|name| name.split(['_', ':']).next());
    episode.repository = named.or(of_image).map(str::to_owned).filter(|name| !name.is_empty());
    episode.agent = "r2e-gym".to_owned();
    episode.model = json::text(value, &["agent_args", "llm_name"]).map(str::to_owned);
    let statement = json::text(value, &["problem_statement"]).unwrap_or_default();
    episode.statement = Some(statement.to_owned()).filter(|text| !text.is_empty());
    if let Some(system) = json::text(value, &["agent_args", "system_prompt"]) {
        episode.messages.push(Message::system(system));
    }
    // The first message as it was sent is not kept; the prompt it was made from may be.
    let user = json::text(value, &["agent_args", "instance_prompt"])
        .map_or(statement.to_owned(), |prompt| prompt.replace("{problem_statement}", statement));
    episode.messages.push(Message::user(user));
    for step in steps {
        let part = |key: &str| json::text(step, &[key]).unwrap_or_default();
        let (thought, action) = (part("thought"), part("action"));
        let said = match (thought.is_empty(), action.is_empty()) {
            (true, _) => action.to_owned(),
            (_, true) => thought.to_owned(),
            _ => format!("{thought}\n\n{action}"),
        };
        episode.messages.push(Message::assistant(said));
        episode.messages.push(Message::user(part("observation")));
        let tokens = json::at(step, &["token_usage_total"]).and_then(Value::as_u64);
        episode.tokens += tokens.unwrap_or_default();
        episode.seconds += json::number(step, &["total_step_time"]).unwrap_or_default();
    }
    episode.steps = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    episode.exit = json::text(value, &["exit_reason"]).map(str::to_owned);
    episode.finished = episode.exit.as_deref() == Some("agent");
    episode.trainable = episode.exit.as_deref() != Some("llm_query_error");
    episode.reward = json::number(value, &["reward"]);
    episode.outcome = match episode.reward {
        _ if !episode.trainable => Outcome::Invalid("llm_query_error".to_owned()),
        Some(reward) if reward >= 1.0 => Outcome::Resolved,
        Some(_) => Outcome::Unresolved,
        None => Outcome::Ungraded,
    };
    let patch = json::text(value, &["output_patch"]).filter(|patch| !patch.is_empty());
    episode.patch = patch.map(str::to_owned);
    Ok(episode)
}
