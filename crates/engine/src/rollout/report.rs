//! What a job came to, in numbers.

use std::collections::BTreeMap;
use std::time::Instant;

use palestra_core::job::{self as form, EvalStats, JobResult, JobStats};
use palestra_core::{Verdict, disk};
use palestra_model::Usage;
use palestra_stats::{Z95, pass_at_k, quantile, wilson};
use serde::Serialize;
use serde_json::{Map, Value};

use super::job::{Job, Stand, now};
use super::record::{AttemptRecord, word};
use crate::error::EngineError;

/// Seconds of one phase over all attempts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Phase {
    /// Half of them took no longer.
    pub p50: f64,
    /// Nineteen of twenty took no longer.
    pub p95: f64,
}

/// One variant of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VariantReport {
    /// Agent, model, temperature.
    pub label: String,
    /// Attempts that are over.
    pub attempts: u64,
    /// Of these: resolved.
    pub resolved: u64,
    /// Of these: not resolved.
    pub unresolved: u64,
    /// Of these: neither a success nor a failure.
    pub invalid: u64,
    /// Of these: not graded, since the job does not grade.
    pub ungraded: u64,
    /// Resolved of all that were judged; `None` where none was.
    pub rate: Option<f64>,
    /// Wilson's interval of 95 % about the rate, attempts taken as independent.
    pub interval: Option<(f64, f64)>,
    /// By k: the mean over the tasks with at least k judged attempts, and how many those are.
    pub pass_at_k: BTreeMap<u64, (f64, u64)>,
    /// Calls of models.
    pub steps: u64,
    /// Tokens.
    pub usage: Usage,
    /// Dollars, where prices are known.
    pub cost: Option<f64>,
    /// By how they ended.
    pub exits: BTreeMap<String, u64>,
    /// Seconds by phase.
    pub phases: BTreeMap<String, Phase>,
}

/// A whole job.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// Attempts of the plan.
    pub planned: u64,
    /// Attempts that are over.
    pub over: u64,
    /// Attempts that were made once more after a failure of the machine.
    pub retries: u64,
    /// Attempts that were not made, because others at their tasks were good enough.
    pub spared: u64,
    /// Wall seconds of this run of the job.
    pub seconds: f64,
    /// By variant.
    pub variants: Vec<VariantReport>,
}

/// Reads a job's attempts and adds them up.
pub fn report(job: &Job) -> Result<Report, EngineError> {
    Ok(collect(job)?.0)
}

fn collect(job: &Job) -> Result<(Report, Vec<AttemptRecord>), EngineError> {
    let mut records = Vec::new();
    let mut planned = 0;
    for trial in job.plan.groups().into_iter().flatten() {
        planned += 1;
        if let Stand::Over(record) = job.stand(&trial)? {
            records.push(*record);
        }
    }
    let variants = (0..job.plan.variants.len())
        .map(|index| {
            let own: Vec<_> = records.iter().filter(|one| one.variant == index).collect();
            VariantReport::of(job.plan.variants[index].label(), &own)
        })
        .collect();
    let over = records.len() as u64;
    let report = Report { job: job.name(), planned, over, variants, ..Report::default() };
    Ok((report, records))
}

impl VariantReport {
    fn of(label: String, records: &[&AttemptRecord]) -> Self {
        let mut report = Self { label, attempts: records.len() as u64, ..Self::default() };
        let mut by_task: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut phases: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for record in records {
            let task = by_task.entry(&record.instance_id).or_default();
            match record.outcome() {
                "resolved" => {
                    report.resolved += 1;
                    *task = (task.0 + 1, task.1 + 1);
                }
                "unresolved" => {
                    report.unresolved += 1;
                    task.0 += 1;
                }
                "invalid" => report.invalid += 1,
                _ => report.ungraded += 1,
            }
            let exit = match (&record.failure, &record.exit) {
                (Some(failure), _) => word(&failure.kind),
                (None, Some(exit)) => word(exit),
                (None, None) => "unknown".to_owned(),
            };
            *report.exits.entry(exit).or_default() += 1;
            report.steps += u64::from(record.steps);
            report.usage += record.usage;
            if let Some(cost) = record.cost {
                report.cost = Some(report.cost.unwrap_or_default() + cost);
            }
            let seconds = &record.seconds;
            for (phase, value) in [
                ("setup", seconds.setup),
                ("agent", seconds.agent),
                ("model", seconds.model),
                ("waited", seconds.waited),
                ("tools", seconds.tools),
                ("grade", seconds.grade),
            ] {
                phases.entry(phase).or_default().push(value);
            }
        }
        let judged = report.resolved + report.unresolved;
        if judged > 0 {
            report.rate = Some(report.resolved as f64 / judged as f64);
            report.interval = Some(wilson(report.resolved, judged, Z95));
        }
        report.pass_at_k = passes(by_task.values());
        report.phases = phases
            .into_iter()
            .filter_map(|(phase, all)| {
                let phase = phase.to_owned();
                Some((phase, Phase { p50: quantile(&all, 0.5)?, p95: quantile(&all, 0.95)? }))
            })
            .collect();
        report
    }
}

/// pass@k for 1, 2, 4 and so on up to the most attempts at one task.
fn passes<'a>(tasks: impl Iterator<Item = &'a (u64, u64)> + Clone) -> BTreeMap<u64, (f64, u64)> {
    let most = tasks.clone().map(|task| task.0).max().unwrap_or(0);
    let mut ks: Vec<u64> = std::iter::successors(Some(1u64), |k| k.checked_mul(2))
        .take_while(|k| *k <= most)
        .collect();
    if most > 0 && ks.last() != Some(&most) {
        ks.push(most);
    }
    ks.into_iter()
        .filter_map(|k| {
            let all: Vec<f64> = tasks.clone().filter_map(|(n, c)| pass_at_k(*n, *c, k)).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            (!all.is_empty()).then_some((k, (mean, all.len() as u64)))
        })
        .collect()
}

/// Reports, and writes Harbor's `result.json` of the job and our `report.json`.
pub(super) fn write(
    job: &Job,
    started_at: &str,
    retries: u64,
    begin: Instant,
) -> Result<Report, EngineError> {
    let (mut report, records) = collect(job)?;
    report.retries = retries;
    report.seconds = begin.elapsed().as_secs_f64();
    disk::write_json(&job.dir().join("report.json"), &report)?;
    let first = records.iter().map(|record| record.started_at.as_str()).min();
    let done = report.over == report.planned;
    let result = JobResult {
        id: job.id(),
        started_at: first.unwrap_or(started_at).to_owned(),
        updated_at: now(),
        finished_at: done.then(now),
        n_total_trials: report.planned,
        stats: stats(job, &report, &records),
    };
    disk::write_json(&job.dir().join(form::RESULT), &result)?;
    Ok(report)
}

fn stats(job: &Job, report: &Report, records: &[AttemptRecord]) -> JobStats {
    let mut stats = JobStats {
        n_completed_trials: report.over,
        n_pending_trials: report.planned - report.over,
        n_retries: report.retries,
        ..JobStats::default()
    };
    for record in records {
        let eval: &mut EvalStats = stats.evals.entry(key_of(job, record)).or_default();
        let reward = match (&record.failure, &record.verdict) {
            (None, Some(Verdict::Resolved)) => Some("1.0"),
            (None, Some(Verdict::Unresolved(_))) => Some("0.0"),
            _ => None,
        };
        if let Some(value) = reward {
            eval.n_trials += 1;
            let by_value = eval.reward_stats.entry("reward".to_owned()).or_default();
            by_value.entry(value.to_owned()).or_default().push(record.trial.clone());
        }
        if let Some(failure) = &record.failure {
            eval.n_errors += 1;
            stats.n_errored_trials += 1;
            let name = failure.kind.harbor().to_owned();
            eval.exception_stats.entry(name).or_default().push(record.trial.clone());
        }
        let add = |sum: &mut Option<u64>, more| *sum = Some(sum.unwrap_or_default() + more);
        add(&mut stats.n_input_tokens, record.usage.prompt);
        add(&mut stats.n_cache_tokens, record.usage.cached);
        add(&mut stats.n_output_tokens, record.usage.completion);
        if let Some(cost) = record.cost {
            stats.cost_usd = Some(stats.cost_usd.unwrap_or_default() + cost);
        }
    }
    for (key, eval) in &mut stats.evals {
        let own: Vec<_> = records.iter().filter(|record| key_of(job, record) == *key).collect();
        let variant = VariantReport::of(key.clone(), &own);
        let Some(rate) = variant.rate else { continue };
        let metric: Map<String, Value> = [("mean".to_owned(), rate.into())].into_iter().collect();
        eval.metrics.push(metric);
        let passes = variant.pass_at_k.iter().filter(|(k, _)| **k > 1);
        eval.pass_at_k =
            passes.filter_map(|(k, (value, _))| Some((u32::try_from(*k).ok()?, *value))).collect();
    }
    stats
}

/// Harbor's name for one agent with one model (without its provider) on one dataset.
fn key_of(job: &Job, record: &AttemptRecord) -> String {
    let agent = job.agent_config(record.variant);
    let task = job.plan.tasks.iter().position(|task| task.id == record.instance_id);
    let source = task.and_then(|task| job.task_config(task).source);
    let dataset = source.as_deref().unwrap_or("adhoc");
    match &agent.model_name {
        Some(model) => {
            let model = model.split_once('/').map_or(model.as_str(), |(_, name)| name);
            format!("{}__{model}__{dataset}", agent.name)
        }
        None => format!("{}__{dataset}", agent.name),
    }
}
