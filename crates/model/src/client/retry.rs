//! When to try again.

use std::time::Duration;

use crate::error::ModelError;

/// Waits between tries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Upper bound of the first wait. Each further one is twice as long.
    pub first: Duration,
    /// Upper bound of every wait.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// How long to wait after so many failed tries: by chance between nothing and the bound, so that
    /// those who failed together do not come back together. What the server says is a lower bound.
    pub(super) fn wait(&self, failed: u32, error: &ModelError) -> Duration {
        let bound =
            self.first.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1).min(20)));
        let chance = bound.min(self.longest).mul_f64(fastrand::f64());
        match error {
            ModelError::RateLimited { retry_after: Some(after), .. }
            | ModelError::Server { retry_after: Some(after), .. } => {
                *after + chance.min(after.mul_f64(0.1).max(self.first))
            }
            _ => chance,
        }
    }
}
