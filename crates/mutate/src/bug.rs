//! A bug: what it changes, and its patches.

use std::collections::{BTreeMap, HashMap};

use palestra_diff::{Change, File, MakeOptions, make};

use crate::modifier::Modifier;
use crate::splice::spliced;
use crate::{MutateError, Source};

/// Bytes that take the place of a range of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// The file.
    pub path: String,
    /// First byte that goes, in the file as it was.
    pub start: usize,
    /// The byte after the last one that goes.
    pub end: usize,
    /// What comes instead.
    pub replacement: Vec<u8>,
}

/// A function or class that a bug is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityRef {
    /// The file.
    pub path: String,
    /// Dotted name: `Class.method`, `function.inner`.
    pub name: String,
    /// Its first line in the file as it was, from 1, without decorators.
    pub line: usize,
}

/// A bug, relative to the files that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bug {
    /// `<modifier>__<hash>` with eight of `a-z0-9` that stand for the patch; combinations begin
    /// with `combine_file` or `combine_module`.
    pub id: String,
    /// What made it; for a combination each modifier once, in order.
    pub modifiers: Vec<Modifier>,
    /// What it changes, by path and position. No two overlap.
    pub edits: Vec<Edit>,
    /// What it is in.
    pub entities: Vec<EntityRef>,
    /// Complexity of the entity; of a combination the sum.
    pub complexity: usize,
}

impl Bug {
    /// The changed files with the bug in them.
    pub fn apply(&self, files: &[Source<'_>]) -> Result<BTreeMap<String, Vec<u8>>, MutateError> {
        let changes = self.changes(files)?;
        let content = |c: Change| c.new.map(|new| (lossless(&c.path), new.content));
        Ok(changes.into_iter().filter_map(content).collect())
    }

    /// A git patch that makes the bug.
    pub fn patch(&self, files: &[Source<'_>]) -> Result<Vec<u8>, MutateError> {
        Ok(make(&self.changes(files)?, &MakeOptions::default()))
    }

    /// A git patch that takes the bug out again: the gold patch of a task that begins with the
    /// bug.
    pub fn fix(&self, files: &[Source<'_>]) -> Result<Vec<u8>, MutateError> {
        let mut changes = self.changes(files)?;
        changes.iter_mut().for_each(|c| std::mem::swap(&mut c.old, &mut c.new));
        Ok(make(&changes, &MakeOptions::default()))
    }

    fn changes(&self, files: &[Source<'_>]) -> Result<Vec<Change>, MutateError> {
        let sources: HashMap<&str, &Source<'_>> = files.iter().map(|f| (f.path, f)).collect();
        let mut edits: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
        for edit in &self.edits {
            edits.entry(&edit.path).or_default().push(edit);
        }
        let mut changes = Vec::new();
        for (path, mut edits) in edits {
            let other = |why| MutateError::OtherFile { path: path.to_owned(), why };
            let source = sources.get(path).ok_or_else(|| other("is missing"))?;
            edits.sort();
            let ranges: Vec<_> = edits.iter().map(|e| e.start..e.end).collect();
            let texts = edits.iter().map(|e| &e.replacement[..]);
            let content = spliced(source.content, ranges.iter().zip(texts))
                .ok_or_else(|| other("is shorter than it was, or its edits overlap"))?;
            changes.push(change(source, content));
        }
        Ok(changes)
    }
}

/// The change of one file.
pub(crate) fn change(source: &Source<'_>, content: Vec<u8>) -> Change {
    let mode = if source.executable { 0o100755 } else { 0o100644 };
    Change {
        path: source.path.as_bytes().to_vec(),
        old: Some(File { mode, content: source.content.to_vec() }),
        new: Some(File { mode, content }),
    }
}

fn lossless(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
