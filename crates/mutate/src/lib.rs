//! Bugs put into Python source, and mutants of a fix.
//!
//! [`inject`] proposes bugs for the files of a tree with a green suite, and [`combine`] joins
//! those that were found to be seen by tests. [`mutants`] proposes other patches like a gold
//! patch, most of them wrong: they measure how much the tests ask for.
//!
//! Everything is decided by a seed, and each decision by the seed and its own place: a change of
//! one entity changes the bugs of no other. The generator is BLAKE3's extended output, so results
//! are the same on every machine. Bytes outside a change stay as they are. What is proposed is
//! Python that compiles, as far as can be told without compiling it, and means something else
//! than before: comments and layout do not count.

mod bug;
mod combine;
mod entity;
mod expression;
mod gold;
mod inject;
mod meaning;
mod modifier;
mod mutants;
mod random;
mod rules;
mod select;
mod splice;
mod statement;
mod tree;

pub use bug::{Bug, Edit, EntityRef};
pub use combine::{CombineOptions, Scope, combine};
pub use inject::{InjectOptions, inject};
pub use modifier::{Modifier, UnknownName};
pub use mutants::{Mutant, MutantKind, MutantOptions, mutants};

/// A file of the tree that bugs are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// Its path, relative to the root of the tree.
    pub path: &'a str,
    /// Its bytes.
    pub content: &'a [u8],
    /// Whether git has it as executable; patches say so.
    pub executable: bool,
}

/// Something that could not be read, and was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

/// Why there is no result at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MutateError {
    /// A bug was asked of files that it was not made from.
    #[error("the bug does not fit {path:?}: the file {why}")]
    OtherFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Part of the gold patch could not be read.
    #[error("line {line} of the gold patch: {what}")]
    Unread {
        /// Line of the patch, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// The gold patch does not apply to the base.
    #[error("the gold patch does not apply to the base: {0}")]
    Apply(#[from] palestra_diff::ApplyError),
    /// A path of the gold patch cannot be asked for.
    #[error("the gold patch names the path {path:?}, which is not UTF-8")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
    },
}
