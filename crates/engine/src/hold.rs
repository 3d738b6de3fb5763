//! One command at a time in a directory.

use std::path::Path;
use std::time::{Duration, Instant};

use palestra_store::lease::Lock;

use crate::error::EngineError;

/// The longest that what a killed command leaves takes to be gone: processes which it was just
/// making hold its files until they see that it is dead.
const LAST_BREATH: Duration = Duration::from_secs(3);

/// Keeps other commands out of `dir`, by the lock `name` in it.
pub(crate) fn hold(dir: &Path, name: &str) -> Result<Lock, EngineError> {
    let start = Instant::now();
    loop {
        if let Some(lock) = Lock::attempt(&dir.join(name))? {
            return Ok(lock);
        }
        if start.elapsed() > LAST_BREATH {
            return Err(EngineError::Busy { dir: dir.to_owned() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
