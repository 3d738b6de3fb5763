//! What tools work with: the sandbox, a shell in it, and what was edited.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use palestra_sandbox::{Exec, ExecResult, Limit, Outcome, Sandbox, SandboxError};

use crate::agent::Assignment;
use crate::clip::{clip, clip_of, shown};
use crate::editor::Editor;
use crate::shell::{Ran, Shell, run_alone, variables};

/// A sandbox with what tools keep from one call to the next.
#[derive(Debug)]
pub struct Hands {
    pub(crate) sandbox: Sandbox,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) shell: Shell,
    pub(crate) editor: Editor,
    /// A command may run so long.
    pub(crate) command: Duration,
    /// So many bytes of an observation are shown.
    pub(crate) observation: usize,
}

/// What a command wrote, ready to be shown.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its output, bounded.
    pub(crate) text: String,
    /// What else there is to say: a deadline, a limit, a shell that ended.
    pub(crate) notes: Vec<String>,
    /// Its exit status, if it has one.
    pub(crate) status: Option<i32>,
    /// Whether it was stopped at its deadline.
    pub(crate) timed_out: bool,
}

impl Hands {
    /// Tools for an assignment in a sandbox.
    pub fn new(
        sandbox: Sandbox,
        assignment: Arc<Assignment>,
        command: Duration,
        observation: usize,
    ) -> Self {
        let (shell, editor) = (Shell::default(), Editor::default());
        Self { sandbox, assignment, shell, editor, command, observation }
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The sandbox alone; the shell is ended.
    pub fn into_sandbox(self) -> Sandbox {
        let Self { sandbox, shell, .. } = self;
        drop(shell);
        sandbox
    }

    /// Others that go on from here, with sandboxes, shells and undo histories of their own. What
    /// runs in the background of the shell is ended.
    pub fn fork(&mut self, count: usize) -> Result<Vec<Self>, SandboxError> {
        let state = self.shell.suspend();
        let snapshot = match self.sandbox.snapshot() {
            Err(SandboxError::Unsupported(_)) => self.sandbox.snapshot_live()?,
            snapshot => snapshot?,
        };
        let mut children = Vec::with_capacity(count);
        for _ in 0..count {
            children.push(Self {
                sandbox: snapshot.create()?,
                assignment: self.assignment.clone(),
                shell: Shell::from_state(state.clone()),
                editor: self.editor.clone(),
                command: self.command,
                observation: self.observation,
            });
        }
        Ok(children)
    }

    /// An absolute path: relative ones are below the repository.
    pub(crate) fn absolute(&self, path: &str) -> PathBuf {
        self.assignment.directory.join(path)
    }

    /// Runs a command in the shell, or in one of its own.
    pub(crate) fn bash(
        &mut self,
        command: &str,
        timeout: Duration,
        alone: bool,
        limit: usize,
    ) -> Result<Said, SandboxError> {
        let timeout = timeout.min(self.command);
        let keep = limit.saturating_mul(2).max(1 << 16);
        if command.contains('\0') {
            let text = "the command holds a NUL byte, which no shell can read".to_owned();
            return Ok(Said { text, notes: Vec::new(), status: None, timed_out: false });
        }
        let ran = if alone {
            run_alone(&self.sandbox, &self.assignment, command, timeout, keep, false)?
        } else {
            self.shell.run(&self.sandbox, &self.assignment, command, timeout, keep)?
        };
        Ok(said(&ran, timeout, alone, limit))
    }

    /// Runs a command in a shell of its own, and keeps its two streams apart.
    pub(crate) fn bash_apart(
        &mut self,
        command: &str,
        keep: usize,
    ) -> Result<Option<Ran>, SandboxError> {
        if command.contains('\0') {
            return Ok(None);
        }
        let (sandbox, assignment) = (&self.sandbox, &self.assignment);
        run_alone(sandbox, assignment, command, self.command, keep, true).map(Some)
    }

    /// Runs a program by its arguments, away from the shell.
    pub(crate) fn program(
        &self,
        argv: &[&str],
        directory: &Path,
    ) -> Result<ExecResult, SandboxError> {
        let mut exec = Exec::new(argv.iter().copied()).cwd(directory).timeout(self.command);
        exec.env = variables();
        exec.output_limit = self.observation.saturating_mul(2).max(1 << 16);
        self.sandbox.exec(&exec)
    }

    /// A text of any length as an observation.
    pub(crate) fn bounded(&self, text: &str) -> String {
        clip(text.into(), self.observation)
    }
}

fn said(ran: &Ran, timeout: Duration, alone: bool, limit: usize) -> Said {
    let (text, note) = shown(&ran.output);
    let mut notes: Vec<String> = note.into_iter().collect();
    match ran.outcome {
        Outcome::TimedOut => notes.push(format!(
            "[the command was stopped after {} s; what it wrote so far is above. Run what takes longer in the background, with its output in a file]",
            timeout.as_secs_f64()
        )),
        Outcome::OutOfMemory => notes.push("[a process was killed because memory ran out]".into()),
        Outcome::OutOfDisk => notes.push("[the command was stopped because the disk is full]".into()),
        Outcome::Signaled(signal) => notes.push(format!("[ended by signal {signal}]")),
        Outcome::Exited(_) => {}
    }
    for limit in &ran.limits {
        match limit {
            Limit::Processes => notes.push("[the limit of processes was reached]".into()),
            Limit::Disk if ran.outcome != Outcome::OutOfDisk => {
                notes.push("[a file system is full]".into());
            }
            _ => {}
        }
    }
    if ran.renewed {
        notes.push(
            "[this ran in a new shell: the one before had ended, with its variables and directory]"
                .into(),
        );
    }
    if ran.ended && !alone {
        notes.push("[the shell ended; the next command starts a new one]".into());
    }
    Said {
        text: clip_of(text, limit, ran.total),
        notes,
        status: ran.status(),
        timed_out: ran.outcome == Outcome::TimedOut,
    }
}
