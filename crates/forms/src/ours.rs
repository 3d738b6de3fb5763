//! The input for models that were not trained to judge in a form of their own.
//!
//! It is made to fit: long observations lose their middle first, then the middle of the trajectory
//! goes, and only then is the patch cut. The last steps, which show whether it works, stay longest.

use palestra_core::atif::Trajectory;

use crate::transcript::{observed, python, text_of};
use crate::{Limit, Prompt, View};

const SYSTEM: &str = include_str!("../prompts/ours-system.txt");

/// Bytes of one observation, tried one after another.
const SHOWN: [usize; 6] = [usize::MAX, 8192, 4096, 2048, 1024, 512];

/// The prompt. Where no trajectory was kept, the prompt says so.
pub fn prompt(
    statement: &str,
    trajectory: Option<&Trajectory>,
    patch: &str,
    view: View,
    limit: Limit<'_>,
) -> Prompt {
    let steps: Vec<(String, String)> = match (view.trajectory(), trajectory) {
        (true, Some(trajectory)) => {
            let agents = trajectory.steps.iter().filter(|step| step.source == "agent");
            agents.map(|step| (acted(step), observed(step))).collect()
        }
        _ => Vec::new(),
    };
    let make = |shown: usize, kept: usize, bytes: usize| {
        let mut user = format!("# Issue\n\n{}\n", clip(statement, bytes));
        if view.trajectory() {
            user.push_str("\n# Attempt\n");
            if steps.is_empty() {
                user.push_str("\nNo record of it was kept.\n");
            }
            let first = kept.div_ceil(4);
            let last = steps.len() - (kept - first);
            for (number, (acted, observed)) in steps.iter().enumerate() {
                if number == first && last > first {
                    user.push_str(&format!("\n({} steps are left out.)\n", last - first));
                }
                if number < first || number >= last {
                    let (acted, observed) = (clip(acted, shown), clip(observed, shown));
                    user.push_str(&format!("\n## Step {}\n\n{acted}\n", number + 1));
                    if !observed.is_empty() {
                        user.push_str(&format!("\nObservation:\n\n{observed}\n"));
                    }
                }
            }
        }
        if view.patch() {
            let patch = if patch.is_empty() { "(nothing was changed)" } else { patch };
            user.push_str(&format!("\n# Patch\n\n{}\n", clip(patch, bytes)));
        }
        user.push_str("\n# Question\n\nWill the hidden tests pass? Answer with YES or NO.");
        user
    };
    let limit = Limit { tokens: limit.tokens.saturating_sub((limit.count)(SYSTEM)), ..limit };
    let done = |user: String, condensed: usize, too_long: bool| Prompt {
        system: SYSTEM.to_owned(),
        user,
        condensed,
        too_long,
    };
    for shown in SHOWN {
        let user = make(shown, steps.len(), usize::MAX);
        if limit.holds(&user) {
            let longer = |t: &&(String, String)| t.0.len() > shown || t.1.len() > shown;
            return done(user, steps.iter().filter(longer).count(), false);
        }
    }
    let shown = SHOWN[SHOWN.len() - 1];
    // Between what fits and what does not.
    let (mut fits, mut not) = (None, steps.len());
    while fits.unwrap_or(0) + 1 < not || fits.is_none() && not > 0 {
        let middle = fits.map_or(0, |fits: usize| fits + (not - fits) / 2);
        if limit.holds(&make(shown, middle, usize::MAX)) {
            fits = Some(middle);
        } else if fits.is_none() {
            break;
        } else {
            not = middle;
        }
    }
    if let Some(kept) = fits {
        return done(make(shown, kept, usize::MAX), steps.len() - kept, false);
    }
    let mut bytes = statement.len().max(patch.len());
    while bytes > 64 {
        bytes /= 2;
        let user = make(shown, 0, bytes);
        if limit.holds(&user) {
            return done(user, steps.len() + 1, false);
        }
    }
    done(make(shown, 0, bytes), steps.len() + 1, true)
}

/// What the agent said and called.
fn acted(step: &palestra_core::atif::Step) -> String {
    let said = text_of(&step.message);
    let mut out = said.trim().to_owned();
    if said.contains("<function=") {
        return out;
    }
    for call in &step.tool_calls {
        if !out.is_empty() {
            out.push('\n');
        }
        let arguments = call.arguments.iter().map(|(k, v)| format!("{k}: {}", python(v)));
        out.push_str(&format!("[{}] ", call.function_name));
        out.push_str(&arguments.collect::<Vec<_>>().join("\n"));
    }
    out
}

/// The two ends of a text that is longer than this many bytes.
fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let (mut head, mut tail) = (bytes / 2, text.len() - bytes / 2);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}\n({} bytes are left out.)\n{}", &text[..head], tail - head, &text[tail..])
}
