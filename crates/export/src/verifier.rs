//! What a verifier is asked and what it should answer, in the layouts of R2E-Gym and SWE-Gym, and a
//! shorter one of ours. The order, the marks and the answers are those that published verifiers were
//! trained on; the words around them are our own.

use std::fmt::Write as _;

use palestra_model::{Message, Role};
use serde::{Deserialize, Serialize};

use crate::episode::{Episode, Outcome};

/// How a verifier is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifierForm {
    /// Steps in brackets, then the patch.
    #[default]
    R2eGym,
    /// Turns under rules of dashes, without the patch.
    SweGym,
    /// The statement and the patch alone.
    Patch,
}

/// Turns an attempt into a question: a system message and a user's.
pub trait AsksVerifier {
    /// The question. It must not say how the attempt was graded.
    fn question(&self, episode: &Episode) -> Vec<Message>;
}

const JUDGE: &str = "You judge whether a software agent has solved the task it was given. Consider \
    whether it understood the problem, whether it changed the right places, whether the change is \
    correct and complete, and whether it checked its work. Answer with <judgement>YES</judgement> or \
    <judgement>NO</judgement> and nothing else.";

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
        let user = match self {
            Self::R2eGym => r2e_gym(episode),
            Self::SweGym => swe_gym(episode),
            Self::Patch => {
                let patch = episode.patch.as_deref().unwrap_or_default();
                format!(
                    "[ISSUE]\n{}\n[/ISSUE]\n\n[PATCH]\n{patch}\n[/PATCH]\n\nDoes the patch solve \
                     it? Respond with YES or NO.",
                    episode.problem()
                )
            }
        };
        vec![Message::system(JUDGE), Message::user(user)]
    }
}

/// What the model said with its calls as text, in the layout of text-only scaffolds.
fn said(message: &Message) -> String {
    let mut text = message.reasoning.clone().unwrap_or_default();
    let content = message.content_text();
    if !text.is_empty() && !content.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(&content);
    for call in &message.tool_calls {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let _ = writeln!(text, "<function={}>", call.name);
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&call.arguments) {
            Ok(arguments) => {
                for (name, value) in arguments {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let _ = writeln!(text, "<parameter={name}>{value}</parameter>");
                }
            }
            Err(_) => text.push_str(&call.arguments),
        }
        text.push_str("</function>");
    }
    text
}

fn r2e_gym(episode: &Episode) -> String {
    let mut text = String::from("Here is what an agent did to solve an issue.\n\n");
    text.push_str("=== INTERACTION LOG ===\n");
    let _ = writeln!(text, "[SYSTEM]\n{JUDGE}\n[/SYSTEM]\n");
    let _ = writeln!(text, "[USER]\n{}\n[/USER]\n", episode.problem());
    let mut step = 0;
    let mut begun = false;
    for message in &episode.messages {
        match message.role {
            Role::Assistant => {
                let _ = writeln!(text, "[STEP]\n{step}\n[/STEP]\n");
                let _ = writeln!(text, "[ASSISTANT]\n{}\n[/ASSISTANT]\n", said(message));
                step += 1;
                begun = true;
            }
            Role::User | Role::Tool if begun => {
                let _ = writeln!(text, "[USER]\n{}\n[/USER]\n", message.content_text());
            }
            _ => {}
        }
    }
    text.push_str("=== END INTERACTION ===\n\n=== FINAL PATCH ===\n");
    let patch = episode.patch.as_deref().unwrap_or_default();
    let _ = writeln!(text, "[PATCH]\n{patch}\n[/PATCH]\n=== END FINAL PATCH ===\n");
    text.push_str("Does the patch solve the issue? Respond with YES or NO.");
    text
}

fn swe_gym(episode: &Episode) -> String {
    let rule = "-".repeat(100);
    let mut blocks: Vec<(&str, String)> = Vec::new();
    for message in &episode.messages {
        let (role, content) = match message.role {
            Role::System => ("SYSTEM", message.content_text()),
            Role::Assistant => ("ASSISTANT", said(message)),
            Role::User | Role::Tool => ("USER", message.content_text()),
        };
        match blocks.last_mut() {
            Some((last, text)) if *last == role && role == "USER" => {
                text.push_str("\n\n");
                text.push_str(&content);
            }
            _ => blocks.push((role, content)),
        }
    }
    let mut text = String::from("=== INTERACTION LOG ===\n");
    for (at, (role, content)) in blocks.iter().enumerate() {
        if *role == "SYSTEM" {
            let _ = writeln!(text, "{content}");
        } else {
            let turn = at / 2 + 1;
            let _ = writeln!(text, "{rule}\n*** Turn {turn} - {role} ***\n{content}");
        }
    }
    text.push_str("=== END INTERACTION ===\n\nDid the agent solve the task? ");
    text.push_str("Respond with YES or NO.");
    text
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
        episode.patch = Some("diff --git a/x b/x".into());
        episode.messages = vec![
            Message::system("sys"),
            Message::user("the issue"),
            Message { tool_calls: vec![call], ..Message::assistant("let me look") },
            Message::tool("1", "x"),
        ];
        for form in [VerifierForm::R2eGym, VerifierForm::SweGym, VerifierForm::Patch] {
            let mut asked = Vec::new();
            for outcome in [Outcome::Resolved, Outcome::Unresolved] {
                episode.outcome = outcome;
                asked.push(form.question(&episode));
            }
            assert_eq!(asked[0], asked[1]);
            let user = asked[0][1].content_text();
            assert!(user.contains("the issue"), "{user}");
            assert_eq!(form != VerifierForm::SweGym, user.contains("[PATCH]"), "{user}");
            if form != VerifierForm::Patch {
                assert!(user.contains("<function=bash>\n<parameter=command>ls</parameter>"));
            }
        }
        assert_eq!(answer(&Outcome::Ungraded), None);
    }
}
