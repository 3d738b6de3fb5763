//! ATIF into a conversation.

use palestra_core::atif::{Step, Trajectory};
use palestra_model::{Message, Role, ToolCall};
use serde_json::{Map, Value};

use super::{Refused, json};
use crate::episode::{Episode, TokenChain};

/// Fills an episode with what a trajectory says.
pub(super) fn fill(episode: &mut Episode, bytes: &[u8]) -> Result<(), Refused> {
    let trajectory: Trajectory = serde_json::from_slice(bytes)
        .map_err(|error| Refused::corrupt(format!("the trajectory is no ATIF: {error}")))?;
    if !trajectory.schema_version.starts_with("ATIF-v1.") {
        let version = &trajectory.schema_version;
        return Err(Refused::foreign(format!("a trajectory of version {version:?}")));
    }
    if episode.agent.is_empty() {
        episode.agent.clone_from(&trajectory.agent.name);
    }
    if episode.model.is_none() {
        episode.model.clone_from(&trajectory.agent.model_name);
    }
    episode.tools = trajectory.agent.tool_definitions.iter().filter_map(json::tool).collect();
    let spoken = trajectory.steps.iter().filter(|step| asked(step)).count();
    episode.steps = u32::try_from(spoken).unwrap_or(u32::MAX);
    episode.chains = chains(&trajectory.steps);
    if episode.tokens == 0 {
        let sums = trajectory.final_metrics.unwrap_or_default();
        episode.tokens = sums.total_prompt_tokens.unwrap_or_default()
            + sums.total_completion_tokens.unwrap_or_default();
    }
    for step in trajectory.steps {
        put(&mut episode.messages, step);
    }
    Ok(())
}

fn asked(step: &Step) -> bool {
    step.source == "agent" && step.llm_call_count != Some(0)
}

fn put(messages: &mut Vec<Message>, step: Step) {
    let role = match step.source.as_str() {
        "system" => Role::System,
        "agent" => Role::Assistant,
        _ => Role::User,
    };
    // What an agent did without a model is no turn of the model; its results are still seen.
    if role != Role::Assistant || asked(&step) {
        messages.push(Message {
            role,
            content: json::parts(&step.message),
            reasoning: step.reasoning_content.clone(),
            tool_calls: step
                .tool_calls
                .iter()
                .map(|call| ToolCall {
                    id: call.tool_call_id.clone(),
                    name: call.function_name.clone(),
                    arguments: Value::Object(call.arguments.clone()).to_string(),
                })
                .collect(),
            tool_call_id: None,
            extra: Map::new(),
        });
    }
    for result in step.observation.into_iter().flat_map(|all| all.results) {
        let of_a_call = result.source_call_id.is_some();
        let mut extra = Map::new();
        if result.extra.get("failed") == Some(&Value::Bool(true)) {
            extra.insert("is_error".to_owned(), true.into());
        }
        messages.push(Message {
            role: if of_a_call { Role::Tool } else { Role::User },
            content: result.content.as_ref().map(json::parts).unwrap_or_default(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: result.source_call_id,
            extra,
        });
    }
}

/// Chains from trajectories that give every prompt whole. A prompt that does not begin with the ids
/// before it begins another chain.
fn chains(steps: &[Step]) -> Vec<TokenChain> {
    let mut chains: Vec<TokenChain> = Vec::new();
    for metrics in steps.iter().filter_map(|step| step.metrics.as_ref()) {
        let (Some(prompt), Some(completion)) =
            (&metrics.prompt_token_ids, &metrics.completion_token_ids)
        else {
            continue;
        };
        match chains.last() {
            Some(chain) if prompt.starts_with(&chain.ids) => {}
            _ => chains.push(TokenChain { logprobs: Some(Vec::new()), ..TokenChain::default() }),
        }
        let Some(chain) = chains.last_mut() else { continue };
        let known = chain.ids.len();
        chain.ids.extend(&prompt[known..]);
        chain.mask.resize(chain.ids.len(), 0);
        chain.ids.extend(completion);
        chain.mask.resize(chain.ids.len(), 1);
        let given = metrics.logprobs.as_ref().filter(|all| all.len() == completion.len());
        match (&mut chain.logprobs, given) {
            (Some(all), Some(given)) => {
                all.resize(prompt.len(), 0.0);
                all.extend(given);
            }
            (all, _) => *all = None,
        }
    }
    if let Some(last) = chains.last_mut() {
        last.last = true;
    }
    chains
}
