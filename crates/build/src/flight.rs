//! One of several threads does what all of them need; the others wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::builder::lock;

/// Work under way, by name.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    names: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl Flight {
    /// Runs `work` while no other thread runs work of this name.
    pub(crate) fn alone<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        let turn = lock(&self.names).entry(name.to_owned()).or_default().clone();
        let guard = lock(&turn);
        let result = work();
        drop(guard);
        // Two holders: the table and this thread. With a third one, the name is still in use.
        let mut names = lock(&self.names);
        if Arc::strong_count(&turn) == 2 {
            names.remove(name);
        }
        result
    }
}
