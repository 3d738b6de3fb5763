//! Scoring both answers, for servers that say nothing about alternatives.
//!
//! vLLM gives the log-probability of every token of a prompt (`prompt_logprobs`), and lets the last
//! message of the prompt be one that the model is in the middle of. So each answer is put into the
//! model's mouth, and what its tokens had is read off.

use std::sync::Arc;

use palestra_model::{Message, Request};
use serde_json::{Value, json};

use super::Prompt;
use super::answer::Answers;

/// Two requests: the prompt with YES said behind the tag, and with NO. Send both to a server that
/// knows vLLM's `prompt_logprobs`, and read the responses with [`logprob_of`].
pub fn continuations(prompt: &Prompt, model: &str, answers: &Answers) -> [Request; 2] {
    [&answers.yes, &answers.no].map(|word| {
        let mut request = super::request(prompt, model, 0.0);
        let said = Message::assistant(format!("{}{word}", answers.tag));
        request.messages.push(Arc::new(said));
        let sampling = &mut request.sampling;
        (sampling.logprobs, sampling.top_logprobs) = (false, None);
        sampling.max_tokens = Some(1);
        let extra = &mut sampling.extra;
        extra.insert("prompt_logprobs".to_owned(), json!(0));
        extra.insert("add_generation_prompt".to_owned(), json!(false));
        extra.insert("continue_final_message".to_owned(), json!(true));
        request
    })
}

/// The log-probability of the answer at the end of the prompt, from the body of the response: the sum
/// over the last tokens, as many as it takes to spell the answer. `None` if the body says nothing of
/// them.
pub fn logprob_of(received: &[u8], answer: &str) -> Option<f64> {
    let body: Value = serde_json::from_slice(received).ok()?;
    let list = body
        .get("prompt_logprobs")
        .or_else(|| body.get("choices")?.get(0)?.get("prompt_logprobs"))?
        .as_array()?;
    let mut spelled = String::new();
    let mut sum = 0.0;
    for token in list.iter().rev() {
        // One object for each token, by id; the token of the prompt itself stands first.
        let (_, token) = token.as_object()?.iter().next()?;
        let text = token.get("decoded_token")?.as_str()?;
        let logprob = token.get("logprob")?.as_f64().filter(|l| l.is_finite() && *l < 1e-3)?;
        sum += logprob;
        spelled.insert_str(0, text);
        let seen = spelled.trim_end();
        if seen.ends_with(answer) {
            return Some(sum);
        }
        // Tokens that mark the end of a turn may follow; nothing else may.
        if spelled.len() > answer.len() + 64 {
            return None;
        }
    }
    None
}
