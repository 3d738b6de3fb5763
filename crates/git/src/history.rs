//! The history: which commits there are, and what each does to its first parent.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use palestra_core::{ChangeKind, CommitId};

use crate::command;
use crate::error::GitError;
use crate::repo::Repo;

/// Which commits to walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Where to start; `None` is `HEAD`.
    pub from: Option<CommitId>,
    /// Only commits committed at this time or later, seconds since 1970.
    pub since: Option<i64>,
    /// Only commits committed before this time, seconds since 1970.
    pub until: Option<i64>,
    /// At most this many, the newest first.
    pub limit: Option<usize>,
}

/// A commit of the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Its name.
    pub commit: CommitId,
    /// Its first parent; `None` for a root commit.
    pub parent: Option<CommitId>,
    /// How many parents it has.
    pub parents: usize,
    /// Committer date, seconds since 1970.
    pub timestamp: i64,
}

/// One changed path of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// What happened.
    pub kind: ChangeKind,
    /// The path after the change (before it, for deletions).
    pub path: Vec<u8>,
    /// The path before a rename or copy.
    pub old_path: Option<Vec<u8>>,
    /// Mode before; 0 if there was nothing.
    pub old_mode: u32,
    /// Mode after; 0 if there is nothing.
    pub new_mode: u32,
    /// Object before; all zeros if there was nothing.
    pub old_oid: String,
    /// Object after; all zeros if there is nothing.
    pub new_oid: String,
}

/// A commit with what it does to its first parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitChanges {
    /// The commit.
    pub commit: CommitId,
    /// Committer date, RFC 3339 with the commit's own offset.
    pub date: String,
    /// The whole message, as UTF-8 (other bytes replaced).
    pub message: String,
    /// Every changed path.
    pub changes: Vec<PathChange>,
    /// What `git diff -p PARENT COMMIT` prints; against the empty tree for a root commit.
    /// Cut off at the reader's limit.
    pub patch: Vec<u8>,
    /// Whether `patch` was cut off.
    pub truncated: bool,
}

impl Repo {
    /// Every commit reachable from the start, newest first, with the options applied.
    pub fn history(&self, options: &HistoryOptions) -> Result<Vec<Walked>, GitError> {
        let from = options.from.as_ref().unwrap_or(&self.head);
        let mut git = command::on(&self.git_dir);
        git.args(["log", "--format=%H %ct %P", from.as_str(), "--"]);
        let listing = command::output(&mut git)?;
        let mut walked = Vec::new();
        let limit = options.limit.unwrap_or(usize::MAX);
        // Dates are not ordered along a history, so git's own `--since`, which stops at the
        // first older commit, would lose some.
        for line in String::from_utf8_lossy(&listing).lines() {
            if walked.len() == limit {
                break;
            }
            let commit = parse_walked(line).ok_or_else(|| GitError::malformed("git log", line))?;
            let after = options.since.is_none_or(|t| commit.timestamp >= t);
            let before = options.until.is_none_or(|t| commit.timestamp < t);
            if after && before {
                walked.push(commit);
            }
        }
        Ok(walked)
    }

    /// What each of `commits` does, streamed from one process in the order given. Patches are
    /// kept up to `patch_limit` bytes.
    pub fn changes(
        &self,
        commits: &[Walked],
        patch_limit: usize,
    ) -> Result<ChangeReader, GitError> {
        ChangeReader::start(self.git_dir.clone(), commits, patch_limit)
    }
}

fn parse_walked(line: &str) -> Option<Walked> {
    let mut words = line.split_ascii_whitespace();
    let commit = CommitId::new(words.next()?).ok()?;
    let timestamp = words.next()?.parse().ok()?;
    let parent = match words.next() {
        Some(word) => Some(CommitId::new(word).ok()?),
        None => None,
    };
    let parents = usize::from(parent.is_some()) + words.count();
    Some(Walked { commit, parent, parents, timestamp })
}

/// Streams [`CommitChanges`] from a git process.
#[derive(Debug)]
pub struct ChangeReader {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Random bytes that open each record. Patches can hold any byte, so a fixed separator
    /// could be forged by the content of a repository.
    token: Vec<u8>,
    patch_limit: usize,
    started: bool,
    feeder: Option<std::thread::JoinHandle<io::Result<()>>>,
}

impl ChangeReader {
    fn start(git_dir: PathBuf, commits: &[Walked], patch_limit: usize) -> Result<Self, GitError> {
        let [a, b] = [0u8, 1].map(|n| RandomState::new().hash_one(n));
        let token = format!("{a:016x}{b:016x}");
        let mut git = command::on(&git_dir);
        git.args(["diff-tree", "--stdin", "--always", "--root", "-r", "-z", "-M"]);
        git.args(["-p", "--raw", "--no-abbrev", "--no-ext-diff", "--no-textconv", "--no-color"]);
        git.arg(format!("--pretty=format:{token}%x00%H%x00%cI%x00%B%x00"));
        git.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command::spawn(&mut git)?;
        let mut wanted = String::new();
        for commit in commits {
            wanted.push_str(commit.commit.as_str());
            // A parent named here is the only one that the commit is compared with.
            if let Some(parent) = &commit.parent {
                wanted.push(' ');
                wanted.push_str(parent.as_str());
            }
            wanted.push('\n');
        }
        let missing = || io::Error::other("git diff-tree has no pipes");
        let mut input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let feeder = if wanted.len() <= 32 << 10 {
            // Fits into the pipe: no thread is needed.
            input.write_all(wanted.as_bytes())?;
            None
        } else {
            Some(std::thread::spawn(move || input.write_all(wanted.as_bytes())))
        };
        Ok(Self {
            child,
            output: BufReader::with_capacity(64 << 10, output),
            token: token.into_bytes(),
            patch_limit,
            started: false,
            feeder,
        })
    }

    /// The next commit; `None` after the last.
    pub fn read(&mut self) -> Result<Option<CommitChanges>, GitError> {
        if !self.started {
            self.started = true;
            let mut first = Vec::new();
            self.output.by_ref().take(self.token.len() as u64).read_to_end(&mut first)?;
            if first.is_empty() {
                return self.finish();
            }
            if first != self.token {
                return Err(self.malformed("the first record does not start with its mark"));
            }
        } else if self.output.fill_buf()?.is_empty() {
            return self.finish();
        }
        let mut field = |what: &str| -> Result<Vec<u8>, GitError> {
            let mut bytes = Vec::new();
            self.output.read_until(0, &mut bytes)?;
            match bytes.pop() {
                Some(0) => Ok(bytes),
                _ => Err(GitError::malformed("git diff-tree", format!("it ended in {what}"))),
            }
        };
        field("a mark")?;
        let commit = String::from_utf8_lossy(&field("a name")?).into_owned();
        let date = String::from_utf8_lossy(&field("a date")?).into_owned();
        let message = String::from_utf8_lossy(&field("a message")?).into_owned();
        let commit = CommitId::new(commit)
            .map_err(|e| GitError::malformed("git diff-tree", e.to_string()))?;
        let (body, truncated) = self.body()?;
        let (changes, patch) =
            split_body(&body).ok_or_else(|| self.malformed("a list of changed paths is broken"))?;
        let mut patch = body[patch..].to_vec();
        if truncated {
            patch.truncate(self.patch_limit);
        }
        Ok(Some(CommitChanges { commit, date, message, changes, patch, truncated }))
    }

    /// Reads up to the next mark or the end. What exceeds the limit is read and dropped.
    fn body(&mut self) -> Result<(Vec<u8>, bool), GitError> {
        let separator = [b"\0", &self.token[..]].concat();
        let finder = memchr::memmem::Finder::new(&separator);
        let mut body: Vec<u8> = Vec::new();
        let mut truncated = false;
        // Paths come first and are always kept: `paths_end` is known once they are complete.
        let mut paths_end = None;
        loop {
            let chunk = self.output.fill_buf()?;
            if chunk.is_empty() {
                return Ok((body, truncated));
            }
            let before = body.len().saturating_sub(separator.len() - 1);
            let taken = chunk.len();
            let old = body.len();
            body.extend_from_slice(chunk);
            if let Some(at) = finder.find(&body[before..]) {
                let end = before + at;
                body.truncate(end);
                self.output.consume(end + separator.len() - old);
                return Ok((body, truncated));
            }
            self.output.consume(taken);
            if body.len() > self.patch_limit {
                if paths_end.is_none() {
                    paths_end = split_body(&body).map(|(_, patch)| patch);
                }
                if let Some(start) = paths_end
                    && body.len() - start > self.patch_limit + separator.len() + (64 << 10)
                {
                    // The last bytes stay, because the next mark may have begun in them.
                    truncated = true;
                    let tail = body.len() - (separator.len() - 1);
                    body.drain(start + self.patch_limit..tail);
                }
            }
        }
    }

    fn finish(&mut self) -> Result<Option<CommitChanges>, GitError> {
        if let Some(feeder) = self.feeder.take() {
            let _ = feeder.join();
        }
        let status = self.child.wait()?;
        if status.success() {
            return Ok(None);
        }
        Err(GitError::Command {
            command: "diff-tree --stdin".into(),
            status: status.to_string(),
            message: "an object of the history is missing or damaged; try `git fsck`".into(),
        })
    }

    fn malformed(&self, detail: &str) -> GitError {
        GitError::malformed("git diff-tree", detail)
    }
}

impl Iterator for ChangeReader {
    type Item = Result<CommitChanges, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Drop for ChangeReader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Splits what follows a header into the changed paths and the start of the patch. `None` if
/// the paths are incomplete.
fn split_body(body: &[u8]) -> Option<(Vec<PathChange>, usize)> {
    let mut at = usize::from(body.first() == Some(&b'\n'));
    let mut changes = Vec::new();
    while body.get(at) == Some(&b':') {
        let mut field = || {
            let end = at + memchr::memchr(0, body.get(at..)?)?;
            let bytes = &body[at..end];
            at = end + 1;
            Some(bytes)
        };
        let head = std::str::from_utf8(field()?).ok()?;
        let mut words = head[1..].split(' ');
        let old_mode = u32::from_str_radix(words.next()?, 8).ok()?;
        let new_mode = u32::from_str_radix(words.next()?, 8).ok()?;
        let old_oid = words.next()?.to_owned();
        let new_oid = words.next()?.to_owned();
        let kind = match words.next()?.as_bytes().first()? {
            b'A' => ChangeKind::Added,
            b'D' => ChangeKind::Deleted,
            b'R' => ChangeKind::Renamed,
            b'C' => ChangeKind::Copied,
            _ => ChangeKind::Modified,
        };
        let first = field()?.to_vec();
        let (path, old_path) = match kind {
            ChangeKind::Renamed | ChangeKind::Copied => (field()?.to_vec(), Some(first)),
            _ => (first, None),
        };
        changes.push(PathChange { kind, path, old_path, old_mode, new_mode, old_oid, new_oid });
    }
    if !changes.is_empty() && body.get(at) == Some(&0) {
        at += 1;
    }
    Some((changes, at))
}
