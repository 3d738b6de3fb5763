//! What a sandbox changed, told as before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::files::{self, Bounds, Entry, Node, Tree};
use crate::sandbox::Sandbox;

/// What to compare.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// The directory whose content is compared, an absolute path inside.
    pub top: PathBuf,
    /// Absolute paths inside that are left out, with all below them.
    pub exclude: Vec<PathBuf>,
    /// How much may have changed, for each side.
    pub bounds: Bounds,
}

/// One side of a change: a regular file or a symlink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Content.
        content: Vec<u8>,
    },
    /// A symlink.
    Symlink {
        /// Where it points, uninterpreted.
        target: Vec<u8>,
    },
}

/// A path whose content, kind or right to be executed changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the top that was compared.
    pub path: Vec<u8>,
    /// What was there; `None` where nothing was, or nothing that a patch can hold.
    pub old: Option<Changed>,
    /// What is there now.
    pub new: Option<Changed>,
}

impl Sandbox {
    /// Everything that differs from the layers that the sandbox was made from, in the order of
    /// paths. What came through snapshots counts as a change. Directories by themselves, times,
    /// owners, other permission bits, fifos, sockets and devices do not show.
    ///
    /// Processes may go on meanwhile; a file that is written to may be caught half.
    pub fn changes(&self, options: &DiffOptions) -> Result<Vec<Change>> {
        let live = self.live()?;
        let mut differing = self.host.inner().backend.changed(self, &live, options)?;
        if differing.deep.is_empty() && differing.shallow.is_empty() {
            return Ok(Vec::new());
        }
        // The layers without the changes, in a sandbox of their own: only root inside may read
        // all of their files.
        let mut spec = (*self.spec).clone();
        spec.network = crate::spec::Network::None;
        spec.writable = crate::spec::Writable::Tmpfs { bytes: 1 << 20 };
        let below = Arc::new(self.host.start_one(&spec, &[])?);
        let (mut old, mut new) = (Vec::new(), Vec::new());
        if !differing.shallow.is_empty() {
            let paths = &differing.shallow;
            new = files::list(&live, paths, Tree::Shallow, options.bounds)?;
            old = files::list(&below, paths, Tree::Shallow, options.bounds)?;
            differing.deep.extend(turned(options, &old, &new));
        }
        let paths = innermost_out(differing.deep);
        if !paths.is_empty() {
            new.extend(files::list(&live, &paths, Tree::Straight, options.bounds)?);
            old.extend(files::list(&below, &paths, Tree::Straight, options.bounds)?);
        }
        Ok(compare(options, old, new))
    }

    /// As [`Sandbox::changes`], as a patch that git reads: with renames, modes, symlinks and binary
    /// files. Paths are relative to [`DiffOptions::top`].
    pub fn diff(&self, options: &DiffOptions) -> Result<Vec<u8>> {
        let changes: Vec<palestra_diff::Change> =
            self.changes(options)?.into_iter().map(Into::into).collect();
        Ok(palestra_diff::make(&changes, &palestra_diff::MakeOptions::default()))
    }
}

impl From<Changed> for palestra_diff::File {
    fn from(changed: Changed) -> Self {
        match changed {
            Changed::File { executable, content } => {
                Self { mode: if executable { 0o100755 } else { 0o100644 }, content }
            }
            Changed::Symlink { target } => Self { mode: 0o120000, content: target },
        }
    }
}

impl From<Change> for palestra_diff::Change {
    fn from(change: Change) -> Self {
        Self { path: change.path, old: change.old.map(Into::into), new: change.new.map(Into::into) }
    }
}

/// Paths that are a directory on one side only: what is below them counts too.
fn turned(options: &DiffOptions, old: &[Entry], new: &[Entry]) -> Vec<PathBuf> {
    let directories = |entries: &[Entry]| -> BTreeSet<PathBuf> {
        let is_directory = |entry: &&Entry| entry.node == Node::Directory;
        entries.iter().filter(is_directory).map(|entry| entry.path.clone()).collect()
    };
    let top = options.top.strip_prefix("/").unwrap_or(&options.top);
    let (old, new) = (directories(old), directories(new));
    let below_top = |path: &PathBuf| {
        if top.starts_with(path) { top.to_owned() } else { path.clone() }
    };
    old.symmetric_difference(&new).map(below_top).collect()
}

/// Leaves out what lies below another path of the list.
fn innermost_out(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let all: BTreeSet<PathBuf> = paths.into_iter().collect();
    let covered = |path: &Path| {
        path.ancestors().skip(1).any(|above| !above.as_os_str().is_empty() && all.contains(above))
    };
    all.iter().filter(|path| !covered(path)).cloned().collect()
}

fn compare(options: &DiffOptions, old: Vec<Entry>, new: Vec<Entry>) -> Vec<Change> {
    let top = options.top.strip_prefix("/").unwrap_or(&options.top);
    let excluded: Vec<_> =
        options.exclude.iter().map(|path| path.strip_prefix("/").unwrap_or(path)).collect();
    let mut all: BTreeMap<Vec<u8>, (Option<Changed>, Option<Changed>)> = BTreeMap::new();
    for (entries, is_new) in [(old, false), (new, true)] {
        for entry in entries {
            let Ok(relative) = entry.path.strip_prefix(top) else { continue };
            if excluded.iter().any(|path| entry.path.starts_with(path)) {
                continue;
            }
            let side = match entry.node {
                Node::File(content) => {
                    Changed::File { executable: entry.mode & 0o100 != 0, content }
                }
                Node::Symlink(target) => {
                    Changed::Symlink { target: target.into_os_string().into_encoded_bytes() }
                }
                Node::Directory | Node::Other => continue,
            };
            let sides = all.entry(relative.as_os_str().as_bytes().to_vec()).or_default();
            *if is_new { &mut sides.1 } else { &mut sides.0 } = Some(side);
        }
    }
    all.into_iter()
        .filter(|(_, (old, new))| old != new)
        .map(|(path, (old, new))| Change { path, old, new })
        .collect()
}
