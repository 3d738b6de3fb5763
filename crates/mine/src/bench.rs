//! How fast histories are mined.

use std::path::Path;
use std::time::Instant;

use palestra_git::Repo;
use serde::Serialize;

use crate::filters::{Filters, TestRule};
use crate::run::{MineError, MineOptions, walk};

/// A measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchResult {
    /// Commits looked at.
    pub commits: usize,
    /// Wall time, seconds, without opening the repository.
    pub seconds: f64,
    /// Threads.
    pub jobs: usize,
    /// Eligible commits by preset.
    pub eligible: Vec<(String, usize)>,
}

impl BenchResult {
    /// Commits per second.
    pub fn rate(&self) -> f64 {
        self.commits as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// Mines the whole history of the repository at `path`: every feature of every commit, and the
/// decisions of every preset. `workdir` receives a private repository, see [`Repo::open`].
pub fn bench(path: &Path, workdir: &Path, jobs: usize) -> Result<BenchResult, MineError> {
    let repo = Repo::open(&path.to_string_lossy(), workdir)?;
    let presets: Vec<Filters> =
        Filters::PRESETS.iter().filter_map(|name| Filters::preset(name).ok()).collect();
    let mut eligible: Vec<(String, usize)> = presets.iter().map(|p| (p.name.clone(), 0)).collect();
    let options = MineOptions { jobs, ..MineOptions::default() };
    let started = Instant::now();
    let mut commits = 0;
    let judge = |_, features| -> Vec<bool> {
        presets.iter().map(|p| p.decide(&features).1.is_none()).collect()
    };
    walk(&repo, &options, TestRule::Wide, judge, |passes| {
        commits += 1;
        for ((_, count), pass) in eligible.iter_mut().zip(passes) {
            *count += usize::from(pass);
        }
        Ok(())
    })?;
    Ok(BenchResult { commits, seconds: started.elapsed().as_secs_f64(), jobs, eligible })
}
