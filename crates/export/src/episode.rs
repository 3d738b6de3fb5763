//! One attempt as it is exported, wherever it came from.

use std::path::PathBuf;

use palestra_model::{Message, Role, Tool};
use serde::{Deserialize, Serialize};

/// Who wrote the attempt down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A job of ours.
    Palestra,
    /// A trial of Harbor's.
    Harbor,
    /// `*.traj.json` of mini-swe-agent.
    MiniSweAgent,
    /// Trajectories of R2E-Gym, one a line.
    R2eGym,
    /// `output.jsonl` of OpenHands.
    OpenHands,
}

/// What the attempt is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The task is solved.
    Resolved,
    /// It is not.
    Unresolved,
    /// Neither can be said, for this reason. Never trains.
    Invalid(String),
    /// Nobody judged it.
    Ungraded,
}

/// Token ids of one conversation as a server had them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenChain {
    /// All ids, prompts and completions.
    pub ids: Vec<u32>,
    /// For each id: 1 where the server sampled it.
    pub mask: Vec<u8>,
    /// For each id its log-probability, 0 where it was not sampled; `None` where they are not known
    /// for every sampled one.
    pub logprobs: Option<Vec<f64>>,
    /// Whether the conversation of the last call is this one.
    pub last: bool,
}

/// One attempt at one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Its name: `<job>/<trial>`, or the task and a hash of its content.
    pub id: String,
    /// The task.
    pub task: String,
    /// `owner/name` or `name`, where it can be told.
    pub repository: Option<String>,
    /// When the task came to be (RFC 3339 or a date), where it is known.
    pub created_at: Option<String>,
    /// Who wrote it down.
    pub origin: Origin,
    /// The agent.
    pub agent: String,
    /// The model.
    pub model: Option<String>,
    /// The conversation of the last call, with what the model said last. Results of tools that failed
    /// have `is_error` in [`Message::extra`].
    pub messages: Vec<Message>,
    /// The tools on offer.
    pub tools: Vec<Tool>,
    /// What it is worth.
    pub outcome: Outcome,
    /// The reward, where one was given.
    pub reward: Option<f64>,
    /// How it ended, in the words of who wrote it down.
    pub exit: Option<String>,
    /// Whether the agent said that it is done.
    pub finished: bool,
    /// Whether it may be trained on: no failure of a machine or of a server.
    pub trainable: bool,
    /// What the grader saw of attempts to reach for the verdict.
    pub tampering: Vec<String>,
    /// What it changed.
    pub patch: Option<String>,
    /// The problem statement.
    pub statement: Option<String>,
    /// Calls of the model.
    pub steps: u32,
    /// Tokens that were paid for, prompts and completions.
    pub tokens: u64,
    /// Seconds of the agent.
    pub seconds: f64,
    /// Dollars, where they are known.
    pub cost: Option<f64>,
    /// Token ids, where a server gave them.
    pub chains: Vec<TokenChain>,
    /// Its trajectory in ATIF, where it has one.
    pub trajectory: Option<PathBuf>,
}

impl Episode {
    /// An attempt of which only the names are known.
    pub fn new(origin: Origin, id: impl Into<String>, task: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            task: task.into(),
            repository: None,
            created_at: None,
            origin,
            agent: String::new(),
            model: None,
            messages: Vec::new(),
            tools: Vec::new(),
            outcome: Outcome::Ungraded,
            reward: None,
            exit: None,
            finished: false,
            trainable: true,
            tampering: Vec::new(),
            patch: None,
            statement: None,
            steps: 0,
            tokens: 0,
            seconds: 0.0,
            cost: None,
            chains: Vec::new(),
            trajectory: None,
        }
    }

    /// Turns of the model.
    pub fn turns(&self) -> usize {
        self.messages.iter().filter(|message| message.role == Role::Assistant).count()
    }

    /// Characters of the conversation: text, thoughts, names and arguments of calls.
    pub fn characters(&self) -> u64 {
        self.messages.iter().map(characters).sum()
    }

    /// The statement, or else what the user said first.
    pub fn problem(&self) -> String {
        self.statement.clone().unwrap_or_else(|| {
            let first = self.messages.iter().find(|message| message.role == Role::User);
            first.map(Message::content_text).unwrap_or_default()
        })
    }

    /// Takes the thoughts out: what APIs give apart, and what stands between `<think>` and
    /// `</think>` at the beginning of a turn.
    pub fn drop_thoughts(&mut self) {
        for message in self.messages.iter_mut().filter(|m| m.role == Role::Assistant) {
            message.reasoning = None;
            if let Some(palestra_model::Part::Text(text)) = message.content.first_mut()
                && text.trim_start().starts_with("<think>")
                && let Some(end) = text.find("</think>")
            {
                *text = text[end + "</think>".len()..].trim_start().to_owned();
            }
        }
    }

    /// Ends the conversation with the model's last turn: what follows it teaches nothing.
    pub fn end_with_the_model(&mut self) {
        while self.messages.last().is_some_and(|message| message.role != Role::Assistant) {
            self.messages.pop();
        }
    }
}

/// `owner/name` from an instance's name as SWE-bench and we write them.
pub(crate) fn repository_of(task: &str) -> Option<String> {
    let (owner, rest) = task.split_once("__")?;
    let (name, _) = rest.rsplit_once(['-', '.'])?;
    let plain = !owner.is_empty() && !name.is_empty();
    plain.then(|| format!("{owner}/{name}"))
}

pub(crate) fn characters(message: &Message) -> u64 {
    let calls = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
    let thoughts = message.reasoning.as_ref().map_or(0, |text| text.chars().count());
    let text: usize = message
        .content
        .iter()
        .map(|part| match part {
            palestra_model::Part::Text(text) => text.chars().count(),
            _ => 0,
        })
        .sum();
    (calls.sum::<usize>() + thoughts + text) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_repository() {
        let check = |task: &str, want: Option<&str>| {
            assert_eq!(repository_of(task).as_deref(), want, "{task}");
        };
        check("pytest-dev__pytest-7373", Some("pytest-dev/pytest"));
        check("python-attrs__attrs-0123456789ab", Some("python-attrs/attrs"));
        check("task", None);
        check("__-", None);
    }

    #[test]
    fn thoughts_go() {
        let mut episode = Episode::new(Origin::Palestra, "a", "b");
        episode.messages = vec![
            Message::user("<think>mine</think>"),
            Message { reasoning: Some("hm".into()), ..Message::assistant("<think>a</think>\n\nb") },
        ];
        episode.drop_thoughts();
        assert_eq!(episode.messages[0].content_text(), "<think>mine</think>");
        assert_eq!(episode.messages[1].content_text(), "b");
        assert_eq!(episode.messages[1].reasoning, None);
    }
}
