//! Attempts at a task that nobody needs any more are not made.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use palestra_verify::{Cost, EarlyStop, Score};

use super::job::Job;
use super::plan::{Group, Trial};
use super::record::AttemptRecord;
use crate::error::EngineError;

/// Task and variant.
type Place = (usize, usize);

/// What the critic thinks of the attempts so far.
#[derive(Default)]
pub(super) struct Early {
    rule: Option<EarlyStop>,
    seen: Mutex<BTreeMap<Place, (Vec<Score>, Cost)>>,
}

impl Early {
    pub(super) fn new(enough: Option<f64>) -> Self {
        let rule = enough.map(|enough| EarlyStop { threshold: Some(enough), ..Default::default() });
        Self { rule, seen: Mutex::default() }
    }

    /// Whether attempts are judged at all.
    pub(super) fn is_on(&self) -> bool {
        self.rule.is_some()
    }

    /// Takes note of an attempt.
    pub(super) fn note(&self, trial: &Trial, record: &AttemptRecord, score: Score) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (scores, spent) = seen.entry((trial.task, trial.variant)).or_default();
        scores.push(score);
        *spent += Cost {
            tokens: (record.usage.prompt + record.usage.completion) as f64,
            seconds: record.seconds.agent,
            usd: record.cost.unwrap_or_default(),
        };
    }

    /// Whether more attempts are worth making. The attempts at other tasks are the prior.
    pub(super) fn wants(&self, group: &Group) -> bool {
        let (Some(rule), Some(trial)) = (&self.rule, group.first()) else { return true };
        let place = (trial.task, trial.variant);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((scores, spent)) = seen.get(&place) else { return true };
        let others = seen.iter().filter(|(other, _)| **other != place);
        let prior: Vec<f64> =
            others.flat_map(|(_, (scores, _))| scores).filter_map(|score| score.get()).collect();
        rule.decide(scores, spent, &prior).goes_on()
    }
}

/// What the critic thinks of an attempt whose first half is over.
pub(super) fn judged(
    job: &Job,
    trial: &Trial,
    critic: &palestra_verify::critic::Critic,
) -> Result<Score, EngineError> {
    Ok(critic.predict(&crate::verify::features_of(job, trial)?))
}
