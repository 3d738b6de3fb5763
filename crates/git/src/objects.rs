//! Objects by their names: which a tree has, which a repository lacks, and packs of some of them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use fs_err as fs;
use palestra_core::CommitId;

use crate::command;
use crate::error::GitError;
use crate::repo::Repo;

/// A file of a pack: `pack-<hash>.pack` or `pack-<hash>.idx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFile {
    /// Its name. The same objects in the same repository give the same name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Repo {
    /// The names of a commit's root tree and of all trees and blobs below it. Submodules are not
    /// among them: their commits are objects of other repositories.
    pub fn tree_objects(&self, commit: &CommitId) -> Result<BTreeSet<String>, GitError> {
        let mut git = command::on(self.git_dir());
        git.args(["ls-tree", "-r", "-t", "-z", "--full-tree", commit.as_str()]);
        let listing = command::output(&mut git)?;
        let mut objects = BTreeSet::new();
        for record in listing.split(|b| *b == 0).filter(|r| !r.is_empty()) {
            let tab = memchr::memchr(b'\t', record).unwrap_or(record.len());
            let head = String::from_utf8_lossy(&record[..tab]);
            let mut words = head.split(' ').skip(1);
            match (words.next(), words.next()) {
                (Some("commit"), Some(_)) => {}
                (Some(_), Some(oid)) => drop(objects.insert(oid.to_owned())),
                _ => return Err(GitError::malformed("git ls-tree", head.into_owned())),
            }
        }
        let mut git = command::on(self.git_dir());
        git.args(["rev-parse", "--verify", "--quiet"]).arg(format!("{commit}^{{tree}}"));
        objects.insert(String::from_utf8_lossy(&command::output(&mut git)?).trim().to_owned());
        Ok(objects)
    }

    /// Those of these objects that the repository does not have: a mirror may lack some.
    pub fn missing_objects(
        &self,
        objects: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, GitError> {
        let mut check = command::on(self.git_dir());
        check.args(["cat-file", "--batch-check=%(objectname)"]);
        let said = fed(&mut check, names(objects))?;
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().filter_map(|l| l.strip_suffix(" missing")).map(str::to_owned).collect())
    }

    /// A pack of exactly these objects, with its index. Objects that the repository does not have
    /// are left out.
    pub fn pack(&self, objects: &BTreeSet<String>) -> Result<Vec<PackFile>, GitError> {
        let scratch = tempfile::tempdir()?;
        let mut make = command::on(self.git_dir());
        make.args(["-c", "pack.threads=1", "pack-objects", "--quiet", "--no-reuse-object"]);
        // Reused deltas could lean on objects that are not among these.
        make.args(["--window=20", "--depth=50"]);
        make.arg(scratch.path().join("pack"));
        let missing = self.missing_objects(objects)?;
        fed(&mut make, names(objects.difference(&missing)))?;
        let mut files = Vec::new();
        for entry in fs::read_dir(scratch.path())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".pack") || name.ends_with(".idx") {
                files.push(PackFile { name, bytes: fs::read(entry.path())? });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

fn names<'a>(objects: impl IntoIterator<Item = &'a String>) -> String {
    objects.into_iter().map(|object| format!("{object}\n")).collect()
}

/// Runs a command that reads `input`, to its end.
fn fed(git: &mut Command, input: String) -> Result<Vec<u8>, GitError> {
    let mut child = command::spawn(git.stdin(Stdio::piped()))?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        let writer = scope.spawn(move || match stdin {
            Some(mut stdin) => stdin.write_all(input.as_bytes()),
            None => Ok(()),
        });
        let output = child.wait_with_output();
        // A program that ends early has said why.
        let _ = writer.join();
        output
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(command::failure(git, &output.status.to_string(), &output.stderr))
}
