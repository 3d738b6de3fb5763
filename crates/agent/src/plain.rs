//! Agents that ask no model: `oracle` applies the fix, `nop` does nothing.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use palestra_diff::{apply_all, parse};
use palestra_model::Message;
use palestra_sandbox::{Exec, FileOp, Sandbox};
use serde_json::{Map, Value};

use crate::agent::{Agent, AgentError, Exit, Live, Progress, Record, Source, Stage};

/// Larger files of a patch are not read.
const LARGEST: u64 = 256 << 20;

/// `oracle` and `nop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// Applies [`crate::Aid::gold`].
    Oracle,
    /// Does nothing.
    Nop,
}

impl Agent for Plain {
    fn name(&self) -> &str {
        match self {
            Self::Oracle => "oracle",
            Self::Nop => "nop",
        }
    }

    fn version(&self) -> &str {
        "1"
    }

    fn describe(&self) -> Map<String, Value> {
        Map::new()
    }

    fn needs_model(&self) -> bool {
        false
    }

    fn start(&self, stage: Stage) -> Result<Box<dyn Live>, AgentError> {
        if *self == Self::Oracle && stage.aid.gold.is_none() {
            return Err(AgentError::Setup {
                agent: "oracle".to_owned(),
                what: format!("the task {} has no gold patch", stage.assignment.id),
            });
        }
        Ok(Box::new(PlainLive { agent: *self, stage }))
    }
}

struct PlainLive {
    agent: Plain,
    stage: Stage,
}

impl Live for PlainLive {
    fn step(&mut self) -> Result<Progress, AgentError> {
        if self.stage.stop.load(Ordering::Relaxed) {
            return Err(AgentError::Cancelled);
        }
        let statement = Message::user(&self.stage.assignment.statement);
        let mut records = vec![Record::said(Source::User, Arc::new(statement))];
        if let (Plain::Oracle, Some(gold)) = (self.agent, &self.stage.aid.gold) {
            let started = Instant::now();
            let files = apply(&self.stage.sandbox, &self.stage.assignment.directory, gold)?;
            let said = Message::assistant(format!("The gold patch is applied to {files} files."));
            records.push(Record {
                tool_seconds: started.elapsed().as_secs_f64(),
                ..Record::said(Source::Agent, Arc::new(said))
            });
        }
        Ok(Progress { records, exit: Some(Exit::Submitted) })
    }

    fn sandbox(&self) -> &Sandbox {
        &self.stage.sandbox
    }

    fn fork(&mut self, _count: usize) -> Result<Vec<Box<dyn Live>>, AgentError> {
        let agent = self.agent.name().to_owned();
        Err(AgentError::Unsupported { agent, what: "fork: it has one step" })
    }

    fn messages(&self) -> Vec<Arc<Message>> {
        vec![Arc::new(Message::user(&self.stage.assignment.statement))]
    }

    fn finish(self: Box<Self>) -> Sandbox {
        self.stage.sandbox
    }
}

/// Applies a patch to files of a sandbox, strictly. Returns how many it changed.
pub(crate) fn apply(
    sandbox: &Sandbox,
    directory: &Path,
    patch: &[u8],
) -> Result<usize, AgentError> {
    let fail = |what: String| AgentError::Setup { agent: "oracle".to_owned(), what };
    let (patch, problems) = parse(patch);
    if let Some(problem) = problems.first() {
        let what =
            format!("the gold patch cannot be read: line {}: {}", problem.line, problem.what);
        return Err(fail(what));
    }
    let at = |path: &[u8]| directory.join(std::ffi::OsStr::from_bytes(path));
    let paths: Vec<_> = patch
        .files
        .iter()
        .flat_map(|file| [&*file.old_path, &*file.new_path])
        .map(|path| (path.to_vec(), at(path)))
        .collect();
    let modes = modes(sandbox, paths)?;
    let mut broken = None;
    let mut read = |path: &[u8]| -> Option<Vec<u8>> {
        match modes.get(path)? {
            Stands::Symlink(target) => Some(target.clone()),
            Stands::File(_) => sandbox.read(at(path), LARGEST).unwrap_or_else(|error| {
                broken.get_or_insert(error);
                None
            }),
        }
    };
    let written = apply_all(&patch, &mut read);
    if let Some(error) = broken {
        return Err(error.into());
    }
    let written =
        written.map_err(|error| fail(format!("the gold patch does not apply: {error}")))?;
    let mut ops = Vec::new();
    for file in &written {
        let path = at(&file.path);
        let Some(content) = &file.content else {
            ops.push(FileOp::Remove { path });
            continue;
        };
        let before = modes.get(&file.path).map(|stands| match stands {
            Stands::File(mode) => *mode,
            Stands::Symlink(_) => 0o120000,
        });
        let mode = file.mode.or(before).unwrap_or(0o100644);
        ops.push(if mode & 0o170000 == 0o120000 {
            FileOp::Symlink { path, target: std::ffi::OsStr::from_bytes(content).into() }
        } else {
            let mode = if mode & 0o100 != 0 { 0o755 } else { 0o644 };
            FileOp::Write { path, mode, bytes: content.clone() }
        });
    }
    // What is removed goes first, so that a directory can take the place of a file.
    ops.sort_by_key(|op| !matches!(op, FileOp::Remove { .. }));
    sandbox.apply(&ops)?;
    Ok(written.len())
}

/// What stands at a path of a patch, with its git mode.
enum Stands {
    File(u32),
    Symlink(Vec<u8>),
}

/// What stands at paths, symlinks not followed, by the name that the patch has for each.
fn modes(
    sandbox: &Sandbox,
    paths: Vec<(Vec<u8>, PathBuf)>,
) -> Result<HashMap<Vec<u8>, Stands>, AgentError> {
    const SCRIPT: &str = r#"for f; do if [ -L "$f" ]; then echo "l$(readlink -- "$f")"; elif [ ! -e "$f" ]; then echo n; elif [ -x "$f" ]; then echo x; else echo f; fi; done"#;
    let mut exec = Exec::new(["sh", "-c", SCRIPT, "sh"]);
    exec.argv.extend(paths.iter().map(|(_, path)| path.into()));
    let result = sandbox.exec(&exec)?;
    let lines = result.stdout.bytes.split(|byte| *byte == b'\n');
    let stands = |line: &[u8]| match line.split_first() {
        Some((b'f', _)) => Some(Stands::File(0o100644)),
        Some((b'x', _)) => Some(Stands::File(0o100755)),
        Some((b'l', target)) => Some(Stands::Symlink(target.to_vec())),
        _ => None,
    };
    let all = paths.into_iter().zip(lines);
    Ok(all.filter_map(|((name, _), line)| Some((name, stands(line)?))).collect())
}
