//! The repository of an agent that starts from a tree that is in no history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use palestra_core::CommitId;
use palestra_diff::{Written, apply_all, parse};
use palestra_git::{Composed, Repo, TreeEntry};

use crate::error::EngineError;

/// A repository made of another.
#[derive(Debug)]
pub(crate) struct Derived {
    /// One commit, and nothing of the other repository besides its tree.
    pub(crate) repo: Repo,
    /// It again, as a bundle.
    pub(crate) bundle: PathBuf,
    /// The commit of the same tree in the other repository.
    pub(crate) base: CommitId,
}

/// Applies `patch` to the tree of `repo`'s head; the result becomes a repository below `work`. The
/// inner error says why it cannot be applied.
pub(crate) fn derive(
    repo: &Repo,
    patch: &[u8],
    work: &Path,
) -> Result<Result<Derived, String>, EngineError> {
    let entries: BTreeMap<Vec<u8>, TreeEntry> =
        repo.tree(repo.head())?.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    let mut blobs = repo.blobs()?;
    let mut failed = None;
    let (parsed, problems) = parse(patch);
    if let Some(problem) = problems.first() {
        return Ok(Err(format!("line {}: {}", problem.line, problem.what)));
    }
    let written = apply_all(&parsed, |path| {
        let entry = entries.get(path).filter(|entry| !entry.is_submodule())?;
        blobs.read(&entry.oid).map_err(|error| failed = Some(error)).ok()
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let written = match written {
        Ok(written) => written,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let compose = |Written { path, mode, content }: Written| {
        let known = entries.get(&path).map(|entry| entry.mode);
        let mode = mode.or(known).unwrap_or(0o100644);
        Composed { path, file: content.map(|content| (mode, content)) }
    };
    let changes: Vec<Composed> = written.into_iter().map(compose).collect();
    let base = repo.compose(repo.head(), &changes)?;
    let bundle = work.join("derived.bundle");
    palestra_git::agent_repository(repo, &base, &bundle)?;
    let repo = Repo::from_bundle(&bundle, &work.join("derived"))?;
    Ok(Ok(Derived { repo, bundle, base }))
}
