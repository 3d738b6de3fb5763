//! Edits of files, exact to the byte, whatever the files hold.
//!
//! Nothing here passes through a command line. Files are read and written through the sandbox, so
//! symlinks lead nowhere outside of it; a file keeps its mode, and a symlink stays one: what it
//! points to is changed.

mod find;
mod undo;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use palestra_sandbox::{Exec, FileOp, Sandbox, SandboxError};

pub(crate) use find::{Hint, line_of};
use undo::Undo;

/// Larger files are not edited.
const LARGEST: u64 = 32 << 20;
/// Bytes at the start of a file in which a NUL makes it a binary one.
const LOOK: usize = 8192;
/// Permission bits of new files.
const NEW: u32 = 0o644;

/// What was edited, so that it can be undone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Editor {
    /// By path inside, the latest last.
    history: HashMap<PathBuf, Vec<Arc<Undo>>>,
}

/// Why an edit was not made.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nothing is there.
    Missing,
    /// Something is there already.
    Exists,
    /// It is a directory.
    Directory,
    /// It is no regular file.
    Special,
    /// It is larger than this.
    TooLarge(u64),
    /// It is no text.
    Binary,
    /// The text is not in the file.
    NoMatch(Option<Hint>),
    /// The text begins in each of these lines.
    Many(Vec<usize>),
    /// The text to replace is empty.
    Empty,
    /// Old and new are the same.
    Same,
    /// The file has no such line; it has so many.
    Line(usize),
    /// No edit of this file is left to undo.
    Nothing,
    /// Something else changed the file since.
    Changed,
    /// The sandbox could not do it.
    Failed(String),
}

/// Either a refusal, for the model, or a failure of the sandbox itself.
#[derive(Debug)]
pub(crate) enum Fault {
    Refused(Refused),
    Sandbox(SandboxError),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<SandboxError> for Fault {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::File { .. } | SandboxError::InvalidPath { .. } => {
                Self::Refused(Refused::Failed(error.to_string()))
            }
            SandboxError::NotRegular { .. } => Self::Refused(Refused::Special),
            SandboxError::TooLarge { limit, .. } => Self::Refused(Refused::TooLarge(limit)),
            other => Self::Sandbox(other),
        }
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Directory,
    File(Vec<u8>),
}

/// An edit that was made.
#[derive(Debug)]
pub(crate) struct Edited {
    /// The file now.
    pub(crate) content: Vec<u8>,
    /// The first line that is new, from 0.
    pub(crate) line: usize,
    /// How many lines it has that are new, one at least.
    pub(crate) lines: usize,
}

/// How lines are inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// As whole lines: a newline is added only where the text does not end with one.
    Lines,
    /// As a list of lines that is joined: a newline is always added. What R2E-Gym and OpenHands do.
    Joined,
}

/// What stands at a path, with the content of a file.
pub(crate) fn look(sandbox: &Sandbox, path: &Path) -> Result<Found> {
    match sandbox.read(path, LARGEST) {
        Ok(None) => Ok(Found::Nothing),
        Ok(Some(content)) => Ok(Found::File(content)),
        Err(SandboxError::NotRegular { kind, .. }) if kind == "directory" => Ok(Found::Directory),
        Err(error) => Err(error.into()),
    }
}

/// The content of a regular file.
fn load(sandbox: &Sandbox, path: &Path) -> Result<Vec<u8>> {
    match look(sandbox, path)? {
        Found::File(content) => Ok(content),
        Found::Directory => Err(Refused::Directory.into()),
        Found::Nothing => Err(Refused::Missing.into()),
    }
}

/// Whether a file is not for people to read.
pub(crate) fn is_binary(content: &[u8]) -> bool {
    memchr::memchr(0, &content[..content.len().min(LOOK)]).is_some()
}

/// Where a path leads when its last part is a symlink, and the permission bits of what is there.
pub(crate) fn target(
    sandbox: &Sandbox,
    path: &Path,
) -> std::result::Result<(PathBuf, u32), SandboxError> {
    use std::os::unix::ffi::OsStringExt;
    const LINK: u32 = 0o120000;
    let raw = |follow: &[&str], path: &Path| -> std::result::Result<Option<u32>, SandboxError> {
        let Some(out) = told(sandbox, &[&["stat"], follow, &["-c", "%f", "--"]].concat(), path)?
        else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&out);
        Ok(u32::from_str_radix(text.trim(), 16).ok())
    };
    match raw(&[], path)? {
        None => Ok((path.to_owned(), NEW)),
        Some(mode) if mode & 0o170000 != LINK => Ok((path.to_owned(), mode & 0o7777)),
        Some(_) => {
            let out = told(sandbox, &["readlink", "-f", "--"], path)?.unwrap_or_default();
            let name = out.strip_suffix(b"\n").unwrap_or(&out);
            if !name.starts_with(b"/") {
                return Ok((path.to_owned(), NEW));
            }
            let target = PathBuf::from(std::ffi::OsString::from_vec(name.to_vec()));
            let mode = raw(&["-L"], path)?.map_or(NEW, |mode| mode & 0o7777);
            Ok((target, mode))
        }
    }
}

/// What a program says of a path; `None` if it fails, or if there is no such program, which is no
/// reason not to edit.
fn told(
    sandbox: &Sandbox,
    argv: &[&str],
    path: &Path,
) -> std::result::Result<Option<Vec<u8>>, SandboxError> {
    let mut exec = Exec::new(argv.iter().copied());
    exec.argv.push(path.into());
    match sandbox.exec(&exec) {
        Ok(result) if result.outcome.success() => Ok(Some(result.stdout.bytes)),
        Ok(_) | Err(SandboxError::CannotRun { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Editor {
    /// Makes a file; with `replace`, whatever file is there is overwritten.
    pub(crate) fn create(
        &mut self,
        sandbox: &Sandbox,
        path: &Path,
        text: &str,
        replace: bool,
    ) -> Result<Edited> {
        match look(sandbox, path)? {
            Found::Directory => Err(Refused::Directory.into()),
            Found::File { .. } if !replace => Err(Refused::Exists.into()),
            Found::File(content) => self.put(sandbox, path, &content, text.as_bytes().to_vec()),
            Found::Nothing => {
                let (target, _) = target(sandbox, path)?;
                let bytes = text.as_bytes().to_vec();
                let undo = Undo::created(&bytes);
                sandbox.apply(&[FileOp::Write {
                    path: target,
                    mode: 0o644,
                    bytes: bytes.clone(),
                }])?;
                self.history.entry(path.to_owned()).or_default().push(Arc::new(undo));
                let lines = lines(&bytes);
                Ok(Edited { content: bytes, line: 0, lines })
            }
        }
    }

    /// Replaces the only place where `old` stands.
    pub(crate) fn replace(
        &mut self,
        sandbox: &Sandbox,
        path: &Path,
        old: &str,
        new: &str,
    ) -> Result<Edited> {
        let content = load(sandbox, path)?;
        if old.is_empty() {
            return Err(Refused::Empty.into());
        }
        if old == new {
            return Err(Refused::Same.into());
        }
        let places = find::places(&content, old.as_bytes());
        let at = match *places {
            [at] => at,
            [] => return Err(Refused::NoMatch(find::hint(&content, old)).into()),
            _ => {
                let lines = places.iter().map(|at| line_of(&content, *at) + 1).collect();
                return Err(Refused::Many(lines).into());
            }
        };
        let mut changed = Vec::with_capacity(content.len() + new.len());
        changed.extend_from_slice(&content[..at]);
        changed.extend_from_slice(new.as_bytes());
        changed.extend_from_slice(&content[at + old.len()..]);
        let mut edited = self.put(sandbox, path, &content, changed)?;
        edited.line = line_of(&edited.content, at);
        edited.lines = new.matches('\n').count() + 1;
        Ok(edited)
    }

    /// Inserts text after a line; line 0 is the beginning.
    pub(crate) fn insert(
        &mut self,
        sandbox: &Sandbox,
        path: &Path,
        line: i64,
        text: &str,
        how: Insertion,
    ) -> Result<Edited> {
        let content = load(sandbox, path)?;
        let mut starts: Vec<usize> = vec![0];
        starts.extend(memchr::memchr_iter(b'\n', &content).map(|at| at + 1));
        // What follows the last newline is a line for those that split at newlines.
        if how == Insertion::Lines && starts.last() == Some(&content.len()) {
            starts.pop();
        }
        let count = starts.len();
        let line = usize::try_from(line).ok().filter(|line| *line <= count);
        let Some(line) = line else { return Err(Refused::Line(count).into()) };
        let at = starts.get(line).copied().unwrap_or(content.len());
        let (head, tail) = content.split_at(at);
        let open_end = !head.is_empty() && !head.ends_with(b"\n");
        let ends = text.ends_with('\n');
        let mut changed = Vec::with_capacity(content.len() + text.len() + 2);
        changed.extend_from_slice(head);
        // After a last line without an end of its own.
        let before = if how == Insertion::Joined { line == count } else { open_end };
        changed.extend_from_slice(if before { b"\n" } else { b"" });
        changed.extend_from_slice(text.as_bytes());
        let after = match how {
            Insertion::Joined => line < count,
            Insertion::Lines => !ends && !open_end,
        };
        changed.extend_from_slice(if after { b"\n" } else { b"" });
        changed.extend_from_slice(tail);
        let mut edited = self.put(sandbox, path, &content, changed)?;
        edited.line = line;
        edited.lines = text.matches('\n').count() + usize::from(!ends || how == Insertion::Joined);
        Ok(edited)
    }

    /// Takes the last edit of a file back. Returns what it is now; `None` if it is gone again.
    pub(crate) fn undo(&mut self, sandbox: &Sandbox, path: &Path) -> Result<Option<Vec<u8>>> {
        let last = self.history.get(path).and_then(|edits| edits.last()).cloned();
        let Some(last) = last else { return Err(Refused::Nothing.into()) };
        let content = load(sandbox, path)?;
        let Some(before) = last.before(&content) else { return Err(Refused::Changed.into()) };
        let (target, mode) = target(sandbox, path)?;
        let op = match &before {
            Some(before) => FileOp::Write { path: target, mode, bytes: before.clone() },
            None => FileOp::Remove { path: target },
        };
        sandbox.apply(&[op])?;
        if let Some(edits) = self.history.get_mut(path) {
            edits.pop();
        }
        Ok(before)
    }

    /// Writes a file and remembers how to undo that.
    fn put(
        &mut self,
        sandbox: &Sandbox,
        path: &Path,
        before: &[u8],
        bytes: Vec<u8>,
    ) -> Result<Edited> {
        let (target, mode) = target(sandbox, path)?;
        let undo = Undo::changed(before, &bytes);
        sandbox.apply(&[FileOp::Write { path: target, mode, bytes: bytes.clone() }])?;
        self.history.entry(path.to_owned()).or_default().push(Arc::new(undo));
        let lines = lines(&bytes);
        Ok(Edited { content: bytes, line: 0, lines })
    }
}

fn lines(content: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', content).count().max(1)
}
