//! The processes of a sandbox, seen from its first one.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use libc::pid_t;
use rustix::fs::{Dir, Mode, OFlags, openat};

use crate::pid1::DONE;
use crate::wire::Encoder;

/// How often to look for processes that escape by forking before all of them are killed.
const ROUNDS: usize = 200;

/// A child that ended, and its status as `waitpid` tells it.
pub(crate) type Ended = (pid_t, i32);

/// Reaps one child that has ended. The error is `ECHILD` when there are no children at all: then
/// no other process is left in the sandbox.
pub(crate) fn reap() -> io::Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: `status` is a local integer.
    match unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some((pid, status))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Microseconds of processor time of every process that has ended and was waited for.
pub(crate) fn used() -> Encoder {
    // SAFETY: an all-zero rusage is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a local value.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) };
    let micros = |time: libc::timeval| (time.tv_sec * 1_000_000 + time.tv_usec).max(0) as u64;
    let mut answer = Encoder::default();
    answer.u8(DONE).u64(micros(usage.ru_utime) + micros(usage.ru_stime));
    answer
}

/// Kills every process of the sandbox but this one, and waits until they are gone.
pub(crate) fn end_all(ended: &mut Vec<Ended>) {
    loop {
        let mut status = 0;
        // SAFETY: as the first process of a pid namespace, -1 means every other process in it;
        // `status` is a local integer.
        let pid = unsafe {
            libc::kill(-1, libc::SIGKILL);
            libc::waitpid(-1, &mut status, 0)
        };
        if pid > 0 {
            ended.push((pid, status));
        } else if io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
            return;
        }
    }
}

/// Kills every process that descends from none of `kept`. When new ones appear faster than they
/// can be found, all are killed, the kept ones too.
pub(crate) fn end_strays(proc: &OwnedFd, kept: &[pid_t], ended: &mut Vec<Ended>) {
    end_where(proc, ended, |family, pid| !family.descends(pid, kept));
}

/// Kills the descendants of `root`, and itself too if `inclusive`. The same reserve holds.
pub(crate) fn end_tree(proc: &OwnedFd, root: pid_t, inclusive: bool, ended: &mut Vec<Ended>) {
    end_where(proc, ended, |family, pid| {
        (inclusive || pid != root) && family.descends(pid, std::slice::from_ref(&root))
    });
}

fn end_where(proc: &OwnedFd, ended: &mut Vec<Ended>, doomed: impl Fn(&Family, pid_t) -> bool) {
    for round in 0..ROUNDS {
        while let Ok(Some(one)) = reap() {
            ended.push(one);
        }
        let family = Family::read(proc);
        let mut found = false;
        for (&pid, parent) in &family.0 {
            if pid != 1 && !parent.zombie && doomed(&family, pid) {
                found = true;
                // SAFETY: plain numbers; the process is in this namespace.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        if !found {
            // Those that ended during the last look.
            while let Ok(Some(one)) = reap() {
                ended.push(one);
            }
            return;
        }
        if round > 2 {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
    end_all(ended);
}

/// The processes of the sandbox.
pub(crate) fn pids(proc: &OwnedFd) -> Vec<pid_t> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(proc, ".", flags, Mode::empty()).and_then(Dir::read_from);
    let names = dir.into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()).collect()
}

/// A small file of `/proc`.
fn read_file(proc: &OwnedFd, path: &str) -> Option<Vec<u8>> {
    let file = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = vec![0; 4096];
    let count = rustix::io::read(&file, &mut *bytes).ok()?;
    bytes.truncate(count);
    Some(bytes)
}

/// Who is whose parent.
struct Family(HashMap<pid_t, Parent>);

struct Parent {
    pid: pid_t,
    zombie: bool,
}

impl Family {
    fn read(proc: &OwnedFd) -> Self {
        let mut family = HashMap::new();
        for pid in pids(proc) {
            // It may have ended by now.
            let Some(stat) = read_file(proc, &format!("{pid}/stat")) else { continue };
            // The name before the last parenthesis is the program's to choose.
            let Some(end) = stat.iter().rposition(|byte| *byte == b')') else { continue };
            let text = String::from_utf8_lossy(&stat[end + 1..]);
            let mut fields = text.split_ascii_whitespace();
            let zombie = matches!(fields.next(), Some("Z" | "X"));
            if let Some(parent) = fields.next().and_then(|field| field.parse().ok()) {
                family.insert(pid, Parent { pid: parent, zombie });
            }
        }
        Self(family)
    }

    /// Whether a process is one of `roots` or descends from one.
    fn descends(&self, pid: pid_t, roots: &[pid_t]) -> bool {
        let mut at = pid;
        // Bounded: the picture was not taken at one moment, and ids are used again.
        for _ in 0..self.0.len() + 1 {
            if roots.contains(&at) {
                return true;
            }
            match self.0.get(&at) {
                Some(parent) if parent.pid > 1 => at = parent.pid,
                _ => return false,
            }
        }
        false
    }
}
