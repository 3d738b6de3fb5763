//! The tools, parameters and observations of OpenHands' CodeAct agent, for models that were trained on
//! its trajectories: with native calls, or in the text form of its converter.

mod files;

use std::sync::Arc;

use palestra_model::{Message, Tool};
use serde_json::{Map, Value, json};

use crate::agent::{AgentError, Assignment};
use crate::hands::Hands;
use crate::prompt::fill;
use crate::scaffold::{Call, Format, NoAction, Observed, Scaffold};

const SYSTEM: &str = include_str!("../../../prompts/openhands/system.md");
const SUFFIX: &str = include_str!("../../../prompts/openhands/functions.md");
const INSTANCE: &str = include_str!("../../../prompts/openhands/instance.md");
/// Longer observations lose their middle, in characters.
const LONGEST: usize = 30_000;

/// The scaffold `openhands`.
pub struct OpenHandsScaffold {
    text: bool,
    think: bool,
    tools: Arc<[Tool]>,
}

impl OpenHandsScaffold {
    /// With calls in the text or native ones, and with the tool `think` of later versions or without.
    pub fn new(text: bool, think: bool) -> Self {
        Self { text, think, tools: openhands_tools(think) }
    }
}

fn openhands_tools(think: bool) -> Arc<[Tool]> {
    let tool = |name: &str, description: &str, parameters: Value| Tool {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters,
    };
    let mut tools = vec![tool(
        "execute_bash",
        "Runs a bash command in a terminal that stays: directory and variables are kept.\n* What may run for long should run in the background with its output in a file, e.g. command = `python3 app.py > server.log 2>&1 &`.\n* Nothing can be typed into a running program. A command that takes too long is interrupted.\n",
        json!({
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The bash command to run."},
            },
            "required": ["command"],
        }),
    )];
    if think {
        tools.push(tool(
            "think",
            "Writes a thought down. It finds nothing out and changes nothing; use it to reason about something difficult.",
            json!({
                "type": "object",
                "properties": {"thought": {"type": "string", "description": "The thought."}},
                "required": ["thought"],
            }),
        ));
    }
    tools.push(tool(
        "finish",
        "Ends the interaction, when the task is complete or when nothing more can be done.",
        json!({
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "A last message."},
                "task_completed": {"type": "string", "enum": ["true", "false", "partial"], "description": "Whether the task is complete."},
            },
            "required": [],
        }),
    ));
    tools.push(tool(
        "str_replace_editor",
        "Views, creates and edits files\n* `view` shows a file as `cat -n` would, or what is in a directory, up to 2 levels deep and without hidden items\n* `create` makes a new file; it refuses one that is there\n* `str_replace` replaces `old_str`, which must stand in the file EXACTLY and only once, white space included\n* `insert` puts `new_str` after the line `insert_line`\n* `undo_edit` takes back the last edit of the file at `path`\n* Long output is cut and marked with `<response clipped>`\n",
        json!({
            "type": "object",
            "properties": {
                "command": {"description": "What to do.", "enum": ["view", "create", "str_replace", "insert", "undo_edit"], "type": "string"},
                "path": {"description": "Absolute path of a file or directory, e.g. `/testbed/file.py` or `/testbed`.", "type": "string"},
                "file_text": {"description": "For `create`: the content of the file.", "type": "string"},
                "old_str": {"description": "For `str_replace`: the text to replace.", "type": "string"},
                "new_str": {"description": "For `str_replace`: the new text, none by default. For `insert`: the text to insert.", "type": "string"},
                "insert_line": {"description": "For `insert`: the line AFTER which to insert.", "type": "integer"},
                "view_range": {"description": "For `view` of a file: the first and the last line from 1, e.g. [11, 12]; `[11, -1]` goes to the end.", "items": {"type": "integer"}, "type": "array"},
            },
            "required": ["command", "path"],
        }),
    ));
    Arc::from(tools)
}

/// The tools as OpenHands' converter describes them.
fn described(tools: &[Tool]) -> String {
    let mut out = String::new();
    for (number, tool) in tools.iter().enumerate() {
        let (number, name) = (number + 1, &tool.name);
        let separator = if number > 1 { "\n" } else { "" };
        let parameters = serde_json::to_string_pretty(&tool.parameters).unwrap_or_default();
        out.push_str(&format!(
            "{separator}---- BEGIN FUNCTION #{number}: {name} ----\nDescription: {}\nParameters: {parameters}\n---- END FUNCTION #{number} ----\n",
            tool.description
        ));
    }
    out
}

impl Scaffold for OpenHandsScaffold {
    fn name(&self) -> &str {
        "openhands"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn format(&self) -> Format {
        if self.text { Format::Xml } else { Format::Native }
    }

    fn tools(&self) -> &Arc<[Tool]> {
        &self.tools
    }

    fn opening(&self, assignment: &Assignment) -> Vec<Message> {
        let mut system = SYSTEM.trim_end().to_owned();
        if self.text {
            system.push('\n');
            system.push_str(&fill(SUFFIX, &[("description", &described(&self.tools))]));
        }
        let directory = assignment.directory.display().to_string();
        let values = [("statement", assignment.statement.as_str()), ("directory", &directory)];
        vec![Message::system(system), Message::user(fill(INSTANCE.trim_end(), &values))]
    }

    fn prompts(&self) -> Vec<(&'static str, String)> {
        let functions = if self.text { SUFFIX } else { "" };
        vec![
            ("system", SYSTEM.to_owned()),
            ("functions", functions.to_owned()),
            ("instance", INSTANCE.to_owned()),
        ]
    }

    fn options(&self) -> Map<String, Value> {
        let options =
            json!({"format": if self.text { "text" } else { "native" }, "think": self.think});
        options.as_object().cloned().unwrap_or_default()
    }

    fn normalise(&self, tool: &str, arguments: &mut Map<String, Value>) {
        // Models say so by habit; nothing that they start can be written to.
        let quiet =
            |value: &Value| matches!(value.as_str().map(str::trim), Some("false" | "False"));
        if tool == "execute_bash"
            && arguments.get("is_input").is_some_and(|value| *value == false || quiet(value))
        {
            arguments.shift_remove("is_input");
        }
    }

    fn act(&self, hands: &mut Hands, call: &Call) -> Result<Observed, AgentError> {
        match call.tool.as_str() {
            "execute_bash" => execute(hands, call.text("command").unwrap_or_default()),
            "str_replace_editor" => files::act(hands, call),
            "think" => Ok(Observed::answer("Your thought has been logged.")),
            _ => Ok(Observed { submitted: true, ..Observed::answer("") }),
        }
    }

    fn show(&self, tool: &str, observed: &Observed) -> String {
        let mut text = truncated(&observed.text);
        match (tool, observed.status) {
            ("execute_bash", Some(status)) if !observed.failed => {
                text.push_str(&format!("\n[Command finished with exit code {status}]"));
            }
            ("execute_bash", None) if !observed.failed => {
                text.push_str("\n[Command finished with exit code -1]");
            }
            ("str_replace_editor", _) => {}
            _ if observed.failed => {
                text.push_str("\n[Error occurred in processing last action]");
            }
            _ => {}
        }
        match self.text {
            true => format!("EXECUTION RESULT of [{tool}]:\n{text}"),
            false => text,
        }
    }

    fn hint(&self, why: &NoAction) -> String {
        match why {
            NoAction::Cut => "Your reply was cut off before its function call was whole, so nothing was done. Write less in one reply.".to_owned(),
            _ => "Please go on with the task in whatever way you think is right.\nIf you think that it is solved, call the `finish` function.\nIMPORTANT: nobody will answer questions or help you.\n".to_owned(),
        }
    }
}

fn execute(hands: &mut Hands, command: &str) -> Result<Observed, AgentError> {
    let limit = hands.observation;
    let said = hands.bash(command, std::time::Duration::MAX, false, limit)?;
    let mut text = said.text.trim_end().to_owned();
    for note in &said.notes {
        text.push_str(&format!("\n{note}"));
    }
    Ok(Observed { status: said.status, ..Observed::answer(text) })
}

/// Without the middle, where it is long.
fn truncated(text: &str) -> String {
    let count = text.chars().count();
    if count <= LONGEST {
        return text.to_owned();
    }
    let half = LONGEST / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head}\n[... Observation truncated due to length ...]\n{tail}")
}
