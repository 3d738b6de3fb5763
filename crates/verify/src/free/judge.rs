//! Asking a model about an attempt.

use palestra_model::{CallOptions, Model, Usage};
use serde::{Deserialize, Serialize};

use super::Prompt;
use super::answer::{Answers, Found, Source, Unscorable, probability};
use super::continuation::{continuations, logprob_of};
use crate::candidate::Score;

/// How a model is asked.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The model's name as its server knows it.
    pub model: String,
    /// The words of its answer.
    pub answers: Answers,
    /// Samples; their mean is the score. More than one makes sense above temperature 0.
    pub samples: u32,
    /// Temperature.
    pub temperature: f64,
    /// Whether both answers are scored where no log-probabilities come. The server must know vLLM's
    /// `prompt_logprobs`.
    pub continuations: bool,
}

impl Judge {
    /// One sample at temperature 0.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            answers: Answers::default(),
            samples: 1,
            temperature: 0.0,
            continuations: false,
        }
    }
}

/// What a model thinks of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The mean probability of YES over the samples that have one.
    pub score: Score,
    /// Each sample.
    pub found: Vec<Found>,
    /// Samples without a probability, with the reason.
    pub unscorable: Vec<Unscorable>,
    /// Tokens that were paid for.
    pub usage: Usage,
    /// Dollars, where the price is known.
    pub cost: Option<f64>,
    /// Seconds of waiting for the model.
    pub seconds: f64,
}

impl Judge {
    /// Asks. What fails is a reason, never an error: the attempt cannot be scored then, and that is
    /// counted.
    pub fn ask(&self, model: &dyn Model, prompt: &Prompt, options: &CallOptions) -> Judgement {
        let mut judgement = Judgement::default();
        if prompt.too_long {
            judgement.unscorable.push(Unscorable::TooLong);
            return judgement;
        }
        for sample in 0..self.samples.max(1) {
            let mut request = super::request(prompt, &self.model, self.temperature);
            // Samples must differ, also where answers are cached or recorded.
            request.sampling.seed = (self.samples > 1).then(|| u64::from(sample));
            let found = match model.call(&request, options) {
                Err(error) => Err(Unscorable::Call(error.to_string())),
                Ok(answer) => {
                    judgement.add(&answer);
                    probability(&answer.reply, &self.answers)
                }
            };
            match found {
                Ok(found) => judgement.found.push(found),
                Err(Unscorable::NoLogprobs { said_yes }) if self.continuations => {
                    match self.both(model, prompt, options, &mut judgement) {
                        Some((p_yes, mass)) => {
                            let source = Source::Continuations;
                            judgement.found.push(Found { p_yes, mass, said_yes, source });
                        }
                        None => judgement.unscorable.push(Unscorable::NoLogprobs { said_yes }),
                    }
                }
                Err(why) => judgement.unscorable.push(why),
            }
        }
        let count = judgement.found.len() as f64;
        if count > 0.0 {
            let sum: f64 = judgement.found.iter().map(|found| found.p_yes).sum();
            judgement.score = Score::new(sum / count);
        }
        judgement
    }

    /// The probability of YES and what both have together.
    fn both(
        &self,
        model: &dyn Model,
        prompt: &Prompt,
        options: &CallOptions,
        judgement: &mut Judgement,
    ) -> Option<(f64, f64)> {
        let [yes, no] = continuations(prompt, &self.model, &self.answers);
        let mut logprob = |request, word| {
            let answer = model.call(&request, options).ok()?;
            judgement.add(&answer);
            logprob_of(&answer.received, word)
        };
        let yes = logprob(yes, &self.answers.yes)?;
        let no = logprob(no, &self.answers.no)?;
        // Both may be so unlikely that nothing is left of them but their ratio.
        Some((1.0 / (1.0 + (no - yes).exp()), yes.exp() + no.exp()))
    }
}

impl Judgement {
    fn add(&mut self, answer: &palestra_model::Answer) {
        self.usage += answer.reply.usage;
        self.seconds += answer.effort.seconds;
        if let Some(cost) = answer.effort.cost {
            *self.cost.get_or_insert(0.0) += cost;
        }
    }
}
