//! Verifiers that go by what a model says about trajectory and patch.
//!
//! A form of `palestra-forms` turns an attempt into a [`Prompt`], [`Judge`] asks, and [`probability`]
//! finds the answer in a reply.

mod answer;
mod continuation;
mod judge;

use std::sync::Arc;

use palestra_model::{Message, Request, Sampling};

pub use answer::{Answers, Found, Source, Unscorable, probability};
pub use continuation::{continuations, logprob_of};
pub use judge::{Judge, Judgement};
pub use palestra_forms::{
    Limit, Prompt, Said, Speaker, View, existing_files, ours, r2e, said_in, swe_gym, text_of,
};

/// Alternatives that are asked for at each token. OpenAI's API and vLLM give 20 at most.
pub const TOP_LOGPROBS: u32 = 20;

/// The request, with log-probabilities asked for. At temperature 0 a second sample is the same as the
/// first.
pub fn request(prompt: &Prompt, model: &str, temperature: f64) -> Request {
    let messages =
        vec![Arc::new(Message::system(&*prompt.system)), Arc::new(Message::user(&*prompt.user))];
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
