//! When to stop trying.
//!
//! One more attempt is worth what it is expected to add to the probability that the best one is
//! right. How good the next attempt may be is told by the attempts so far and by those at other tasks
//! (the prior), which count as [`EarlyStop::prior_weight`] attempts. So on a task where nothing gets
//! better the hope fades, and the money goes elsewhere.

use serde::{Deserialize, Serialize};

use crate::candidate::Score;

/// What attempts took, or may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Tokens, of prompts and completions.
    pub tokens: f64,
    /// Seconds of wall time.
    pub seconds: f64,
    /// Dollars.
    pub usd: f64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.seconds += other.seconds;
        self.usd += other.usd;
    }
}

/// What a gain is measured against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// An attempt.
    #[default]
    Attempt,
    /// A million tokens.
    MillionTokens,
    /// An hour.
    Hour,
    /// A dollar.
    Dollar,
}

impl Per {
    /// How many of it a cost is.
    fn of(self, cost: &Cost) -> f64 {
        match self {
            Self::Attempt => 1.0,
            Self::MillionTokens => cost.tokens / 1e6,
            Self::Hour => cost.seconds / 3600.0,
            Self::Dollar => cost.usd,
        }
    }
}

/// When to stop, for one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStop {
    /// Stop when the best attempt is right with this probability.
    pub threshold: Option<f64>,
    /// Stop when one more attempt adds less than this to that probability.
    pub least_gain: Option<f64>,
    /// The gain is for so much.
    pub per: Per,
    /// How many attempts the prior counts as.
    pub prior_weight: f64,
    /// Attempts that are made in any case.
    pub least_attempts: usize,
    /// Attempts at most.
    pub attempts: Option<usize>,
    /// Tokens at most.
    pub tokens: Option<f64>,
    /// Seconds at most.
    pub seconds: Option<f64>,
    /// Dollars at most.
    pub usd: Option<f64>,
}

impl Default for EarlyStop {
    fn default() -> Self {
        Self {
            threshold: None,
            least_gain: None,
            per: Per::Attempt,
            prior_weight: 4.0,
            least_attempts: 1,
            attempts: None,
            tokens: None,
            seconds: None,
            usd: None,
        }
    }
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// One more.
    GoOn {
        /// What it is expected to add.
        gain: f64,
    },
    /// The best is good enough.
    GoodEnough {
        /// The probability that it is right.
        best: f64,
    },
    /// One more is not worth its cost.
    NotWorthIt {
        /// What it would be expected to add, for one of [`EarlyStop::per`].
        gain: f64,
    },
    /// The next attempt would go beyond the budget.
    Spent,
}

impl Decision {
    /// Whether to make another attempt.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::GoOn { .. })
    }
}

impl EarlyStop {
    /// Decides after the attempts at a task so far: their calibrated probabilities, what they took,
    /// and the probabilities of attempts at other tasks.
    pub fn decide(&self, seen: &[Score], spent: &Cost, prior: &[f64]) -> Decision {
        let made = seen.len();
        let mean = |sum: f64| if made == 0 { 0.0 } else { sum / made as f64 };
        let next =
            Cost { tokens: mean(spent.tokens), seconds: mean(spent.seconds), usd: mean(spent.usd) };
        let beyond = |most: Option<f64>, so_far: f64, next: f64| {
            most.is_some_and(|most| so_far + next > most || so_far >= most)
        };
        if self.attempts.is_some_and(|most| made >= most)
            || beyond(self.tokens, spent.tokens, next.tokens)
            || beyond(self.seconds, spent.seconds, next.seconds)
            || beyond(self.usd, spent.usd, next.usd)
        {
            return Decision::Spent;
        }
        let best = seen.iter().filter_map(|score| score.get()).fold(0.0, f64::max);
        let gain = self.gain(seen, prior, best);
        if made < self.least_attempts {
            return Decision::GoOn { gain };
        }
        if self.threshold.is_some_and(|threshold| best >= threshold) {
            return Decision::GoodEnough { best };
        }
        let units = self.per.of(&next);
        if let Some(least) = self.least_gain
            && units > 0.0
            && gain / units < least
        {
            return Decision::NotWorthIt { gain: gain / units };
        }
        Decision::GoOn { gain }
    }

    /// What one more attempt is expected to add. Attempts without a score add nothing.
    fn gain(&self, seen: &[Score], prior: &[f64], best: f64) -> f64 {
        let mut sorted: Vec<f64> = prior.iter().copied().filter(|p| p.is_finite()).collect();
        if sorted.is_empty() {
            // Nothing is known: anything is as likely as anything.
            return self.prior_weight.max(0.0) * (1.0 - best).powi(2)
                / 2.0
                / (self.prior_weight.max(0.0) + seen.len() as f64).max(f64::MIN_POSITIVE);
        }
        sorted.sort_by(f64::total_cmp);
        let above: f64 = sorted.iter().map(|p| (p - best).max(0.0)).sum();
        let weight = self.prior_weight.max(0.0);
        weight * above / sorted.len() as f64 / (weight + seen.len() as f64).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(of: &[f64]) -> Vec<Score> {
        of.iter().map(|p| Score::new(*p)).collect()
    }

    #[test]
    fn it_stops_for_each_reason() {
        let prior = [0.1, 0.2, 0.9];
        let stop = EarlyStop {
            threshold: Some(0.8),
            least_gain: Some(0.05),
            attempts: Some(8),
            usd: Some(1.0),
            ..EarlyStop::default()
        };
        let each = |n: usize| Cost { usd: 0.2 * n as f64, ..Cost::default() };
        let decide = |seen: &[f64], n: usize| stop.decide(&scores(seen), &each(n), &prior);
        assert!(decide(&[], 0).goes_on());
        assert_eq!(decide(&[0.3, 0.85], 2), Decision::GoodEnough { best: 0.85 });
        assert!(decide(&[0.1], 1).goes_on());
        assert!(matches!(decide(&[0.1, 0.7, 0.1, 0.1], 4), Decision::NotWorthIt { .. }));
        assert_eq!(decide(&[0.1; 5], 5), Decision::Spent);
        let unscorable = [Score::NONE, Score::NONE];
        assert!(stop.decide(&unscorable, &Cost::default(), &prior).goes_on());
        assert_eq!(stop.decide(&[Score::NONE; 8], &Cost::default(), &prior), Decision::Spent);
        assert!(stop.decide(&[], &Cost::default(), &[f64::NAN]).goes_on());
    }

    #[test]
    fn hope_fades() {
        let stop = EarlyStop::default();
        let gain = |n: usize| match stop.decide(&vec![Score::new(0.2); n], &Cost::default(), &[0.5])
        {
            Decision::GoOn { gain } => gain,
            other => panic!("{other:?}"),
        };
        let gains: Vec<f64> = (1..10).map(gain).collect();
        assert!(gains.windows(2).all(|pair| pair[1] < pair[0]), "{gains:?}");
    }
}
