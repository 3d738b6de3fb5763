//! The shell that an agent's commands share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use palestra_sandbox::{
    Exec, Limit, Outcome, Sandbox, SandboxError, Session, SessionOptions, ShellState,
};

use crate::agent::Assignment;

/// Variables that make programs write plainly and never ask.
const PLAIN: [(&str, &str); 12] = [
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("GIT_EDITOR", "true"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LESS", "-R"),
    ("MANPAGER", "cat"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_PROGRESS_BAR", "off"),
    ("TERM", "dumb"),
    ("TQDM_DISABLE", "1"),
];
/// Carries the directories to put in front of `PATH` into a new shell.
const FRONT: &str = "PALESTRA_PATH";
/// How long a shell may take to tell its state, or to take it on.
const STATE: Duration = Duration::from_secs(30);

/// A shell that is opened when it is first needed, and again when it ended.
#[derive(Debug, Default)]
pub(crate) struct Shell {
    session: Option<Session>,
    /// What the next one goes on from.
    state: Option<ShellState>,
    /// Whether one ended that was not followed by another yet.
    lost: bool,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What it wrote, both streams in order; the middle may be missing.
    pub(crate) output: Vec<u8>,
    /// What it wrote to standard error, where that was kept apart.
    pub(crate) errors: Vec<u8>,
    /// How many bytes it wrote.
    pub(crate) total: u64,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Whether the shell ended with it.
    pub(crate) ended: bool,
    /// Whether it ran in a new shell, because the one before had ended.
    pub(crate) renewed: bool,
    /// Limits that were hit.
    pub(crate) limits: Vec<Limit>,
}

impl Ran {
    /// Its exit status, as a shell would tell it.
    pub(crate) fn status(&self) -> Option<i32> {
        match self.outcome {
            Outcome::Exited(status) => Some(status),
            Outcome::Signaled(signal) => Some(128 + signal),
            _ => None,
        }
    }
}

impl Shell {
    /// Runs a command in the shell, for at most `timeout`, keeping `keep` bytes of its output.
    pub(crate) fn run(
        &mut self,
        sandbox: &Sandbox,
        assignment: &Assignment,
        command: &str,
        timeout: Duration,
        keep: usize,
    ) -> Result<Ran, SandboxError> {
        let renewed = self.lost;
        let session = match &mut self.session {
            Some(session) => session,
            None => {
                let session = open(sandbox, assignment, self.state.as_ref())?;
                // Once it is taken on it would be out of date.
                self.state = None;
                self.lost = false;
                self.session.insert(session)
            }
        };
        // For the command alone, since its line has redirections of its own.
        let command = format!("exec 2>&1\n{command}");
        let result = session.run(&command, timeout, keep)?;
        let ended = session.ended();
        if ended {
            self.session = None;
            self.lost = true;
        }
        let mut output = result.stdout.bytes;
        output.extend_from_slice(&result.stderr.bytes);
        // What an interactive bash says when it exits; no program wrote it.
        if ended && matches!(result.outcome, Outcome::Exited(_)) && output.ends_with(b"exit\n") {
            output.truncate(output.len() - b"exit\n".len());
        }
        Ok(Ran {
            output,
            errors: Vec::new(),
            total: result.stdout.total + result.stderr.total,
            outcome: result.outcome,
            ended,
            renewed,
            limits: result.limits,
        })
    }

    /// Ends the session and keeps what it knows, for itself and for others to go on from. What
    /// runs in its background is lost.
    pub(crate) fn suspend(&mut self) -> Option<ShellState> {
        if let Some(mut session) = self.session.take() {
            self.state = session.state(STATE).ok();
            self.lost = self.state.is_none();
        }
        self.state.clone()
    }

    /// One that will go on from this state.
    pub(crate) fn from_state(state: Option<ShellState>) -> Self {
        Self { session: None, state, lost: false }
    }
}

/// Variables for commands.
pub(crate) fn variables() -> BTreeMap<OsString, OsString> {
    PLAIN.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The assignment's directories, as `PATH` would hold them.
fn in_front(assignment: &Assignment) -> OsString {
    let mut path = OsString::new();
    for (number, directory) in assignment.path.iter().enumerate() {
        path.push(if number > 0 { ":" } else { "" });
        path.push(directory);
    }
    path
}

fn open(
    sandbox: &Sandbox,
    assignment: &Assignment,
    state: Option<&ShellState>,
) -> Result<Session, SandboxError> {
    let mut env = variables();
    let front = in_front(assignment);
    let adds = state.is_none() && !front.is_empty();
    if adds {
        env.insert(FRONT.into(), front);
    }
    let cwd = assignment.directory.clone();
    let mut session = sandbox.session(&SessionOptions { cwd, env, state: state.cloned() })?;
    if adds {
        // What it is put in front of is known inside only.
        session.run(&format!("PATH=\"${FRONT}:$PATH\"; unset {FRONT}"), STATE, 0)?;
    }
    Ok(session)
}

/// Runs a command in a shell of its own. What it leaves running ends with it. With `apart`, standard
/// error is not mixed with standard output.
pub(crate) fn run_alone(
    sandbox: &Sandbox,
    assignment: &Assignment,
    command: &str,
    timeout: Duration,
    keep: usize,
    apart: bool,
) -> Result<Ran, SandboxError> {
    // Not as an argument, which may be no longer than 128 KiB.
    const SCRIPT: &str = "[ -n \"$1\" ] || exec 2>&1; [ -z \"$0\" ] || PATH=\"$0:$PATH\"; shift; command=$(cat); exec </dev/null; eval \"$command\"";
    let mut argv: Vec<OsString> = vec!["bash".into(), "-c".into(), SCRIPT.into()];
    argv.extend([in_front(assignment), if apart { "apart" } else { "" }.into()]);
    let mut exec = Exec::new(argv).cwd(&assignment.directory).timeout(timeout);
    exec.env = variables();
    exec.stdin = command.as_bytes().to_vec();
    exec.output_limit = keep;
    let result = match sandbox.exec(&exec) {
        Err(SandboxError::CannotRun { .. }) => {
            exec.argv[0] = "sh".into();
            sandbox.exec(&exec)?
        }
        result => result?,
    };
    Ok(Ran {
        output: result.stdout.bytes,
        errors: result.stderr.bytes,
        total: result.stdout.total + result.stderr.total,
        outcome: result.outcome,
        ended: false,
        renewed: false,
        limits: result.limits,
    })
}
