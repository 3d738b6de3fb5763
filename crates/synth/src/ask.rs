//! Asking a model, and never the same thing twice.
//!
//! An answer is kept on disk under the hash of all that was asked: the file of the prompt, the
//! model's name, how it samples, and every word. A second run asks nothing.

mod cache;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use palestra_model::{
    CallOptions, Finish, Message, Model, ModelError, Prices, Request, Role, Sampling, Usage,
};
use serde::{Deserialize, Serialize};

use crate::prompt::{Filled, PromptError, PromptRef};
use crate::reject::{Reason, Rejection};

/// Why there is no answer. Nothing of this is a property of the commit that was asked about.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no model to ask, and the answer is not in the cache.
    #[error("the prompt `{prompt}` needs a model, and none is set: name one with `--model`")]
    NoModel {
        /// The prompt that was to be asked.
        prompt: String,
    },
    /// The server, the budget, the cassette.
    #[error("asking the model failed: {0}")]
    Model(#[from] ModelError),
    /// The prompt was filled wrongly.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The answer cannot be kept.
    #[error("the answer of the model cannot be kept: {0}")]
    Cache(#[from] std::io::Error),
}

/// What one answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Tokens of prompts.
    pub tokens_in: u64,
    /// Tokens of completions.
    pub tokens_out: u64,
    /// Dollars; `None` where no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<f64>,
    /// Seconds that the server took.
    pub seconds: f64,
    /// Whether an earlier run paid all of it.
    pub cached: bool,
}

impl std::ops::AddAssign for Spent {
    /// The sum is cached if both are; it has a price if either has.
    fn add_assign(&mut self, other: Self) {
        let nothing = Self::default();
        self.cached = match (*self == nothing, other == nothing) {
            (true, _) => other.cached,
            (_, true) => self.cached,
            _ => self.cached && other.cached,
        };
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.seconds += other.seconds;
        self.money = match (self.money, other.money) {
            (None, None) => None,
            (one, two) => Some(one.unwrap_or(0.0) + two.unwrap_or(0.0)),
        };
    }
}

/// How models are asked.
#[derive(Clone)]
pub struct AskerConfig {
    /// Who is asked; `None` for nobody.
    pub model: Option<Arc<dyn Model>>,
    /// The model's name as the server knows it.
    pub model_name: String,
    /// How it samples.
    pub sampling: Sampling,
    /// How long it may take.
    pub options: CallOptions,
    /// Where answers are kept.
    pub cache: Option<PathBuf>,
    /// What tokens cost, where the model itself does not tell.
    pub prices: Arc<Prices>,
}

impl AskerConfig {
    /// A model without a cache and without prices.
    pub fn new(model: Arc<dyn Model>, model_name: impl Into<String>) -> Self {
        Self {
            model: Some(model),
            model_name: model_name.into(),
            sampling: Sampling::default(),
            options: CallOptions::default(),
            cache: None,
            prices: Arc::default(),
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) finish: Finish,
    pub(crate) spent: Spent,
    pub(crate) ask: String,
}

/// What came out of asking for something: the thing or why not, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal<T> {
    /// What was proposed, after the checks of its form.
    pub result: Result<T, Rejection>,
    /// What it took.
    pub spent: Spent,
    /// The prompt.
    pub prompt: PromptRef,
    /// The hash of all that was asked: the name of the answer in the cache.
    pub ask: String,
}

/// Asks a model. Any number of threads may ask at once; of equal questions only the first goes to
/// the model.
pub struct Asker {
    config: AskerConfig,
    under_way: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    total: Mutex<Spent>,
}

impl Asker {
    /// An asker.
    pub fn new(config: AskerConfig) -> Self {
        Self { config, under_way: Mutex::default(), total: Mutex::default() }
    }

    /// One that has nobody to ask (`--model none`).
    pub fn none() -> Self {
        Self::new(AskerConfig {
            model: None,
            model_name: String::new(),
            sampling: Sampling::default(),
            options: CallOptions::default(),
            cache: None,
            prices: Arc::default(),
        })
    }

    /// Whether there is anybody to ask.
    pub fn has_model(&self) -> bool {
        self.config.model.is_some()
    }

    /// What this run paid: answers from the cache are not in it.
    pub fn paid(&self) -> Spent {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of all that would be asked.
    pub fn hash(&self, filled: &Filled) -> String {
        cache::hash(filled, &self.config.model_name, &self.config.sampling)
    }

    /// Asks, unless the answer is known.
    pub(crate) fn ask(&self, filled: &Filled) -> Result<Told, AskError> {
        let ask = self.hash(filled);
        let turn = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.entry(ask.clone()).or_default().clone()
        };
        let guard = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let told = self.ask_now(filled, ask.clone());
        drop(guard);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // One for the map, one for us: nobody else waits.
        if Arc::strong_count(&turn) == 2 {
            under_way.remove(&ask);
        }
        told
    }

    fn ask_now(&self, filled: &Filled, ask: String) -> Result<Told, AskError> {
        if let Some(kept) = self.config.cache.as_ref().and_then(|dir| cache::read(dir, &ask)) {
            let spent = Spent { cached: true, ..kept.spent };
            return Ok(Told { text: kept.text, finish: kept.finish, spent, ask });
        }
        let Some(model) = &self.config.model else {
            return Err(AskError::NoModel { prompt: filled.prompt.name.clone() });
        };
        let messages = filled.messages.iter().map(|(role, text)| Message::text(*role, text));
        let request = Request {
            sampling: self.config.sampling.clone(),
            ..Request::new(&self.config.model_name, messages.map(Arc::new).collect())
        };
        let answer = match model.call(&request, &self.config.options) {
            Ok(answer) => answer,
            // The same again would be too long again: it belongs to what was asked, and is told
            // apart by its finish. It is not kept, since another server may take more.
            Err(ModelError::ContextTooLong { detail }) => {
                let finish = Finish::Other(TOO_LONG.to_owned());
                return Ok(Told { text: detail, finish, spent: Spent::default(), ask });
            }
            Err(error) => return Err(error.into()),
        };
        let spent = self.spent(&answer.reply.usage, answer.effort.seconds, answer.effort.cost);
        *self.total.lock().unwrap_or_else(PoisonError::into_inner) += spent;
        let text = answer.reply.message.content_text();
        let finish = answer.reply.finish.clone();
        if let Some(dir) = &self.config.cache {
            let kept = cache::Kept {
                prompt: filled.prompt.clone(),
                model: self.config.model_name.clone(),
                answered_by: answer.reply.model.clone(),
                finish: finish.clone(),
                spent,
                text: text.clone(),
            };
            cache::write(dir, &ask, &kept)?;
        }
        Ok(Told { text, finish, spent, ask })
    }

    fn spent(&self, usage: &Usage, seconds: f64, cost: Option<f64>) -> Spent {
        let price = || Some(self.config.prices.of(&self.config.model_name)?.cost(usage));
        Spent {
            tokens_in: usage.prompt,
            tokens_out: usage.completion,
            money: cost.or_else(price),
            seconds,
            cached: false,
        }
    }

    /// Asks and reads the answer, unless its end already says that there is nothing to read.
    pub(crate) fn propose<T>(
        &self,
        filled: &Filled,
        read: impl FnOnce(&str) -> Result<T, Rejection>,
    ) -> Result<Proposal<T>, AskError> {
        let told = self.ask(filled)?;
        let result = told.usable().and_then(read);
        Ok(Proposal { result, spent: told.spent, prompt: filled.prompt.clone(), ask: told.ask })
    }
}

const TOO_LONG: &str = "prompt_too_long";

/// Longer answers than this are not read: 256 KiB.
pub const MAX_REPLY_BYTES: usize = 256 << 10;

impl Told {
    /// The text, where it is a whole answer.
    fn usable(&self) -> Result<&str, Rejection> {
        let reject = |reason, detail: String| Err(Rejection::new(reason, detail));
        match &self.finish {
            Finish::Other(word) if word == TOO_LONG => {
                reject(Reason::PromptTooLong, self.text.clone())
            }
            Finish::Refused => reject(Reason::Refused, String::new()),
            _ if self.text.len() > MAX_REPLY_BYTES => {
                reject(Reason::ReplyTooLong, format!("{} bytes", self.text.len()))
            }
            Finish::Length => reject(Reason::CutOff, format!("{} bytes came", self.text.len())),
            _ if self.text.trim().is_empty() => reject(Reason::EmptyReply, String::new()),
            _ => Ok(&self.text),
        }
    }
}

/// Who speaks, as the hash writes it.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}
