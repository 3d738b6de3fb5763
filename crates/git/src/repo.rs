//! An opened repository: revisions, trees, differences.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use palestra_core::CommitId;

use crate::blob::BlobReader;
use crate::command;
use crate::error::GitError;
use crate::refs::is_object_name;

/// One file, link or submodule of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Path from the root of the tree; not always UTF-8.
    pub path: Vec<u8>,
    /// `0o100644`, `0o100755`, `0o120000` (link) or `0o160000` (submodule).
    pub mode: u32,
    /// The object's name, in hexadecimal digits.
    pub oid: String,
    /// Size of the content in bytes; `None` for submodules.
    pub size: Option<u64>,
}

impl TreeEntry {
    /// Whether the entry is a submodule, which has no object in this repository.
    pub fn is_submodule(&self) -> bool {
        self.mode == 0o160000
    }

    /// Whether the entry is a symbolic link; its content is the target.
    pub fn is_symlink(&self) -> bool {
        self.mode == 0o120000
    }
}

/// A repository opened for reading. Cheap to clone; may be shared between threads.
#[derive(Debug, Clone)]
pub struct Repo {
    pub(crate) git_dir: PathBuf,
    pub(crate) objects: PathBuf,
    pub(crate) name: String,
    pub(crate) head: CommitId,
}

impl Repo {
    /// `owner/name` where the origin's address tells it, otherwise a plain name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same repository under another name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The commit at `HEAD` when the repository was opened.
    pub fn head(&self) -> &CommitId {
        &self.head
    }

    /// The private git directory that processes work in.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The directory that holds the objects.
    pub fn objects_dir(&self) -> &Path {
        &self.objects
    }

    /// The commit that `rev` names: a branch, a tag, digits, or git's notation for ancestors.
    pub fn resolve(&self, rev: &str) -> Result<CommitId, GitError> {
        let unknown =
            || GitError::UnknownRevision { rev: rev.to_owned(), repository: self.name.clone() };
        if rev == "HEAD" {
            return Ok(self.head.clone());
        }
        if rev.is_empty() || rev.starts_with('-') || rev.contains('\0') {
            return Err(unknown());
        }
        let mut git = command::on(&self.git_dir);
        git.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
        git.arg(format!("{rev}^{{commit}}"));
        match command::output(&mut git) {
            Ok(out) => {
                let text = String::from_utf8_lossy(&out);
                CommitId::new(text.trim()).map_err(|_| unknown())
            }
            Err(GitError::Command { .. }) => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    /// The nearest tag with a digit in its name that `commit` contains, in the form
    /// `TAG-DISTANCE-gABBREVIATION` which setuptools_scm reads. `None` where there is no such tag.
    pub fn tags_described(&self, commit: &CommitId) -> Result<Option<String>, GitError> {
        let mut git = command::on(&self.git_dir);
        git.args(["describe", "--tags", "--long", "--match", "*[0-9]*", commit.as_str()]);
        match command::output(&mut git) {
            Ok(out) => Ok(Some(String::from_utf8_lossy(&out).trim().to_owned())),
            Err(GitError::Command { message, .. })
                if message.contains("No names found")
                    || message.contains("No tags can describe") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Every file, link and submodule of the commit's tree, in git's order.
    pub fn tree(&self, commit: &CommitId) -> Result<Vec<TreeEntry>, GitError> {
        let mut git = command::on(&self.git_dir);
        git.args(["ls-tree", "-r", "-z", "-l", "--full-tree", commit.as_str()]);
        let listing = command::output(&mut git)?;
        listing.split(|b| *b == 0).filter(|r| !r.is_empty()).map(parse_entry).collect()
    }

    /// A process that reads blobs; keep one per thread.
    pub fn blobs(&self) -> Result<BlobReader, GitError> {
        BlobReader::start(&self.git_dir)
    }

    /// The difference between two commits as a patch that `git apply` takes without loss:
    /// binary content, full object names, no renames. With `paths`, only these (taken
    /// literally); with none, everything.
    pub fn diff<P: AsRef<[u8]>>(
        &self,
        base: &CommitId,
        fix: &CommitId,
        paths: &[P],
    ) -> Result<Vec<u8>, GitError> {
        let mut sorted: Vec<&[u8]> = paths.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut patch = Vec::new();
        let mut rest = &sorted[..];
        loop {
            // The list of arguments of a process is limited; 96 KiB are safe everywhere.
            let mut bytes = 0;
            let fits = rest.iter().take_while(|p| {
                bytes += p.len() + 1;
                bytes <= 96 << 10
            });
            let (now, later) = rest.split_at(fits.count().max(usize::from(!rest.is_empty())));
            let mut git = command::on(&self.git_dir);
            git.args(["diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames"]);
            git.args(["--no-ext-diff", "--no-textconv", "--no-color"]);
            git.args([base.as_str(), fix.as_str(), "--"]);
            git.args(now.iter().map(|p| OsStr::from_bytes(p)));
            patch.extend(command::output(&mut git)?);
            rest = later;
            if rest.is_empty() {
                return Ok(patch);
            }
        }
    }
}

/// Reads `MODE TYPE OID SIZE\tPATH`; the size is padded and `-` for submodules.
fn parse_entry(record: &[u8]) -> Result<TreeEntry, GitError> {
    let bad = || GitError::malformed("git ls-tree", String::from_utf8_lossy(record).into_owned());
    let tab = memchr::memchr(b'\t', record).ok_or_else(bad)?;
    let head = std::str::from_utf8(&record[..tab]).map_err(|_| bad())?;
    let mut words = head.split_ascii_whitespace();
    let mode = words.next().and_then(|w| u32::from_str_radix(w, 8).ok()).ok_or_else(bad)?;
    let oid = words.nth(1).filter(|w| is_object_name(w)).ok_or_else(bad)?;
    let size = words.next().and_then(|w| w.parse().ok());
    Ok(TreeEntry { path: record[tab + 1..].to_vec(), mode, oid: oid.to_owned(), size })
}
