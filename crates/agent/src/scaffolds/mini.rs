//! One tool, bash, in the spirit of mini-swe-agent: a command in each reply, and a line printed by
//! the command `echo` to submit.

use std::sync::Arc;
use std::time::Duration;

use palestra_model::{Message, Tool};
use serde_json::{Map, Value, json};

use crate::agent::{AgentError, Assignment};
use crate::hands::{Hands, Said};
use crate::prompt::fill;
use crate::scaffold::{Call, Format, NoAction, Observed, Scaffold};

const SYSTEM: &str = include_str!("../../prompts/mini/system.md");
const SYSTEM_TEXT: &str = include_str!("../../prompts/mini/system_text.md");
const INSTANCE: &str = include_str!("../../prompts/mini/instance.md");
/// The first line of the output of the command that submits.
const SENTINEL: &str = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT";
/// The words after the fence that mark a command: those of mini-swe-agent's versions 1 and 2.
const LANGUAGES: &[&str] = &["bash", "mswea_bash_command"];
/// Longer output is shown as its first and last characters, half of this each.
const LONGEST: usize = 10_000;

/// The scaffold `mini`.
pub struct MiniScaffold {
    format: Format,
    persistent: bool,
    tools: Arc<[Tool]>,
}

impl MiniScaffold {
    /// With a native tool or with blocks in the text; each command in a shell of its own, or all in
    /// one that stays.
    pub fn new(native: bool, persistent: bool) -> Self {
        let tool = Tool {
            name: "bash".to_owned(),
            description: "Execute a bash command".to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "command": {"type": "string", "description": "The bash command to execute"},
                },
                "required": ["command"],
            }),
        };
        let format = if native { Format::Native } else { Format::Block(LANGUAGES) };
        Self { format, persistent, tools: Arc::from([tool]) }
    }
}

impl Scaffold for MiniScaffold {
    fn name(&self) -> &str {
        "mini"
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
        let system = if self.format == Format::Native { SYSTEM } else { SYSTEM_TEXT };
        let directory = assignment.directory.display().to_string();
        let shell = if self.persistent {
            "All commands run in one shell, so directory and variables stay from one to the next."
        } else {
            "Each command runs in a new shell in that directory, so neither `cd` nor variables last; write `cd DIR && …` where you need it."
        };
        let values = [
            ("statement", assignment.statement.as_str()),
            ("directory", &directory),
            ("shell", shell),
        ];
        vec![Message::system(system.trim_end()), Message::user(fill(INSTANCE.trim_end(), &values))]
    }

    fn prompts(&self) -> Vec<(&'static str, String)> {
        let system = if self.format == Format::Native { SYSTEM } else { SYSTEM_TEXT };
        vec![("system", system.to_owned()), ("instance", INSTANCE.to_owned())]
    }

    fn options(&self) -> Map<String, Value> {
        let format = if self.format == Format::Native { "native" } else { "text" };
        let shell = if self.persistent { "persistent" } else { "stateless" };
        [("format".to_owned(), format.into()), ("shell".to_owned(), shell.into())]
            .into_iter()
            .collect()
    }

    fn act(&self, hands: &mut Hands, call: &Call) -> Result<Observed, AgentError> {
        let command = call.text("command").unwrap_or_default();
        let limit = hands.observation.saturating_mul(4).max(1 << 16);
        let said = hands.bash(command, Duration::MAX, !self.persistent, limit)?;
        let first = said.text.trim_start().lines().next();
        if said.status == Some(0) && first.map(str::trim) == Some(SENTINEL) {
            return Ok(Observed {
                status: Some(0),
                submitted: true,
                ..Observed::answer(hands.bounded(&said.text))
            });
        }
        let text = observation(&said, hands.observation.min(LONGEST));
        Ok(Observed { status: said.status, ..Observed::answer(text) })
    }

    fn show(&self, _tool: &str, observed: &Observed) -> String {
        if observed.failed {
            return format!("<returncode>-1</returncode>\n<output>\n{}\n</output>", observed.text);
        }
        observed.text.clone()
    }

    fn hint(&self, why: &NoAction) -> String {
        let how = match self.format {
            Format::Native => "Call the tool `bash` with one command.",
            _ => "Write exactly one command, in one block that begins with ```bash.",
        };
        match why {
            NoAction::Cut => format!(
                "Your reply reached its token limit before the command was whole, so nothing was run. {how} Use fewer words."
            ),
            NoAction::Several(count) => {
                format!("Your reply holds {count} commands, so none was run. {how}")
            }
            NoAction::None => format!(
                "Your reply holds no command, so nothing was run. {how} To submit, run `echo {SENTINEL}` alone."
            ),
        }
    }
}

/// What a command did, in the form of mini-swe-agent's text mode.
fn observation(said: &Said, longest: usize) -> String {
    let mut out = String::new();
    if said.timed_out || !said.notes.is_empty() {
        out.push_str(&format!("<exception>{}</exception>\n", said.notes.join("\n")));
    }
    out.push_str(&format!("<returncode>{}</returncode>\n", said.status.unwrap_or(-1)));
    let characters = said.text.chars().count();
    if characters < longest {
        out.push_str(&format!("<output>\n{}</output>", said.text));
        return out;
    }
    let half = longest / 2;
    let head: String = said.text.chars().take(half).collect();
    let tail: String = said.text.chars().skip(characters - half).collect();
    let elided = characters - 2 * half;
    out.push_str(&format!(
        "<warning>\nThe output is too long to be shown whole. Run something that writes less: head, tail, sed or a narrower search; or write it to a file and search that.\n</warning>\n<output_head>\n{head}\n</output_head>\n<elided_chars>\n{elided} characters elided\n</elided_chars>\n<output_tail>\n{tail}\n</output_tail>"
    ));
    out
}
