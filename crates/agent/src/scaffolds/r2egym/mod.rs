//! The tools, parameters and observations of R2E-Gym's scaffold `r2egym`, for models that were trained
//! on its trajectories. Its defects are not copied: arguments keep their white space, all calls of a
//! reply are carried out, and files of any kind are edited.

mod concise;
mod files;
mod search;

use std::sync::Arc;

use palestra_model::{Message, Tool};
use palestra_sandbox::Outcome;
use serde_json::{Map, Value, json};

use crate::agent::{AgentError, Assignment};
use crate::clip::shown;
use crate::hands::Hands;
use crate::prompt::fill;
use crate::scaffold::{Call, Format, NoAction, Observed, Scaffold};
use crate::scaffolds::compat;

const SYSTEM: &str = include_str!("../../../prompts/r2egym/system.md");
const SYSTEM_TEXT: &str = include_str!("../../../prompts/r2egym/system_text.md");
const INSTANCE: &str = include_str!("../../../prompts/r2egym/instance.md");
/// Longer output of commands keeps so many lines at each end.
const LINES: usize = 40;

/// Options of the scaffold.
#[derive(Debug, Clone, Default)]
pub struct R2eOptions {
    /// Calls in the text instead of native ones.
    pub text: bool,
    /// Only Python files are viewed and searched, as in the original.
    pub python_only: bool,
    /// After so many steps the model is told to submit; [`crate::Limits::steps`] by default. That
    /// bound ends the attempt either way.
    pub soft_steps: Option<u32>,
}

/// The scaffold `r2egym`.
pub struct R2eScaffold {
    options: R2eOptions,
    tools: Arc<[Tool]>,
}

impl R2eScaffold {
    /// The scaffold with these options.
    pub fn new(options: R2eOptions) -> Self {
        Self { options, tools: r2e_tools() }
    }
}

fn r2e_tools() -> Arc<[Tool]> {
    let tool = |name: &str, description: &str, properties: Value, required: &[&str]| Tool {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({"type": "object", "properties": properties, "required": required}),
    };
    Arc::from([
        tool(
            "search",
            "Looks for a term in a file, or in all files below a directory that are not hidden. A file gives its matching lines with their numbers, as grep -n does; a directory gives the number of matches of each file. If more than 100 files match, search more narrowly.",
            json!({
                "search_term": {"description": "What to look for.", "type": "string"},
                "path": {"description": "File or directory; `.` by default.", "type": "string"},
                "python_only": {"description": "Look only into Python files.", "type": "boolean"},
            }),
            &["search_term"],
        ),
        tool(
            "file_editor",
            "Views, creates and edits files. `view` shows a file with line numbers, or a directory two levels deep. `create` makes a file that is not there yet. `str_replace` replaces old_str, which must stand in the file exactly once, by new_str. `insert` puts new_str after a line. `undo_edit` takes the last edit of the file back. Long output is cut and marked with `<response clipped>`.",
            json!({
                "command": {"description": "What to do.", "enum": ["view", "create", "str_replace", "insert", "undo_edit"], "type": "string"},
                "path": {"description": "Absolute path of a file or directory, such as `/testbed/file.py`.", "type": "string"},
                "file_text": {"description": "For `create`: the content.", "type": "string"},
                "old_str": {"description": "For `str_replace`: the text to replace.", "type": "string"},
                "new_str": {"description": "For `str_replace`: the new text, none by default. For `insert`: the text to insert.", "type": "string"},
                "insert_line": {"description": "For `insert`: the line after which to insert.", "type": "integer"},
                "view_range": {"description": "For `view` of a file: first and last line from 1, such as [11, 12]; [11, -1] goes to the end.", "type": "array", "items": {"type": "integer"}},
                "concise": {"description": "For `view` of a Python file: leave out bodies of functions. Good for finding one's way in long files.", "type": "boolean"},
            }),
            &["command", "path"],
        ),
        tool(
            "execute_bash",
            "Runs a bash command in the repository and gives its exit code and output. Each command has a shell of its own.",
            json!({"cmd": {"type": "string", "description": "The command with its arguments, such as `python my_script.py`."}}),
            &["cmd"],
        ),
        tool(
            "finish",
            "Ends the work.",
            json!({
                "command": {"description": "Only `submit`.", "type": "string", "enum": ["submit"]},
                "result": {"description": "A last message; empty by default.", "type": "string"},
            }),
            &["command"],
        ),
    ])
}

/// The order in which the text prompt describes the tools.
const DESCRIBED: [&str; 4] = ["file_editor", "execute_bash", "search", "finish"];

fn described(tools: &[Tool]) -> String {
    let mut out = String::new();
    let in_order = DESCRIBED.iter().filter_map(|name| tools.iter().find(|tool| tool.name == *name));
    for (number, tool) in in_order.enumerate() {
        let (number, name) = (number + 1, &tool.name);
        out.push_str(&format!(
            "–– BEGIN FUNCTION #{number}: {name} ––\nDescription:\n{}\n\nParameters:\n",
            tool.description
        ));
        let required = tool.parameters["required"].as_array().cloned().unwrap_or_default();
        let properties = tool.parameters["properties"].as_object().cloned().unwrap_or_default();
        for (index, (key, property)) in properties.iter().enumerate() {
            let kind = property["type"].as_str().unwrap_or("string");
            let need = if required.contains(&json!(key)) { "required" } else { "optional" };
            out.push_str(&format!("  {}.\t{key} ({kind}, {need})\n", index + 1));
            if let Some(words) = property["enum"].as_array() {
                let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
                out.push_str(&format!("Allowed values: [{}]\n", words.join(", ")));
            }
            out.push_str(&format!("{}\n", property["description"].as_str().unwrap_or_default()));
        }
        out.push_str(&format!("\n–– END FUNCTION #{number} ––\n\n"));
    }
    out.truncate(out.trim_end().len());
    out
}

impl Scaffold for R2eScaffold {
    fn name(&self) -> &str {
        "r2egym"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn format(&self) -> Format {
        if self.options.text { Format::Xml } else { Format::Native }
    }

    fn tools(&self) -> &Arc<[Tool]> {
        &self.tools
    }

    fn opening(&self, assignment: &Assignment) -> Vec<Message> {
        let system = match self.options.text {
            true => fill(SYSTEM_TEXT.trim_end(), &[("tools", &described(&self.tools))]),
            false => SYSTEM.trim_end().to_owned(),
        };
        let directory = assignment.directory.display().to_string();
        let values = [("statement", assignment.statement.as_str()), ("directory", &directory)];
        vec![Message::system(system), Message::user(fill(INSTANCE.trim_end(), &values))]
    }

    fn prompts(&self) -> Vec<(&'static str, String)> {
        let system = if self.options.text { SYSTEM_TEXT } else { SYSTEM };
        vec![("system", system.to_owned()), ("instance", INSTANCE.to_owned())]
    }

    fn options(&self) -> Map<String, Value> {
        let options = json!({
            "format": if self.options.text { "text" } else { "native" },
            "python_only": self.options.python_only,
            "soft_steps": self.options.soft_steps,
        });
        options.as_object().cloned().unwrap_or_default()
    }

    fn normalise(&self, tool: &str, arguments: &mut Map<String, Value>) {
        // Trajectories have both names.
        if tool == "execute_bash"
            && !arguments.contains_key("cmd")
            && let Some(command) = arguments.shift_remove("command")
        {
            arguments.insert("cmd".to_owned(), command);
        }
    }

    fn act(&self, hands: &mut Hands, call: &Call) -> Result<Observed, AgentError> {
        match call.tool.as_str() {
            "execute_bash" => execute(hands, call.text("cmd").unwrap_or_default()),
            "file_editor" => files::act(hands, call, self.options.python_only),
            "search" => search::act(hands, call, self.options.python_only),
            _ => Ok(Observed { submitted: true, ..Observed::answer("<<< Finished >>>") }),
        }
    }

    fn show(&self, tool: &str, observed: &Observed) -> String {
        if observed.submitted {
            return observed.text.clone();
        }
        if tool != "execute_bash" || observed.failed {
            return format!("Execution output of [{tool}]:\n{}", observed.text);
        }
        let code = match observed.status {
            Some(0) => "0".to_owned(),
            Some(status) => format!("Error: Exit code {status}"),
            None => "-1".to_owned(),
        };
        format!("Exit code: {code}\nExecution output of [{tool}]:\n{}", observed.text)
    }

    fn hint(&self, why: &NoAction) -> String {
        match why {
            NoAction::Cut => "Your reply was cut off before its function call was whole. Use fewer words before the call, or write less in one call.\n".to_owned(),
            _ => "Your reply holds no function call. EVERY reply must hold one; nobody else can act for you.\nWhen the work is done, call `finish`.\n".to_owned(),
        }
    }

    fn remaining(&self, used: u32, limit: u32) -> Option<String> {
        let left = self.options.soft_steps.unwrap_or(limit).saturating_sub(used);
        Some(match left {
            0 => "\nYou have reached the maximum number of steps. Please submit your answer NOW."
                .to_owned(),
            _ => format!("\nSteps Remaining: {left}"),
        })
    }
}

fn execute(hands: &mut Hands, command: &str) -> Result<Observed, AgentError> {
    let Some(ran) = hands.bash_apart(command, 1 << 20)? else {
        return Ok(Observed::refusal("the command holds a NUL byte, which no shell can read"));
    };
    if ran.outcome == Outcome::TimedOut {
        let seconds = hands.command.as_secs();
        let (out, _) = shown(&ran.output);
        let so_far = cut(&compat::plain(&out));
        let text = format!("The command took too long to execute (>{seconds}s)");
        let text = if so_far.is_empty() { text } else { format!("{text}\n{so_far}") };
        return Ok(Observed::answer(hands.bounded(&text)));
    }
    let status = ran.status().unwrap_or(1);
    let (out, note) = shown(&ran.output);
    let (errors, more) = shown(&ran.errors);
    let head = if status == 0 { "" } else { "Error executing command:\n\n" };
    let mut text = format!("{head}[STDOUT]\n\n{} \n\n[STDERR]\n\n{}\n", out.trim(), errors.trim());
    for note in [note, more].into_iter().flatten() {
        text.push_str(&format!("{note}\n"));
    }
    if ran.outcome == Outcome::OutOfMemory {
        text.push_str("[a process was killed because memory ran out]\n");
    }
    let text = hands.bounded(&cut(&compat::plain(&text)));
    Ok(Observed { status: Some(status), ..Observed::answer(text) })
}

/// The first and last lines, where there are many.
fn cut(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    if lines.len() <= 2 * LINES {
        return text.to_owned();
    }
    let (top, bottom) = (lines[..LINES].join("\n"), lines[lines.len() - LINES..].join("\n"));
    let divider = "-".repeat(50);
    format!(
        "{top}\n{divider}\n<Observation truncated in middle for saving context>\n{divider}\n{bottom}"
    )
}
