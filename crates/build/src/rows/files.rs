//! Files that a repository's tests download from a second repository: laid where the download
//! would have put them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use palestra_core::Hash;
use palestra_git::TreeEntry;
use palestra_sandbox::Store;

use crate::error::BuildError;
use crate::rows::known::{self, Files};
use crate::rows::source::SourceRepo;
use crate::rows::spec::RowSpec;
use crate::tree::{self, Blobs};

/// The layers with them, and remarks on what is not to be had.
pub(crate) fn files(
    store: &Store,
    spec: &RowSpec,
    source: &SourceRepo,
) -> Result<(Vec<PathBuf>, Vec<String>), BuildError> {
    let (mut layers, mut notes) = (Vec::new(), Vec::new());
    for wanted in known::facts(&spec.repo, &spec.version).flat_map(|fact| &fact.files) {
        match source.sibling(&wanted.repo)? {
            Some(sibling) => layers.push(layer(store, &sibling, wanted)?),
            None => notes.push(format!(
                "{}: tests want its files in {}, and it is not among the mirrors",
                wanted.repo, wanted.to
            )),
        }
    }
    Ok((layers, notes))
}

fn layer(store: &Store, sibling: &SourceRepo, wanted: &Files) -> Result<PathBuf, BuildError> {
    let repo = sibling.repo();
    let commit = repo.head();
    let key = Hash::of_parts([commit.as_str(), &wanted.path, &wanted.to]);
    let name = format!("rows-files-{}", key.short());
    store.build_layer(&name, |layer| {
        let missing = repo.missing_objects(&repo.tree_objects(commit)?)?;
        let blobs = Blobs::new(repo.clone());
        let below = format!("{}/", wanted.path.trim_matches('/'));
        let to = Path::new(wanted.to.trim_start_matches('/'));
        let plain = |entry: &TreeEntry| !entry.is_submodule() && !entry.is_symlink();
        for entry in repo.tree(commit)?.into_iter().filter(plain) {
            let Some(rest) = entry.path.strip_prefix(below.as_bytes()) else { continue };
            if missing.contains(&entry.oid) {
                continue;
            }
            tree::check(commit, rest)?;
            let key = format!("git-{}", entry.oid);
            layer.file(to.join(OsStr::from_bytes(rest)), false, &key, || blobs.read(&entry.oid))?;
        }
        Ok::<(), BuildError>(())
    })
}
