//! The first process of a sandbox: sets it up, then serves the controller until it closes.
//!
//! When this process ends, for whatever reason, the kernel ends every other one in the sandbox.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use seccompiler::BpfProgram;

use crate::plan::Plan;
use crate::setup::{self, Failure, Place};
use crate::wire::{Decoder, Encoder, Malformed, recv_frame, send_frame};
use crate::{inside, launcher, run, sys};

/// First byte of what the launcher says: here is the new process.
pub(crate) const STARTED: u8 = 0;
/// First byte of an answer: it failed.
pub(crate) const FAILED: u8 = 1;
/// First byte of an answer: it worked.
pub(crate) const DONE: u8 = 2;

/// First byte of a request.
pub(crate) mod request {
    /// Run a command.
    pub(crate) const EXEC: u8 = 1;
    /// Change files.
    pub(crate) const APPLY: u8 = 2;
    /// Read a file.
    pub(crate) const READ: u8 = 3;
    /// Set modification times.
    pub(crate) const NORMALISE: u8 = 4;
}

/// The whole life of the first process.
pub(crate) fn run(
    plan: &Plan,
    socket: BorrowedFd<'_>,
    go: &OwnedFd,
    mapping: Option<(u32, u32)>,
    filter: &BpfProgram,
) -> ! {
    let status = match live(plan, socket, go, mapping, filter) {
        Ok(()) => 0,
        Err((step, source)) => {
            let _ = launcher::report(socket, &step, &source);
            1
        }
    };
    // SAFETY: ends this process without running what the launcher registered for its own end.
    unsafe { libc::_exit(status) }
}

fn live(
    plan: &Plan,
    socket: BorrowedFd<'_>,
    go: &OwnedFd,
    mapping: Option<(u32, u32)>,
    filter: &BpfProgram,
) -> Result<(), Failure> {
    use setup::At;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).at("follow the launcher")?;
    let mut byte = [0];
    if rustix::io::read(go, &mut byte).at("wait for the launcher")? == 0 {
        return Ok(()); // The launcher has said why on the socket, or is gone.
    }
    let place = setup::enter(plan, mapping)?;
    let signals = run::own_signals().at("take over signals")?;
    setup::restrict(plan, filter)?;
    // Changes of rights clear it.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).at("follow the launcher")?;
    send_frame(socket, &[DONE], None).at("say that the sandbox is ready")?;
    // From here on there is nobody to report to when the socket fails.
    let _ = serve(socket, &place, &signals);
    Ok(())
}

fn serve(socket: BorrowedFd<'_>, place: &Place, signals: &OwnedFd) -> io::Result<()> {
    while let Some((frame, _)) = recv_frame(socket, u64::MAX, None)? {
        let answer = match answer(socket, place, signals, &frame) {
            Ok(answer) => answer,
            Err(Malformed) => return Ok(()),
        };
        drop(frame);
        send_frame(socket.as_fd(), &answer.0, None)?;
    }
    Ok(())
}

fn answer(
    socket: BorrowedFd<'_>,
    place: &Place,
    signals: &OwnedFd,
    frame: &[u8],
) -> Result<Encoder, Malformed> {
    let mut input = Decoder(frame);
    Ok(match input.u8()? {
        request::EXEC => run::exec(socket, place, signals, &mut input)?,
        request::APPLY => inside::apply(place, &mut input)?,
        request::READ => inside::read(place, &mut input)?,
        request::NORMALISE => inside::normalise(place, &mut input)?,
        _ => return Err(Malformed),
    })
}
