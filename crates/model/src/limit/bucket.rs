//! A bucket that fills evenly.

use std::time::{Duration, Instant};

/// Holds at most a minute's worth. It may be in debt: who takes more than there is waits until the
/// debt is paid, and whoever comes later waits longer.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    level: f64,
    since: Instant,
}

impl Bucket {
    pub(super) fn new(per_minute: f64, now: Instant) -> Self {
        // A rate of nothing would be an endless wait.
        let per_second = (per_minute / 60.0).max(1e-6);
        Self { per_second, level: per_second * 60.0, since: now }
    }

    pub(super) fn capacity(&self) -> f64 {
        self.per_second * 60.0
    }

    pub(super) fn take(&mut self, amount: f64, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = self.since.max(now);
        self.level = (self.level + passed * self.per_second).min(self.capacity());
        self.level -= amount;
        if self.level >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64((-self.level / self.per_second).min(86_400.0))
    }

    /// Takes more, or gives back.
    pub(super) fn correct(&mut self, more: f64) {
        self.level = (self.level - more).min(self.capacity());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_evenly() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut bucket = Bucket::new(60.0, start);
        assert_eq!(bucket.take(60.0, start), Duration::ZERO);
        assert_eq!(bucket.take(1.0, start), Duration::from_secs(1));
        assert_eq!(bucket.take(1.0, start), Duration::from_secs(2));
        assert_eq!(bucket.take(1.0, after(10)), Duration::ZERO);
        // Seven are left.
        assert_eq!(bucket.take(10.0, after(10)), Duration::from_secs(3));
        bucket.correct(-3.0);
        assert_eq!(bucket.take(1.0, after(10)), Duration::from_secs(1));
        // It never holds more than a minute's worth.
        assert_eq!(bucket.take(60.0, after(10_000)), Duration::ZERO);
        assert_eq!(bucket.take(1.0, after(10_000)), Duration::from_secs(1));
    }
}
