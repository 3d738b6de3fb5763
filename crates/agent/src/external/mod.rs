//! Agents that are programs of their own: installed in a layer, run in the sandbox, with a gateway in
//! place of their model.

mod plan;
mod spec;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use palestra_core::Hash;
use palestra_model::Message;
use palestra_sandbox::{FileOp, Outcome, Sandbox, Spawn};
use serde_json::{Map, Value, json};

pub use plan::{InstallPlan, install_plan};
pub use spec::{Api, ExternalSpec, FileSpec, InstallSpec, ResultSpec, RunSpec};

use crate::agent::{Agent, AgentError, Exit, Live, Progress, Record, Source, Stage};
use crate::clip::{clip, shown};
use crate::shell::variables;

/// Where its files are inside.
const WORK: &str = "/palestra";
/// A key that opens nothing: the gateway asks for none.
const KEY: &str = "sk-palestra";
/// More of a file is not kept, bytes.
const LARGEST: u64 = 16 << 20;
/// How often it is looked whether the caller wants to stop.
const LOOK: Duration = Duration::from_millis(100);

/// The agent of a description.
pub struct External {
    spec: Arc<ExternalSpec>,
}

impl External {
    /// An agent.
    pub fn new(spec: ExternalSpec) -> Self {
        Self { spec: Arc::new(spec) }
    }

    /// How it is described.
    pub fn spec(&self) -> &ExternalSpec {
        &self.spec
    }
}

impl Agent for External {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn version(&self) -> &str {
        &self.spec.version
    }

    fn describe(&self) -> Map<String, Value> {
        let spec = serde_json::to_string(&*self.spec).unwrap_or_default();
        let described = json!({
            "external": Hash::of(spec.as_bytes()).as_str(),
            "install": install_plan(&self.spec).key.as_str(),
            "packages": self.spec.install.packages,
        });
        described.as_object().cloned().unwrap_or_default()
    }

    fn external(&self) -> Option<&ExternalSpec> {
        Some(&self.spec)
    }

    /// It asks the gateway, not [`Stage::model`].
    fn needs_model(&self) -> bool {
        true
    }

    fn start(&self, stage: Stage) -> Result<Box<dyn Live>, AgentError> {
        if stage.aid.gateway.is_none() {
            return Err(AgentError::Setup {
                agent: self.spec.name.clone(),
                what: "it needs a gateway that it can reach from its sandbox".to_owned(),
            });
        }
        Ok(Box::new(Running { spec: self.spec.clone(), stage }))
    }
}

struct Running {
    spec: Arc<ExternalSpec>,
    stage: Stage,
}

/// The values of places.
fn values(spec: &ExternalSpec, stage: &Stage) -> Vec<(&'static str, String)> {
    let gateway = stage.aid.gateway.clone().unwrap_or_default();
    let gateway = gateway.trim_end_matches('/').to_owned();
    let (base_url, provider) = match spec.api {
        Api::Chat | Api::Responses => (format!("{gateway}/v1"), "openai"),
        Api::Messages => (gateway.clone(), "anthropic"),
    };
    let limits = &stage.limits;
    vec![
        ("agent", spec.directory().display().to_string()),
        ("work", WORK.to_owned()),
        ("directory", stage.assignment.directory.display().to_string()),
        ("statement", stage.assignment.statement.clone()),
        ("statement_file", format!("{WORK}/statement.md")),
        ("model", stage.model_name.clone()),
        ("litellm_model", format!("{provider}/{}", stage.model_name)),
        ("gateway", gateway),
        ("base_url", base_url),
        ("api_key", KEY.to_owned()),
        ("max_steps", limits.steps.to_string()),
        ("seconds", limits.time.as_secs().to_string()),
        ("command_seconds", limits.command.as_secs().max(1).to_string()),
        ("session", stage.session.clone()),
    ]
}

/// Fills the places of a text, in one pass.
fn fill(text: &str, values: &[(&'static str, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        let found = after.find('}').and_then(|end| {
            let name = &after[..end];
            let plain = name.strip_suffix("_json");
            let known = |name: &str| values.iter().find(|(known, _)| *known == name);
            let value = match (known(name), plain.and_then(known)) {
                (Some((_, value)), _) => value.clone(),
                (None, Some((_, value))) => Value::String(value.clone()).to_string(),
                (None, None) => return None,
            };
            Some((value, end))
        });
        match found {
            Some((value, end)) => {
                out.push_str(&value);
                rest = &after[end + 1..];
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

impl Running {
    /// Runs the program to its end; its status, or `None` at its deadline.
    fn run(&self, values: &[(&'static str, String)]) -> Result<Option<Outcome>, AgentError> {
        let write = |path: String, content: String| FileOp::Write {
            path: PathBuf::from(path),
            mode: 0o644,
            bytes: content.into_bytes(),
        };
        let mut ops = vec![
            FileOp::Directory { path: format!("{WORK}/home").into(), mode: 0o755 },
            write(format!("{WORK}/statement.md"), self.stage.assignment.statement.clone()),
        ];
        let files = self.spec.run.files.iter();
        ops.extend(files.map(|file| write(fill(&file.path, values), fill(&file.content, values))));
        self.stage.sandbox.apply(&ops)?;
        // Its output goes to a file, so that nobody has to read it while it runs. What is put in
        // front of PATH is for the commands that it runs.
        const SCRIPT: &str =
            r#"[ -z "$0" ] || PATH="$0:$PATH"; exec >"$1" 2>&1 </dev/null; shift; exec "$@""#;
        let mut spawn = Spawn::new(["sh", "-c", SCRIPT]);
        let path: Vec<_> =
            self.stage.assignment.path.iter().map(|path| path.display().to_string()).collect();
        spawn.argv.extend([path.join(":").into(), format!("{WORK}/output.txt").into()]);
        spawn.argv.extend(self.spec.run.command.iter().map(|word| fill(word, values).into()));
        spawn.env = variables();
        spawn.env.insert("HOME".into(), format!("{WORK}/home").into());
        for (name, value) in &self.spec.run.env {
            spawn.env.insert(name.into(), fill(value, values).into());
        }
        spawn.cwd = self.stage.assignment.directory.clone();
        let deadline = Instant::now().checked_add(self.stage.limits.time);
        let (mut process, _streams) = self.stage.sandbox.spawn(&spawn)?;
        loop {
            if let Some(outcome) = process.wait(Some(LOOK))? {
                return Ok(Some(outcome));
            }
            if self.stage.stop.load(Ordering::Relaxed) {
                return Err(AgentError::Cancelled);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                process.kill()?;
                return Ok(None);
            }
        }
    }

    /// The word in its result file that says why it ended.
    fn word(&self, values: &[(&'static str, String)]) -> Result<Option<String>, AgentError> {
        let Some(file) = &self.spec.result.file else { return Ok(None) };
        // Whatever the program left there is no failure of ours.
        let Ok(Some(bytes)) = self.stage.sandbox.read(fill(file, values), LARGEST) else {
            return Ok(None);
        };
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { return Ok(None) };
        let found = value.pointer(&self.spec.result.pointer);
        Ok(found.and_then(Value::as_str).map(str::to_owned))
    }

    /// Files for the record, the output first.
    fn collected(&self, values: &[(&'static str, String)]) -> Map<String, Value> {
        let mut files = vec![format!("{WORK}/output.txt")];
        files.extend(self.spec.result.collect.iter().map(|file| fill(file, values)));
        let mut out = Map::new();
        for file in files {
            if let Ok(Some(bytes)) = self.stage.sandbox.read(&file, LARGEST) {
                out.insert(file, shown(&bytes).0.into_owned().into());
            }
        }
        out
    }
}

impl Live for Running {
    fn step(&mut self) -> Result<Progress, AgentError> {
        if self.stage.stop.load(Ordering::Relaxed) {
            return Err(AgentError::Cancelled);
        }
        let started = Instant::now();
        let values = values(&self.spec, &self.stage);
        let outcome = self.run(&values)?;
        let files = self.collected(&values);
        let word = self.word(&values)?;
        let known = word.as_deref().and_then(|word| self.spec.result.exits.get(word)).cloned();
        let exit = match (outcome, known) {
            (None, _) => Exit::TimeLimit,
            (Some(_), Some(exit)) => exit,
            (Some(Outcome::Exited(0)), None) if self.spec.result.file.is_none() => Exit::Submitted,
            (Some(outcome), None) => {
                let output = format!("{WORK}/output.txt");
                let output = files.get(&output).and_then(Value::as_str).unwrap_or_default();
                let said = word.map(|word| format!(" and said {word:?}")).unwrap_or_default();
                return Err(AgentError::Setup {
                    agent: self.spec.name.clone(),
                    what: format!(
                        "it ended without a result ({outcome:?}{said}): {}",
                        clip(output.trim().into(), 2000)
                    ),
                });
            }
        };
        let statement = Arc::new(Message::user(&self.stage.assignment.statement));
        let text = format!("{} ran and ended: {exit:?}", self.spec.name);
        let mut extra = Map::new();
        extra.insert("files".to_owned(), files.into());
        extra.insert("said".to_owned(), word.into());
        let record = Record {
            tool_seconds: started.elapsed().as_secs_f64(),
            extra,
            ..Record::said(Source::Agent, Arc::new(Message::assistant(text)))
        };
        let records = vec![Record::said(Source::User, statement), record];
        Ok(Progress { records, exit: Some(exit) })
    }

    fn sandbox(&self) -> &Sandbox {
        &self.stage.sandbox
    }

    fn fork(&mut self, _count: usize) -> Result<Vec<Box<dyn Live>>, AgentError> {
        let agent = self.spec.name.clone();
        Err(AgentError::Unsupported { agent, what: "fork: it is a program of its own" })
    }

    fn messages(&self) -> Vec<Arc<Message>> {
        vec![Arc::new(Message::user(&self.stage.assignment.statement))]
    }

    fn finish(self: Box<Self>) -> Sandbox {
        self.stage.sandbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_description_is_one() {
        let spec = ExternalSpec::parse(ExternalSpec::MINI_SWE_AGENT).unwrap();
        let plan = install_plan(&spec);
        assert_eq!(plan.directory, PathBuf::from("/opt/agents/mini-swe-agent"));
        assert_eq!(plan.commands.len(), 2);
        assert_eq!(plan.commands[0][..2], ["{uv}", "venv"]);
        assert_eq!(plan.hosts, ["pypi.org", "files.pythonhosted.org"]);
        assert_eq!(install_plan(&spec), plan);
        let mut other = spec.clone();
        other.install.as_of = Some("2026-01-01".to_owned());
        assert_ne!(install_plan(&other).key, plan.key);
        other.install.layer = Some("/layers/x".into());
        assert!(install_plan(&other).commands.is_empty());
    }

    #[test]
    fn wrong_descriptions_are_refused() {
        for text in [
            "",
            "name = 'x'\nversion = '1'\n[run]\ncommand = []",
            "name = '../x'\nversion = '1'\n[run]\ncommand = ['a']",
            "name = 'x'\nversion = '1'\ncolour = 1\n[run]\ncommand = ['a']",
            "name = 'x'\nversion = '1'\n[run]\ncommand = ['a']\n[result.exits]\nDone = 'finished'",
        ] {
            assert!(ExternalSpec::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_filled_once() {
        let values = [("a", "{b} \"q\"".to_owned()), ("b", "x".to_owned())];
        let text = "{a} {a_json} {\"k\": {b_json}} {c} {";
        assert_eq!(fill(text, &values), "{b} \"q\" \"{b} \\\"q\\\"\" {\"k\": \"x\"} {c} {");
    }
}
