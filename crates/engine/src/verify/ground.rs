//! What an agent starts from, and nothing that it may not see.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use palestra_build::{Built, Step};
use palestra_core::harbor::{self, TaskForm};
use palestra_core::{Environment, Hash};
use palestra_git::{BlobReader, Repo, TreeEntry};
use palestra_grade::patch::{BaseFile, to_ops};
use palestra_sandbox::FileOp;

use crate::derive::{self, optional};
use crate::error::EngineError;
use crate::shop::Tools;

/// The base tree of a task with its environment and statement; neither the fix nor a hidden test is
/// read for it.
pub struct Ground {
    /// The task.
    pub id: String,
    /// The repository.
    pub repository: String,
    /// What the agents were told.
    pub statement: String,
    /// The hash of the tree and of the environment: what results of tests depend on.
    pub checksum: Hash,
    pub(super) environment: Environment,
    repo: Repo,
    tree: BTreeMap<Vec<u8>, TreeEntry>,
    blobs: RefCell<BlobReader>,
    _work: tempfile::TempDir,
}

impl Ground {
    /// Reads it from the directory of a task, with its repository unpacked in `work`. The inner error
    /// says what is wrong with the task.
    pub fn read(work: tempfile::TempDir, dir: &Path) -> Result<Result<Self, String>, EngineError> {
        let path = dir.join(harbor::TASK_JSON);
        let Some(form) = optional(&path)? else {
            return Ok(Err(format!("{} is not there", path.display())));
        };
        let form = match TaskForm::from_json(&form) {
            Ok(form) => form,
            Err(error) => return Ok(Err(format!("{}: {error}", path.display()))),
        };
        let bundle = dir.join(harbor::BUNDLE);
        let Some(bytes) = optional(&bundle)? else {
            return Ok(Err(format!("{} is not there", bundle.display())));
        };
        let base_patch = optional(&dir.join(harbor::BASE_PATCH))?.unwrap_or_default();
        let removed = optional(&dir.join(harbor::BASE_REMOVED))?.unwrap_or_default();
        let environment = form.task.environment;
        let described = serde_json::to_vec(&environment).unwrap_or_default();
        let checksum = Hash::of_parts([&bytes[..], &base_patch, &removed, &described]);
        let repo = match derive::repository_of(dir, work.path())? {
            Ok((repo, _)) => repo,
            Err(why) => return Ok(Err(why)),
        };
        let statement = optional(&dir.join("instruction.md"))?.unwrap_or_default();
        let blobs = RefCell::new(repo.blobs()?);
        let entries = repo.tree(repo.head())?;
        Ok(Ok(Self {
            id: form.task.instance_id.to_string(),
            repository: form.task.repository,
            statement: String::from_utf8_lossy(&statement).into_owned(),
            checksum,
            environment,
            tree: entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect(),
            repo,
            blobs,
            _work: work,
        }))
    }

    /// Mode and content of a file.
    pub(super) fn base(&self, path: &str) -> Option<BaseFile> {
        let entry = self.tree.get(path.as_bytes()).filter(|entry| !entry.is_submodule())?;
        self.blobs.borrow_mut().read(&entry.oid).ok().map(|bytes| (entry.mode, bytes))
    }

    /// Every Python file with its content.
    pub(super) fn python(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.tree.keys().filter(|path| path.ends_with(b".py"));
        names
            .filter_map(|path| {
                let path = std::str::from_utf8(path).ok()?;
                let (mode, content) = self.base(path)?;
                (mode & 0o170000 == 0o100000).then(|| (path.to_owned(), content))
            })
            .collect()
    }

    /// A patch as changes, in words if it does not apply.
    pub(super) fn ops(&self, patch: &[u8]) -> Result<Vec<FileOp>, String> {
        to_ops(patch, &|path| self.base(path)).map_err(|error| error.to_string())
    }

    /// Its environment, from the store or made again.
    pub(super) fn built(&self, tools: &Tools) -> Result<Result<Built, String>, EngineError> {
        match tools.builder(&self.repo).materialise(&self.environment, self.repo.head()) {
            Ok(built) => Ok(Ok(built)),
            Err(failure) if failure.step == Step::Machine => Err(failure.into()),
            Err(failure) => Ok(Err(format!("the environment cannot be made: {failure}"))),
        }
    }
}
