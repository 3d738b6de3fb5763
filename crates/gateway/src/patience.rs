//! When a call is made again.

use std::time::Duration;

use palestra_model::ModelError;
use palestra_model::client::Backoff;
use tokio::time::Instant;

/// An answer that makes no sense will make none the next day.
const SENSELESS: u32 = 4;

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Patience {
    backoff: Backoff,
    begun: Instant,
    until: Instant,
    pub(crate) tries: u32,
    senseless: u32,
}

impl Patience {
    pub(crate) fn new(patience: Duration, backoff: Backoff) -> Self {
        let begun = Instant::now();
        Self { backoff, begun, until: begun + patience, tries: 0, senseless: 0 }
    }

    /// A try begins. Says how many seconds went by before.
    pub(crate) fn try_begins(&mut self) -> f64 {
        self.tries += 1;
        self.begun.elapsed().as_secs_f64()
    }

    /// How long to wait before the next try; `None` if there is none.
    pub(crate) fn after(&mut self, error: &ModelError) -> Option<Duration> {
        if !error.is_transient() {
            return None;
        }
        if matches!(error, ModelError::Garbage { .. }) {
            self.senseless += 1;
            if self.senseless >= SENSELESS {
                return None;
            }
        }
        let Backoff { first, longest } = self.backoff;
        let grown = first.saturating_mul(1 << self.tries.saturating_sub(1).min(20)).min(longest);
        // Not all callers that were refused together come back together.
        let chance = fastrand::f64();
        let wait = match error {
            ModelError::RateLimited { retry_after: Some(asked), .. }
            | ModelError::Server { retry_after: Some(asked), .. } => {
                asked.saturating_add(first.mul_f64(chance))
            }
            _ => grown.mul_f64(0.5 + 0.5 * chance),
        };
        (Instant::now() + wait < self.until).then_some(wait)
    }
}
