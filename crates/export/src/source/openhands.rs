//! `output.jsonl` of OpenHands: events, of which those with a call of a model carry its answer.

use palestra_model::{Message, Role};
use serde_json::Value;

use super::{Refused, json};
use crate::episode::{Episode, Origin, Outcome, repository_of};

pub(super) fn read(value: &Value) -> Result<Episode, Refused> {
    let Some(task) = json::text(value, &["instance_id"]) else {
        return Err(Refused::corrupt("instance_id is no text"));
    };
    let Some(Value::Array(history)) = value.get("history") else {
        return Err(Refused::foreign(format!("{task}: history is no list")));
    };
    let content = palestra_core::Hash::of(value.to_string().as_bytes());
    let mut episode = Episode::new(Origin::OpenHands, format!("{task}#{}", content.short()), task);
    let repository = json::text(value, &["instance", "repo"]).map(str::to_owned);
    episode.repository = repository.or_else(|| repository_of(task));
    episode.agent =
        json::text(value, &["metadata", "agent_class"]).unwrap_or("OpenHands").to_owned();
    episode.model = json::text(value, &["metadata", "llm_config", "model"]).map(str::to_owned);
    episode.statement = json::text(value, &["instance", "problem_statement"]).map(str::to_owned);
    let mut talk = Talk { episode: &mut episode, answers: Vec::new() };
    for event in history {
        match event {
            // Older versions wrote an action and what it gave as a pair.
            Value::Array(pair) => pair.iter().for_each(|event| talk.event(event)),
            event => talk.event(event),
        }
    }
    if episode.turns() == 0 {
        return Err(Refused::foreign(format!("{task}: no event of its history is a model's turn")));
    }
    if !episode.messages.iter().any(|message| message.role == Role::User)
        && let Some(instruction) = json::text(value, &["instruction"])
    {
        let at = usize::from(episode.messages[0].role == Role::System);
        episode.messages.insert(at, Message::user(instruction));
    }
    episode.steps = u32::try_from(episode.turns()).unwrap_or(u32::MAX);
    let patch = json::text(value, &["test_result", "git_patch"]);
    episode.patch = patch.filter(|patch| !patch.is_empty()).map(str::to_owned);
    episode.cost = json::number(value, &["metrics", "accumulated_cost"]);
    let used = |key: &str| {
        json::at(value, &["metrics", "accumulated_token_usage", key]).and_then(Value::as_u64)
    };
    episode.tokens =
        used("prompt_tokens").unwrap_or_default() + used("completion_tokens").unwrap_or_default();
    let report = json::at(value, &["test_result", "report"]).or_else(|| value.get("report"));
    let resolved = report.and_then(|report| report.get("resolved")).and_then(Value::as_bool);
    episode.outcome = match resolved {
        Some(true) => Outcome::Resolved,
        Some(false) => Outcome::Unresolved,
        None => Outcome::Ungraded,
    };
    let broke = ["error_eval", "test_timeout"].iter().any(|flag| {
        report.and_then(|report| report.get(*flag)).and_then(Value::as_bool) == Some(true)
    });
    if broke {
        episode.outcome = Outcome::Invalid("the evaluation failed".to_owned());
        episode.trainable = false;
    }
    episode.reward = resolved.filter(|_| !broke).map(f64::from);
    if let Some(error) = json::text(value, &["error"]).filter(|error| !error.is_empty()) {
        episode.exit = Some(error.lines().next().unwrap_or_default().to_owned());
        episode.finished = false;
    }
    Ok(episode)
}

struct Talk<'a> {
    episode: &'a mut Episode,
    /// Names of the model's answers that were entered: one answer with three calls is three events.
    answers: Vec<String>,
}

impl Talk<'_> {
    fn event(&mut self, event: &Value) {
        let source = json::text(event, &["source"]).unwrap_or_default();
        let messages = &mut self.episode.messages;
        let content = |key: &str| json::text(event, &["args", key]).unwrap_or_default();
        if let Some(action) = json::text(event, &["action"]) {
            match (action, source) {
                ("system", _) => {
                    messages.push(Message::system(content("content")));
                    if let Some(Value::Array(tools)) = json::at(event, &["args", "tools"]) {
                        self.episode.tools = tools.iter().filter_map(json::tool).collect();
                    }
                }
                (_, "user") => messages.push(Message::user(content("content"))),
                (_, "agent") => self.acted(event, action),
                _ => {}
            }
        } else if json::text(event, &["observation"]).is_some() && !messages.is_empty() {
            let said = json::text(event, &["content"])
                .or_else(|| json::text(event, &["message"]))
                .unwrap_or_default();
            match json::text(event, &["tool_call_metadata", "tool_call_id"]) {
                Some(id) => messages.push(Message::tool(id, said)),
                None if json::at(event, &["cause"]).is_some() => {
                    messages.push(Message::user(said));
                }
                None => {}
            }
        }
    }

    fn acted(&mut self, event: &Value, action: &str) {
        if action == "finish" {
            self.episode.finished = true;
            self.episode.exit = Some("finish".to_owned());
        }
        let response = json::at(event, &["tool_call_metadata", "model_response"]);
        let answer = response
            .and_then(|response| response.get("choices")?.get(0)?.get("message"))
            .and_then(json::message);
        if let (Some(response), Some(answer)) = (response, answer) {
            let id = json::text(response, &["id"]).unwrap_or_default().to_owned();
            if id.is_empty() || !self.answers.contains(&id) {
                self.answers.push(id);
                self.episode.messages.push(answer);
            }
        } else if let Some(text) = json::text(event, &["args", "content"])
            .or_else(|| json::text(event, &["args", "thought"]))
            .filter(|text| !text.is_empty())
        {
            self.episode.messages.push(Message::assistant(text));
        }
    }
}
