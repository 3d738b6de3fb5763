//! Writes a task as a Harbor task directory: whole, then renamed into place.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use palestra_core::harbor::{self, TaskForm};
use palestra_core::{Hash, Task};
use palestra_grade::docker::Shipped;

use crate::dataset::Dataset;
use crate::error::EngineError;

/// The parts of a task directory that are not in the [`Task`].
#[derive(Debug)]
pub struct Parts<'a> {
    /// One line, for lists of tasks.
    pub title: &'a str,
    /// `instruction.md`.
    pub statement: &'a str,
    /// The source part of the fix.
    pub gold_patch: &'a [u8],
    /// Content of every hidden file that is present after the fix, by path.
    pub test_contents: &'a BTreeMap<String, Vec<u8>>,
    /// The one-commit repository, a git bundle.
    pub bundle: &'a Path,
    /// What is applied to its tree to get the one that an agent starts from, and the paths that
    /// are taken away from it.
    pub base_patch: Option<(&'a [u8], &'a [String])>,
    /// `environment/Dockerfile`.
    pub dockerfile: &'a str,
    /// The programs below `tests/`.
    pub programs: &'a [Shipped],
}

/// `solution/solve.sh`.
const SOLVE: &str = "#!/bin/bash
# Applies the gold patch.
set -euo pipefail
cd /testbed
git apply --whitespace=nowarn \"$(dirname \"$0\")/gold.patch\"
";

/// Writes the directory of `task` (what many tasks have in common stands on disk once), replacing an older one of the same name.
pub fn ship(dataset: &Dataset, task: &Task, parts: &Parts<'_>) -> Result<(), EngineError> {
    let staging = dataset.staging(&task.instance_id);
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    let write = |name: &str, bytes: &[u8]| -> Result<(), EngineError> {
        let path = staging.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(fs::write(path, bytes)?)
    };
    let share = |name: &str, bytes: &[u8], mode: u32| -> Result<(), EngineError> {
        let path = staging.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        dataset.share(&path, bytes, mode)
    };
    let mut stored = BTreeMap::new();
    for (path, bytes) in parts.test_contents {
        let name = stored_name(path);
        share(&format!("{}/{name}", harbor::TEST_FILES), bytes, 0o644)?;
        stored.insert(path.clone(), name);
    }
    write("instruction.md", parts.statement.as_bytes())?;
    write("task.toml", harbor::task_toml(task, parts.title)?.as_bytes())?;
    share("environment/Dockerfile", parts.dockerfile.as_bytes(), 0o644)?;
    share(harbor::LOCK, task.environment.lock.as_bytes(), 0o644)?;
    share(harbor::BUNDLE, &fs::read(parts.bundle)?, 0o644)?;
    if let Some((patch, removed)) = parts.base_patch {
        write(harbor::BASE_PATCH, patch)?;
        let lines: String = removed.iter().map(|path| format!("{path}\n")).collect();
        write(harbor::BASE_REMOVED, lines.as_bytes())?;
    }
    write(harbor::GOLD_PATCH, parts.gold_patch)?;
    share("solution/solve.sh", SOLVE.as_bytes(), 0o755)?;
    for program in parts.programs {
        share(&format!("tests/{}", program.path), &program.bytes, program.mode)?;
    }
    let form = TaskForm { form: harbor::TASK_FORM, task: task.clone(), stored };
    let json = serde_json::to_vec(&form).map_err(std::io::Error::other)?;
    write(harbor::TASK_JSON, &json)?;
    let target = dataset.task_dir(&task.instance_id);
    if target.exists() {
        // Two renames: a reader sees the old directory, none, or the new one.
        let old = staging.with_extension("old");
        fs::rename(&target, &old)?;
        fs::rename(&staging, &target)?;
        fs::remove_dir_all(old)?;
    } else {
        fs::rename(&staging, &target)?;
    }
    Ok(())
}

/// Where a hidden file stands below `tests/files`: at its own path if that is harmless,
/// otherwise under the hash of its path. (Harbor leaves `*.pyc`, `*~` and the like out of
/// packages; other tools choke on unusual characters.)
fn stored_name(path: &str) -> String {
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    let hidden = [".pyc", ".swp", ".swo", ".DS_Store"].iter().any(|end| path.ends_with(end));
    let odd_part = path.split('/').any(|part| matches!(part, "" | "." | ".." | "__pycache__"));
    if plain && !hidden && !odd_part && !path.starts_with("by-hash/") && path.len() < 200 {
        path.to_owned()
    } else {
        format!("by-hash/{}", Hash::of(path.as_bytes()).short())
    }
}

#[cfg(test)]
mod tests {
    use super::stored_name;

    #[test]
    fn hostile_names_are_stored_by_hash() {
        assert_eq!(stored_name("tests/test_a.py"), "tests/test_a.py");
        for name in ["../x", "a//b", "tests/ä.py", "a\nb", "x.pyc", "__pycache__/x", "by-hash/x"] {
            assert!(stored_name(name).starts_with("by-hash/"), "{name}");
        }
    }
}
