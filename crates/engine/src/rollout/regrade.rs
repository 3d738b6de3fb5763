//! Grades once more what the attempts of a job left.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::early::Early;
use super::external::Outfit;
use super::ground::Grounds;
use super::job::{Job, Stand, now};
use super::permits::Permits;
use super::{Ran, Report, Request, Rollout, report};
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::shop::Tools;

/// Grades every attempt of a job that can be graded, whether it was before or not. What the agents
/// left stays as it is. An attempt whose new verdict was not written has its old one.
pub fn regrade(
    tools: &Tools,
    job: &Job,
    request: &Request,
    sink: &dyn Sink,
) -> Result<Report, EngineError> {
    let begin = Instant::now();
    let started_at = now();
    let mut ran = Vec::new();
    for trial in job.plan.groups().into_iter().flatten() {
        let record = match job.stand(&trial)? {
            Stand::Open => continue,
            Stand::Ran(record) | Stand::Over(record) => record,
        };
        let mut record = *record;
        (record.verdict, record.cause) = (None, None);
        record.tampering.clear();
        ran.push(Ran { dir: job.trial_dir(&trial), trial, record });
    }
    sink.event(&Event::Planned { candidates: ran.len(), done: 0 });
    let rollout = Rollout {
        tools,
        job,
        request,
        sink,
        grounds: Grounds::default(),
        outfits: job.plan.variants.iter().map(|_| Outfit::default()).collect(),
        sandboxes: Permits::new(1),
        fatal: Mutex::default(),
        retries: AtomicU64::new(0),
        early: Early::default(),
        spared: AtomicU64::new(0),
        steps: AtomicU64::new(0),
    };
    rollout.all(&[], ran)?;
    let fatal = rollout.fatal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let report = report::write(job, &started_at, 0, begin)?;
    match fatal {
        Some(error) => Err(error),
        None => tools.check_stop().map(|()| report),
    }
}
