//! Our own scaffold: a shell that stays, an editor for any file, a search, and submit.

use std::sync::Arc;

use palestra_model::{Message, Tool};
use serde_json::{Map, Value, json};

use crate::agent::{AgentError, Assignment};
use crate::hands::Hands;
use crate::prompt::fill;
use crate::scaffold::{Call, Format, NoAction, Observed, Scaffold};
use crate::scaffolds::{bash, editing};
use crate::tools;

const SYSTEM: &str = include_str!("../../prompts/editor/system.md");
const SYSTEM_TEXT: &str = include_str!("../../prompts/editor/system_text.md");
const INSTANCE: &str = include_str!("../../prompts/editor/instance.md");

/// The scaffold `editor`.
pub struct EditorScaffold {
    format: Format,
    tools: Arc<[Tool]>,
}

impl EditorScaffold {
    /// With native tool calls, or with calls in the text.
    pub fn new(text: bool) -> Self {
        let format = if text { Format::Xml } else { Format::Native };
        Self { format, tools: own_tools() }
    }
}

fn own_tools() -> Arc<[Tool]> {
    let tool = |name: &str, description: &str, properties: Value, required: &[&str]| Tool {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({"type": "object", "properties": properties, "required": required}),
    };
    Arc::from([
        tool(
            "bash",
            "Runs a command in a bash that stays: directory, variables and background jobs are there for the next command. Standard output and error come back together, then the exit status if it is not 0. Nothing can be typed into a running program.",
            json!({
                "command": {"type": "string", "description": "The command; it may have many lines."},
                "timeout": {"type": "number", "description": "Seconds after which it is stopped, if fewer than usual."},
            }),
            &["command"],
        ),
        tool(
            "edit",
            "Views and changes files of any kind, exact to the byte. `view` shows a file with line numbers, or what is in a directory. `create` makes a new file. `str_replace` replaces old_str, which must be in the file exactly once, white space included, by new_str. `insert` puts new_str after the line insert_line (0 for the beginning). `undo_edit` takes back the last change that this tool made to the file, and can be called again.",
            json!({
                "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert", "undo_edit"]},
                "path": {"type": "string", "description": "The file or directory; relative paths start at the repository."},
                "file_text": {"type": "string", "description": "For create: the content."},
                "old_str": {"type": "string", "description": "For str_replace: what to replace, without line numbers."},
                "new_str": {"type": "string", "description": "For str_replace and insert: the new text; for str_replace nothing by default."},
                "insert_line": {"type": "integer", "description": "For insert: the line after which to insert."},
                "view_range": {"type": "array", "items": {"type": "integer"}, "description": "For view of a file: first and last line, such as [11, 30]; -1 is the end."},
            }),
            &["command", "path"],
        ),
        tool(
            "search",
            "Finds a regular expression (extended, as grep -E reads it) in a file or below a directory, without .git and binary files. Shows file, line number and line.",
            json!({
                "pattern": {"type": "string"},
                "path": {"type": "string", "description": "Where to look; the repository by default."},
                "include": {"type": "string", "description": "Only files with names like this, such as *.py."},
            }),
            &["pattern"],
        ),
        tool(
            "submit",
            "Ends the work. Call it once the problem is solved and checked.",
            json!({}),
            &[],
        ),
    ])
}

impl Scaffold for EditorScaffold {
    fn name(&self) -> &str {
        "editor"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn format(&self) -> Format {
        self.format
    }

    fn tools(&self) -> &Arc<[Tool]> {
        &self.tools
    }

    fn opening(&self, assignment: &Assignment) -> Vec<Message> {
        let described = tools::described(&self.tools);
        let system = match self.format {
            Format::Native => SYSTEM.trim_end().to_owned(),
            _ => fill(SYSTEM_TEXT.trim_end(), &[("tools", &described)]),
        };
        let directory = assignment.directory.display().to_string();
        let values = [("statement", assignment.statement.as_str()), ("directory", &directory)];
        vec![Message::system(system), Message::user(fill(INSTANCE.trim_end(), &values))]
    }

    fn prompts(&self) -> Vec<(&'static str, String)> {
        let system = if self.format == Format::Native { SYSTEM } else { SYSTEM_TEXT };
        vec![("system", system.to_owned()), ("instance", INSTANCE.to_owned())]
    }

    fn options(&self) -> Map<String, Value> {
        let format = if self.format == Format::Native { "native" } else { "text" };
        [("format".to_owned(), format.into())].into_iter().collect()
    }

    fn act(&self, hands: &mut Hands, call: &Call) -> Result<Observed, AgentError> {
        match call.tool.as_str() {
            "bash" => {
                let timeout = call.arguments.get("timeout").and_then(Value::as_f64);
                bash::run(hands, call.text("command").unwrap_or_default(), timeout)
            }
            "edit" => editing::act(hands, call),
            "search" => tools::search(hands, call),
            _ => Ok(Observed { submitted: true, ..Observed::answer("submitted") }),
        }
    }

    fn show(&self, tool: &str, observed: &Observed) -> String {
        let failed = if observed.failed { "ERROR: " } else { "" };
        match self.format {
            Format::Native => format!("{failed}{}", observed.text),
            _ => format!("Result of {tool}:\n{failed}{}", observed.text),
        }
    }

    fn hint(&self, why: &NoAction) -> String {
        let how = match self.format {
            Format::Native => "Call one of the tools",
            _ => "Call a tool in the form <function=NAME> … </function>",
        };
        match why {
            NoAction::Cut => format!(
                "Your reply was cut off at its token limit before a call was whole, so nothing was done. {how}, with less text."
            ),
            _ => format!(
                "Your reply called no tool, so nothing was done. {how}; when the work is done and checked, call submit."
            ),
        }
    }
}
