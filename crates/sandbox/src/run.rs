//! Running commands, as the first process of a sandbox.

use std::ffi::{CString, OsStr, c_char, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::capture::Capture;
use crate::pid1::{DONE, FAILED};
use crate::setup::{Place, c_path, c_string};
use crate::spec::Outcome;
use crate::wire::{Decoder, Encoder, Malformed};

/// A command as it comes over the wire.
struct Command {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Where the program may be, in the order to try.
    candidates: Vec<CString>,
    cwd: CString,
    stdin: Vec<u8>,
    timeout: Duration,
    output_limit: usize,
}

/// Waits for the end of children from now on. Returns a descriptor that is readable when one has
/// ended. The launcher has put every other signal back to its default.
pub(crate) fn own_signals() -> io::Result<OwnedFd> {
    // SAFETY: plain calls on local signal sets in a single-threaded process.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Runs one command to its end, or to its deadline.
pub(crate) fn exec(
    socket: BorrowedFd<'_>,
    place: &Place,
    signals: &OwnedFd,
    input: &mut Decoder<'_>,
) -> Result<Encoder, Malformed> {
    let mut out = Encoder::default();
    let command = match decode(input)? {
        Ok(command) => command,
        Err(error) => {
            out.u8(FAILED).i32(error.raw_os_error().unwrap_or(libc::EINVAL));
            return Ok(out);
        }
    };
    let started = Instant::now();
    match supervise(&command, socket, place, signals) {
        Ok(Finished { outcome, mut streams }) => {
            out.u8(DONE);
            let (kind, code) = match outcome {
                Outcome::Exited(code) => (0, code),
                Outcome::Signaled(signal) => (1, signal),
                Outcome::TimedOut | Outcome::OutOfMemory => (2, 0),
            };
            out.u8(kind).i32(code);
            out.u64(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
            for stream in &mut streams {
                out.u64(stream.total()).bytes(&stream.take());
            }
        }
        Err(error) => {
            end_all();
            out.u8(FAILED).i32(error.raw_os_error().unwrap_or(libc::EIO));
        }
    }
    Ok(out)
}

fn decode(input: &mut Decoder<'_>) -> Result<io::Result<Command>, Malformed> {
    let argv = input.list(Decoder::bytes)?;
    let env = input.list(|input| Ok((input.bytes()?, input.bytes()?)))?;
    let cwd = input.path()?;
    let stdin = input.bytes()?.to_vec();
    let timeout = Duration::from_nanos(input.u64()?);
    let output_limit = usize::try_from(input.u64()?).map_err(|_| Malformed)?;
    Ok((|| {
        let path = env.iter().find(|(name, _)| *name == b"PATH").map_or(&b""[..], |pair| pair.1);
        let program = argv.first().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Command {
            candidates: candidates(program, path)?,
            argv: argv.into_iter().map(c_string).collect::<io::Result<_>>()?,
            env: env
                .into_iter()
                .map(|(name, value)| c_string([name, b"=", value].concat()))
                .collect::<io::Result<_>>()?,
            cwd: c_path(&cwd)?,
            stdin,
            timeout,
            output_limit,
        })
    })())
}

/// Where a program may be, as a shell would look for it.
fn candidates(program: &[u8], path: &[u8]) -> io::Result<Vec<CString>> {
    if program.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if program.contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    path.split(|byte| *byte == b':')
        .map(|dir| if dir.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(dir)) })
        .map(|dir: &Path| -> io::Result<CString> {
            let full: PathBuf = dir.join(OsStr::from_bytes(program));
            c_path(&full)
        })
        .collect()
}

struct Finished {
    outcome: Outcome,
    /// Standard output and standard error.
    streams: [Capture; 2],
}

/// Starts the command and looks after it.
fn supervise(
    command: &Command,
    socket: BorrowedFd<'_>,
    place: &Place,
    signals: &OwnedFd,
) -> io::Result<Finished> {
    let deadline = Instant::now().checked_add(command.timeout);
    let (out_read, out_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (err_read, err_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (in_read, mut in_write) = if command.stdin.is_empty() {
        (open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    } else {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&write, true)?;
        (read, Some(write))
    };
    for fd in [&out_read, &err_read] {
        rustix::io::ioctl_fionbio(fd, true)?;
        // A larger pipe means fewer switches while something floods it; a refusal is fine.
        let _ = rustix::pipe::fcntl_setpipe_size(fd, 1 << 18);
    }
    let main = spawn(command, [&in_read, &out_write, &err_write], place)?;
    drop((in_read, out_write, err_write));
    let mut readers = [Some(out_read), Some(err_read)];
    let mut streams = [Capture::new(command.output_limit), Capture::new(command.output_limit)];
    let mut stdin = &command.stdin[..];
    let mut buffer = vec![0; 1 << 16];
    let status = loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break None;
        }
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = vec![
            PollFd::new(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(socket, PollFlags::RDHUP),
        ];
        fds.extend(readers.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(in_write.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (ended, gone) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        drop(fds);
        if gone {
            // The controller is gone, and with it whoever wanted the result.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if in_write.as_ref().is_some_and(|fd| !feed(fd, &mut stdin)) {
            in_write = None;
        }
        for (reader, stream) in readers.iter_mut().zip(&mut streams) {
            // Once each, so that a flood delays neither the deadline nor the other stream.
            if reader.as_ref().is_some_and(|fd| !drain(fd, stream, &mut buffer, 1)) {
                *reader = None;
            }
        }
        if ended {
            clear(signals);
            if let Some(status) = reap(main) {
                break Some(status);
            }
        }
    };
    // Whatever still runs was started by the command and would outlive it.
    let late = end_all_but(main);
    for (reader, stream) in readers.iter().zip(&mut streams) {
        if let Some(fd) = reader {
            // Nobody writes any more: what the pipe holds is all there is.
            drain(fd, stream, &mut buffer, usize::MAX);
        }
    }
    clear(signals);
    let outcome = match status {
        // It may have ended between the last look and the deadline's signal.
        None => late.filter(|status| libc::WIFEXITED(*status)).map_or(Outcome::TimedOut, outcome),
        Some(status) => outcome(status),
    };
    Ok(Finished { outcome, streams })
}

fn outcome(status: i32) -> Outcome {
    if libc::WIFSIGNALED(status) {
        Outcome::Signaled(libc::WTERMSIG(status))
    } else {
        Outcome::Exited(libc::WEXITSTATUS(status))
    }
}

/// Writes what the pipe takes; false when there is nothing more to write or nobody reads.
fn feed(fd: &OwnedFd, stdin: &mut &[u8]) -> bool {
    loop {
        match rustix::io::write(fd, stdin) {
            Ok(count) => *stdin = &stdin[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
        if stdin.is_empty() {
            return false;
        }
    }
}

/// Reads up to `times` buffers of what is there; false at the end of the stream.
fn drain(fd: &OwnedFd, stream: &mut Capture, buffer: &mut [u8], times: usize) -> bool {
    for _ in 0..times {
        match rustix::io::read(fd, &mut *buffer) {
            Ok(0) => return false,
            Ok(count) => stream.push(&buffer[..count]),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

fn clear(signals: &OwnedFd) {
    let mut info = [0u8; 1024];
    while rustix::io::read(signals, &mut info).is_ok_and(|count| count > 0) {}
}

/// Reaps everything that has ended; the status of `main` if it is among that.
fn reap(main: libc::pid_t) -> Option<i32> {
    let mut found = None;
    loop {
        let mut status = 0;
        // SAFETY: `status` is a local integer.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid <= 0 {
            return found;
        }
        if pid == main {
            found = Some(status);
        }
    }
}

/// Kills every process of the sandbox but this one, and waits until they are gone.
fn end_all() {
    end_all_but(0);
}

/// As [`end_all`]; returns the status of `main` if it was among them.
fn end_all_but(main: libc::pid_t) -> Option<i32> {
    let mut found = None;
    loop {
        // SAFETY: as the first process of a pid namespace, -1 means every other process in it;
        // `status` is a local integer.
        let (pid, status) = unsafe {
            libc::kill(-1, libc::SIGKILL);
            let mut status = 0;
            (libc::waitpid(-1, &mut status, 0), status)
        };
        if pid == main && pid > 0 {
            found = Some(status);
        }
        if pid < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
            return found;
        }
    }
}

/// What the new process needs between its birth and the program it becomes.
struct Birth {
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    candidates: Vec<*const c_char>,
    cwd: *const c_char,
    fds: [RawFd; 3],
    open_files: libc::rlimit,
    errno: i32,
}

/// Starts a command in a session of its own.
fn spawn(command: &Command, fds: [&OwnedFd; 3], place: &Place) -> io::Result<libc::pid_t> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let mut birth = Birth {
        argv: pointers(&command.argv),
        env: pointers(&command.env),
        candidates: pointers(&command.candidates),
        cwd: command.cwd.as_ptr(),
        fds: fds.map(AsRawFd::as_raw_fd),
        open_files: place.open_files,
        errno: 0,
    };
    let mut stack = vec![0u128; 4096];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: CLONE_VFORK keeps this process still until the child has executed a program or
    // ended, so the child alone uses the shared memory, on a stack of its own; `become_program`
    // makes only system calls.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len());
        libc::clone(become_program, top.cast(), flags, (&raw mut birth).cast::<c_void>())
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if birth.errno != 0 {
        // SAFETY: reaps the child that has just ended.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        return Err(io::Error::from_raw_os_error(birth.errno));
    }
    Ok(pid)
}

/// The child's side of [`spawn`]. Allocates nothing and takes no locks.
extern "C" fn become_program(birth: *mut c_void) -> libc::c_int {
    // SAFETY: `spawn` passes a `Birth` that it does not touch until this process is gone from
    // its memory; every pointer in it is NUL-terminated or a list that ends with null.
    unsafe {
        let birth = &mut *birth.cast::<Birth>();
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        libc::setsid();
        for (target, fd) in birth.fds.iter().enumerate() {
            if libc::dup2(*fd, target as RawFd) < 0 {
                return fail(birth);
            }
        }
        if libc::chdir(birth.cwd) < 0 {
            return fail(birth);
        }
        // Last, since it may be less than what the lines above need.
        libc::setrlimit(libc::RLIMIT_NOFILE, &birth.open_files);
        let mut errno = libc::ENOENT;
        for &program in birth.candidates.iter().take_while(|program| !program.is_null()) {
            libc::execve(program, birth.argv.as_ptr(), birth.env.as_ptr());
            match *libc::__errno_location() {
                libc::ENOENT | libc::ENOTDIR => {}
                // Goes on looking, but says so when nothing else is found, as shells do.
                libc::EACCES => errno = libc::EACCES,
                other => {
                    errno = other;
                    break;
                }
            }
        }
        birth.errno = errno;
        127
    }
}

/// # Safety
/// Only right after a failed system call.
unsafe fn fail(birth: &mut Birth) -> libc::c_int {
    // SAFETY: the C library's own location of this thread.
    birth.errno = unsafe { *libc::__errno_location() };
    127
}
