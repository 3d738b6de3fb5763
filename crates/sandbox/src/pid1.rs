//! The first process of a sandbox: sets it up, then serves the controller until it closes.
//!
//! It has one thread and one loop. Requests come over channels: the first is the socket that it
//! was born with, and the controller opens more when it wants things done at once. At most one
//! command of [`request::EXEC`] runs at a time; others wait for it, and everything else goes on.
//!
//! When this process ends, for whatever reason, the kernel ends every other one in the sandbox.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use seccompiler::BpfProgram;

use crate::jobs::Jobs;
use crate::overlay::Mounts;
use crate::plan::Plan;
use crate::processes::{self, Ended};
use crate::running::{self, End, Running};
use crate::seccomp::Filters;
use crate::setup::{self, Begun, Failure, OwnNetwork, Place, Points};
use crate::spec::Outcome;
use crate::stock::Fittings;
use crate::wire::{Decoder, Encoder, Malformed, recv_frame, send_frame};
use crate::{changes, disk, inside, launcher, rights, sys, upper};

/// First byte of what the launcher says: here is the new process.
pub(crate) const STARTED: u8 = 0;
/// First byte of an answer: it failed.
pub(crate) const FAILED: u8 = 1;
/// First byte of an answer: it worked.
pub(crate) const DONE: u8 = 2;

/// First byte of a request.
pub(crate) mod request {
    /// Run a command to its end.
    pub(crate) const EXEC: u8 = 1;
    /// Change files.
    pub(crate) const APPLY: u8 = 2;
    /// Read files.
    pub(crate) const READ: u8 = 3;
    /// Set modification times.
    pub(crate) const NORMALISE: u8 = 4;
    /// A further channel; there is no answer.
    pub(crate) const OPEN: u8 = 5;
    /// Start a job.
    pub(crate) const SPAWN: u8 = 6;
    /// Send a signal to a job.
    pub(crate) const SIGNAL: u8 = 7;
    /// Where a job is.
    pub(crate) const DIRECTORY: u8 = 8;
    /// List a tree with its content.
    pub(crate) const TREE: u8 = 9;
    /// What may differ from the layers below.
    pub(crate) const CHANGES: u8 = 10;
    /// Hand out the file system that the writable layer in memory is on.
    pub(crate) const UPPER: u8 = 11;
    /// Copy the writable layer into a directory that is passed.
    pub(crate) const COPY: u8 = 12;
    /// End every process but the first, and empty the file systems that no snapshot keeps.
    pub(crate) const RESET: u8 = 13;
    /// Processor time of the processes that have ended.
    pub(crate) const USED: u8 = 14;
}

/// How a first process begins, before there is a sandbox to be.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    /// The launcher's: a byte when the ids are mapped, then a frame with the orders.
    pub(crate) link: &'a OwnedFd,
    pub(crate) fittings: Fittings,
    pub(crate) points: &'a Points,
    pub(crate) mapping: Option<(u32, u32)>,
    pub(crate) network: OwnNetwork,
    pub(crate) filters: &'a Filters,
}

/// What the launcher sends to a first process: what its sandbox is to be, the socket to the
/// controller, and mounts.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) plan: Plan,
    pub(crate) socket: OwnedFd,
    pub(crate) mounts: Mounts,
}

impl Orders {
    /// Sends them without giving them up: the process may be dead.
    pub(crate) fn send(
        link: &OwnedFd,
        plan: &Plan,
        socket: &OwnedFd,
        mounts: &Mounts,
    ) -> io::Result<()> {
        let mut out = Encoder::default();
        mounts.encode(&mut out);
        out.bytes(&plan.encode());
        let passed: Vec<_> = std::iter::once(socket.as_fd()).chain(mounts.passed()).collect();
        send_frame(link, &out.0, &passed)
    }

    fn receive(link: &OwnedFd) -> io::Result<Option<Self>> {
        let Some((frame, passed)) = recv_frame(link, 1 << 30, None)? else { return Ok(None) };
        let mut passed = passed.into_iter();
        let socket = passed.next().ok_or(Malformed)?;
        let mut input = Decoder(&frame);
        let mounts = Mounts::decode(&mut input, passed)?;
        let plan = Plan::decode(input.bytes()?)?;
        Ok(Some(Self { plan, socket, mounts }))
    }
}

/// The whole life of the first process.
pub(crate) fn run(birth: Birth<'_>) -> ! {
    let status = match live(birth) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    // SAFETY: ends this process without running what the launcher registered for its own end.
    unsafe { libc::_exit(status) }
}

fn live(birth: Birth<'_>) -> io::Result<()> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
    if rustix::io::read(birth.link, &mut [0])? == 0 {
        return Ok(()); // It is not needed, or the launcher is gone.
    }
    let begun = setup::begin(birth.fittings, birth.points, birth.mapping, birth.network);
    let Some(Orders { plan, socket, mounts }) = Orders::receive(birth.link)? else {
        return Ok(());
    };
    let filters = birth.filters;
    let to_host = plan.binds.iter().any(|bind| bind.writable);
    let filter = if to_host { &filters.without_set_id } else { &filters.usual };
    let ready = begun.and_then(|begun| become_ready(&plan, mounts, begun, &socket, filter));
    match ready {
        // From here on there is nobody to report to when the socket fails.
        Ok((place, signals)) => drop(Agent::new(place, signals, socket).serve()),
        Err((step, source)) => launcher::report(&socket, &step, &source)?,
    }
    Ok(())
}

/// From orders to a sandbox that is ready, and says so.
fn become_ready(
    plan: &Plan,
    mounts: Mounts,
    begun: Begun,
    socket: &OwnedFd,
    filter: &BpfProgram,
) -> Result<(Place, OwnedFd), Failure> {
    use setup::At;
    let (place, listener) = setup::enter(plan, mounts, begun)?;
    let signals = own_signals().at("take over signals")?;
    rights::restrict(plan, filter)?;
    // Changes of rights clear it.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).at("follow the launcher")?;
    let passed: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
    send_frame(socket, &[DONE], &passed).at("say that the sandbox is ready")?;
    Ok((place, signals))
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

/// The one loop and what it looks after.
pub(crate) struct Agent {
    place: Place,
    signals: OwnedFd,
    /// With a number that is never used again. Number 0 is the first, whose end is the end.
    channels: Vec<(u64, OwnedFd)>,
    opened: u64,
    running: Option<Running>,
    /// Commands that wait for the one that runs.
    waiting: VecDeque<(u64, Vec<u8>)>,
    jobs: Jobs,
    buffer: Vec<u8>,
    /// When to measure the writable layer on disk, where it is bounded and programs run.
    measure_at: Option<Instant>,
}

/// How often it is measured at most.
const MEASURE_EVERY: Duration = Duration::from_millis(200);

/// What a look around has found.
struct Found {
    children: bool,
    /// Numbers of channels with something to read, or whose other end is closed.
    channels: Vec<u64>,
}

impl Agent {
    pub(crate) fn new(place: Place, signals: OwnedFd, control: OwnedFd) -> Self {
        Self {
            place,
            signals,
            channels: vec![(0, control)],
            opened: 0,
            running: None,
            waiting: VecDeque::new(),
            jobs: Jobs::default(),
            buffer: Vec::new(),
            measure_at: None,
        }
    }

    pub(crate) fn serve(&mut self) -> io::Result<()> {
        loop {
            self.measure()?;
            let found = self.look()?;
            if self.running.is_some() {
                self.make_buffer();
            }
            let running = self.running.as_mut();
            if let Some(end) = running.and_then(|running| running.attend(&mut self.buffer)) {
                self.end(end)?;
            }
            if found.children {
                self.reap()?;
            }
            for number in found.channels {
                if !self.hear(number)? {
                    return Ok(());
                }
            }
            while self.running.is_none() {
                let Some((number, frame)) = self.waiting.pop_front() else { break };
                self.start(number, &frame)?;
            }
        }
    }

    /// So large that it comes straight from the kernel, which gives a page when it is written to:
    /// most commands say little.
    fn make_buffer(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = vec![0; 1 << 18];
        }
    }

    fn look(&self) -> io::Result<Found> {
        let deadline = self.running.as_ref().and_then(Running::deadline);
        let until = [deadline, self.measure_at].into_iter().flatten().min();
        let timeout = until
            .map(|until| until.saturating_duration_since(Instant::now()))
            .and_then(|left| Timespec::try_from(left).ok());
        let mut fds = Vec::with_capacity(self.channels.len() + 4);
        fds.push(PollFd::new(&self.signals, PollFlags::IN));
        let flags = PollFlags::IN | PollFlags::RDHUP;
        fds.extend(self.channels.iter().map(|(_, fd)| PollFd::new(fd, flags)));
        fds.extend(self.running.iter().flat_map(Running::poll_fds));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let children = ready.next().unwrap_or(false);
        let channels = self.channels.iter().zip(ready).filter(|(_, ready)| *ready);
        Ok(Found { children, channels: channels.map(|((number, _), _)| *number).collect() })
    }

    /// Ends every program when the writable layer on disk has grown too large.
    fn measure(&mut self) -> io::Result<()> {
        let Some(limit) = self.place.disk_limit else { return Ok(()) };
        if self.running.is_none() && self.jobs.is_empty() {
            self.measure_at = None;
            return Ok(());
        }
        let now = Instant::now();
        let at = *self.measure_at.get_or_insert(now + MEASURE_EVERY);
        if now < at {
            return Ok(());
        }
        if disk::within(&self.place, limit) {
            // Measuring must not cost more than a tenth of the time.
            self.measure_at = Some(Instant::now() + MEASURE_EVERY.max(now.elapsed() * 10));
            return Ok(());
        }
        self.measure_at = None;
        self.jobs.tell_all(Outcome::OutOfDisk);
        if self.running.is_some() {
            return self.end(End::Disk);
        }
        self.clear(&mut Vec::new());
        Ok(())
    }

    /// Looks at what has ended.
    fn reap(&mut self) -> io::Result<()> {
        let mut info = [0u8; 1024];
        while rustix::io::read(&self.signals, &mut info).is_ok_and(|count| count > 0) {}
        let mut ended = Vec::new();
        while let Ok(Some(one)) = processes::reap() {
            ended.push(one);
        }
        let job_ended = self.jobs.note(&ended);
        let main = self.running.as_ref().map(|running| running.main);
        if let Some((_, status)) = ended.iter().find(|(pid, _)| Some(*pid) == main) {
            return self.end(End::Status(*status));
        }
        if job_ended && self.running.is_none() {
            self.clear(&mut Vec::new());
        }
        Ok(())
    }

    /// Kills whatever belongs to no job.
    fn clear(&mut self, ended: &mut Vec<Ended>) {
        // With no child there is no process at all: orphans become children of this one.
        match processes::reap() {
            Ok(Some(one)) => ended.push(one),
            Ok(None) => {}
            Err(_) => return,
        }
        if self.jobs.is_empty() {
            processes::end_all(ended);
        } else {
            processes::end_strays(&self.place.fixed.proc, &self.jobs.pids(), ended);
        }
        self.jobs.note(ended);
    }

    /// Ends the command under way and answers.
    fn end(&mut self, end: End) -> io::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let mut ended = Vec::new();
        self.clear(&mut ended);
        let late = ended.iter().find(|(pid, _)| *pid == running.main);
        let end = match (end, late) {
            // It may have ended by itself between the last look and the deadline's signal.
            (End::Deadline, Some((_, status))) if libc::WIFEXITED(*status) => End::Status(*status),
            (end, _) => end,
        };
        self.make_buffer();
        let number = running.channel;
        let answer = running.finish(end, &self.place, &mut self.buffer);
        self.answer(number, &answer, &[])
    }

    /// Starts a command.
    fn start(&mut self, number: u64, frame: &[u8]) -> io::Result<()> {
        let mut input = Decoder(frame.get(1..).unwrap_or_default());
        let alone = self.jobs.is_empty();
        let started = running::decode(&mut input)?
            .and_then(|request| Running::start(number, request, &self.place, alone));
        match started {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                let mut out = Encoder::default();
                out.u8(FAILED).i32(error.raw_os_error().unwrap_or(libc::EINVAL));
                self.answer(number, &out, &[])?;
            }
        }
        Ok(())
    }

    /// Takes one request off a channel; false when the controller is gone.
    fn hear(&mut self, number: u64) -> io::Result<bool> {
        let Some((_, channel)) = self.channels.iter().find(|(one, _)| *one == number) else {
            return Ok(true);
        };
        let Some((frame, passed)) = recv_frame(channel, u64::MAX, None)? else {
            return self.close(number);
        };
        match frame.first() {
            Some(&request::OPEN) => {
                for fd in passed {
                    self.opened += 1;
                    self.channels.push((self.opened, fd));
                }
            }
            Some(&request::EXEC) => self.waiting.push_back((number, frame)),
            _ => {
                let (answer, fds) = self.respond(&frame, &passed)?;
                drop(frame);
                self.answer(number, &answer, &fds)?;
            }
        }
        Ok(true)
    }

    /// A channel is closed: whoever asked on it wants no answer any more.
    fn close(&mut self, number: u64) -> io::Result<bool> {
        self.channels.retain(|(one, _)| *one != number);
        self.waiting.retain(|(one, _)| *one != number);
        if self.running.as_ref().is_some_and(|running| running.channel == number) {
            self.running = None;
            self.clear(&mut Vec::new());
        }
        Ok(number != 0)
    }

    fn answer(&mut self, number: u64, answer: &Encoder, fds: &[OwnedFd]) -> io::Result<()> {
        let channel = self.channels.iter().find(|(one, _)| *one == number);
        let Some((_, channel)) = channel else { return Ok(()) };
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        match send_frame(channel, &answer.0, &fds) {
            // Seen again as the channel's end.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Everything that is answered at once.
    fn respond(
        &mut self,
        frame: &[u8],
        passed: &[OwnedFd],
    ) -> Result<(Encoder, Vec<OwnedFd>), Malformed> {
        let mut input = Decoder(frame);
        let place = &self.place;
        let answer = match input.u8()? {
            request::APPLY => inside::apply(place, &mut input)?,
            request::READ => inside::read(place, &mut input)?,
            request::NORMALISE => inside::normalise(place, &mut input)?,
            request::TREE => changes::tree(place, &mut input)?,
            request::CHANGES => changes::changes(place, &mut input)?,
            request::SPAWN => {
                let alone = self.jobs.is_empty() && self.running.is_none();
                return self.jobs.spawn(place, alone, &mut input);
            }
            request::DIRECTORY => self.jobs.directory(place, &mut input)?,
            request::SIGNAL => {
                let mut ended = Vec::new();
                let answer = self.jobs.signal(place, &mut input, &mut ended)?;
                self.note(&ended);
                answer
            }
            request::RESET => {
                let mut ended = Vec::new();
                processes::end_all(&mut ended);
                self.note(&ended);
                inside::forget(&self.place)
            }
            request::USED => processes::used(),
            request::UPPER => return Ok(upper::hand_out(place)),
            request::COPY => {
                let all = input.bool()?;
                upper::copy(place, passed.first().ok_or(Malformed)?, all)
            }
            _ => return Err(Malformed),
        };
        Ok((answer, Vec::new()))
    }

    /// Children that were reaped on the way.
    fn note(&mut self, ended: &[Ended]) {
        self.jobs.note(ended);
        let main = self.running.as_ref().map(|running| running.main);
        if let Some((_, status)) = ended.iter().find(|(pid, _)| Some(*pid) == main) {
            // Seen by the caller's channel, or not at all.
            let _ = self.end(End::Status(*status));
        }
    }
}
