//! A task read back from its directory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use palestra_build::{Built, Step};
use palestra_core::harbor::{self, TaskForm};
use palestra_core::{Hash, Task, TestFile};
use palestra_git::{BlobReader, Repo, TreeEntry};
use palestra_grade::patch::BaseFile;

use crate::derive;
use crate::error::EngineError;
use crate::material;
use crate::shop::Tools;

/// A task with everything that it is graded with.
pub(crate) struct Stored {
    pub(crate) task: Task,
    /// The hidden files with their contents.
    pub(crate) hidden: Vec<(TestFile, Option<Vec<u8>>)>,
    /// The fix.
    pub(crate) gold: Vec<u8>,
    /// The agent's repository.
    pub(crate) repo: Repo,
    /// It again, as a bundle; it goes with this value.
    pub(crate) bundle: PathBuf,
    tree: BTreeMap<Vec<u8>, TreeEntry>,
    blobs: RefCell<BlobReader>,
    /// Where the repository is unpacked.
    _work: tempfile::TempDir,
}

impl Stored {
    /// Reads it, with its repository unpacked in `work`. The inner error says what was changed
    /// since it was proven.
    pub(crate) fn read(
        work: tempfile::TempDir,
        dir: &Path,
    ) -> Result<Result<Self, String>, EngineError> {
        let path = dir.join(harbor::TASK_JSON);
        let form = TaskForm::from_json(&fs::read(&path)?)
            .map_err(|error| EngineError::Corrupt { path, why: error.to_string() })?;
        let mut contents = BTreeMap::new();
        for TestFile { path, hash, .. } in &form.task.test_files {
            let (Some(hash), Some(stored)) = (hash, form.stored.get(path)) else { continue };
            let relative = Path::new(stored);
            if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
                return Ok(Err(format!("{stored:?} is not a name of a hidden file")));
            }
            let bytes = fs::read(dir.join(harbor::TEST_FILES).join(relative))?;
            if Hash::of(&bytes) != *hash {
                return Ok(Err(format!("{path} was changed after the gate")));
            }
            contents.insert(path.clone(), bytes);
        }
        let (repo, bundle) = match derive::repository_of(dir, work.path())? {
            Ok(both) => both,
            Err(why) => return Ok(Err(why)),
        };
        let blobs = RefCell::new(repo.blobs()?);
        let entries = repo.tree(repo.head())?;
        Ok(Ok(Self {
            hidden: material::overlay(&form.task.test_files, &contents),
            task: form.task,
            gold: fs::read(dir.join(harbor::GOLD_PATCH))?,
            tree: entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect(),
            repo,
            bundle,
            blobs,
            _work: work,
        }))
    }

    /// Mode and content of a file of the base tree.
    pub(crate) fn base(&self, path: &str) -> Option<BaseFile> {
        let entry = self.tree.get(path.as_bytes()).filter(|entry| !entry.is_submodule())?;
        self.blobs.borrow_mut().read(&entry.oid).ok().map(|bytes| (entry.mode, bytes))
    }

    /// Whether the base tree has a path.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        self.tree.contains_key(path)
    }

    /// Its environment, from the store or made again.
    pub(crate) fn environment(&self, tools: &Tools) -> Result<Result<Built, String>, EngineError> {
        match tools.builder(&self.repo).materialise(&self.task.environment, self.repo.head()) {
            Ok(built) => Ok(Ok(built)),
            Err(failure) if failure.step == Step::Machine => Err(failure.into()),
            Err(failure) => Ok(Err(format!("the environment cannot be made: {failure}"))),
        }
    }
}
