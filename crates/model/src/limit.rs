//! How many calls go on at once, and how fast they begin.

mod bucket;
mod gate;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::ModelError;
use crate::wait::{Stopped, Waiting, lock};

use bucket::Bucket;
use gate::Gate;

/// Bounds for the calls of one server. What is `None` has no bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitConfig {
    /// Calls that begin within a minute.
    pub requests_per_minute: Option<f64>,
    /// Tokens of prompts and completions within a minute. They are estimated before a call by its
    /// bytes and `max_tokens`, and corrected after it.
    pub tokens_per_minute: Option<f64>,
    /// Calls under way at once.
    pub concurrent: Option<usize>,
    /// Whether the number of calls under way is halved when the server is overloaded, and grows
    /// again by one after so many successes, or after as many as are allowed where that is less. 0
    /// leaves it as it is.
    pub grow_after: u32,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent: None,
            grow_after: 16,
        }
    }
}

/// What is going on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Calls under way.
    pub in_flight: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Calls that may be under way at once; `None` where there is no bound.
    pub allowed: Option<usize>,
    /// Tries that succeeded.
    pub succeeded: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Of those: because the server was asked too much.
    pub overloaded: u64,
}

/// The bounds of one server, shared by all who ask it.
#[derive(Debug)]
pub struct Limits {
    gate: Gate,
    requests: Option<Mutex<Bucket>>,
    tokens: Option<Mutex<Bucket>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(LimitConfig::default())
    }
}

impl Limits {
    /// Bounds.
    pub fn new(config: LimitConfig) -> Self {
        let bucket = |rate: f64| Mutex::new(Bucket::new(rate, Instant::now()));
        Self {
            gate: Gate::new(config.concurrent, config.grow_after),
            requests: config.requests_per_minute.map(bucket),
            tokens: config.tokens_per_minute.map(bucket),
        }
    }

    /// What is going on.
    pub fn gauge(&self) -> Gauge {
        self.gate.gauge()
    }

    /// Waits for a place. `None` where there is none before the deadline.
    pub(crate) fn enter(
        &self,
        waiting: &Waiting<'_>,
        tokens: u64,
        deadline: Option<Instant>,
    ) -> Result<Option<Place<'_>>, Stopped> {
        let mut place = Place { limits: self, tokens: 0, entered: None };
        let wait = self.reserve(&mut place, tokens);
        if !wait.is_zero() {
            let moment = Instant::now() + wait;
            if deadline.is_some_and(|deadline| moment >= deadline) {
                self.give_back(place.tokens);
                return Ok(None);
            }
            if let Err(stopped) = waiting.sleep(wait) {
                self.give_back(place.tokens);
                return Err(stopped);
            }
        }
        match self.gate.enter(waiting, deadline) {
            Ok(Some(entered)) => {
                place.entered = Some(entered);
                Ok(Some(place))
            }
            other => {
                self.give_back(place.tokens);
                other.map(|_| None)
            }
        }
    }

    /// Takes from the buckets, and tells how long to wait until they have as much.
    fn reserve(&self, place: &mut Place<'_>, tokens: u64) -> Duration {
        let now = Instant::now();
        let mut wait = Duration::ZERO;
        if let Some(requests) = &self.requests {
            wait = lock(requests).take(1.0, now);
        }
        if let Some(bucket) = &self.tokens {
            let mut bucket = lock(bucket);
            // More than a minute's worth would never fit.
            place.tokens = tokens.min(bucket.capacity() as u64);
            wait = wait.max(bucket.take(place.tokens as f64, now));
        }
        wait
    }

    /// A call that was not made.
    fn give_back(&self, tokens: u64) {
        if let Some(requests) = &self.requests {
            lock(requests).correct(-1.0);
        }
        self.correct(tokens, 0);
    }

    fn correct(&self, estimated: u64, actual: u64) {
        if let Some(bucket) = &self.tokens {
            lock(bucket).correct(actual as f64 - estimated as f64);
        }
    }
}

/// A call under way. Its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    limits: &'a Limits,
    tokens: u64,
    entered: Option<Instant>,
}

impl Place<'_> {
    /// The server answered, and took so many tokens.
    pub(crate) fn succeeded(&mut self, tokens: u64) {
        self.limits.correct(self.tokens, tokens);
        self.limits.gate.succeeded();
    }

    /// The server did not answer. What it did not do takes no tokens.
    pub(crate) fn failed(&mut self, error: &ModelError) {
        let overloaded = match error {
            ModelError::RateLimited { .. } => true,
            ModelError::Server { status, .. } => matches!(status, 503 | 529),
            _ => false,
        };
        self.limits.correct(self.tokens, 0);
        self.limits.gate.failed(self.entered.filter(|_| overloaded));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.entered.is_some() {
            self.limits.gate.leave();
        }
    }
}
