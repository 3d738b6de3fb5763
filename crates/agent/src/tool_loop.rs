//! The loop that all chat scaffolds share: ask, carry out, tell.

use std::sync::Arc;
use std::time::Instant;

use palestra_core::Hash;
use palestra_model::{CallOptions, Finish, Message, ModelError, Role, Tool};
use palestra_sandbox::Sandbox;
use serde_json::Map;

use crate::agent::{
    Action, AgentError, ContextPolicy, Exit, Limits, Live, Progress, Record, Source, Stage,
};
use crate::asker::Asker;
use crate::budget::Spent;
use crate::context::{self, Entry};
use crate::hands::Hands;
use crate::read::{self, Asked};
use crate::scaffold::{Call, Format, NoAction, Observed, Scaffold};
use crate::schema;

/// Between the seeds of an attempt and of a fork: more than anybody makes attempts.
const SEEDS: u64 = 1_000_003;
/// So many replies in a row without a valid action end an attempt.
const IDLE: u32 = 3;
/// So many steps in a row with the same actions and the same observations end an attempt.
const REPEATS: u32 = 5;

/// An attempt of a chat scaffold.
pub struct ToolLoop<S: ?Sized> {
    scaffold: Arc<S>,
    hands: Hands,
    asker: Asker,
    limits: Limits,
    policy: ContextPolicy,
    /// What the next call sends, before masking.
    history: Vec<Entry>,
    /// Whether a summary replaced some of what was said.
    summarised: bool,
    spent: Spent,
    /// Replies in a row without a valid action.
    idle: u32,
    /// The last step's actions and observations, and how often they came in a row.
    last: Option<(Hash, u32)>,
    /// Ids that were made up.
    made: u64,
    /// Children that were forked.
    children: u64,
    native: Arc<[Tool]>,
}

impl<S: Scaffold + ?Sized + 'static> ToolLoop<S> {
    /// An attempt that begins.
    pub fn new(scaffold: Arc<S>, stage: Stage) -> Self {
        let Stage {
            sandbox,
            assignment,
            model,
            model_name,
            sampling,
            limits,
            context,
            session,
            stop,
            aid: _,
        } = stage;
        let native = match scaffold.format() {
            Format::Native => scaffold.tools().clone(),
            _ => Arc::from([]),
        };
        let options = CallOptions { stop, ..CallOptions::default() };
        Self {
            hands: Hands::new(sandbox, assignment, limits.command, limits.observation),
            scaffold,
            asker: Asker { model, model_name, sampling, session, options },
            limits,
            policy: context,
            history: Vec::new(),
            summarised: false,
            spent: Spent::default(),
            idle: 0,
            last: None,
            made: 0,
            children: 0,
            native,
        }
    }

    /// What the attempt has used so far.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }

    fn push(&mut self, entry: Entry) {
        self.spent.unsent += context::size(&entry.message);
        self.history.push(entry);
    }

    /// Says the instructions and the statement.
    fn open(&mut self, records: &mut Vec<Record>) {
        let mut opening = self.scaffold.opening(&self.hands.assignment);
        if let (Some(text), Some(last)) = (self.remaining(), opening.last_mut()) {
            last.content.push(palestra_model::Part::Text(text));
            let whole = last.content_text();
            last.content = vec![palestra_model::Part::Text(whole)];
        }
        for message in opening {
            let message = Arc::new(message);
            let source = if message.role == Role::System { Source::System } else { Source::User };
            records.push(Record::said(source, message.clone()));
            self.push(Entry::said(message));
        }
    }

    /// What the next call sends, and whether it is less than all that was said.
    fn sending(&mut self) -> (Vec<Arc<Message>>, bool) {
        match self.policy {
            ContextPolicy::MaskObservations { keep } => {
                let (sent, masked) = context::mask(&mut self.history, keep);
                (sent, masked || self.summarised)
            }
            _ => {
                let sent = self.history.iter().map(|entry| entry.message.clone()).collect();
                (sent, self.summarised)
            }
        }
    }

    /// Carries out what a reply asks for. Returns the exit, if there is one.
    fn carry_out(
        &mut self,
        asked: Vec<Asked>,
        record: &mut Record,
    ) -> Result<Option<Exit>, AgentError> {
        let started = Instant::now();
        let (mut valid, mut submitted) = (false, false);
        let mut parts = Vec::new();
        for asked in asked {
            self.asker.stopped()?;
            let observed = if submitted {
                Observed::refusal("not carried out: the work was submitted before")
            } else {
                let left = self.limits.time.as_secs_f64()
                    - self.spent.seconds
                    - started.elapsed().as_secs_f64();
                let left = std::time::Duration::try_from_secs_f64(left.max(1.0));
                self.hands.command = left.unwrap_or(self.limits.command).min(self.limits.command);
                self.one(&asked, &mut valid)?
            };
            submitted |= observed.submitted;
            let id = asked.id.unwrap_or_else(|| {
                self.made += 1;
                format!("call_{}", self.made)
            });
            let shown = self.scaffold.show(&asked.tool, &observed);
            let arguments = asked.arguments.unwrap_or_default();
            parts.extend([asked.tool.clone(), shown.clone()]);
            parts
                .extend(arguments.iter().flat_map(|(key, value)| [key.clone(), value.to_string()]));
            record.actions.push(Action {
                id,
                tool: asked.tool,
                arguments,
                observation: shown,
                failed: observed.failed,
                status: observed.status,
            });
        }
        record.tool_seconds = started.elapsed().as_secs_f64();
        self.spent.seconds += record.tool_seconds;
        if submitted {
            self.tell(record);
            return Ok(Some(Exit::Submitted));
        }
        self.idle = if valid { 0 } else { self.idle + 1 };
        let this = Hash::of_parts(&parts);
        let repeats = match &self.last {
            Some((last, repeats)) if *last == this => repeats + 1,
            _ => 1,
        };
        self.last = Some((this, repeats));
        let exit = if repeats >= REPEATS {
            Some(Exit::Loop)
        } else {
            (self.idle >= IDLE).then_some(Exit::NoAction)
        };
        if exit.is_none()
            && let Some(text) = self.remaining()
            && let Some(last) = record.actions.last_mut()
        {
            last.observation.push_str(&text);
        }
        self.tell(record);
        Ok(exit)
    }

    /// What the scaffold says of the steps that are left.
    fn remaining(&self) -> Option<String> {
        self.scaffold.remaining(self.spent.steps, self.limits.steps)
    }

    /// Carries out one call.
    fn one(&mut self, asked: &Asked, valid: &mut bool) -> Result<Observed, AgentError> {
        let mut arguments = match &asked.arguments {
            Ok(arguments) => arguments.clone(),
            Err(why) => return Ok(Observed::refusal(why)),
        };
        let scaffold = self.scaffold.clone();
        let Some(tool) = scaffold.tools().iter().find(|tool| tool.name == asked.tool) else {
            let names: Vec<_> =
                scaffold.tools().iter().map(|tool| format!("`{}`", tool.name)).collect();
            let (name, names) = (&asked.tool, names.join(", "));
            return Ok(Observed::refusal(format!("there is no tool `{name}`; there is {names}")));
        };
        scaffold.normalise(&asked.tool, &mut arguments);
        let arguments = match schema::check(tool, &arguments, asked.text) {
            Ok(arguments) => arguments,
            Err(why) => return Ok(Observed::refusal(why)),
        };
        *valid = true;
        let call = Call { tool: asked.tool.clone(), arguments };
        scaffold.act(&mut self.hands, &call)
    }

    /// Puts the observations into the history.
    fn tell(&mut self, record: &Record) {
        if self.scaffold.format() == Format::Native {
            for action in &record.actions {
                let mut message = Message::tool(&action.id, &action.observation);
                if action.failed {
                    message.extra.insert("is_error".to_owned(), true.into());
                }
                self.push(Entry::observed(Arc::new(message)));
            }
        } else {
            let texts: Vec<_> = record.actions.iter().map(|one| one.observation.as_str()).collect();
            self.push(Entry::observed(Arc::new(Message::user(texts.join("\n\n")))));
        }
    }

    /// Answers a reply without an action.
    fn nudge(&mut self, why: &NoAction, records: &mut Vec<Record>) -> Option<Exit> {
        self.idle += 1;
        self.last = None;
        if self.idle >= IDLE {
            return Some(Exit::NoAction);
        }
        let mut hint = self.scaffold.hint(why);
        hint.push_str(&self.remaining().unwrap_or_default());
        let message = Arc::new(Message::user(hint));
        records.push(Record::said(Source::User, message.clone()));
        self.push(Entry::said(message));
        None
    }

    /// Replaces the older part of the history by a summary of the model's own, where that is due.
    fn summarise(&mut self, records: &mut Vec<Record>) -> Result<Option<Exit>, AgentError> {
        let ContextPolicy::Summarise { above, keep } = self.policy else { return Ok(None) };
        if self.spent.next_prompt() <= above {
            return Ok(None);
        }
        let Some(range) = context::to_summarise(&self.history, keep) else { return Ok(None) };
        let ask = Arc::new(Message::user(include_str!("../prompts/summarise.md").trim_end()));
        let mut sent: Vec<_> =
            self.history[..range.end].iter().map(|entry| entry.message.clone()).collect();
        sent.push(ask.clone());
        let answer = match self.asker.ask(sent.clone(), &self.native) {
            Ok(answer) => answer,
            Err(ModelError::ContextTooLong { .. }) => return Ok(Some(Exit::ContextLimit)),
            Err(ModelError::Cancelled) => return Err(AgentError::Cancelled),
            Err(error) => return Err(error.into()),
        };
        self.spent.call(&answer);
        let summary = answer.reply.message.content_text();
        let mut extra = Map::new();
        extra.insert("context".to_owned(), "summary".into());
        records.push(Record { extra: extra.clone(), ..Record::said(Source::User, ask) });
        records.push(Record {
            answer: Some(Arc::new(answer.clone())),
            sent: Some(sent),
            extra: extra.clone(),
            ..Record::said(Source::Agent, Arc::new(answer.reply.message))
        });
        if summary.trim().is_empty() {
            return Ok(None);
        }
        let text = format!("What was done before, in your own words:\n\n{summary}");
        let message = Arc::new(Message::user(text));
        records.push(Record { extra, ..Record::said(Source::User, message.clone()) });
        self.history.splice(range, [Entry::said(message)]);
        self.summarised = true;
        self.spent.context = 0;
        self.spent.unsent = self.history.iter().map(|entry| context::size(&entry.message)).sum();
        Ok(None)
    }
}

impl Record {
    /// Something that was said, and nothing done.
    pub(crate) fn said(source: Source, message: Arc<Message>) -> Self {
        Self {
            source,
            message,
            actions: Vec::new(),
            answer: None,
            sent: None,
            tool_seconds: 0.0,
            extra: Map::new(),
        }
    }
}

impl<S: Scaffold + ?Sized + 'static> Live for ToolLoop<S> {
    fn step(&mut self) -> Result<Progress, AgentError> {
        let mut records = Vec::new();
        if self.history.is_empty() {
            self.open(&mut records);
        }
        self.asker.stopped()?;
        // A summary may bring a context that is full below its bound again; no other bound.
        let mut exit = self.spent.exceeded(&self.limits);
        if matches!(exit, None | Some(Exit::ContextLimit)) {
            exit = self.summarise(&mut records)?.or(self.spent.exceeded(&self.limits));
        }
        if exit.is_some() {
            return Ok(Progress { records, exit });
        }
        let (sent, shortened) = self.sending();
        let answer = match self.asker.ask(sent.clone(), &self.native) {
            Ok(answer) => answer,
            Err(ModelError::ContextTooLong { .. }) => {
                return Ok(Progress { records, exit: Some(Exit::ContextLimit) });
            }
            Err(ModelError::Cancelled) => return Err(AgentError::Cancelled),
            Err(error) => return Err(error.into()),
        };
        self.spent.call(&answer);
        if answer.reply.usage.prompt == 0 {
            self.spent.unsent += context::size(&answer.reply.message);
        }
        let finish = answer.reply.finish.clone();
        let message = Arc::new(answer.reply.message.clone());
        let mut record = Record {
            answer: Some(Arc::new(answer)),
            sent: shortened.then_some(sent),
            ..Record::said(Source::Agent, message.clone())
        };
        self.history.push(Entry::said(message.clone()));
        if finish == Finish::Refused {
            records.push(record);
            return Ok(Progress { records, exit: Some(Exit::Refused) });
        }
        let cut = finish == Finish::Length;
        let exit = match read::actions(&message, self.scaffold.format(), cut) {
            Ok(asked) => {
                let exit = self.carry_out(asked, &mut record)?;
                records.push(record);
                exit
            }
            Err(why) => {
                records.push(record);
                self.nudge(&why, &mut records)
            }
        };
        Ok(Progress { records, exit })
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
            // With the same seed it would say the same.
            let seed = asker.sampling.seed;
            asker.sampling.seed = seed.map(|seed| seed.wrapping_add(SEEDS * self.children));
            let child = ToolLoop {
                scaffold: self.scaffold.clone(),
                hands,
                asker,
                limits: self.limits.clone(),
                policy: self.policy.clone(),
                history: self.history.clone(),
                summarised: self.summarised,
                spent: self.spent.clone(),
                idle: self.idle,
                last: self.last.clone(),
                made: self.made,
                children: 0,
                native: self.native.clone(),
            };
            Box::new(child) as Box<dyn Live>
        };
        Ok(hands.into_iter().map(child).collect())
    }

    fn messages(&self) -> Vec<Arc<Message>> {
        match self.policy {
            ContextPolicy::MaskObservations { keep } => {
                context::mask(&mut self.history.clone(), keep).0
            }
            _ => self.history.iter().map(|entry| entry.message.clone()).collect(),
        }
    }

    fn finish(self: Box<Self>) -> Sandbox {
        self.hands.into_sandbox()
    }
}
