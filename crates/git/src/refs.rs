//! The refs of a repository, read without git, so that its configuration is never looked at.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::error::GitError;

/// Where the parts of a repository stand.
pub(crate) struct Layout {
    /// The git directory: `HEAD` is here.
    pub(crate) git_dir: PathBuf,
    /// The directory with `objects` and `refs`; another one for linked work trees.
    pub(crate) common_dir: PathBuf,
}

/// Finds the repository at `path`: a work tree, its `.git`, or a bare repository.
pub(crate) fn locate(path: &Path) -> Result<Layout, GitError> {
    let missing = || GitError::NotARepository { path: path.to_owned() };
    let here = fs::canonicalize(path).map_err(|_| missing())?;
    let inner = here.join(".git");
    let git_dir = if inner.is_dir() {
        inner
    } else if inner.is_file() {
        linked(&inner)?.ok_or_else(missing)?
    } else if here.is_file() {
        linked(&here)?.ok_or_else(missing)?
    } else {
        here
    };
    let common_dir = match fs::read_to_string(git_dir.join("commondir")) {
        Ok(text) => git_dir.join(text.trim_end()),
        Err(_) => git_dir.clone(),
    };
    if !git_dir.join("HEAD").is_file() || !common_dir.join("objects").is_dir() {
        return Err(missing());
    }
    Ok(Layout { git_dir, common_dir: fs::canonicalize(common_dir)? })
}

/// Follows a `gitdir: PATH` file.
fn linked(file: &Path) -> Result<Option<PathBuf>, GitError> {
    let text = fs::read_to_string(file)?;
    let target = text.strip_prefix("gitdir:").map(|t| t.trim());
    let parent = file.parent().unwrap_or(Path::new("/"));
    Ok(target.map(|t| parent.join(t)))
}

/// Every ref with a plain object name, by full name.
pub(crate) fn read_all(layout: &Layout) -> Result<BTreeMap<String, String>, GitError> {
    let mut refs = BTreeMap::new();
    match fs::read(layout.common_dir.join("packed-refs")) {
        Ok(bytes) => {
            for line in String::from_utf8_lossy(&bytes).lines() {
                if line.starts_with(['#', '^']) {
                    continue;
                }
                if let Some((id, name)) = line.split_once(' ')
                    && is_object_name(id)
                    && is_safe_ref(name)
                {
                    refs.insert(name.to_owned(), id.to_owned());
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut pending = vec!["refs".to_owned()];
    while let Some(prefix) = pending.pop() {
        let entries = match fs::read_dir(layout.common_dir.join(&prefix)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(last) = entry.file_name().into_string() else { continue };
            let name = format!("{prefix}/{last}");
            if entry.file_type()?.is_dir() {
                pending.push(name);
            } else if is_safe_ref(&name)
                && let Ok(text) = fs::read_to_string(entry.path())
                && is_object_name(text.trim_end())
            {
                refs.insert(name, text.trim_end().to_owned());
            }
        }
    }
    Ok(refs)
}

/// The object that `HEAD` names; `None` on a branch without a commit.
pub(crate) fn head(
    layout: &Layout,
    refs: &BTreeMap<String, String>,
) -> Result<Option<String>, GitError> {
    let text = fs::read_to_string(layout.git_dir.join("HEAD"))?;
    let text = text.trim_end();
    if is_object_name(text) {
        return Ok(Some(text.to_owned()));
    }
    let mut name = text.strip_prefix("ref:").map(|n| n.trim().to_owned());
    // A branch may itself be symbolic; five levels are git's own limit.
    for _ in 0..5 {
        let Some(current) = name.take() else { break };
        if let Some(id) = refs.get(&current) {
            return Ok(Some(id.clone()));
        }
        if !is_safe_ref(&current) {
            break;
        }
        let next = fs::read_to_string(layout.common_dir.join(&current)).unwrap_or_default();
        name = next.trim_end().strip_prefix("ref:").map(|n| n.trim().to_owned());
    }
    Ok(None)
}

/// How many commits of a shallow clone lack their parents; 0 for a full clone.
pub(crate) fn shallow_commits(layout: &Layout) -> usize {
    let text = fs::read_to_string(layout.common_dir.join("shallow")).unwrap_or_default();
    text.lines().filter(|l| is_object_name(l)).count()
}

/// Whether `text` is 40 or 64 lower-case hexadecimal digits.
pub(crate) fn is_object_name(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `name` can stand in `packed-refs` and cannot leave the directory `refs`.
fn is_safe_ref(name: &str) -> bool {
    name.starts_with("refs/")
        && !name.contains("..")
        && !name.starts_with("refs/replace/")
        && name.bytes().all(|b| b > b' ' && b != 0x7f && !b"~^:?*[\\".contains(&b))
}
