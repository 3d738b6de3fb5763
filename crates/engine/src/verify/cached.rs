//! Runs of tests that are not run twice.

use std::path::PathBuf;

use palestra_core::{Hash, TestReport, disk};
use palestra_grade::RunLimits;
use palestra_sandbox::{FileOp, Outcome, SandboxSpec};
use serde::{Deserialize, Serialize};

use super::ground::Ground;
use crate::derive::optional;
use crate::error::EngineError;
use crate::shop::Tools;

/// Raised when what a run gives means something else than before.
const FORM: &str = "1";

/// What a run of tests gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Test by test.
    pub(super) report: TestReport,
    /// Wall seconds, the sandbox included.
    pub(super) seconds: f64,
    /// Whether it was read and not run.
    #[serde(skip)]
    pub(super) again: bool,
}

/// Runs tests on the base tree with changes, in a fresh sandbox of its environment each time.
pub(super) struct Runner<'a> {
    pub(super) tools: &'a Tools,
    pub(super) checksum: &'a Hash,
    pub(super) environment: &'a palestra_core::Environment,
    pub(super) spec: SandboxSpec,
    /// Where results are kept.
    pub(super) cache: Option<PathBuf>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        tools: &'a Tools,
        ground: &'a Ground,
        spec: SandboxSpec,
        cache: Option<PathBuf>,
    ) -> Self {
        let Ground { checksum, environment, .. } = ground;
        Self { tools, checksum, environment, spec, cache }
    }

    /// The tests in `paths` with these changes; `round` tells runs of the same thing apart.
    pub(super) fn run(
        &self,
        changes: &[FileOp],
        paths: &[String],
        limits: &RunLimits,
        round: u32,
    ) -> Result<Run, EngineError> {
        self.tools.check_stop()?;
        // Debug is an exact form of the changes, and only ever compared with itself.
        let changed = Hash::of(format!("{changes:?}").as_bytes());
        let round = round.to_string();
        let named = paths.join("\n");
        let key = [FORM, self.checksum.as_str(), changed.as_str(), &named, &round];
        let file = self.cache.as_ref().map(|dir| dir.join(format!("{}.json", Hash::of_parts(key))));
        if let Some(file) = &file
            && let Some(bytes) = optional(file)?
            && let Ok(run) = serde_json::from_slice::<Run>(&bytes)
        {
            return Ok(Run { again: true, ..run });
        }
        let (host, spec) = (&self.tools.host, &self.spec);
        let run = palestra_grade::run_tests(host, spec, self.environment, changes, paths, limits)?;
        // How long a run may take depends on the machine, so what was stopped is tried again.
        let stopped = run.outcome == Outcome::TimedOut;
        let run = Run { report: run.report, seconds: run.seconds, again: false };
        if let Some(file) = file.filter(|_| !stopped) {
            disk::write_json(&file, &run)?;
        }
        Ok(run)
    }
}
