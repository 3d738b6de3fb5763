//! How an external agent is described: a TOML file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agent::{AgentError, Exit};

/// An agent that is a program of its own.
///
/// Texts of [`RunSpec`] and [`ResultSpec`] may hold places in braces:
///
/// | place | what stands there |
/// |---|---|
/// | `{agent}` | where the agent is installed |
/// | `{work}` | a directory for its files, outside of the repository |
/// | `{directory}` | the repository |
/// | `{statement}`, `{statement_file}` | the problem, and a file that holds it |
/// | `{model}`, `{litellm_model}` | the model's name, and with the provider in front |
/// | `{gateway}`, `{base_url}` | the session of the gateway, and with what the API's clients expect |
/// | `{api_key}` | a key that opens nothing |
/// | `{max_steps}`, `{seconds}`, `{command_seconds}` | bounds |
/// | `{session}` | a name of the attempt |
///
/// With `_json` behind the name it is written as a JSON string. Other braces stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalSpec {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which API it speaks.
    #[serde(default)]
    pub api: Api,
    /// How to install it.
    #[serde(default)]
    pub install: InstallSpec,
    /// How to run it.
    pub run: RunSpec,
    /// How it went.
    #[serde(default)]
    pub result: ResultSpec,
}

/// An API of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// OpenAI's chat completions: clients want the URL up to `/v1`.
    #[default]
    Chat,
    /// OpenAI's responses: the same.
    Responses,
    /// Anthropic's messages: clients add `/v1` themselves.
    Messages,
}

/// How to install an agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstallSpec {
    /// A layer that holds it already; nothing is installed then.
    pub layer: Option<PathBuf>,
    /// Where it is inside; `/opt/agents/NAME` by default.
    pub directory: Option<PathBuf>,
    /// Versions of Python that it runs on, such as `>=3.10`.
    pub python: Option<String>,
    /// Packages of Python, with versions.
    pub packages: Vec<String>,
    /// Packages of that day or older: `YYYY-MM-DD`.
    pub as_of: Option<String>,
    /// Commands after that, run by `sh` in the directory.
    pub commands: Vec<String>,
    /// Hosts that may be reached while it is installed.
    pub hosts: Vec<String>,
}

/// How to run an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files to write before.
    #[serde(default)]
    pub files: Vec<FileSpec>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Where.
    pub path: String,
    /// What.
    pub content: String,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultSpec {
    /// Files to keep for the record.
    pub collect: Vec<String>,
    /// A JSON file that says why it ended; without one, status 0 means that it submitted.
    pub file: Option<String>,
    /// Where in that file, as a JSON pointer.
    pub pointer: String,
    /// What the word that is there means.
    pub exits: BTreeMap<String, Exit>,
}

impl ExternalSpec {
    /// mini-swe-agent, as it is on PyPI.
    pub const MINI_SWE_AGENT: &str = include_str!("../../agents/mini-swe-agent.toml");

    /// Reads a description.
    ///
    /// # Errors
    /// [`AgentError::Setup`] if it is not one.
    pub fn parse(text: &str) -> Result<Self, AgentError> {
        let fail = |what: String| AgentError::Setup { agent: "external".to_owned(), what };
        let spec: Self = toml::from_str(text)
            .map_err(|error| fail(format!("its description cannot be read: {error}")))?;
        let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if spec.name.is_empty() || spec.name.starts_with('.') || !spec.name.chars().all(safe) {
            return Err(fail(format!(
                "{:?} is no name: use letters, digits, '.', '_' and '-'",
                spec.name
            )));
        }
        if spec.run.command.is_empty() {
            return Err(fail(format!("{} has no command", spec.name)));
        }
        Ok(spec)
    }

    /// Where it is inside of a sandbox.
    pub fn directory(&self) -> PathBuf {
        match &self.install.directory {
            Some(directory) => directory.clone(),
            None => PathBuf::from("/opt/agents").join(&self.name),
        }
    }
}
