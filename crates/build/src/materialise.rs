//! An environment that was proven before, made again from what was written down about it.

use std::time::Instant;

use palestra_core::{CommitId, Environment};

use crate::builder::{BuildFailure, Builder, Built, Step};
use crate::{install, resolve, tree};

impl Builder {
    /// Makes `environment` for the tree of `base`: its lock is synchronised as it stands, and its
    /// install step is run. What is in the store already is used. Another patch level of the
    /// interpreter than the recorded one will do.
    pub fn materialise(
        &self,
        environment: &Environment,
        base: &CommitId,
    ) -> Result<Built, BuildFailure> {
        let start = Instant::now();
        let mut log = String::new();
        let fail = |step, log: &str| BuildFailure {
            step,
            log: log.to_owned(),
            seconds: start.elapsed().as_secs_f64(),
        };
        let wanted = &environment.python;
        let interpreter = self
            .options
            .interpreters
            .iter()
            .filter(|i| i.minor().to_string() == *wanted)
            .max_by_key(|i| i.full() == environment.python_full)
            .ok_or_else(|| {
                let text = format!("no Python {wanted} on this machine: install one");
                fail(Step::Machine, &text)
            })?;
        let layer = resolve::sync_lock(self, environment, interpreter, &mut log)
            .map_err(|(step, said)| fail(step, &(log.clone() + &said)))?;
        let known = self.know(base).map_err(|e| fail(Step::Machine, &e.to_string()))?;
        let tree = tree::tree_layer(&self.options.store, &self.blobs, base, &known.entries)
            .map_err(|e| fail(Step::Machine, &e.to_string()))?;
        let mut layers = vec![layer, tree];
        let binds = resolve::binds(&self.options.uv, interpreter);
        if !environment.install.is_empty() {
            let project = install::install(self, environment, &layers, &binds, &known, &mut log)
                .map_err(|(step, said)| fail(step, &(log.clone() + &said)))?;
            layers.push(project);
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(Built { environment: environment.clone(), layers, binds, log, seconds })
    }
}
