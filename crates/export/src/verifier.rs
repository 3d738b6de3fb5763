//! What a verifier is asked and what it should answer. The forms are those in which
//! `palestra rank --judge` asks, to the byte, so that what was trained is asked as it was trained. What
//! is longer than the context of a judge is shortened there, and left out here.

use palestra_core::atif::{
    AgentInfo, Observation, ObservationResult, SCHEMA_VERSION, Step, ToolCall, Trajectory,
};
use palestra_forms::{Limit, View, existing_files, ours, r2e, said_in, swe_gym};
use palestra_model::{Message, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::episode::{Episode, Outcome};

/// How a verifier is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifierForm {
    /// Steps in brackets, then the patch, as R2E-Gym's verifier was trained.
    #[default]
    R2eGym,
    /// Turns under rules of dashes, without the patch, as SWE-Gym's verifier was trained.
    SweGym,
    /// Ours: statement, steps and patch.
    Ours,
    /// Ours, with the statement and the patch alone.
    Patch,
}

/// Turns an attempt into a question: a system message and a user's.
pub trait AsksVerifier {
    /// The question. It must not say how the attempt was graded.
    fn question(&self, episode: &Episode) -> Vec<Message>;
}

/// The right answer; `None` where the verdict is not known.
pub fn answer(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Resolved => Some("<judgement>YES</judgement>"),
        Outcome::Unresolved => Some("<judgement>NO</judgement>"),
        Outcome::Invalid(_) | Outcome::Ungraded => None,
    }
}

impl AsksVerifier for VerifierForm {
    fn question(&self, episode: &Episode) -> Vec<Message> {
        let trajectory = recorded(episode).unwrap_or_else(|| told(episode));
        let patch = episode.patch.as_deref().unwrap_or_default();
        // A row that is too long is left out by the context of the request, not shortened.
        let whole = Limit { tokens: usize::MAX, count: &str::len };
        let prompt = match self {
            Self::R2eGym => {
                let patch = existing_files(patch.as_bytes());
                // Its authors condensed thoughts for training as for judging.
                let limit =
                    Limit { tokens: r2e::MAX_TOKENS, count: &|text| text.len().div_ceil(4) };
                let steps = r2e::steps(&trajectory);
                r2e::prompt(&episode.problem(), &steps, &patch, View::Both, limit)
            }
            Self::SweGym => swe_gym::prompt(&said_in(&trajectory), whole),
            Self::Ours => {
                ours::prompt(&episode.problem(), Some(&trajectory), patch, View::Both, whole)
            }
            Self::Patch => ours::prompt(&episode.problem(), None, patch, View::Patch, whole),
        };
        vec![Message::system(prompt.system), Message::user(prompt.user)]
    }
}

/// The trajectory as it was written down.
fn recorded(episode: &Episode) -> Option<Trajectory> {
    serde_json::from_slice(&fs_err::read(episode.trajectory.as_ref()?).ok()?).ok()
}

/// A trajectory of the conversation, for attempts that came without one.
fn told(episode: &Episode) -> Trajectory {
    let mut steps: Vec<Step> = Vec::new();
    for message in &episode.messages {
        let text = Value::from(message.content_text());
        if let (Role::Tool, Some(step)) = (message.role, steps.last_mut()) {
            let known = |id: &&String| step.tool_calls.iter().any(|c| c.tool_call_id == **id);
            let result = ObservationResult {
                source_call_id: message.tool_call_id.as_ref().filter(known).cloned(),
                content: Some(text),
                extra: Map::new(),
            };
            step.observation.get_or_insert_with(Observation::default).results.push(result);
            continue;
        }
        let source = match message.role {
            Role::System => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "agent",
        };
        let calls = message.tool_calls.iter().map(|call| ToolCall {
            tool_call_id: call.id.clone(),
            function_name: call.name.clone(),
            arguments: serde_json::from_str(&call.arguments).unwrap_or_else(|_| {
                Map::from_iter([("arguments".to_owned(), Value::from(call.arguments.as_str()))])
            }),
            extra: Map::new(),
        });
        steps.push(Step {
            step_id: steps.len() as u64 + 1,
            timestamp: None,
            source: source.to_owned(),
            model_name: None,
            message: text,
            reasoning_content: None,
            tool_calls: calls.collect(),
            observation: None,
            metrics: None,
            is_copied_context: None,
            llm_call_count: None,
            extra: Map::new(),
        });
    }
    let agent = AgentInfo {
        name: episode.agent.clone(),
        version: String::new(),
        model_name: None,
        tool_definitions: Vec::new(),
        extra: Map::new(),
    };
    Trajectory {
        schema_version: SCHEMA_VERSION.to_owned(),
        session_id: None,
        trajectory_id: None,
        agent,
        steps,
        notes: None,
        final_metrics: None,
        extra: Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use palestra_model::ToolCall;

    use super::*;
    use crate::episode::Origin;

    #[test]
    fn no_question_tells_the_verdict() {
        let call = ToolCall {
            id: "1".into(),
            name: "bash".into(),
            arguments: "{\"command\": \"ls\"}".into(),
        };
        let mut episode = Episode::new(Origin::Palestra, "a", "b");
        episode.patch = Some("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".into());
        episode.messages = vec![
            Message::system("sys"),
            Message::user("the issue"),
            Message { tool_calls: vec![call], ..Message::assistant("let me look") },
            Message::tool("1", "what is there"),
        ];
        let forms =
            [VerifierForm::R2eGym, VerifierForm::SweGym, VerifierForm::Ours, VerifierForm::Patch];
        for form in forms {
            let mut asked = Vec::new();
            for outcome in [Outcome::Resolved, Outcome::Unresolved] {
                episode.outcome = outcome;
                asked.push(form.question(&episode));
            }
            assert_eq!(asked[0], asked[1]);
            let user = asked[0][1].content_text();
            assert!(user.contains("the issue"), "{user}");
            assert_eq!(form != VerifierForm::SweGym, user.contains("@@ -1 +1 @@"), "{user}");
            assert_eq!(form != VerifierForm::Patch, user.contains("what is there"), "{user}");
        }
        assert_eq!(answer(&Outcome::Ungraded), None);
    }
}
