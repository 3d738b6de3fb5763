//! The repository of an agent that starts from a tree that is in no history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use palestra_core::{CommitId, harbor};
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

/// The repository of the agent of the task in `dir`, unpacked below `work`, and its bundle. The inner
/// error says why it cannot be made.
pub(crate) fn repository_of(
    dir: &Path,
    work: &Path,
) -> Result<Result<(Repo, PathBuf), String>, EngineError> {
    let bundle = dir.join(harbor::BUNDLE);
    let repo = Repo::from_bundle(&bundle, work)?;
    let Some(patch) = optional(&dir.join(harbor::BASE_PATCH))? else {
        return Ok(Ok((repo, bundle)));
    };
    let removed = optional(&dir.join(harbor::BASE_REMOVED))?.unwrap_or_default();
    let removed = String::from_utf8_lossy(&removed);
    let removed: Vec<String> = removed.lines().map(str::to_owned).collect();
    let derived = derive(&repo, &patch, &removed, work)?;
    Ok(derived
        .map(|derived| (derived.repo, derived.bundle))
        .map_err(|why| format!("{}: {why}", harbor::BASE_PATCH)))
}

/// The content of a file that need not be there.
pub(crate) fn optional(path: &Path) -> Result<Option<Vec<u8>>, EngineError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Applies `patch` to the tree of `repo`'s head and takes the `removed` paths away; the result becomes
/// a repository below `work`. The inner error says why it cannot be done.
pub(crate) fn derive(
    repo: &Repo,
    patch: &[u8],
    removed: &[String],
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
    let mut changes: Vec<Composed> = written.into_iter().map(compose).collect();
    for path in removed {
        let path = path.clone().into_bytes();
        if !entries.contains_key(&path) {
            return Ok(Err(format!(
                "{} is not there to be removed",
                String::from_utf8_lossy(&path)
            )));
        }
        changes.push(Composed { path, file: None });
    }
    let base = repo.compose(repo.head(), &changes)?;
    let bundle = work.join("derived.bundle");
    palestra_git::agent_repository(repo, &base, &bundle)?;
    let repo = Repo::from_bundle(&bundle, &work.join("derived"))?;
    Ok(Ok(Derived { repo, bundle, base }))
}
