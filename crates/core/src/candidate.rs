//! A commit that may become a task.

use serde::{Deserialize, Serialize};

use crate::id::CommitId;

/// What a commit does to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The path is new.
    Added,
    /// The path is gone.
    Deleted,
    /// The path has other content or another mode.
    Modified,
    /// The path was another path before; [`FileChange::old_path`] names it.
    Renamed,
    /// The path is a copy of another path.
    Copied,
}

/// One changed path of a commit, relative to its first parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The path after the change (before it, for deletions). Bytes that are not UTF-8 are
    /// written as `\xNN`; such a path is for display only.
    pub path: String,
    /// The path before a rename or copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    /// What happened.
    pub kind: ChangeKind,
    /// Whether the path belongs to the tests.
    pub test: bool,
    /// Whether either side is binary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
    /// Lines added.
    pub added: usize,
    /// Lines deleted.
    pub deleted: usize,
}

/// What kind of thing in a source file an [`Entity`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A function at the top level of a module.
    Function,
    /// A class at the top level of a module.
    Class,
    /// A function directly inside a class; its name is `Class.method`.
    Method,
    /// Any other statement at the top level.
    Statement,
    /// An import at the top level.
    Import,
}

/// A named piece of a source file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entity {
    /// The file it stands in.
    pub path: String,
    /// What it is.
    pub kind: EntityKind,
    /// Its name; empty for statements.
    pub name: String,
    /// First line, from 1.
    pub start_line: usize,
    /// Last line, inclusive.
    pub end_line: usize,
}

/// The entities that a commit touches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityChanges {
    /// Only in the new tree.
    pub added: Vec<Entity>,
    /// Only in the old tree.
    pub deleted: Vec<Entity>,
    /// In both, with a changed line.
    pub modified: Vec<Entity>,
}

impl EntityChanges {
    /// How many entities were touched.
    pub fn len(&self) -> usize {
        self.added.len() + self.deleted.len() + self.modified.len()
    }

    /// Whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A commit that may become a task, with all that the filters look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The commit that fixes.
    pub commit: CommitId,
    /// Its first parent: the tree that an agent starts from. `None` for a root commit.
    pub base: Option<CommitId>,
    /// How many parents it has.
    pub parents: usize,
    /// Committer date, RFC 3339 with the commit's own offset.
    pub date: String,
    /// Committer date, seconds since 1970.
    pub timestamp: i64,
    /// First line of the message.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// Every changed path.
    pub files: Vec<FileChange>,
    /// Changed entities outside the tests.
    pub source_entities: EntityChanges,
    /// Changed entities of the tests.
    pub test_entities: EntityChanges,
}

impl Candidate {
    /// The changed test paths that exist after the commit.
    pub fn test_paths(&self) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .filter(|f| f.test && f.kind != ChangeKind::Deleted)
            .map(|f| f.path.as_str())
    }
}
