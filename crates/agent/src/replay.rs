//! Plays an earlier attempt again: what its model said goes through the same tools once more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use palestra_model::{
    Answer, CallOptions, Effort, Finish, Message, Model, ModelError, Reply, Request, Usage,
};
use palestra_sandbox::Sandbox;
use serde_json::{Map, Value, json};

use crate::agent::{
    Action, Agent, AgentError, ContextPolicy, Exit, Limits, Live, Progress, Record, Source, Stage,
};

/// The agent `replay`: another agent's tools, with [`crate::Aid::recorded`] in place of a model.
///
/// Where an observation differs from the recorded one, the record says so under `divergences`.
pub struct Replay {
    agent: Arc<dyn Agent>,
}

impl Replay {
    /// Plays through the tools of `agent`, which must be the one that the attempt was made with.
    pub fn new(agent: Arc<dyn Agent>) -> Self {
        Self { agent }
    }
}

impl Agent for Replay {
    fn name(&self) -> &str {
        "replay"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn describe(&self) -> Map<String, Value> {
        let agent = self.agent.as_ref();
        let of = json!({"name": agent.name(), "version": agent.version(), "is": agent.describe()});
        [("replays".to_owned(), of)].into_iter().collect()
    }

    fn tools(&self) -> Vec<palestra_model::Tool> {
        self.agent.tools()
    }

    fn needs_model(&self) -> bool {
        false
    }

    fn start(&self, mut stage: Stage) -> Result<Box<dyn Live>, AgentError> {
        let spoken = stage.aid.recorded.iter().filter(|record| record.source == Source::Agent);
        let spoken: VecDeque<Record> = spoken.cloned().collect();
        let tape = Arc::new(Tape(Mutex::new(Arc::new(Message::assistant("")))));
        stage.model = tape.clone();
        // What stopped the earlier attempt must not stop this one any sooner.
        let Limits { command, observation, .. } = stage.limits;
        stage.limits = Limits {
            steps: u32::try_from(spoken.len()).unwrap_or(u32::MAX).saturating_add(1),
            time: std::time::Duration::MAX,
            command,
            observation,
            ..Limits::default()
        };
        stage.context = ContextPolicy::None;
        let inner = self.agent.start(stage)?;
        Ok(Box::new(Playing { inner, tape, left: spoken }))
    }
}

/// Says whatever was put on it last.
struct Tape(Mutex<Arc<Message>>);

impl Model for Tape {
    fn call(&self, request: &Request, _: &CallOptions) -> Result<Answer, ModelError> {
        let message = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let reply = Reply {
            id: String::new(),
            model: request.model.clone(),
            message: (**message).clone(),
            finish: Finish::Stop,
            usage: Usage::default(),
            tokens: None,
            logprobs: None,
        };
        let (sent, received) = (Arc::from([]), Arc::from([]));
        Ok(Answer { reply, effort: Effort::default(), sent, received })
    }

    fn server(&self) -> String {
        "replay".to_owned()
    }
}

struct Playing {
    inner: Box<dyn Live>,
    tape: Arc<Tape>,
    left: VecDeque<Record>,
}

impl Live for Playing {
    fn step(&mut self) -> Result<Progress, AgentError> {
        let Some(recorded) = self.left.pop_front() else {
            return Ok(Progress { records: Vec::new(), exit: Some(Exit::Submitted) });
        };
        *self.tape.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            recorded.message.clone();
        let mut progress = self.inner.step()?;
        if let Some(record) =
            progress.records.iter_mut().rfind(|record| record.source == Source::Agent)
        {
            let divergences = compare(&recorded.actions, &record.actions);
            if !divergences.is_empty() {
                record.extra.insert("divergences".to_owned(), divergences.into());
            }
            record.answer = recorded.answer;
        }
        // It ends where the record does, even if the same was done again and again.
        progress.exit = match progress.exit {
            Some(Exit::Submitted) => Some(Exit::Submitted),
            _ if self.left.is_empty() => Some(Exit::Submitted),
            _ => None,
        };
        Ok(progress)
    }

    fn sandbox(&self) -> &Sandbox {
        self.inner.sandbox()
    }

    fn fork(&mut self, _count: usize) -> Result<Vec<Box<dyn Live>>, AgentError> {
        let agent = "replay".to_owned();
        Err(AgentError::Unsupported { agent, what: "fork: its children would all do the same" })
    }

    fn messages(&self) -> Vec<Arc<Message>> {
        self.inner.messages()
    }

    fn finish(self: Box<Self>) -> Sandbox {
        self.inner.finish()
    }
}

/// What differs between the observations then and now.
fn compare(then: &[Action], now: &[Action]) -> Vec<Value> {
    let mut found = Vec::new();
    for index in 0..then.len().max(now.len()) {
        let (before, after) = (then.get(index), now.get(index));
        let same = |one: &Action, other: &Action| {
            one.observation == other.observation && one.status == other.status
        };
        if !before.zip(after).is_some_and(|(before, after)| same(before, after)) {
            let side = |action: Option<&Action>| {
                action.map(|one| json!({"observation": one.observation, "status": one.status}))
            };
            found.push(json!({"action": index, "recorded": side(before), "now": side(after)}));
        }
    }
    found
}
