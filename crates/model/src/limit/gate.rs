//! Places for calls under way, first come, first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::Instant;

use super::Gauge;
use crate::wait::{Stopped, Waiting, lock};

#[derive(Debug)]
pub(super) struct Gate {
    /// More are never allowed.
    most: Option<usize>,
    /// Successes after which one more is allowed, or as many as are allowed where that is less; 0
    /// where the number stays.
    grow_after: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    allowed: Option<usize>,
    /// Successes since the number last changed.
    successes: u32,
    /// When the number was last halved. Calls that began before say nothing about what is now.
    halved: Option<Instant>,
    queue: VecDeque<Arc<Ticket>>,
    succeeded: u64,
    failed: u64,
    overloaded: u64,
}

#[derive(Debug)]
struct Ticket {
    granted: AtomicBool,
    thread: Thread,
}

impl State {
    fn free(&self) -> bool {
        self.allowed.is_none_or(|allowed| self.in_flight < allowed)
    }

    /// Gives free places to those who wait longest.
    fn grant(&mut self) {
        while self.free()
            && let Some(ticket) = self.queue.pop_front()
        {
            self.in_flight += 1;
            ticket.granted.store(true, Ordering::Release);
            ticket.thread.unpark();
        }
    }
}

impl Gate {
    pub(super) fn new(most: Option<usize>, grow_after: u32) -> Self {
        let most = most.map(|most| most.max(1));
        let state = State { allowed: most, ..State::default() };
        Self { most, grow_after, state: Mutex::new(state) }
    }

    pub(super) fn gauge(&self) -> Gauge {
        let state = lock(&self.state);
        Gauge {
            in_flight: state.in_flight,
            waiting: state.queue.len(),
            allowed: state.allowed,
            succeeded: state.succeeded,
            failed: state.failed,
            overloaded: state.overloaded,
        }
    }

    /// Waits for a place. Tells when it was given.
    pub(super) fn enter(
        &self,
        waiting: &Waiting<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<Instant>, Stopped> {
        waiting.stopped()?;
        let ticket = {
            let mut state = lock(&self.state);
            if state.queue.is_empty() && state.free() {
                state.in_flight += 1;
                return Ok(Some(Instant::now()));
            }
            let ticket = Ticket { granted: AtomicBool::new(false), thread: std::thread::current() };
            let ticket = Arc::new(ticket);
            state.queue.push_back(ticket.clone());
            ticket
        };
        let granted = || ticket.granted.load(Ordering::Acquire).then(Instant::now);
        let result = waiting.until(deadline, granted);
        if !matches!(result, Ok(Some(_))) {
            let mut state = lock(&self.state);
            let place = state.queue.iter().position(|other| Arc::ptr_eq(other, &ticket));
            match place {
                Some(place) => drop(state.queue.remove(place)),
                // It was given a place just now.
                None => {
                    state.in_flight -= 1;
                    state.grant();
                }
            }
        }
        result
    }

    pub(super) fn leave(&self) {
        let mut state = lock(&self.state);
        state.in_flight = state.in_flight.saturating_sub(1);
        state.grant();
    }

    pub(super) fn succeeded(&self) {
        let mut state = lock(&self.state);
        state.succeeded += 1;
        if self.grow_after == 0 || state.allowed == self.most {
            return;
        }
        state.successes += 1;
        // Few places grow quickly: once each of them was of use.
        let enough = state.allowed.map_or(self.grow_after, |allowed| {
            self.grow_after.min(u32::try_from(allowed).unwrap_or(u32::MAX))
        });
        if state.successes >= enough {
            state.successes = 0;
            state.allowed = state.allowed.map(|allowed| allowed + 1);
            state.grant();
        }
    }

    /// A try failed; `overloaded` is when it began, where the server was asked too much.
    pub(super) fn failed(&self, overloaded: Option<Instant>) {
        let mut state = lock(&self.state);
        state.failed += 1;
        let Some(began) = overloaded else { return };
        state.overloaded += 1;
        if self.grow_after == 0 || state.halved.is_some_and(|halved| began < halved) {
            return;
        }
        // Fewer may be under way than are allowed; only those say what is too much.
        let now = state.allowed.unwrap_or(usize::MAX).min(state.in_flight);
        state.allowed = Some((now / 2).max(1));
        state.successes = 0;
        state.halved = Some(Instant::now());
    }
}
