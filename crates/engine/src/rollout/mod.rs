//! Any agent with any model on any task, many at a time, each attempt recorded whole.
//!
//! An attempt has two halves. In the first the agent works in its sandbox; what it leaves is a patch, a
//! trajectory and a trace. In the second the patch is graded, in sandboxes of its own. The halves
//! overlap: while one attempt is graded the next agent is at work. Each half is on disk before the
//! next one begins, so a killed job goes on where it was.

mod attempt;
mod early;
mod external;
mod failure;
mod finish;
mod ground;
mod job;
mod permits;
mod plan;
mod record;
mod recording;
mod regrade;
mod replay;
mod report;
mod search;
mod trajectory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use palestra_agent::{Agent, Progress};
use palestra_grade::{GradeOptions, RunLimits};
use palestra_model::{Model, Sampling};
use palestra_verify::critic::Critic;

use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::shop::Tools;
use early::Early;
use external::Outfit;
use ground::Grounds;
use job::Stand;
use permits::Permits;

pub use failure::{ENDED, Failure, FailureKind, Flags};
pub use job::Job;
pub use plan::{
    Branching, Group, JobPlan, PlannedTask, Rows, Search, Trial, Variant, tasks_below, tasks_of,
};
pub use record::{AttemptRecord, Forked, Seconds};
pub use regrade::regrade;
pub use report::{Phase, Report, VariantReport, report};
pub use search::Searched;

/// Stack of a thread that works on an attempt: agents recurse little, and there may be thousands.
const STACK: usize = 1 << 20;
/// Waits before another try, doubled with each.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a job is run; what it is made of is its [`JobPlan`].
pub struct Request {
    /// The agent of each variant of the plan.
    pub agents: Vec<Arc<dyn Agent>>,
    /// The model of each variant of the plan.
    pub models: Vec<Arc<dyn Model>>,
    /// Attempts whose agents are at work at a time.
    pub concurrency: usize,
    /// Attempts that are graded at a time.
    pub grading: usize,
    /// How often an attempt is made again that failed by the machine's doing.
    pub retries: u32,
    /// Bounds of each run of tests.
    pub run_limits: RunLimits,
    /// How strictly to grade.
    pub options: GradeOptions,
    /// Who says which fork of a search goes on, and whether an attempt is good enough.
    pub critic: Critic,
}

/// A job that is being run.
struct Rollout<'a> {
    tools: &'a Tools,
    job: &'a Job,
    request: &'a Request,
    sink: &'a dyn Sink,
    grounds: Grounds,
    /// What external agents need, by variant.
    outfits: Vec<Outfit>,
    sandboxes: Permits,
    /// The first failure that every other attempt would share.
    fatal: Mutex<Option<EngineError>>,
    retries: AtomicU64,
    early: Early,
    /// Attempts that were not made because others were good enough.
    spared: AtomicU64,
    steps: AtomicU64,
}

/// Work for the graders.
struct Ran {
    trial: Trial,
    dir: PathBuf,
    record: AttemptRecord,
}

/// Makes all attempts of a job that are not over yet, and reports on all of them.
///
/// # Errors
/// What would be the same for every attempt (a wrong key, a full disk), and the user's wish to stop.
/// What was done stays, and the job can go on.
pub fn run(
    tools: &Tools,
    job: &Job,
    request: &Request,
    sink: &dyn Sink,
) -> Result<Report, EngineError> {
    let begin = Instant::now();
    let started_at = job::now();
    let mut open = Vec::new();
    let mut ran = Vec::new();
    let early = Early::new(job.plan.enough);
    let judge = |trial: &Trial, record: &AttemptRecord| -> Result<(), EngineError> {
        if early.is_on() {
            early.note(trial, record, early::judged(job, trial, &request.critic)?);
        }
        Ok(())
    };
    let (mut all, mut over) = (0, 0);
    for group in job.plan.groups() {
        let mut left = Vec::new();
        for trial in group {
            all += 1;
            match job.stand(&trial)? {
                Stand::Over(record) => {
                    over += 1;
                    judge(&trial, &record)?;
                }
                Stand::Ran(record) => {
                    judge(&trial, &record)?;
                    ran.push(Ran { dir: job.trial_dir(&trial), trial, record: *record });
                }
                Stand::Open => left.push(trial),
            }
        }
        if !left.is_empty() {
            open.push(left);
        }
    }
    sink.event(&Event::Planned { candidates: all, done: over });
    job.write_config(request.concurrency)?;
    job.write_lock(request)?;
    let rollout = Rollout {
        tools,
        job,
        request,
        sink,
        grounds: Grounds::default(),
        outfits: job.plan.variants.iter().map(|_| Outfit::default()).collect(),
        sandboxes: Permits::new(request.concurrency),
        fatal: Mutex::default(),
        retries: AtomicU64::new(0),
        early,
        spared: AtomicU64::new(0),
        steps: AtomicU64::new(0),
    };
    rollout.all(&open, ran)?;
    let fatal = rollout.fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut report =
        report::write(job, &started_at, rollout.retries.load(Ordering::Relaxed), begin)?;
    report.spared = rollout.spared.load(Ordering::Relaxed);
    match fatal {
        Some(error) => Err(error),
        None => tools.check_stop().map(|()| report),
    }
}

impl Rollout<'_> {
    /// Agents at work on one side, graders on the other.
    fn all(&self, open: &[Group], ran: Vec<Ran>) -> Result<(), EngineError> {
        let (to_graders, from_agents) = mpsc::channel::<Ran>();
        for one in ran {
            let _ = to_graders.send(one);
        }
        let from_agents = Mutex::new(from_agents);
        let next = AtomicUsize::new(0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let spawn =
                |name: &str| std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
            let mut workers = Vec::new();
            for _ in 0..self.request.concurrency.clamp(1, open.len().max(1)) {
                let to_graders = to_graders.clone();
                let next = &next;
                workers.push(spawn("attempt").spawn_scoped(scope, move || {
                    while let Some(group) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(_permit) = self.sandboxes.take(self.tools.stop()) else { break };
                        if !self.early.wants(group) {
                            self.spared.fetch_add(group.len() as u64, Ordering::Relaxed);
                            continue;
                        }
                        if self.stopped() || !self.group(group, &to_graders) {
                            break;
                        }
                    }
                })?);
            }
            drop(to_graders);
            for _ in 0..self.request.grading.max(1) {
                let from_agents = &from_agents;
                workers.push(spawn("grade").spawn_scoped(scope, move || {
                    loop {
                        let one = from_agents.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(one) = one else { break };
                        if !self.stopped() {
                            self.finish(one);
                        }
                    }
                })?);
            }
            let watcher = {
                let over = &over;
                spawn("pressure")
                    .spawn_scoped(scope, move || permits::watch(&self.sandboxes, over))?
            };
            for worker in workers {
                let _ = worker.join();
            }
            over.store(true, Ordering::Relaxed);
            let _ = watcher.join();
            Ok(())
        })
    }

    /// The second half of an attempt. A mistake of ours costs that attempt, and not the grader.
    fn finish(&self, ran: Ran) {
        let name = ran.trial.name.clone();
        let finished = catch_unwind(AssertUnwindSafe(|| self.finish_one(ran)));
        if let Err(panic) = finished {
            let why = words(&*panic);
            self.keep(self.job.note(&name, "not_graded", &why));
            let message = format!("{name} could not be graded: {why}: `job resume` tries again");
            self.keep(Err(EngineError::Machine(message)));
        }
    }

    /// Whether no more is to be begun.
    fn stopped(&self) -> bool {
        self.tools.check_stop().is_err()
            || self.fatal.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The attempts of a group, tried again where the machine failed. False if the job stops.
    fn group(&self, group: &Group, to_graders: &mpsc::Sender<Ran>) -> bool {
        let mut open = group.clone();
        for tries in 1.. {
            let attempted = catch_unwind(AssertUnwindSafe(|| self.attempt(&open, tries)));
            let records = attempted.unwrap_or_else(|panic| self.panicked(&open, tries, &*panic));
            let mut again = Vec::new();
            for (trial, record) in open.iter().zip(records) {
                let failure = record.failure.as_ref();
                let kind = failure.map(|failure| failure.kind);
                if kind.is_some_and(FailureKind::stops_the_job) {
                    // It is as if it had not been begun.
                    let _ = fs_err::remove_dir_all(self.job.trial_dir(trial));
                    self.stop(record.failure.as_ref());
                    return false;
                }
                if kind.is_some_and(|kind| kind.flags().retry) && tries <= self.request.retries {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    let why = failure.map(|f| f.message.clone()).unwrap_or_default();
                    self.keep(self.job.note(&trial.name, "retry", &why));
                    again.push(trial.clone());
                    continue;
                }
                let dir = self.job.trial_dir(trial);
                let written = self.write_missing(trial, &record, &dir);
                if !self.keep(written.and_then(|()| record.write(&dir))) {
                    return false;
                }
                if self.early.is_on() {
                    match early::judged(self.job, trial, &self.request.critic) {
                        Ok(score) => self.early.note(trial, &record, score),
                        Err(error) => return self.keep(Err(error)),
                    }
                }
                let _ = to_graders.send(Ran { trial: trial.clone(), dir, record });
            }
            if again.is_empty() {
                return !self.stopped();
            }
            open = again;
            self.pause(RETRY_AFTER * 2u32.saturating_pow(tries.min(6)));
        }
        true
    }

    fn panicked(
        &self,
        trials: &[Trial],
        tries: u32,
        panic: &(dyn std::any::Any + Send),
    ) -> Vec<AttemptRecord> {
        let failure = Failure::new(FailureKind::Internal, words(panic));
        let record = |trial: &Trial| self.failed(trial, tries, &job::now(), failure.clone());
        trials.iter().map(record).collect()
    }

    /// Sleeps, but not when the job stops.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.stopped() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Remembers an error that stops the job. True if there is none.
    fn keep(&self, result: Result<(), EngineError>) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
                fatal.get_or_insert(error);
                false
            }
        }
    }

    fn stop(&self, failure: Option<&Failure>) {
        let Some(failure) = failure else { return };
        let error = match failure.kind {
            FailureKind::Cancelled => EngineError::Interrupted,
            FailureKind::Machine => EngineError::Machine(failure.message.clone()),
            _ => EngineError::Input(failure.message.clone()),
        };
        self.keep(Err(error));
    }

    /// A step was made.
    fn stepped(&self, progress: &Progress) {
        let calls = progress.records.iter().filter(|record| record.answer.is_some()).count();
        self.steps.fetch_add(calls as u64, Ordering::Relaxed);
    }

    /// How an attempt samples: with a seed of its own, where the variant has one.
    fn sampling(&self, trial: &Trial) -> Sampling {
        let mut sampling = self.job.plan.variants[trial.variant].sampling.clone();
        sampling.seed = sampling.seed.map(|seed| seed.wrapping_add(u64::from(trial.attempt - 1)));
        sampling
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
