//! The repository of a row: its files, and a git directory in which the base commit stands under
//! its own name and nothing later is to be found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use palestra_core::{CommitId, Hash};
use palestra_git::{Repo, TreeEntry};
use palestra_sandbox::{LayerBuilder, Store};

use crate::error::BuildError;
use crate::rows::known;
use crate::rows::source::SourceRepo;
use crate::rows::version;
use crate::tree::{self, Blobs};

/// Raised when the same commit gives another git directory.
const FORM: &str = "1";

/// The layers of a commit's files and git directory, lowest first.
#[derive(Debug)]
pub(crate) struct Laid {
    pub(crate) layers: Vec<PathBuf>,
    /// How the nearest tag describes the commit.
    pub(crate) described: Option<String>,
    /// The files of the commit.
    pub(crate) entries: Vec<TreeEntry>,
    pub(crate) blobs: Blobs,
    /// Paths of files whose content the repository does not have.
    pub(crate) absent: Vec<Vec<u8>>,
}

/// Finds or makes them.
pub(crate) fn lay_out(
    store: &Store,
    source: &SourceRepo,
    commit: &CommitId,
    workdir: &str,
) -> Result<Laid, BuildError> {
    let repo = &source.repo;
    let known = repo.resolve(commit.as_str())?;
    let all = repo.tree(&known)?;
    let blobs = Blobs::new(repo.clone());
    let root = Path::new(workdir.trim_start_matches('/'));
    // A mirror may lack what is largest. Most tests do without it.
    let missing = repo.missing_objects(&repo.tree_objects(&known)?)?;
    let (lost, entries): (Vec<TreeEntry>, Vec<TreeEntry>) =
        all.into_iter().partition(|entry| missing.contains(&entry.oid));
    let absent: Vec<Vec<u8>> = lost.into_iter().map(|entry| entry.path).collect();
    let tree = tree::tree_layer_at(
        store,
        &blobs,
        &known,
        &entries,
        &tree::Place { root, absent: &absent },
    )?;
    let described = repo.tags_described(&known)?;
    let mut layers = vec![tree];
    let release = release(repo, &known, described.as_deref());
    if let Some(release) = &release {
        layers.push(pack_layer(store, repo, release, root)?);
    }
    layers.push(git_layer(store, repo, &known, release.as_ref(), root)?);
    Ok(Laid { layers, described, entries, blobs, absent })
}

/// The commit of the nearest tag, unless it is the commit itself.
fn release(repo: &Repo, commit: &CommitId, described: Option<&str>) -> Option<CommitId> {
    let tag = version::tag_of(described?)?;
    let release = repo.resolve(&format!("refs/tags/{tag}")).ok()?;
    (release != *commit).then_some(release)
}

/// The layer with the objects of an earlier commit's tree, in one pack.
fn pack_layer(
    store: &Store,
    repo: &Repo,
    commit: &CommitId,
    root: &Path,
) -> Result<PathBuf, BuildError> {
    let name = layer_name("pack", &[commit.as_str(), &root.to_string_lossy()]);
    store.build_layer(&name, |layer| {
        let objects = repo.tree_objects(commit)?;
        add_pack(layer, repo, &objects, &root.join(".git"))
    })
}

/// The layer with the git directory of a commit; objects that `release` has are left out.
fn git_layer(
    store: &Store,
    repo: &Repo,
    commit: &CommitId,
    release: Option<&CommitId>,
    root: &Path,
) -> Result<PathBuf, BuildError> {
    let base = release.map_or("", |release| release.as_str());
    let name = layer_name("git", &[commit.as_str(), base, &root.to_string_lossy()]);
    store.build_layer(&name, |layer| {
        let mut objects = repo.tree_objects(commit)?;
        if let Some(release) = release {
            let there = repo.tree_objects(release)?;
            objects.retain(|object| !there.contains(object));
        }
        objects.insert(commit.as_str().to_owned());
        let git = root.join(".git");
        add_pack(layer, repo, &objects, &git)?;
        layer.dir(git.join("objects/info"))?;
        layer.dir(git.join("refs/tags"))?;
        // Files in layers have times that follow from their content; git must go by those and by
        // sizes alone, or it would read every file again.
        let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\
                      \tlogallrefupdates = true\n\tcheckStat = minimal\n\ttrustctime = false\n\
                      [gc]\n\tauto = 0\n";
        for (path, text) in [
            ("HEAD", "ref: refs/heads/main\n".to_owned()),
            ("config", config.to_owned()),
            ("refs/heads/main", format!("{commit}\n")),
            // What came before is not here, and git need not ask for it.
            ("shallow", format!("{commit}\n")),
        ] {
            let key = format!("row-{}", Hash::of(text.as_bytes()).short());
            layer.file(git.join(path), false, &key, || Ok(text.into_bytes()))?;
        }
        Ok::<(), BuildError>(())
    })
}

/// Puts a pack of these objects into a git directory.
fn add_pack(
    layer: &mut LayerBuilder<'_>,
    repo: &Repo,
    objects: &BTreeSet<String>,
    git: &Path,
) -> Result<(), BuildError> {
    for file in repo.pack(objects)? {
        let path = git.join("objects/pack").join(&file.name);
        layer.file(path, false, &format!("row-{}", file.name), || Ok(file.bytes))?;
    }
    Ok(())
}

fn layer_name(kind: &str, parts: &[&str]) -> String {
    let parts = [FORM].into_iter().chain(parts.iter().copied());
    format!("rows-{kind}-{}", Hash::of_parts(parts).short())
}

/// The text that `packages = "requirements.txt"` or `"environment.yml"` of a specification stands
/// for: the repository's own file at `commit`, lists that it includes put before it, what stands
/// for the project itself left out. `None` where the repository has no such file.
pub fn row_requirements(
    source: &SourceRepo,
    commit: &CommitId,
    environment: bool,
) -> Result<Option<String>, BuildError> {
    let repo = source.repo();
    let entries = repo.tree(&repo.resolve(commit.as_str())?)?;
    let blobs = Blobs::new(repo.clone());
    let read = |path: &str| -> Result<Option<String>, BuildError> {
        let found = entries.iter().find(|e| e.path == path.as_bytes() && !e.is_symlink());
        let Some(found) = found.filter(|e| !e.is_submodule()) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&blobs.read(&found.oid)?).into_owned()))
    };
    let facts = known::facts(repo.name(), "");
    let mut paths: Vec<&str> = facts
        .flat_map(|fact| if environment { &fact.environments } else { &fact.requirements })
        .map(String::as_str)
        .collect();
    let usual = if environment { "environment.yml" } else { "requirements.txt" };
    paths.push(usual);
    for path in paths {
        let Some(text) = read(path)? else { continue };
        if environment {
            return Ok(Some(text));
        }
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let (mut before, mut own) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let Some(other) = line.trim().strip_prefix("-r") else {
                own.push(line.to_owned());
                continue;
            };
            let other = join(directory, other.trim());
            if let Some(text) = other.as_deref().map(&read).transpose()?.flatten() {
                before.extend(text.lines().map(str::to_owned));
            }
        }
        before.append(&mut own);
        before.retain(|line| !OWN.iter().any(|start| line.trim().starts_with(start)));
        let lines = before.iter().map(|line| renamed(line));
        return Ok(Some(lines.map(|line| line + "\n").collect()));
    }
    Ok(None)
}

/// How lines start that are comments or stand for the project itself.
const OWN: &[&str] = &["-e .", "#", ".[test"];

/// Distributions that were taken off the index, with what took their place.
fn renamed(line: &str) -> String {
    match line.strip_prefix("types-pkg_resources") {
        Some(_) => "types-setuptools".to_owned(),
        None => line.to_owned(),
    }
}

/// A path relative to a directory of the repository; `None` where it leads out.
fn join(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|p| !p.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_lists_stay_inside() {
        assert_eq!(join("requirements", "tests.txt").as_deref(), Some("requirements/tests.txt"));
        assert_eq!(join("a/b", "../c.txt").as_deref(), Some("a/c.txt"));
        assert_eq!(join("", "../c.txt"), None);
    }
}
