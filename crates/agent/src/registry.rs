//! Agents by name.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::agent::{Agent, AgentError};
use crate::agentless::{Agentless, AgentlessOptions};
use crate::external::{External, ExternalSpec};
use crate::plain::Plain;
use crate::replay::Replay;
use crate::scaffold::ChatAgent;
use crate::scaffolds::editor::EditorScaffold;
use crate::scaffolds::mini::MiniScaffold;
use crate::scaffolds::openhands::OpenHandsScaffold;
use crate::scaffolds::r2egym::{R2eOptions, R2eScaffold};

/// Options of an agent, by name. Every agent refuses those that it does not know.
pub type AgentOptions = Map<String, Value>;

/// The names of all agents that need no more than their name; `external` needs the option `spec`.
pub fn names() -> &'static [&'static str] {
    &[
        "editor",
        "mini",
        "r2egym",
        "openhands",
        "agentless",
        "oracle",
        "nop",
        "replay",
        "mini-swe-agent",
    ]
}

/// The agent of this name.
///
/// # Errors
/// [`AgentError::Setup`] if there is none, or if it does not know an option.
pub fn agent(name: &str, options: &AgentOptions) -> Result<Arc<dyn Agent>, AgentError> {
    let mut options = Options { agent: name, left: options.clone() };
    let agent: Arc<dyn Agent> = match name {
        "editor" => {
            let text = options.choice("format", &["native", "text"])? == "text";
            Arc::new(ChatAgent::new(EditorScaffold::new(text)))
        }
        "mini" => {
            let native = options.choice("format", &["text", "native"])? == "native";
            let stays = options.choice("shell", &["stateless", "persistent"])? == "persistent";
            Arc::new(ChatAgent::new(MiniScaffold::new(native, stays)))
        }
        "r2egym" => {
            let options = R2eOptions {
                text: options.choice("format", &["text", "native"])? == "text",
                python_only: options.flag("python_only")?,
                soft_steps: options.count("soft_steps")?,
            };
            Arc::new(ChatAgent::new(R2eScaffold::new(options)))
        }
        "openhands" => {
            let text = options.choice("format", &["native", "text"])? == "text";
            Arc::new(ChatAgent::new(OpenHandsScaffold::new(text, options.flag("think")?)))
        }
        "replay" => {
            // Everything but the name is the other agent's to know.
            let name = match options.left.shift_remove("agent") {
                None => "editor".to_owned(),
                Some(Value::String(name)) if name != "replay" => name,
                Some(other) => {
                    return options.fail(format!("option agent is {other}; it is a name"));
                }
            };
            return Ok(Arc::new(Replay::new(agent(&name, &options.left)?)));
        }
        "agentless" => {
            let default = AgentlessOptions::default();
            Arc::new(Agentless::new(AgentlessOptions {
                samples: options.count("samples")?.unwrap_or(default.samples),
                temperatures: options.numbers("temperatures")?.unwrap_or(default.temperatures),
                files: options.count("files")?.unwrap_or(default.files),
            }))
        }
        "mini-swe-agent" => {
            Arc::new(External::new(ExternalSpec::parse(ExternalSpec::MINI_SWE_AGENT)?))
        }
        "external" => match options.left.shift_remove("spec") {
            Some(Value::String(text)) => Arc::new(External::new(ExternalSpec::parse(&text)?)),
            _ => {
                return options
                    .fail("option spec must hold the text of its description".to_owned());
            }
        },
        "oracle" => Arc::new(Plain::Oracle),
        "nop" => Arc::new(Plain::Nop),
        _ => {
            let what = format!("there is no such agent; there is {}", names().join(", "));
            return Err(AgentError::Setup { agent: name.to_owned(), what });
        }
    };
    options.finish()?;
    Ok(agent)
}

/// Options that are taken one by one.
struct Options<'a> {
    agent: &'a str,
    left: AgentOptions,
}

impl Options<'_> {
    fn fail<T>(&self, what: String) -> Result<T, AgentError> {
        Err(AgentError::Setup { agent: self.agent.to_owned(), what })
    }

    /// One of a few words; the first is the default.
    fn choice(&mut self, name: &str, words: &[&'static str]) -> Result<&'static str, AgentError> {
        let Some(value) = self.left.shift_remove(name) else {
            return Ok(words.first().copied().unwrap_or_default());
        };
        match words.iter().find(|word| value.as_str() == Some(word)) {
            Some(word) => Ok(word),
            None => {
                self.fail(format!("option {name} is {value}; it may be {}", words.join(" or ")))
            }
        }
    }

    /// True or false; false by default.
    fn flag(&mut self, name: &str) -> Result<bool, AgentError> {
        match self.left.shift_remove(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => self.fail(format!("option {name} is {other}; it may be true or false")),
        }
    }

    /// A list of numbers.
    fn numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>, AgentError> {
        let Some(value) = self.left.shift_remove(name) else { return Ok(None) };
        let numbers = value.as_array().and_then(|items| items.iter().map(Value::as_f64).collect());
        match numbers {
            Some(numbers) => Ok(Some(numbers)),
            None => self.fail(format!("option {name} is {value}; it must be a list of numbers")),
        }
    }

    /// A number of things.
    fn count(&mut self, name: &str) -> Result<Option<u32>, AgentError> {
        let Some(value) = self.left.shift_remove(name) else { return Ok(None) };
        match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) => Ok(Some(count)),
            None => self.fail(format!("option {name} is {value}; it must be a whole number")),
        }
    }

    fn finish(&self) -> Result<(), AgentError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => self.fail(format!("there is no option {name}")),
        }
    }
}
