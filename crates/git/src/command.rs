//! Git processes that obey nobody but us.
//!
//! An inspected repository can carry configuration, hooks, attributes, text converters and
//! replacement objects that make git run programs or lie about content. None of these are
//! read: every process works in a private bare repository whose only link to the inspected one
//! is its object directory, and takes its settings from the list below.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::GitError;

/// Variables that redirect git; none of the caller's values may reach our processes.
const REMOVED: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ASKPASS",
    "GIT_ATTR_SOURCE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_DEFAULT_HASH",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REDIRECT_STDERR",
    "GIT_REDIRECT_STDOUT",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TEMPLATE_DIR",
    "GIT_TRACE",
    "GIT_TRACE2",
    "GIT_TRACE2_EVENT",
    "GIT_TRACE2_PERF",
    "GIT_TRACE_PACKET",
    "GIT_TRACE_SETUP",
    "GIT_WORK_TREE",
];

/// Settings that hold for every process. The attribute source is git's built-in empty tree:
/// some versions otherwise read attributes from the `HEAD` of a bare repository.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.commitGraph=true",
    "core.quotePath=true",
    "core.abbrev=auto",
    "attr.tree=4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "diff.renames=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",
    "protocol.ext.allow=never",
];

/// A git command on no repository at all.
pub(crate) fn bare() -> Command {
    let mut command = Command::new("git");
    for name in REMOVED {
        command.env_remove(name);
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_LITERAL_PATHSPECS", "1")
        .env("GIT_PAGER", "cat")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
}

/// A git command on the repository whose git directory is `git_dir`.
pub(crate) fn on(git_dir: &Path) -> Command {
    let mut command = bare();
    command.arg("--git-dir").arg(git_dir);
    command
}

/// Starts a command.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, GitError> {
    command.spawn().map_err(spawn_error)
}

/// Runs a command to its end and returns what it wrote; an unsuccessful end is an error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, GitError> {
    let output = command.output().map_err(spawn_error)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failure(command, &output.status.to_string(), &output.stderr))
}

/// The error for a command that ended badly.
pub(crate) fn failure(command: &Command, status: &str, stderr: &[u8]) -> GitError {
    let mut words = Vec::new();
    let mut arguments = command.get_args();
    while let Some(argument) = arguments.next() {
        if argument == OsStr::new("-c") || argument == OsStr::new("--git-dir") {
            arguments.next();
            continue;
        }
        words.push(argument.to_string_lossy());
    }
    let mut text = words.join(" ");
    if let Some((cut, _)) = text.char_indices().nth(300) {
        text.truncate(cut);
        text.push_str(" ...");
    }
    GitError::Command { command: text, status: status.to_owned(), message: message(stderr) }
}

/// The end of what a process said.
pub(crate) fn message(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let start = text.len().saturating_sub(2000);
    let start = (start..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text[start..].to_owned()
}

fn spawn_error(error: io::Error) -> GitError {
    if error.kind() == io::ErrorKind::NotFound {
        return GitError::ProgramMissing;
    }
    GitError::Io(error)
}
