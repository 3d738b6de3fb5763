//! Verifiers that go by what a model says about trajectory and patch.
//!
//! A *form* turns an attempt into a [`Prompt`]. [`r2e`] and [`swe_gym`] are, byte for byte, the inputs
//! that the models of those projects were trained on, so their instructions are those projects' own
//! words; [`ours`] is for models that were not trained for it. [`probability`] finds the answer in a
//! reply, and [`Judge`] asks.

mod answer;
mod continuation;
mod judge;
pub mod ours;
pub mod r2e;
pub mod swe_gym;
mod transcript;

use std::sync::Arc;

use palestra_model::{Message, Request, Sampling};

pub use answer::{Answers, Found, Source, Unscorable, probability};
pub use continuation::{continuations, logprob_of};
pub use judge::{Judge, Judgement};
pub use transcript::{Said, Speaker, existing_files, said_in, text_of};

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The instructions.
    pub system: String,
    /// The attempt, and the question.
    pub user: String,
    /// Parts that were shortened to fit.
    pub condensed: usize,
    /// Whether it is too long all the same.
    pub too_long: bool,
}

/// How long a prompt may be.
#[derive(Clone, Copy)]
pub struct Limit<'a> {
    /// Tokens.
    pub tokens: usize,
    /// Counts the tokens of a text. There is no tokenizer here; a quarter of the bytes is a fair
    /// guess where the model's own is not at hand, but then a form is not byte for byte what a model
    /// was trained on once it has to be shortened.
    pub count: &'a dyn Fn(&str) -> usize,
}

impl Limit<'_> {
    fn holds(&self, text: &str) -> bool {
        (self.count)(text) <= self.tokens
    }
}

/// What of an attempt is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// The patch.
    Patch,
    /// The trajectory.
    Trajectory,
    /// Both.
    #[default]
    Both,
}

impl View {
    fn trajectory(self) -> bool {
        self != Self::Patch
    }

    fn patch(self) -> bool {
        self != Self::Trajectory
    }
}

/// Alternatives that are asked for at each token. OpenAI's API and vLLM give 20 at most.
pub const TOP_LOGPROBS: u32 = 20;

impl Prompt {
    /// The request, with log-probabilities asked for. At temperature 0 a second sample is the same
    /// as the first.
    pub fn request(&self, model: &str, temperature: f64) -> Request {
        let messages =
            vec![Arc::new(Message::system(&*self.system)), Arc::new(Message::user(&*self.user))];
        let sampling = Sampling {
            temperature: Some(temperature),
            // `<judgement>YES</judgement>` is a dozen tokens in the worst of tokenizers.
            max_tokens: Some(32),
            logprobs: true,
            top_logprobs: Some(TOP_LOGPROBS),
            ..Sampling::default()
        };
        Request { sampling, ..Request::new(model, messages) }
    }
}
