//! A small repository with a real history, for trying the whole pipeline out.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::error::EngineError;

/// Twelve commits of `tinytab`, five of them fixes, in the format of `git fast-import`.
const HISTORY: &[u8] = include_bytes!("../demo/history.fi");

/// Makes the repository in `dir` (which must not exist, or be empty) with its branch `main`
/// checked out.
pub fn unpack(dir: &Path) -> Result<(), EngineError> {
    fs::create_dir_all(dir)?;
    git(dir, &["init", "--quiet", "--initial-branch=main"], b"")?;
    git(dir, &["fast-import", "--quiet"], HISTORY)?;
    git(dir, &["reset", "--quiet", "--hard", "main"], b"")
}

fn git(dir: &Path, arguments: &[&str], stdin: &[u8]) -> Result<(), EngineError> {
    let program = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("git cannot be run: {error}: install git"))
    };
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(program)?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(stdin)?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(std::io::Error::other(format!("git {} in {}: {text}", arguments[0], dir.display())).into())
}
