//! Tools that several scaffolds share.

use palestra_model::Tool;
use palestra_sandbox::Outcome;
use serde_json::Value;

use crate::agent::AgentError;
use crate::clip::{clip_of, shown};
use crate::hands::Hands;
use crate::scaffold::{Call, Observed};

/// Tools as text, for models that are not offered them natively.
pub(crate) fn described(tools: &[Tool]) -> String {
    let mut out = String::new();
    for tool in tools {
        out.push_str(&format!("## {}\n\n{}\n", tool.name, tool.description));
        let required: Vec<&str> = tool
            .parameters
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let properties = tool.parameters.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let kind = property.get("type").and_then(Value::as_str).unwrap_or("string");
            let needed = if required.contains(&name.as_str()) { ", required" } else { "" };
            out.push_str(&format!("\n- `{name}` ({kind}{needed})"));
            if let Some(choices) = property.get("enum") {
                out.push_str(&format!(", one of {choices}"));
            }
            if let Some(text) = property.get("description").and_then(Value::as_str) {
                out.push_str(&format!(": {text}"));
            }
        }
        out.push_str("\n\n");
    }
    out.truncate(out.trim_end().len());
    out
}

/// Our own search: grep by its arguments, never by a command line.
pub(crate) fn search(hands: &mut Hands, call: &Call) -> Result<Observed, AgentError> {
    let pattern = call.text("pattern").unwrap_or_default();
    let path = call.text("path").unwrap_or(".");
    let include = call.text("include").map(|name| format!("--include={name}"));
    let mut argv = vec!["grep", "-rnIE", "--exclude-dir=.git"];
    argv.extend(include.as_deref());
    argv.extend(["-e", pattern, "--", path]);
    if argv.iter().any(|word| word.contains('\0') || word.len() > 100_000) {
        return Ok(Observed::refusal("the pattern or the path holds a NUL byte, or is too long"));
    }
    let result = hands.program(&argv, &hands.assignment.directory)?;
    let (text, _) = shown(&result.stdout.bytes);
    let text = text.replace("\n./", "\n");
    let text = text.strip_prefix("./").unwrap_or(&text);
    Ok(match result.outcome {
        Outcome::Exited(0) => {
            Observed::answer(clip_of(text.into(), hands.observation, result.stdout.total))
        }
        Outcome::Exited(1) => Observed::answer("nothing found"),
        Outcome::TimedOut => {
            Observed::refusal("the search took too long; search in a smaller directory")
        }
        _ => Observed::refusal(hands.bounded(&shown(&result.stderr.bytes).0)),
    })
}
