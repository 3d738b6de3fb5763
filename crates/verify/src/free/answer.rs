//! The probability of YES in a reply, whatever the tokenizer.
//!
//! The answer is found in the text first: behind `<judgement>`, or else the last YES or NO that
//! stands alone. Then comes the token that its first letter is in, since YES and NO differ there, be
//! the tokens ` YES`, `YES`, `Y` and `ES`, `>YES` or single bytes. Each alternative of that token is
//! read as if it had been said: those that begin YES add to its probability, those that begin NO to
//! the other, and all else (spaces, other words) to neither.

use palestra_model::{Finish, Reply};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The two words, and where to look for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// What stands for right.
    pub yes: String,
    /// What stands for wrong. It must differ from `yes` in its first letter.
    pub no: String,
    /// What stands before the answer, if the model keeps to its form.
    pub tag: String,
    /// Whether `Yes` is `YES`.
    pub ignore_case: bool,
}

impl Default for Answers {
    fn default() -> Self {
        let (yes, no, tag) = ("YES".to_owned(), "NO".to_owned(), "<judgement>".to_owned());
        Self { yes, no, tag, ignore_case: true }
    }
}

/// Where a probability comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the alternatives at the answer's token.
    Alternatives,
    /// From the log-probability of the answer alone: the server gave no alternatives.
    Sampled,
    /// From scoring both answers.
    Continuations,
}

/// A probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Of YES, given that the answer is YES or NO.
    pub p_yes: f64,
    /// What the two have together. Little of it means that the model was about to say something else.
    pub mass: f64,
    /// What was said.
    pub said_yes: bool,
    /// Where it comes from.
    pub source: Source,
}

/// Why there is no probability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub enum Unscorable {
    /// The model or its server refused.
    #[error("the model refused")]
    Refused,
    /// It said neither.
    #[error("the answer is neither YES nor NO: {0:?}")]
    NoAnswer(String),
    /// It answered, but no log-probabilities came with it, or none that are numbers.
    #[error("no log-probabilities came with the answer ({})", if *.said_yes { "YES" } else { "NO" })]
    NoLogprobs {
        /// What it said.
        said_yes: bool,
    },
    /// Asking failed.
    #[error("the model could not be asked: {0}")]
    Call(String),
    /// The prompt does not fit.
    #[error("the prompt is too long for the model")]
    TooLong,
}

/// The probability of YES in a reply.
///
/// # Errors
/// If there is no answer, or no number for it.
pub fn probability(reply: &Reply, answers: &Answers) -> Result<Found, Unscorable> {
    if reply.finish == Finish::Refused {
        return Err(Unscorable::Refused);
    }
    let text = reply.message.content_text();
    let Some(said) = answers.find(text.as_bytes()) else {
        return Err(Unscorable::NoAnswer(text.chars().take(80).collect()));
    };
    let none = Unscorable::NoLogprobs { said_yes: said.yes };
    let tokens = tokens_of(reply.logprobs.as_ref());
    // Tokens may hold what the text does not (a thought, a mark of the end), so the place is looked
    // for in them again.
    let spoken: Vec<u8> = tokens.iter().flat_map(|token| token.bytes.iter().copied()).collect();
    let Some(place) = answers.find(&spoken).filter(|place| place.yes == said.yes) else {
        return Err(none);
    };
    let mut start = 0;
    for token in &tokens {
        let end = start + token.bytes.len();
        if (start..end).contains(&place.letter) {
            return answers.weigh(token, &spoken[..start], place).ok_or(none);
        }
        start = end;
    }
    Err(none)
}

/// A token with what it competed with.
struct Token {
    bytes: Vec<u8>,
    logprob: Option<f64>,
    top: Vec<(Vec<u8>, f64)>,
}

/// Where an answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Where the answer may begin: behind the tag, or behind what is no space before it.
    from: usize,
    /// Where its first letter is.
    letter: usize,
    yes: bool,
}

impl Answers {
    fn find(&self, text: &[u8]) -> Option<Place> {
        let tag = self.tag.as_bytes();
        let behind = (!tag.is_empty())
            .then(|| rposition(text, tag, self.ignore_case))
            .flatten()
            .map(|at| at + tag.len());
        if let Some(from) = behind {
            let letter = from + spaces(&text[from..]);
            if let Some(yes) = self.begins(&text[letter..]) {
                return Some(Place { from, letter, yes });
            }
            return None;
        }
        (0..text.len()).rev().find_map(|letter| {
            let apart = letter == 0 || !is_word(text[letter - 1]);
            let yes = self.begins(&text[letter..]).filter(|_| apart)?;
            let before = text[..letter].iter().rposition(|b| !b.is_ascii_whitespace());
            Some(Place { from: before.map_or(0, |at| at + 1), letter, yes })
        })
    }

    /// Which answer a text begins with, as a word.
    fn begins(&self, text: &[u8]) -> Option<bool> {
        [(&self.yes, true), (&self.no, false)].into_iter().find_map(|(word, yes)| {
            let begins = self.prefix(text, word.as_bytes());
            let ends = text.get(word.len()).is_none_or(|b| !is_word(*b));
            (begins && ends && !word.is_empty()).then_some(yes)
        })
    }

    fn prefix(&self, text: &[u8], prefix: &[u8]) -> bool {
        text.get(..prefix.len()).is_some_and(|text| same(text, prefix, self.ignore_case))
    }

    /// Weighs the alternatives of the token that the answer's first letter is in.
    fn weigh(&self, token: &Token, before: &[u8], place: Place) -> Option<Found> {
        let said_yes = place.yes;
        let mut all: Vec<(&[u8], f64)> = token.top.iter().map(|(b, l)| (&**b, *l)).collect();
        if let Some(logprob) = token.logprob
            && !all.iter().any(|(bytes, _)| *bytes == token.bytes)
        {
            all.push((&token.bytes, logprob));
        }
        // Servers may name a token twice where two of its ids have one text: both count.
        let (mut yes, mut no) = (0.0, 0.0);
        for (bytes, logprob) in &all {
            match self.would_say(before, bytes, &token.bytes, place.from) {
                Some(true) => yes += logprob.exp(),
                Some(false) => no += logprob.exp(),
                None => {}
            }
        }
        let mass = yes + no;
        if token.top.is_empty() {
            let p = token.logprob?.exp().min(1.0);
            let p_yes = if said_yes { p } else { 1.0 - p };
            return Some(Found { p_yes, mass: p, said_yes, source: Source::Sampled });
        }
        let found = Found { p_yes: yes / mass, mass, said_yes, source: Source::Alternatives };
        (mass > 0.0 && found.p_yes.is_finite()).then_some(found)
    }

    /// Which answer would begin if this token had been said in place of that one.
    fn would_say(&self, before: &[u8], token: &[u8], said: &[u8], from: usize) -> Option<bool> {
        // What stands before the answer in the token that was said must stand there too.
        let fixed = from.saturating_sub(before.len()).min(said.len());
        if token.get(..fixed)? != &said[..fixed] {
            return None;
        }
        let mut text = before.get(from..).unwrap_or_default().to_vec();
        text.extend_from_slice(&token[fixed..]);
        let text = &text[spaces(&text)..];
        if text.is_empty() {
            return None;
        }
        let begin = |word: &str| {
            let word = word.as_bytes();
            match text.get(word.len()) {
                Some(next) => self.prefix(text, word) && !is_word(*next),
                None => same(text, &word[..text.len()], self.ignore_case),
            }
        };
        match (begin(&self.yes), begin(&self.no)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn same(a: &[u8], b: &[u8], ignore_case: bool) -> bool {
    if ignore_case { a.eq_ignore_ascii_case(b) } else { a == b }
}

/// Spaces at the beginning.
fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

fn rposition(text: &[u8], what: &[u8], ignore_case: bool) -> Option<usize> {
    text.windows(what.len()).rposition(|window| same(window, what, ignore_case))
}

/// The `content` list of chat completions. What is no number, or no logarithm of a probability, is
/// left out.
fn tokens_of(logprobs: Option<&Value>) -> Vec<Token> {
    // Some servers hand on the whole object.
    let list = match logprobs {
        Some(Value::Object(fields)) => fields.get("content").and_then(Value::as_array),
        other => other.and_then(Value::as_array),
    };
    let entry = |value: &Value| {
        let (bytes, logprob) = (bytes_of(value)?, logprob_of(value));
        Some((bytes, logprob))
    };
    let tokens = list.into_iter().flatten().filter_map(|value| {
        let (bytes, logprob) = entry(value)?;
        let top = value.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
        let top = top.filter_map(|value| {
            let (bytes, logprob) = entry(value)?;
            Some((bytes, logprob?))
        });
        Some(Token { bytes, logprob, top: top.collect() })
    });
    tokens.collect()
}

fn logprob_of(value: &Value) -> Option<f64> {
    // Rounding may leave a certainty a little above 0.
    value.get("logprob").and_then(Value::as_f64).filter(|l| l.is_finite() && *l < 1e-3)
}

/// The bytes of a token: as the server gives them, or those of its text.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let given = value.get("bytes").and_then(Value::as_array);
    let bytes = given.map(|all| all.iter().map(|b| u8::try_from(b.as_u64()?).ok()).collect());
    let text = || value.get("token").and_then(Value::as_str).map(|t| t.as_bytes().to_vec());
    match bytes {
        Some(Some(bytes)) => Some(bytes),
        _ => text(),
    }
}
