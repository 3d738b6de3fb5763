//! One run of tests in a fresh sandbox.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use palestra_core::{Environment, TestFile, TestReport};
use palestra_sandbox::{FileOp, Host, Network, Outcome, SandboxSpec, Writable};

use crate::error::GradeError;
use crate::paths::in_testbed;
use crate::runner;
use crate::session::Bench;

/// Upper bounds of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Wall seconds of the first session. When it dies, the files that it did not come to are
    /// run one by one, and all of those together get as many seconds again.
    pub seconds: u64,
    /// Bytes that are kept of what the tests print.
    pub output: usize,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self { seconds: 600, output: 64 << 10 }
    }
}

/// What a run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRun {
    /// Test by test. `finished` only if every session came to its end, and ended with the status
    /// that it announced.
    pub report: TestReport,
    /// How the first session ended, or else the last one that did not end by itself.
    pub outcome: Outcome,
    /// Whether the runner itself could be started.
    pub started: bool,
    /// The test, or else the file, during which a session died.
    pub died_in: Option<String>,
    /// Whether the install step had to be run again, and failed. No test was run then.
    pub install_failed: bool,
    /// How many sessions were run.
    pub sessions: usize,
    /// The end of what was printed, for people and for repairs; nothing is decided by it.
    pub log_tail: String,
    /// Wall seconds, from making the sandbox to its removal.
    pub seconds: f64,
    /// Processor time of everything that was run; 0 where it was not asked for.
    pub processor: f64,
}

/// Hidden files as changes, to be laid over everything else. Content is `None` for a path that
/// the commit deletes.
pub fn overlay_ops(files: &[(TestFile, Option<Vec<u8>>)]) -> Result<Vec<FileOp>, GradeError> {
    files
        .iter()
        .map(|(file, content)| {
            let path = in_testbed(&file.path)?;
            if file.hash.is_none() {
                return Ok(FileOp::Remove { path });
            }
            let bytes = content.clone().ok_or_else(|| GradeError::NoContent(file.path.clone()))?;
            file_op(path, file.mode, bytes)
                .ok_or_else(|| GradeError::Mode { path: file.path.clone(), mode: file.mode })
        })
        .collect()
}

/// A file of git's mode `mode`; `None` for modes that are not a file's.
pub(crate) fn file_op(path: PathBuf, mode: u32, bytes: Vec<u8>) -> Option<FileOp> {
    use std::os::unix::ffi::OsStringExt;
    match mode {
        0o100644 => Some(FileOp::Write { path, mode: 0o644, bytes }),
        0o100755 => Some(FileOp::Write { path, mode: 0o755, bytes }),
        0o120000 => {
            Some(FileOp::Symlink { path, target: std::ffi::OsString::from_vec(bytes).into() })
        }
        _ => None,
    }
}

/// Runs the tests in `test_paths` in a fresh sandbox of `spec` with `changes` made to it, and
/// destroys it. Whatever tests do is a result; an error means that nothing can be said.
pub fn run_tests(
    host: &Host,
    spec: &SandboxSpec,
    environment: &Environment,
    changes: &[FileOp],
    test_paths: &[String],
    limits: &RunLimits,
) -> Result<TestRun, GradeError> {
    let begin = Instant::now();
    check_paths(test_paths)?;
    let sandbox = host.create(&for_tests(spec))?;
    // Our files last, so that no change can replace them.
    let mut ops = straighten(changes);
    ops.extend(runner::install_ops());
    sandbox.apply(&ops)?;
    let mut bench = Bench::new(&sandbox, environment, limits, None)?;
    let touched = changes.iter().filter_map(|op| path_of(op).to_str());
    let failed = if bench.installs(touched) { bench.reinstall()? } else { None };
    let mut run = match failed {
        Some(failed) => failed,
        None => bench.run(test_paths)?,
    };
    run.processor = sandbox.processor_time()?.as_secs_f64();
    sandbox.destroy()?;
    run.seconds = begin.elapsed().as_secs_f64();
    Ok(run)
}

/// Refuses what a runner must not be given.
pub(crate) fn check_paths(test_paths: &[String]) -> Result<(), GradeError> {
    for path in test_paths {
        in_testbed(path)?;
        if path.starts_with('-') {
            let why = "would be taken for an option";
            return Err(GradeError::Path { path: path.clone(), why });
        }
    }
    Ok(())
}

/// A sandbox for tests: no network, and changes in memory.
pub(crate) fn for_tests(spec: &SandboxSpec) -> SandboxSpec {
    SandboxSpec {
        network: Network::None,
        writable: match spec.writable {
            Writable::Tmpfs { bytes } => Writable::Tmpfs { bytes },
            Writable::Disk => Writable::default(),
        },
        ..spec.clone()
    }
}

/// The changes, with a removal of whatever an earlier change puts in the way of a later one: a
/// symlink that would lead a hidden file to another place, or a file where it needs a folder.
pub(crate) fn straighten(changes: &[FileOp]) -> Vec<FileOp> {
    let mut in_the_way: BTreeSet<&Path> = BTreeSet::new();
    let mut ops = Vec::with_capacity(changes.len());
    for op in changes {
        let path = path_of(op);
        for parent in path.ancestors().skip(1) {
            if in_the_way.remove(parent) {
                ops.push(FileOp::Remove { path: parent.to_path_buf() });
            }
        }
        if matches!(op, FileOp::Remove { .. }) {
            in_the_way.remove(path);
        } else {
            in_the_way.insert(path);
        }
        ops.push(op.clone());
    }
    ops
}

pub(crate) fn path_of(op: &FileOp) -> &Path {
    match op {
        FileOp::Write { path, .. }
        | FileOp::Directory { path, .. }
        | FileOp::Symlink { path, .. }
        | FileOp::Remove { path } => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_way_of_a_hidden_file_goes() {
        let write = |path: &str| FileOp::Write { path: path.into(), mode: 0o644, bytes: vec![] };
        let link = FileOp::Symlink { path: "/testbed/tests".into(), target: "/usr".into() };
        let changes = [link.clone(), write("/testbed/a"), write("/testbed/tests/x.py")];
        let gone = FileOp::Remove { path: "/testbed/tests".into() };
        let want = [link, write("/testbed/a"), gone, write("/testbed/tests/x.py")];
        assert_eq!(straighten(&changes), want);
    }
}
