//! One row by itself: the place where an agent works on it, and the verdict about what it left.

use std::path::Path;
use std::time::Duration;

use palestra_build::rows::{RowBuilder, RowCause, RowEnvironment};
use palestra_dataset::Instance;
use palestra_dialect::Dialect;

use super::environment::Plan;
use super::{Decision, Place, Request, Sources, Submission, Work};
use crate::error::EngineError;
use crate::shop::Tools;

/// Bytes of memory of a run of tests.
const MEMORY: u64 = 8 << 30;

/// How one row is prepared and graded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Single<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) builder: &'a RowBuilder,
    pub(crate) sources: &'a Sources,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) timeout: Option<Duration>,
    /// Where the files of the run are written.
    pub(crate) dir: &'a Path,
}

impl Single<'_> {
    fn work<T>(
        &self,
        then: impl FnOnce(&Work<'_>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let request = Request {
            rows: Vec::new(),
            dataset: Vec::new(),
            dialect: self.dialect,
            timeout: self.timeout,
            memory: MEMORY,
            sources: self.sources.clone(),
            jobs: 1,
        };
        let place = Place::open(self.dir, "run", "run")?;
        then(&Work { tools: self.tools, request: &request, place: &place, builder: self.builder })
    }

    /// The environment of a row; the inner error says why there is none.
    pub(crate) fn environment(
        &self,
        row: &Instance,
    ) -> Result<Result<RowEnvironment, String>, EngineError> {
        self.work(|work| {
            Ok(match work.plan(row)? {
                Err(lacking) => Err(lacking.why),
                Ok(Plan::Image(environment)) => Ok(*environment),
                Ok(Plan::Specification { spec, source, .. }) => {
                    match self.builder.build(&spec, &source) {
                        Ok(environment) => Ok(environment),
                        Err(failure) => match failure.cause {
                            RowCause::Machine(why) => return Err(EngineError::Machine(why)),
                            _ => Err(failure.to_string()),
                        },
                    }
                }
            })
        })
    }

    /// What a patch is worth.
    pub(crate) fn decide(&self, row: &Instance, patch: &[u8]) -> Result<Decision, EngineError> {
        self.work(|work| work.decide(row, &Submission::Patch(Some(patch.to_vec()))))
    }

    /// The log of the run that was decided last.
    pub(crate) fn log(&self, row: &Instance) -> Vec<u8> {
        let file = self.dir.join("run").join(row.instance_id.as_str()).join("test_output.txt");
        fs_err::read(file).unwrap_or_default()
    }
}
