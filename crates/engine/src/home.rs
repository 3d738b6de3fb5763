//! Where palestra keeps what can be made again: layers, git objects, caches.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// The directories below `$PALESTRA_HOME`. All but [`Home::recipes`] can be deleted at any time
/// when no command runs; they are made again.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Makes the directories below `root`.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(root)?;
        let home = Self { root: fs::canonicalize(root)? };
        for dir in [home.store(), home.repositories(), home.state(), home.cache(), home.recipes()] {
            fs::create_dir_all(dir)?;
        }
        Ok(home)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Layers, and the files they share.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Our private repositories, one per source.
    pub fn repositories(&self) -> PathBuf {
        self.root.join("git")
    }

    /// Live sandboxes and their leases.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Downloads: uv and its package cache.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// What worked for which repository.
    pub fn recipes(&self) -> PathBuf {
        self.root.join("recipes")
    }
}
