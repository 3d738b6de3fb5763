//! A live sandbox, seen from the controller.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::cgroup::Group;
use crate::error::{Result, SandboxError};
use crate::host::Inner;
use crate::inside::{found, op};
use crate::pid1::{DONE, request};
use crate::spec::{Exec, ExecResult, FileOp, Outcome, Output, SandboxSpec};
use crate::wire::{Decoder, Encoder, Malformed, recv_frame, send_frame};

/// How much longer than its deadline a command may keep us waiting: for its processes to die.
const GRACE: Duration = Duration::from_secs(60);
/// How long a change to files may take.
const FILES_DEADLINE: Duration = Duration::from_secs(600);
/// Bytes that an answer may have beyond what was asked for.
const OVERHEAD: u64 = 1 << 16;

/// Variables that every command has, unless the sandbox or the command says otherwise.
const DEFAULT_ENV: [(&str, &str); 5] = [
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TERM", "dumb"),
    ("TZ", "UTC"),
];

/// A live isolated place. Dropping it destroys it.
///
/// It may be used from several threads; operations on one sandbox wait for each other.
#[derive(Debug)]
pub struct Sandbox {
    socket: Mutex<UnixStream>,
    env: BTreeMap<OsString, OsString>,
    remains: Remains,
}

/// What must be cleaned up, in order.
#[derive(Debug)]
struct Remains {
    pidfd: OwnedFd,
    /// Held to be dropped once the processes are dead.
    group: Group,
    /// Where a writable layer on disk is.
    dir: Option<PathBuf>,
    host: Arc<Inner>,
}

impl Remains {
    /// Kills every process, and waits until they are gone and everything is unmounted.
    fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        while poll(&mut fds, None) == Err(rustix::io::Errno::INTR) {}
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        self.kill();
        if let Some(dir) = self.dir.take() {
            let _ = self.host.trash.put(&dir);
        }
    }
}

impl Sandbox {
    pub(crate) fn new(
        host: Arc<Inner>,
        spec: &SandboxSpec,
        socket: UnixStream,
        pidfd: OwnedFd,
        group: Group,
        dir: Option<PathBuf>,
    ) -> Self {
        let mut env: BTreeMap<OsString, OsString> =
            DEFAULT_ENV.iter().map(|(name, value)| (name.into(), value.into())).collect();
        env.extend(spec.env.clone());
        let remains = Remains { pidfd, group, dir, host };
        Self { socket: Mutex::new(socket), env, remains }
    }

    pub(crate) fn socket(&self) -> MutexGuard<'_, UnixStream> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command and waits for it.
    ///
    /// The command gets a session and a process group of its own. When its main process ends, or
    /// at its deadline, every process in the sandbox is killed, whoever started it and whatever
    /// session it moved to; none outlives the command, and output written by then is kept.
    ///
    /// A program that cannot be started is [`SandboxError::CannotRun`]. Calls at once on one
    /// sandbox run one after the other, and each deadline counts from its own start.
    pub fn exec(&self, exec: &Exec) -> Result<ExecResult> {
        let mut out = Encoder::default();
        out.u8(request::EXEC);
        out.list(exec.argv.iter(), |out, arg| {
            out.os(arg);
        });
        let mut env: BTreeMap<_, _> = self.env.iter().collect();
        env.extend(&exec.env);
        out.list(env.into_iter(), |out, (name, value)| {
            out.os(name).os(value);
        });
        out.os(&exec.cwd).bytes(&exec.stdin);
        out.u64(u64::try_from(exec.timeout.as_nanos()).unwrap_or(u64::MAX));
        out.u64(exec.output_limit as u64);

        let socket = self.socket();
        let kills = self.remains.group.memory_kills();
        let patience = exec.timeout.saturating_add(GRACE);
        let limit = (exec.output_limit as u64).saturating_mul(2).saturating_add(OVERHEAD);
        let started = Instant::now();
        let answer = self.ask(&socket, &out, limit, patience);
        let starved = self.remains.group.memory_kills() > kills;
        let frame = match answer {
            Ok(frame) => frame,
            // The first process itself was killed, and took the output with it.
            Err(SandboxError::Dead(_)) if starved => {
                return Ok(ExecResult {
                    outcome: Outcome::OutOfMemory,
                    stdout: Output::default(),
                    stderr: Output::default(),
                    wall: started.elapsed(),
                });
            }
            Err(error) => return Err(error),
        };
        match decode_result(&frame)
            .map_err(|_| SandboxError::Protocol("the result of a command"))?
        {
            Ok(mut result) => {
                if starved {
                    result.outcome = Outcome::OutOfMemory;
                }
                Ok(result)
            }
            Err(source) => Err(SandboxError::CannotRun {
                program: exec.argv.first().map(|arg| arg.display().to_string()).unwrap_or_default(),
                cwd: exec.cwd.clone(),
                source,
            }),
        }
    }

    /// Changes files, in order and in one round trip; stops at the first that cannot be changed.
    /// The files belong to root, and their modification time is now.
    pub fn apply(&self, ops: &[FileOp]) -> Result<()> {
        let mut out = Encoder::default();
        out.u8(request::APPLY);
        out.list(ops.iter(), |out, file_op| {
            match file_op {
                FileOp::Write { path, mode, bytes } => {
                    out.u8(op::WRITE).os(path).u64((*mode).into()).bytes(bytes)
                }
                FileOp::Symlink { path, target } => out.u8(op::SYMLINK).os(path).os(target),
                FileOp::Remove { path } => out.u8(op::REMOVE).os(path),
            };
        });
        let frame = self.ask(&self.socket(), &out, OVERHEAD, FILES_DEADLINE)?;
        let mut input = Decoder(&frame);
        let malformed = |_: Malformed| SandboxError::Protocol("the result of a change to files");
        if input.u8().map_err(malformed)? == DONE {
            return Ok(());
        }
        let index = input.u64().map_err(malformed)?;
        let source = io::Error::from_raw_os_error(input.i32().map_err(malformed)?);
        let failed = usize::try_from(index).ok().and_then(|index| ops.get(index));
        let path = match failed {
            Some(
                FileOp::Write { path, .. } | FileOp::Symlink { path, .. } | FileOp::Remove { path },
            ) => path.clone(),
            None => return Err(malformed(Malformed)),
        };
        Err(SandboxError::File { path, source })
    }

    /// The content of a regular file of at most `limit` bytes; `None` where nothing is. Symlinks
    /// are followed, inside the sandbox's root.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let mut out = Encoder::default();
        out.u8(request::READ).os(path).u64(limit);
        let most = limit.saturating_add(OVERHEAD);
        let frame = self.ask(&self.socket(), &out, most, FILES_DEADLINE)?;
        let mut input = Decoder(&frame);
        let path = || path.to_owned();
        let read = |input: &mut Decoder<'_>| -> Result<Result<Option<Vec<u8>>>, Malformed> {
            if input.u8()? != DONE {
                let source = io::Error::from_raw_os_error(input.i32()?);
                return Ok(Err(SandboxError::File { path: path(), source }));
            }
            let (kind, bytes) = (input.u8()?, input.bytes()?);
            Ok(match kind {
                found::NOTHING => Ok(None),
                found::CONTENT => Ok(Some(bytes.to_vec())),
                found::TOO_LARGE => Err(SandboxError::TooLarge { path: path(), limit }),
                _ => Err(SandboxError::NotRegular {
                    path: path(),
                    kind: String::from_utf8_lossy(bytes).into_owned(),
                }),
            })
        };
        read(&mut input).map_err(|_| SandboxError::Protocol("the content of a file"))?
    }

    /// Gives every regular file of the writable layer below the absolute paths `prefixes` the
    /// modification time that [`crate::Store::adopt`] would give it. Returns how many there were.
    ///
    /// Byte code names the time of its source, so do this after sources were installed and before
    /// they are compiled: then the byte code stays valid in the layer. Compile afterwards with
    /// `python -m compileall`, and install with compilation switched off.
    pub fn normalise_times(&self, prefixes: &[&Path]) -> Result<u64> {
        let mut out = Encoder::default();
        out.u8(request::NORMALISE);
        out.list(prefixes.iter(), |out, path| {
            out.os(path);
        });
        let frame = self.ask(&self.socket(), &out, OVERHEAD, FILES_DEADLINE)?;
        let mut input = Decoder(&frame);
        let read = |input: &mut Decoder<'_>| -> Result<Result<u64>, Malformed> {
            if input.u8()? == DONE {
                return Ok(Ok(input.u64()?));
            }
            let path = input.path()?;
            let source = io::Error::from_raw_os_error(input.i32()?);
            Ok(Err(SandboxError::File { path, source }))
        };
        read(&mut input).map_err(|_| SandboxError::Protocol("the setting of times"))?
    }

    /// Kills every process inside, from any thread. An operation under way fails with
    /// [`SandboxError::Dead`], and so does every later one.
    pub fn kill(&self) {
        self.remains.kill();
    }

    /// Kills every process and keeps what they changed, for [`crate::Store::adopt`]. Needs a
    /// writable layer on disk. What was written to `/tmp` and `/dev/shm` is not kept.
    pub fn freeze(self) -> Result<Frozen> {
        self.remains.kill();
        let mut remains = self.remains;
        let dir = remains.dir.take().ok_or(SandboxError::Unsupported(
            "only a sandbox with a writable layer on disk can be frozen; make it with Writable::Disk",
        ))?;
        Ok(Frozen { dir, host: remains.host.clone() })
    }

    /// Kills every process and removes what they changed. Dropping does the same.
    pub fn destroy(self) -> Result<()> {
        drop(self);
        Ok(())
    }

    /// One request, one answer.
    fn ask(
        &self,
        socket: &UnixStream,
        request: &Encoder,
        limit: u64,
        patience: Duration,
    ) -> Result<Vec<u8>> {
        let dead = |why: String| SandboxError::Dead(why);
        let deadline = Instant::now().checked_add(patience);
        let answer = send_frame(socket, &request.0, None)
            .and_then(|()| recv_frame(socket.as_fd(), limit, deadline));
        match answer {
            Ok(Some((frame, _))) => Ok(frame),
            Ok(None) => Err(dead("its first process has ended".to_owned())),
            Err(error) => {
                // A late answer would be taken for the next one's.
                self.remains.kill();
                Err(dead(match error.kind() {
                    io::ErrorKind::TimedOut => "its first process did not answer".to_owned(),
                    _ => error.to_string(),
                }))
            }
        }
    }
}

fn decode_result(frame: &[u8]) -> Result<io::Result<ExecResult>, Malformed> {
    let mut input = Decoder(frame);
    if input.u8()? != DONE {
        return Ok(Err(io::Error::from_raw_os_error(input.i32()?)));
    }
    let (kind, code) = (input.u8()?, input.i32()?);
    let outcome = match kind {
        0 => Outcome::Exited(code),
        1 => Outcome::Signaled(code),
        _ => Outcome::TimedOut,
    };
    let wall = Duration::from_nanos(input.u64()?);
    let mut output = || -> Result<Output, Malformed> {
        let total = input.u64()?;
        Ok(Output { total, bytes: input.bytes()?.to_vec() })
    };
    let (stdout, stderr) = (output()?, output()?);
    Ok(Ok(ExecResult { outcome, stdout, stderr, wall }))
}

/// What the programs of a sandbox changed: the upper directory of an overlay to which nothing
/// writes any more. Dropping it removes it.
#[derive(Debug)]
pub struct Frozen {
    dir: PathBuf,
    host: Arc<Inner>,
}

impl Frozen {
    /// The directory. Deletions are in it as overlayfs notes them (`userxattr`).
    pub fn path(&self) -> PathBuf {
        self.dir.join("upper")
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.host.trash.put(&self.dir);
    }
}
