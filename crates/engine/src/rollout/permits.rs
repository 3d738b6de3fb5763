//! How many of something may be under way, which may change while they are.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// So often the machine is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a waiter sleeps before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// Below this share of free memory nothing new is begun.
const SCARCE: f64 = 0.08;
/// Above this share of free memory more may be begun again.
const PLENTY: f64 = 0.15;
/// Share of time, per cent, in which some process waited for memory, above which less is begun.
const STALLED: f64 = 20.0;

/// A bound on how many are under way.
#[derive(Debug, Clone)]
pub(crate) struct Permits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// In use, and how many there may be now.
    state: Mutex<(usize, usize)>,
    changed: Condvar,
    most: usize,
}

/// One of them; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Inner>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
        self.0.changed.notify_one();
    }
}

impl Permits {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        let state = Mutex::new((0, most));
        Self(Arc::new(Inner { state, changed: Condvar::new(), most }))
    }

    /// Waits for one. `None` when the user wants to stop.
    pub(crate) fn take(&self, stop: &AtomicBool) -> Option<Permit> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            if state.0 < state.1 {
                state.0 += 1;
                return Some(Permit(Arc::clone(&self.0)));
            }
            let waited = self.0.changed.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many there may be now.
    #[cfg(test)]
    pub(crate) fn allowed(&self) -> usize {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Halves what is under way when the machine is short of memory; else lets it grow slowly.
    pub(crate) fn adapt(&self, pressure: Pressure) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (used, allowed) = *state;
        state.1 = match pressure {
            Pressure::High => allowed.min((used / 2).max(1)),
            Pressure::Some => allowed,
            Pressure::None => (allowed + allowed / 10 + 1).min(self.0.most),
        };
        drop(state);
        self.0.changed.notify_all();
    }
}

/// How short of memory the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    None,
    Some,
    High,
}

/// Looks at the machine, again and again, until `over`.
pub(crate) fn watch(permits: &Permits, over: &AtomicBool) {
    let mut since = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(PATIENCE);
        since += PATIENCE;
        if since >= LOOK_EVERY {
            since = Duration::ZERO;
            permits.adapt(look());
        }
    }
}

fn look() -> Pressure {
    let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| free_share(&text));
    let stalled = fs::read_to_string("/proc/pressure/memory").ok().and_then(|text| stalled(&text));
    judge(free, stalled)
}

fn judge(free: Option<f64>, stalled: Option<f64>) -> Pressure {
    if free.is_some_and(|free| free < SCARCE) || stalled.is_some_and(|some| some > STALLED) {
        Pressure::High
    } else if free.is_some_and(|free| free < PLENTY) {
        Pressure::Some
    } else {
        Pressure::None
    }
}

/// Of `/proc/meminfo`: what is available of what there is.
fn free_share(text: &str) -> Option<f64> {
    let field = |name: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(field("MemAvailable:")? / field("MemTotal:")?)
}

/// Of `/proc/pressure/memory`: per cent of the last ten seconds.
fn stalled(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some"))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_halves_and_plenty_grows() {
        let permits = Permits::new(8);
        let stop = AtomicBool::new(false);
        let mut held: Vec<_> = (0..8).map(|_| permits.take(&stop).unwrap()).collect();
        permits.adapt(Pressure::High);
        assert_eq!(permits.allowed(), 4);
        held.truncate(4);
        stop.store(true, Ordering::Relaxed);
        assert!(permits.take(&stop).is_none());
        stop.store(false, Ordering::Relaxed);
        permits.adapt(Pressure::None);
        assert_eq!(permits.allowed(), 5);
        held.push(permits.take(&stop).unwrap());
        (0..9).for_each(|_| permits.adapt(Pressure::None));
        assert_eq!(permits.allowed(), 8);
    }

    #[test]
    fn the_machine_is_read() {
        let text = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n";
        assert_eq!(free_share(text), Some(0.25));
        let text = "some avg10=30.50 avg60=1.0 avg300=0.0 total=9\nfull avg10=0.00 total=1\n";
        assert_eq!(stalled(text), Some(30.5));
        assert_eq!(judge(Some(0.5), Some(30.5)), Pressure::High);
        assert_eq!(judge(Some(0.05), None), Pressure::High);
        assert_eq!(judge(Some(0.1), Some(0.0)), Pressure::Some);
        assert_eq!(judge(None, None), Pressure::None);
    }
}
