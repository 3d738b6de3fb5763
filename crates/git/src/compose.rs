//! Trees that are in no history: a commit's tree with some files changed.

use std::io::Write;
use std::process::Stdio;

use palestra_core::CommitId;

use crate::command;
use crate::error::GitError;
use crate::repo::Repo;

/// A path of a tree, and what is to stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Path from the root of the tree.
    pub path: Vec<u8>,
    /// Mode (`0o100644`, `0o100755` or `0o120000`) and content; `None` removes the path.
    pub file: Option<(u32, Vec<u8>)>,
}

/// Where the new commit is found again; nothing else looks there.
const REF: &str = "refs/palestra/composed";

impl Repo {
    /// A commit with the tree of `from`, changed. It is written into our private directory only;
    /// the same tree gives the same commit.
    ///
    /// # Errors
    /// A path that no tree can hold, and those of git.
    pub fn compose(&self, from: &CommitId, changes: &[Composed]) -> Result<CommitId, GitError> {
        let mut stream = Vec::new();
        let line = |stream: &mut Vec<u8>, text: &str| stream.extend_from_slice(text.as_bytes());
        line(&mut stream, &format!("commit {REF}\ncommitter palestra <palestra@localhost> "));
        line(&mut stream, "946684800 +0000\ndata 4\nbase\n");
        line(&mut stream, &format!("from {from}\n"));
        for change in changes {
            let path = quoted(&change.path)?;
            match &change.file {
                None => line(&mut stream, &format!("D {path}\n")),
                Some((mode, content)) => {
                    line(&mut stream, &format!("M {mode:o} inline {path}\n"));
                    line(&mut stream, &format!("data {}\n", content.len()));
                    stream.extend_from_slice(content);
                    stream.push(b'\n');
                }
            }
        }
        line(&mut stream, "done\n");
        let mut git = command::on(&self.git_dir);
        git.args(["fast-import", "--quiet", "--force", "--done"]);
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = git.spawn()?;
        // What cannot be written is told by the status, with git's reason.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&stream));
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("no reason given").to_owned();
            return Err(GitError::malformed("a composed tree", said));
        }
        written?;
        self.resolve(REF)
    }
}

/// A path as `fast-import` reads it.
fn quoted(path: &[u8]) -> Result<String, GitError> {
    if path.is_empty() || path.contains(&0) {
        return Err(GitError::malformed("a composed tree", "a path is empty or has a NUL byte"));
    }
    let mut text = String::from("\"");
    for byte in path {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text.push('"');
    Ok(text)
}
