//! An attempt as it goes, written to disk step by step and turned into ATIF at its end.
//!
//! Steps wait in a file of lines, so that a thousand attempts under way take little memory.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use palestra_agent::{Record, Source};
use palestra_core::atif::{
    AgentInfo, FinalMetrics, Metrics, Observation, ObservationResult, SCHEMA_VERSION, Step,
    ToolCall,
};
use palestra_core::job;
use palestra_model::{Message, Part, Role, Usage};
use palestra_trace::Call;
use serde_json::{Map, Value, json};

use super::job::now;

/// Steps that were written so far, below a trial's directory.
const SPOOL: &str = "agent/.steps.jsonl";

/// A trajectory that is being written.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    steps: u64,
}

/// Sums over what was written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    pub(crate) calls: u32,
    pub(crate) usage: Usage,
    pub(crate) cost: Option<f64>,
    pub(crate) retries: u32,
    pub(crate) model: f64,
    pub(crate) waited: f64,
    pub(crate) tools: f64,
}

impl Sums {
    fn add(&mut self, record: &Record) {
        self.tools += record.tool_seconds;
        let Some(answer) = &record.answer else { return };
        self.calls += 1;
        self.usage += answer.reply.usage;
        if let Some(cost) = answer.effort.cost {
            self.cost = Some(self.cost.unwrap_or_default() + cost);
        }
        self.retries += answer.effort.tries.saturating_sub(1);
        self.model += answer.effort.seconds;
        self.waited += answer.effort.waited;
    }
}

impl Sums {
    /// Adds what was used between two moments of one attempt.
    pub(crate) fn add_since(&mut self, now: &Self, then: &Self) {
        self.calls += now.calls - then.calls;
        self.usage += now.usage - then.usage;
        if let Some(cost) = now.cost {
            let more = cost - then.cost.unwrap_or_default();
            self.cost = Some(self.cost.unwrap_or_default() + more);
        }
    }

    /// What the session of an external agent took.
    pub(crate) fn add_session(&mut self, status: &palestra_gateway::Status) {
        self.calls += u32::try_from(status.answered).unwrap_or(u32::MAX);
        self.usage += status.usage;
        if status.cost > 0.0 {
            self.cost = Some(self.cost.unwrap_or_default() + status.cost);
        }
        let retries = status.tries.saturating_sub(status.answered);
        self.retries += u32::try_from(retries).unwrap_or(u32::MAX);
        self.waited += status.waited;
    }
}

impl Spool {
    pub(crate) fn begin(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), steps: 0 }
    }

    /// One that goes on in another directory with the same steps, which count there as copied if they
    /// are to stand in both trajectories.
    pub(crate) fn fork(&self, dir: &Path, copied: bool) -> std::io::Result<Self> {
        let from = self.dir.join(SPOOL);
        if from.exists() && !copied {
            fs::copy(from, dir.join(SPOOL))?;
        } else if from.exists() {
            let mut to = BufWriter::new(fs::File::create(dir.join(SPOOL))?);
            for line in BufReader::new(fs::File::open(from)?).lines() {
                let mut step: Step = serde_json::from_str(&line?)?;
                step.is_copied_context = Some(true);
                serde_json::to_writer(&mut to, &step)?;
                to.write_all(b"\n")?;
            }
            to.flush()?;
        }
        Ok(Self { dir: dir.to_owned(), steps: self.steps })
    }

    /// The steps so far.
    pub(crate) fn steps(&self) -> std::io::Result<Vec<Step>> {
        let spool = self.dir.join(SPOOL);
        if !spool.exists() {
            return Ok(Vec::new());
        }
        let lines = BufReader::new(fs::File::open(spool)?).lines();
        lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
    }

    /// Goes on in another directory, and leaves nothing in this one.
    pub(crate) fn move_to(&mut self, dir: &Path) -> std::io::Result<()> {
        let (from, to) = (self.dir.join(SPOOL), dir.join(SPOOL));
        if from.exists() {
            fs::rename(from, to)?;
        } else if to.exists() {
            fs::remove_file(to)?;
        }
        dir.clone_into(&mut self.dir);
        Ok(())
    }

    /// Appends what happened.
    pub(crate) fn push(&mut self, records: &[Record], sums: &mut Sums) -> std::io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for record in records {
            sums.add(record);
            self.steps += 1;
            serde_json::to_writer(&mut lines, &step(record, self.steps))?;
            lines.push(b'\n');
        }
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true).open(self.dir.join(SPOOL))?.write_all(&lines)
    }

    /// Appends what a trace holds: the conversation that ended last, with every call's tokens.
    pub(crate) fn push_trace(&mut self, trace: &Path) -> Result<(), String> {
        if !trace.exists() {
            return Ok(());
        }
        let graph = palestra_trace::read(trace).map_err(|error| error.to_string())?.graph;
        let Some(last) = graph.calls().last() else { return Ok(()) };
        let mut steps: Vec<Step> = Vec::new();
        for node in graph.path(last.head) {
            let message = &node.message;
            if let (Role::Tool, Some(step)) = (message.role, steps.last_mut()) {
                let known = |id: &&String| step.tool_calls.iter().any(|c| c.tool_call_id == **id);
                let result = ObservationResult {
                    source_call_id: message.tool_call_id.as_ref().filter(known).cloned(),
                    content: Some(content(&message.content)),
                    extra: Map::new(),
                };
                step.observation.get_or_insert_default().results.push(result);
                continue;
            }
            let call = graph.calls().iter().find(|call| node.sampled && call.head == node.id);
            steps.push(said(message, call));
        }
        let mut lines = Vec::new();
        for mut step in steps {
            self.steps += 1;
            step.step_id = self.steps;
            serde_json::to_writer(&mut lines, &step).map_err(|error| error.to_string())?;
            lines.push(b'\n');
        }
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).append(true).open(self.dir.join(SPOOL));
        file.and_then(|mut file| file.write_all(&lines)).map_err(|error| error.to_string())
    }

    /// Writes the trajectory, whole, and removes the lines.
    pub(crate) fn finish(
        self,
        session: &str,
        agent: AgentInfo,
        sums: &Sums,
        extra: Map<String, Value>,
    ) -> std::io::Result<()> {
        let spool = self.dir.join(SPOOL);
        let path = self.dir.join(job::TRAJECTORY);
        let partial = self.dir.join("agent/.trajectory.partial");
        let mut to = BufWriter::new(fs::File::create(&partial)?);
        let head = json!({
            "schema_version": SCHEMA_VERSION,
            "session_id": session,
            "trajectory_id": session,
            "agent": agent,
        });
        let head = head.to_string();
        to.write_all(&head.as_bytes()[..head.len() - 1])?;
        to.write_all(b",\"steps\":[")?;
        let mut count = 0u64;
        if spool.exists() {
            for line in BufReader::new(fs::File::open(&spool)?).split(b'\n') {
                to.write_all(if count == 0 { b"\n" } else { b",\n" })?;
                to.write_all(&line?)?;
                count += 1;
            }
        }
        if count == 0 {
            // There is no trajectory without a step.
            let nothing = plain(1, "system", Value::from("nothing was done"));
            serde_json::to_writer(&mut to, &nothing)?;
            count = 1;
        }
        let metrics = FinalMetrics {
            total_prompt_tokens: Some(sums.usage.prompt),
            total_completion_tokens: Some(sums.usage.completion),
            total_cached_tokens: Some(sums.usage.cached),
            total_cost_usd: sums.cost,
            total_steps: Some(count),
            extra: Map::new(),
        };
        to.write_all(b"\n],\"final_metrics\":")?;
        serde_json::to_writer(&mut to, &metrics)?;
        if !extra.is_empty() {
            to.write_all(b",\"extra\":")?;
            serde_json::to_writer(&mut to, &extra)?;
        }
        to.write_all(b"}\n")?;
        to.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(partial, path)?;
        if spool.exists() {
            fs::remove_file(spool)?;
        }
        Ok(())
    }
}

fn plain(step_id: u64, source: &str, message: Value) -> Step {
    Step {
        step_id,
        timestamp: Some(now()),
        source: source.to_owned(),
        model_name: None,
        message,
        reasoning_content: None,
        tool_calls: Vec::new(),
        observation: None,
        metrics: None,
        is_copied_context: None,
        llm_call_count: None,
        extra: Map::new(),
    }
}

/// One record as a step. Text stays as it is.
fn step(record: &Record, step_id: u64) -> Step {
    let source = match record.source {
        Source::System => "system",
        Source::User => "user",
        Source::Agent => "agent",
    };
    let mut step = plain(step_id, source, content(&record.message.content));
    step.extra.clone_from(&record.extra);
    if record.source == Source::Agent {
        step.tool_calls = record
            .actions
            .iter()
            .map(|action| ToolCall {
                tool_call_id: action.id.clone(),
                function_name: action.tool.clone(),
                arguments: action.arguments.clone(),
                extra: Map::new(),
            })
            .collect();
        step.llm_call_count = Some(u64::from(record.answer.is_some()));
    }
    if !record.actions.is_empty() {
        let results = record.actions.iter().map(|action| ObservationResult {
            source_call_id: (record.source == Source::Agent).then(|| action.id.clone()),
            content: Some(action.observation.clone().into()),
            extra: result_extra(action.failed, action.status),
        });
        step.observation = Some(Observation { results: results.collect() });
    }
    if let (Some(answer), Source::Agent) = (&record.answer, record.source) {
        let reply = &answer.reply;
        step.model_name = Some(reply.model.clone()).filter(|name| !name.is_empty());
        step.reasoning_content.clone_from(&record.message.reasoning);
        let tokens = reply.tokens.as_ref();
        let mut extra = Map::new();
        extra.insert("finish".to_owned(), super::record::word(&reply.finish).into());
        extra.insert("seconds".to_owned(), answer.effort.seconds.into());
        if answer.effort.tries > 1 {
            extra.insert("tries".to_owned(), answer.effort.tries.into());
            extra.insert("waited".to_owned(), answer.effort.waited.into());
        }
        step.metrics = Some(Metrics {
            prompt_tokens: Some(reply.usage.prompt),
            completion_tokens: Some(reply.usage.completion),
            cached_tokens: Some(reply.usage.cached),
            cost_usd: answer.effort.cost,
            // The whole prompt of every turn would be the square of the conversation; the trace has
            // each token once.
            prompt_token_ids: None,
            completion_token_ids: tokens.map(|tokens| tokens.completion.clone()),
            logprobs: tokens.map(|tokens| tokens.logprobs.clone()).filter(|l| !l.is_empty()),
            extra,
        });
    }
    step
}

/// A message of a trace as a step, with what its call took.
fn said(message: &Message, call: Option<&Call>) -> Step {
    let source = match message.role {
        Role::System => "system",
        Role::User | Role::Tool => "user",
        Role::Assistant => "agent",
    };
    let mut step = plain(0, source, content(&message.content));
    if source != "agent" {
        return step;
    }
    step.reasoning_content.clone_from(&message.reasoning);
    step.tool_calls = message
        .tool_calls
        .iter()
        .map(|call| {
            let parsed = serde_json::from_str(&call.arguments);
            let arguments = parsed.unwrap_or_else(|_| {
                [("arguments".to_owned(), call.arguments.clone().into())].into_iter().collect()
            });
            ToolCall {
                tool_call_id: call.id.clone(),
                function_name: call.name.clone(),
                arguments,
                extra: Map::new(),
            }
        })
        .collect();
    if let Some(call) = call {
        step.model_name = Some(call.answered.clone()).filter(|name| !name.is_empty());
        step.llm_call_count = Some(1);
        step.metrics = Some(Metrics {
            prompt_tokens: Some(call.usage.prompt),
            completion_tokens: Some(call.usage.completion),
            cached_tokens: Some(call.usage.cached),
            cost_usd: call.effort.cost,
            ..Metrics::default()
        });
    }
    step
}

fn result_extra(failed: bool, status: Option<i32>) -> Map<String, Value> {
    let mut extra = Map::new();
    if failed {
        extra.insert("failed".to_owned(), true.into());
    }
    if let Some(status) = status {
        extra.insert("status".to_owned(), status.into());
    }
    extra
}

/// Text as text; anything else as text beside it, since ATIF holds only files and URLs of images.
fn content(parts: &[Part]) -> Value {
    match parts {
        [] => Value::from(""),
        [Part::Text(text)] => Value::from(text.as_str()),
        _ => {
            let all = parts.iter().map(|part| match part {
                Part::Text(text) => json!({"type": "text", "text": text}),
                Part::Image(url) => image(url),
                Part::Other(value) => json!({"type": "text", "text": value.to_string()}),
            });
            Value::Array(all.collect())
        }
    }
}

fn image(url: &str) -> Value {
    let known = ["image/jpeg", "image/png", "image/gif", "image/webp"];
    let of_data = url.strip_prefix("data:").and_then(|rest| rest.split([';', ',']).next());
    let by_name = |end: &str| known.iter().find(|kind| kind.ends_with(end)).copied();
    let kind = of_data
        .or_else(|| by_name(url.rsplit('.').next().unwrap_or_default()))
        .filter(|kind| known.contains(kind))
        .unwrap_or("image/png");
    json!({"type": "image", "source": {"media_type": kind, "path": url}})
}
