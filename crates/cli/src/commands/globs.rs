//! Which names are meant.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::outcome::CliError;

/// The names that match one of some globs and none of others.
#[derive(Debug)]
pub(crate) struct Globs {
    all: bool,
    include: GlobSet,
    exclude: GlobSet,
}

impl Globs {
    /// Without a glob to include, every name is.
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self, CliError> {
        Ok(Self { all: include.is_empty(), include: set(include)?, exclude: set(exclude)? })
    }

    /// Whether the name is meant.
    pub(crate) fn take(&self, name: &str) -> bool {
        (self.all || self.include.is_match(name)) && !self.exclude.is_match(name)
    }
}

fn set(patterns: &[String]) -> Result<GlobSet, CliError> {
    let wrong = |error: globset::Error| CliError::usage(error.to_string());
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map_err(wrong)
}
