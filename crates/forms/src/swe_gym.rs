//! The input of SWE-Gym's outcome-supervised verifier (arXiv 2412.21139).
//!
//! Source: `create_rm_data.ipynb` and `aggregate_stats_pass_at_n.ipynb` of SWE-Gym/SWE-Gym. The model
//! was trained to say `<judgement>YES</judgement>`, and its authors scored ` YES` and ` NO` behind
//! `<judgement>`, which are other tokens; whoever reads the answer should not mind.

use crate::{Limit, Prompt, Said, Speaker};

const SYSTEM: &str = include_str!("../prompts/judge-system.txt");

/// The prompt. Its authors cut nothing; what was longer than their models' 32,768 tokens was left
/// out, so a prompt beyond the limit is [`Prompt::too_long`] and best left unscored.
pub fn prompt(said: &[Said], limit: Limit<'_>) -> Prompt {
    let user = format!(
        "Please evaluate the following interaction between an AI assistant and a user:\n\n\
         === INTERACTION LOG ===\n{}\n=== END INTERACTION ===\n\n\
         Based on the above interaction, did the assistant successfully resolve the user's initial \
         request? Respond with YES or NO.",
        without_example(&log(said))
    );
    let too_long = (limit.count)(SYSTEM) + (limit.count)(&user) > limit.tokens;
    Prompt { system: SYSTEM.to_owned(), user, condensed: 0, too_long }
}

/// The conversation as text.
fn log(said: &[Said]) -> String {
    let mut out = String::new();
    let said = match said.split_first() {
        Some((first, rest)) if first.by == Speaker::System => {
            out.push_str("*** System Message that describes the assistant's behavior ***\n");
            out.push_str(&first.text);
            out.push('\n');
            rest
        }
        _ => said,
    };
    let line = "-".repeat(100);
    // What the user says in a row is one message. A system's message further down is nobody's.
    let groups = said.chunk_by(|a, b| a.by == Speaker::User && b.by == Speaker::User);
    for (turn, group) in groups.enumerate() {
        let role = match group[0].by {
            Speaker::System => "SYSTEM",
            Speaker::User => "USER",
            Speaker::Assistant => "ASSISTANT",
        };
        let text: Vec<&str> = group.iter().map(|said| said.text.as_str()).collect();
        let number = turn / 2 + 1;
        out.push_str(&format!("{line}\n*** Turn {number} - {role} ***\n{}\n", text.join("\n")));
    }
    out.push_str(&line);
    out.push('\n');
    out
}

/// OpenHands puts an example before the first message where a model has no function calls, and a
/// reminder behind it. Its authors took both out before they scored.
fn without_example(log: &str) -> String {
    let rule = "---------------------";
    let begin = "Here's a running example of how to perform a task with the provided tools.\n";
    let end = format!("{rule} NEW TASK DESCRIPTION {rule}\n");
    let reminder = format!("{rule} END OF NEW TASK DESCRIPTION {rule}\n");
    let last = "PLEASE EMIT ONE AND ONLY ONE FUNCTION CALL PER MESSAGE.\n";
    cut(&cut(log, begin, &end), &reminder, last)
}

/// Without what stands from `begin` to the end of the next `end`.
fn cut(text: &str, begin: &str, end: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(begin) {
        let Some((_, after)) = behind.split_once(end) else { break };
        out.push_str(before);
        rest = after;
    }
    out.push_str(rest);
    out
}
