//! The input of R2E-Gym's execution-free verifier (arXiv 2504.07164).
//!
//! Source: `verifiers/prepare_ef_verifier_input.py` of R2E-Gym (July 2025).

use palestra_core::atif::Trajectory;

use crate::transcript::{observed, python, text_of};
use crate::{Limit, Prompt, View};

const SYSTEM: &str = include_str!("../prompts/judge-system.txt");
/// What the model answers; its tokens count against the limit.
const LABEL: &str = "<judgement>YES</judgement>";
/// Tokens that are kept free besides.
const SPARE: usize = 500;
/// The limit of its authors, tokens of `Qwen2.5-Coder-32B-Instruct`.
pub const MAX_TOKENS: usize = 65_536;
const CONDENSED: &str = "<Thought condensed for saving context>";

/// One step as R2E-Gym has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What the model said before it acted.
    pub thought: String,
    /// The call of a tool as XML.
    pub action: String,
    /// What came back.
    pub observation: String,
}

/// The steps of a trajectory: the agent's, with the first call of each, as R2E-Gym takes no others.
pub fn steps(trajectory: &Trajectory) -> Vec<Step> {
    let agents = trajectory.steps.iter().filter(|step| step.source == "agent");
    agents
        .map(|step| {
            let said = text_of(&step.message);
            let (thought, written) = match said.find("<function") {
                Some(at) => said.split_at(at),
                None => (said.as_str(), ""),
            };
            let action = match step.tool_calls.first() {
                None => written.trim().to_owned(),
                Some(call) => {
                    let mut action = format!("<function={}>\n", call.function_name);
                    for (name, value) in &call.arguments {
                        let value = python(value);
                        action.push_str(&format!("  <parameter={name}>{value}</parameter>\n"));
                    }
                    action.push_str("</function>");
                    action
                }
            };
            Step { thought: thought.trim().to_owned(), action, observation: observed(step) }
        })
        .collect()
}

/// The prompt. [`View::Both`] is what the released model was trained on; its authors' ablations left
/// the patch or the log out. `patch` is to hold only files that were there before
/// ([`existing_files`](crate::existing_files)).
///
/// Above the limit the longest thought is replaced, again and again, until the prompt fits or only
/// one thought is left; then it is [`Prompt::too_long`].
pub fn prompt(
    statement: &str,
    steps: &[Step],
    patch: &str,
    view: View,
    limit: Limit<'_>,
) -> Prompt {
    let mut user = String::from(
        "Please evaluate the following interaction between an AI assistant and a user:",
    );
    if view.trajectory() {
        user.push_str(&format!("\n\n=== INTERACTION LOG ===\n\n[SYSTEM]\n{SYSTEM}\n[/SYSTEM]"));
        user.push_str(
            "\n\n[USER]\nYou are a software engineer working on a repository. A user has submitted \
             an issue, and you need to resolve it.\n\nRepository Issue:\n",
        );
        user.push_str(statement);
        user.push_str("\n\nPlease analyze the issue and implement a solution.\n[/USER]");
        for (number, step) in steps.iter().enumerate() {
            let Step { thought, action, observation } = step;
            let gap = if thought.is_empty() { "" } else { "\n\n" };
            user.push_str(&format!(
                "\n\n[STEP]\n{number}\n[/STEP]\n\n[ASSISTANT]\n{thought}{gap}{action}\n[/ASSISTANT]\
                 \n\n[USER]\n{observation}\n[/USER]"
            ));
        }
        user.push_str("\n\n=== END INTERACTION ===");
    } else {
        user.push_str(&format!("\n\n[USER]\n{statement}\n[/USER]"));
    }
    if view.patch() {
        user.push_str(&format!(
            "\n\n=== FINAL PATCH ===\n\n[PATCH]\n{patch}\n[/PATCH]\n\n=== END FINAL PATCH ==="
        ));
    }
    user.push_str(
        "\n\nBased on the above interaction, did the assistant successfully resolve the user's \
         initial request? Respond with YES or NO.",
    );
    let own = (limit.count)(&format!("{SYSTEM} {LABEL}")) + SPARE;
    let limit = Limit { tokens: limit.tokens.saturating_sub(own), ..limit };
    let mut condensed = 0;
    while !limit.holds(&user) {
        let Some(shorter) = condense(&user) else { break };
        user = shorter;
        condensed += 1;
    }
    let too_long = !limit.holds(&user);
    Prompt { system: SYSTEM.to_owned(), user, condensed, too_long }
}

/// Replaces the longest thought, the first of equals; `None` where nothing is left to replace.
fn condense(text: &str) -> Option<String> {
    // A thought reaches from a mark to the next call, wherever that is; so did the authors' search.
    let mut thoughts = Vec::new();
    let mut at = 0;
    while let Some(mark) = text[at..].find("[ASSISTANT]") {
        let begin = at + mark + "[ASSISTANT]".len();
        let Some(length) = text[begin..].find("<function") else { break };
        thoughts.push(begin..begin + length);
        at = begin + length + "<function".len();
    }
    if thoughts.len() <= 1 {
        return None;
    }
    let open = thoughts.into_iter().filter(|range| text[range.clone()].trim() != CONDENSED);
    let length = |range: &std::ops::Range<usize>| text[range.clone()].chars().count();
    let longest = open.rev().max_by_key(length)?;
    Some(format!("{}{CONDENSED}{}", &text[..longest.start], &text[longest.end..]))
}
