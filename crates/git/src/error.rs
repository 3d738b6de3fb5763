//! What can go wrong with a repository, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why something asked of a repository could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no repository at the path.
    #[error(
        "{} is not a git repository; give a work tree, a `.git` directory, a bare repository or a URL",
        path.display()
    )]
    NotARepository {
        /// The path that was looked at.
        path: PathBuf,
    },
    /// The repository has no commit, or its `HEAD` names a branch without one.
    #[error("{} has no commit at HEAD; check out a branch that has one", path.display())]
    Empty {
        /// The repository.
        path: PathBuf,
    },
    /// Part of the history is missing.
    #[error(
        "{} is a shallow clone: history is cut off below {cut} commit(s); run `git fetch --unshallow` there",
        path.display()
    )]
    Shallow {
        /// The repository.
        path: PathBuf,
        /// How many commits lack their parents.
        cut: usize,
    },
    /// The repository is of a kind that is not read.
    #[error("{} {what}; make a plain copy with `git clone --mirror` and use that", path.display())]
    Unsupported {
        /// The repository.
        path: PathBuf,
        /// What is unusual about it.
        what: &'static str,
    },
    /// There is no `git` on the search path.
    #[error("the program `git` was not found; install git 2.36 or newer")]
    ProgramMissing,
    /// A revision does not name a commit.
    #[error("{rev:?} does not name a commit of {repository}")]
    UnknownRevision {
        /// What was asked for.
        rev: String,
        /// The repository's name.
        repository: String,
    },
    /// A clone or an update over the network failed.
    #[error("cannot download {url}: {message}")]
    Download {
        /// Where from, without credentials.
        url: String,
        /// What git said.
        message: String,
    },
    /// A git command failed.
    #[error("`git {command}` failed ({status}): {message}")]
    Command {
        /// The subcommand and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        message: String,
    },
    /// A git command, or a file made by git, does not read as expected.
    #[error("cannot understand {what}: {detail}")]
    Malformed {
        /// What was read.
        what: String,
        /// What was wrong with it.
        detail: String,
    },
    /// Reading, writing or starting a process failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl GitError {
    pub(crate) fn malformed(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), detail: detail.into() }
    }
}
