//! Many things at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::EngineError;

/// Does something with every item, on some threads. The first error stops all of them; an
/// interruption is what the others see when one has failed.
pub(crate) fn parallel<T: Sync>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> Result<(), EngineError> + Sync,
) -> Result<(), EngineError> {
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<EngineError>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Err(error) = work(item) else { continue };
                    let mut slot = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if slot.is_none() || matches!(*slot, Some(EngineError::Interrupted)) {
                        *slot = Some(error);
                    }
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                    break;
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
