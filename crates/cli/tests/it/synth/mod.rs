//! Tasks that people did not write: real sandboxes, real tests, a scripted model.

mod agent;
mod audit;
mod bugs;
mod by_model;
mod ten;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The task directories of a dataset.
pub(crate) fn tasks(dataset: &Path) -> Vec<PathBuf> {
    let mut tasks: Vec<PathBuf> = std::fs::read_dir(dataset)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("task.toml").is_file())
        .collect();
    tasks.sort();
    tasks
}

/// Every file below a directory, but those that only we work with.
pub(crate) fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            let relative = path.strip_prefix(dir).expect("below").to_owned();
            if relative.starts_with(".palestra") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                all.insert(relative, std::fs::read(&path).expect("a file"));
            }
        }
    }
    all
}
