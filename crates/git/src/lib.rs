//! Commits, trees and blobs of a repository; scrubbed one-commit repositories.
//!
//! [`Repo::open`] takes a path or a URL. What follows reads objects only: [`Repo::tree`],
//! [`Repo::blobs`], [`Repo::history`] with [`Repo::changes`], [`Repo::diff`]. For agents,
//! [`agent_repository`] writes a bundle that holds one commit and nothing else, and [`scan`]
//! proves it.

mod blob;
mod bundle;
mod command;
mod compose;
mod error;
mod history;
mod objects;
mod open;
mod pack;
mod refs;
mod repo;
mod scrub;

pub use blob::{BlobReader, MAX_BLOB_BYTES};
pub use compose::Composed;
pub use error::GitError;
pub use history::{ChangeReader, CommitChanges, HistoryOptions, PathChange, Walked};
pub use objects::PackFile;
pub use repo::{Repo, TreeEntry};
pub use scrub::{AgentRepository, agent_repository, forbidden_objects, scan};
