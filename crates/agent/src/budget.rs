//! What an attempt has used, and whether it may go on.

use palestra_model::Answer;

use crate::agent::{Exit, Limits};

/// Bytes that are taken for one token where the server has not counted yet.
const BYTES_PER_TOKEN: u64 = 4;

/// What an attempt has used so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// Calls of the model.
    pub steps: u32,
    /// Tokens of all prompts and completions.
    pub tokens: u64,
    /// Seconds of calls that succeeded and of tools.
    pub seconds: f64,
    /// Dollars.
    pub cost: f64,
    /// Tokens of the last prompt with its completion, as the server counted them.
    pub context: u64,
    /// Bytes that were said since, and that the next prompt will hold too.
    pub unsent: u64,
}

impl Spent {
    /// Counts a call.
    pub(crate) fn call(&mut self, answer: &Answer) {
        let usage = answer.reply.usage;
        self.steps += 1;
        self.tokens += usage.prompt + usage.completion;
        self.seconds += answer.effort.seconds;
        self.cost += answer.effort.cost.unwrap_or(0.0);
        if usage.prompt > 0 {
            self.context = usage.prompt + usage.completion;
            self.unsent = 0;
        }
    }

    /// Tokens of the next prompt: what the server counted, and a guess for what came since.
    pub fn next_prompt(&self) -> u64 {
        self.context + self.unsent / BYTES_PER_TOKEN
    }

    /// Which bound forbids another call.
    pub fn exceeded(&self, limits: &Limits) -> Option<Exit> {
        let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
        if self.steps >= limits.steps {
            Some(Exit::StepLimit)
        } else if self.seconds >= limits.time.as_secs_f64() {
            Some(Exit::TimeLimit)
        } else if over(self.tokens, limits.tokens) {
            Some(Exit::TokenLimit)
        } else if over(self.next_prompt(), limits.context) {
            Some(Exit::ContextLimit)
        } else if limits.cost.is_some_and(|limit| self.cost >= limit) {
            Some(Exit::CostLimit)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_named() {
        let limits = Limits {
            steps: 3,
            tokens: Some(100),
            context: Some(50),
            cost: Some(1.0),
            ..Limits::default()
        };
        let none = Spent::default();
        assert_eq!(none.exceeded(&limits), None);
        let spent = |change: fn(&mut Spent)| {
            let mut spent = Spent::default();
            change(&mut spent);
            spent.exceeded(&limits)
        };
        assert_eq!(spent(|spent| spent.steps = 3), Some(Exit::StepLimit));
        assert_eq!(spent(|spent| spent.seconds = 3600.0), Some(Exit::TimeLimit));
        assert_eq!(spent(|spent| spent.tokens = 100), Some(Exit::TokenLimit));
        assert_eq!(spent(|spent| spent.context = 50), Some(Exit::ContextLimit));
        assert_eq!(spent(|spent| spent.unsent = 200), Some(Exit::ContextLimit));
        assert_eq!(spent(|spent| spent.cost = 1.0), Some(Exit::CostLimit));
        assert_eq!(spent(|spent| spent.cost = 0.99), None);
    }
}
