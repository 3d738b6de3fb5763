//! A workflow instead of a conversation: find the files, find the places, sample several repairs, check
//! them, take the best. Each call of the model is a step, and a conversation of its own.

mod edits;
mod locate;
mod validate;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use palestra_core::Hash;
use palestra_model::{CallOptions, Finish, Message, ModelError, Tool};
use palestra_sandbox::{Sandbox, SandboxError};
use serde_json::{Map, Value, json};

use crate::agent::{Agent, AgentError, Exit, Limits, Live, Progress, Record, Source, Stage};
use crate::asker::Asker;
use crate::budget::Spent;
use crate::clip::clip;
use crate::hands::Hands;
use crate::prompt::fill;
use edits::Changed;
use validate::{Trial, best, told};

const SYSTEM: &str = include_str!("../../prompts/agentless/system.md");
const FILES: &str = include_str!("../../prompts/agentless/files.md");
const PLACES: &str = include_str!("../../prompts/agentless/places.md");
const REPAIR: &str = include_str!("../../prompts/agentless/repair.md");
/// Bytes of a list of files or of parts of files in a prompt.
const SHOWN: usize = 100_000;
/// Larger files are not looked at, bytes.
const LARGEST: u64 = 4 << 20;

/// Options of the workflow.
#[derive(Debug, Clone)]
pub struct AgentlessOptions {
    /// How many repairs are sampled.
    pub samples: u32,
    /// The temperature of each; the last one holds for all after it. That of the stage if empty.
    pub temperatures: Vec<f64>,
    /// How many files are looked at.
    pub files: u32,
}

impl Default for AgentlessOptions {
    fn default() -> Self {
        Self { samples: 4, temperatures: vec![0.0, 0.8], files: 3 }
    }
}

/// The agent `agentless`.
pub struct Agentless {
    options: AgentlessOptions,
}

impl Agentless {
    /// The workflow with these options.
    pub fn new(options: AgentlessOptions) -> Self {
        Self { options }
    }
}

impl Agent for Agentless {
    fn name(&self) -> &str {
        "agentless"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn describe(&self) -> Map<String, Value> {
        let AgentlessOptions { samples, temperatures, files } = &self.options;
        let described = json!({
            "prompts": {
                "system": Hash::of(SYSTEM.as_bytes()).as_str(),
                "files": Hash::of(FILES.as_bytes()).as_str(),
                "places": Hash::of(PLACES.as_bytes()).as_str(),
                "repair": Hash::of(REPAIR.as_bytes()).as_str(),
            },
            "options": {"samples": samples, "temperatures": temperatures, "files": files},
        });
        described.as_object().cloned().unwrap_or_default()
    }

    fn start(&self, stage: Stage) -> Result<Box<dyn Live>, AgentError> {
        let Stage {
            sandbox, assignment, model, model_name, sampling, limits, session, stop, ..
        } = stage;
        let options = CallOptions { stop, ..CallOptions::default() };
        Ok(Box::new(Workflow {
            options: self.options.clone(),
            hands: Hands::new(sandbox, assignment, limits.command, limits.observation),
            asker: Asker { model, model_name, sampling, session, options },
            limits,
            spent: Spent::default(),
            listed: Arc::from([]),
            phase: Phase::Files,
            changes: Vec::new(),
            failed: Vec::new(),
            last: Vec::new(),
            children: 0,
        }))
    }
}

/// What is asked next.
#[derive(Clone)]
enum Phase {
    /// Which files.
    Files,
    /// Where in them.
    Places(Arc<[(String, Vec<u8>)]>),
    /// How to repair, with this prompt, for the sample of this number.
    Repair(Arc<Message>, u32),
}

struct Workflow {
    options: AgentlessOptions,
    hands: Hands,
    asker: Asker,
    limits: Limits,
    spent: Spent,
    /// The files of the repository.
    listed: Arc<[String]>,
    phase: Phase,
    /// What the samples would change.
    changes: Vec<(u32, Changed)>,
    /// Why samples cannot be used.
    failed: Vec<(u32, String)>,
    /// The last conversation.
    last: Vec<Arc<Message>>,
    children: u64,
}

impl Workflow {
    /// Paths of the repository's files, Python first.
    fn list(&self) -> Result<Arc<[String]>, SandboxError> {
        let argv = ["find", ".", "-type", "f", "-not", "-path", "*/.*", "-size", "-4096k"];
        let mut exec = palestra_sandbox::Exec::new(argv).cwd(&self.hands.assignment.directory);
        exec.output_limit = 16 << 20;
        let found = self.hands.sandbox.exec(&exec)?;
        let text = String::from_utf8_lossy(&found.stdout.bytes).into_owned();
        let mut files: Vec<String> =
            text.lines().filter_map(|line| line.strip_prefix("./")).map(str::to_owned).collect();
        let source =
            |path: &str| path.ends_with(".py") && !palestra_syntax::is_test_path(path.as_bytes());
        files.sort_by(|a, b| (!source(a), a).cmp(&(!source(b), b)));
        Ok(files.into())
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.hands.sandbox.read(self.hands.assignment.directory.join(path), LARGEST).ok().flatten()
    }

    /// The question of this phase.
    fn question(&self) -> Arc<Message> {
        let statement = ("statement", self.hands.assignment.statement.as_str());
        let text = match &self.phase {
            Phase::Files => {
                let files = clip(self.listed.join("\n").into(), SHOWN);
                let count = self.options.files.to_string();
                fill(FILES.trim_end(), &[statement, ("files", &files), ("count", &count)])
            }
            Phase::Places(files) => {
                let outlines: Vec<_> =
                    files.iter().map(|(path, content)| locate::outline(path, content)).collect();
                let outlines = clip(outlines.join("\n").into(), SHOWN);
                fill(PLACES.trim_end(), &[statement, ("outlines", &outlines)])
            }
            Phase::Repair(question, _) => return question.clone(),
        };
        Arc::new(Message::user(text))
    }

    /// What follows from an answer; true when no sample is left to be taken.
    fn answered(&mut self, text: &str) -> bool {
        match self.phase.clone() {
            Phase::Files => {
                let known: Vec<&str> = self.listed.iter().map(String::as_str).collect();
                let named = locate::files(text, &known, self.options.files as usize);
                let files: Vec<_> = named
                    .into_iter()
                    .filter_map(|path| Some((path.to_owned(), self.read(path)?)))
                    .collect();
                if files.is_empty() {
                    return true;
                }
                self.phase = Phase::Places(files.into());
                false
            }
            Phase::Places(files) => {
                let places = locate::places(text, &files);
                let parts = clip(locate::parts(&files, &places).into(), SHOWN);
                let statement = self.hands.assignment.statement.as_str();
                let values = [("statement", statement), ("parts", &parts)];
                let question = Message::user(fill(REPAIR.trim_end(), &values));
                self.phase = Phase::Repair(Arc::new(question), 0);
                self.options.samples == 0
            }
            Phase::Repair(question, number) => {
                let blocks = edits::parse(text);
                let changed = match blocks.is_empty() {
                    true => Err("it holds no change".to_owned()),
                    false => edits::apply(&blocks, |path| self.read(path)),
                };
                match changed {
                    Ok(changed) => self.changes.push((number, changed)),
                    Err(why) => self.failed.push((number, why)),
                }
                self.phase = Phase::Repair(question, number + 1);
                number + 1 >= self.options.samples
            }
        }
    }

    /// Checks the changes and makes the best one, if there is any.
    fn choose(&mut self) -> Result<(Record, bool), AgentError> {
        let started = Instant::now();
        let changes: Vec<Changed> =
            self.changes.iter().map(|(_, changed)| changed.clone()).collect();
        let mut extra = Map::new();
        let failed: Vec<_> =
            self.failed.iter().map(|(number, why)| json!({"sample": number, "why": why})).collect();
        extra.insert("failed".to_owned(), failed.into());
        let mut text = "No sample holds a change that fits.".to_owned();
        if !changes.is_empty() {
            let listed: Vec<&str> = self.listed.iter().map(String::as_str).collect();
            let touched: BTreeSet<&str> =
                changes.iter().flat_map(|changed| changed.keys().map(String::as_str)).collect();
            let sandbox = &self.hands.sandbox;
            let trial = Trial {
                snapshot: match sandbox.snapshot() {
                    Err(SandboxError::Unsupported(_)) => sandbox.snapshot_live()?,
                    snapshot => snapshot?,
                },
                assignment: &self.hands.assignment,
                tests: validate::tests_near(&listed, &touched),
                timeout: self.limits.command,
            };
            let checked = trial.check(&changes)?;
            let samples = self.changes.iter().zip(&checked);
            let samples: Vec<_> = samples
                .map(|((number, _), checked)| json!({"sample": number, "checked": told(checked)}))
                .collect();
            extra.insert("samples".to_owned(), samples.into());
            extra.insert("tests".to_owned(), trial.tests.clone().into());
            if let Some((number, changed)) =
                best(&checked).and_then(|index| self.changes.get(index))
            {
                validate::write(sandbox, Path::new(&self.hands.assignment.directory), changed)?;
                text = format!("Sample {number} is taken, of {} that fit.", changes.len());
                extra.insert("taken".to_owned(), (*number).into());
            }
        }
        let taken = extra.contains_key("taken");
        let tool_seconds = started.elapsed().as_secs_f64();
        self.spent.seconds += tool_seconds;
        let message = Arc::new(Message::user(text));
        Ok((Record { tool_seconds, extra, ..Record::said(Source::User, message) }, taken))
    }

    /// Ends the attempt with what there is.
    fn end(&mut self, mut records: Vec<Record>, why: Exit) -> Result<Progress, AgentError> {
        let (record, taken) = self.choose()?;
        records.push(record);
        let exit = if why == Exit::Submitted && !taken { Exit::NoAction } else { why };
        Ok(Progress { records, exit: Some(exit) })
    }
}

impl Live for Workflow {
    fn step(&mut self) -> Result<Progress, AgentError> {
        self.asker.stopped()?;
        if self.listed.is_empty() {
            self.listed = self.list()?;
        }
        // Every call is a conversation of its own.
        (self.spent.context, self.spent.unsent) = (0, 0);
        if let Some(exit) = self.spent.exceeded(&self.limits) {
            return self.end(Vec::new(), exit);
        }
        let system = Arc::new(Message::system(SYSTEM.trim_end()));
        let question = self.question();
        let sent = vec![system, question.clone()];
        let mut asker = self.asker.clone();
        if let Phase::Repair(_, number) = self.phase {
            let temperatures = &self.options.temperatures;
            let own = temperatures.get(number as usize).or(temperatures.last());
            asker.sampling.temperature = own.copied().or(asker.sampling.temperature);
        }
        let tools: Arc<[Tool]> = Arc::from([]);
        let mut records = vec![Record::said(Source::User, question)];
        let answer = match asker.ask(sent.clone(), &tools) {
            Ok(answer) => answer,
            Err(ModelError::ContextTooLong { .. }) => return self.end(records, Exit::ContextLimit),
            Err(ModelError::Cancelled) => return Err(AgentError::Cancelled),
            Err(error) => return Err(error.into()),
        };
        self.spent.call(&answer);
        let message = Arc::new(answer.reply.message.clone());
        let refused = answer.reply.finish == Finish::Refused;
        self.last.clone_from(&sent);
        self.last.push(message.clone());
        records.push(Record {
            sent: Some(sent),
            answer: Some(Arc::new(answer)),
            ..Record::said(Source::Agent, message.clone())
        });
        if refused {
            return self.end(records, Exit::Refused);
        }
        match self.answered(&message.content_text()) {
            true => self.end(records, Exit::Submitted),
            false => Ok(Progress { records, exit: None }),
        }
    }

    fn sandbox(&self) -> &Sandbox {
        self.hands.sandbox()
    }

    fn fork(&mut self, count: usize) -> Result<Vec<Box<dyn Live>>, AgentError> {
        let hands = self.hands.fork(count)?;
        let child = |hands| {
            self.children += 1;
            let mut asker = self.asker.clone();
            asker.session = format!("{}.{}", self.asker.session, self.children);
            Box::new(Workflow {
                options: self.options.clone(),
                hands,
                asker,
                limits: self.limits.clone(),
                spent: self.spent.clone(),
                listed: self.listed.clone(),
                phase: self.phase.clone(),
                changes: self.changes.clone(),
                failed: self.failed.clone(),
                last: self.last.clone(),
                children: 0,
            }) as Box<dyn Live>
        };
        Ok(hands.into_iter().map(child).collect())
    }

    fn messages(&self) -> Vec<Arc<Message>> {
        self.last.clone()
    }

    fn finish(self: Box<Self>) -> Sandbox {
        self.hands.into_sandbox()
    }
}
