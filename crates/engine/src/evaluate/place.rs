//! Where a run writes.

use std::path::{Path, PathBuf};

use fs_err as fs;
use palestra_store::lease::Lock;

use super::Files;
use crate::error::EngineError;
use crate::hold::hold;

/// The directory of a run: `DIR/<model>/<instance id>/…`, and the summaries beside the models.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    model: String,
    run_id: String,
    _lock: Lock,
}

impl Place {
    /// Opens the directory of a run, and keeps others out of it.
    pub fn open(dir: &Path, model: &str, run_id: &str) -> Result<Self, EngineError> {
        fs::create_dir_all(dir)?;
        let lock = hold(dir, ".lock")?;
        for (what, name) in [("run id", run_id), ("name of a model", model)] {
            if name.is_empty() || name.contains(['\0', '\n']) || name.starts_with('.') {
                return Err(EngineError::Input(format!("{name:?} is no {what}")));
            }
        }
        let run_id = run_id.replace('/', "__");
        Ok(Self { dir: dir.to_owned(), model: model.to_owned(), run_id, _lock: lock })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The model, as the predictions name it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The name of the run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    pub(crate) fn files(&self, instance_id: &str) -> Files {
        Files(self.dir.join(self.model.replace('/', "__")).join(instance_id))
    }
}
