//! The second half of an attempt: its patch is graded, and Harbor's forms are written.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use palestra_core::job::{
    self as form, AgentInfo, AgentResult, ExceptionInfo, ModelInfo, Timing, TrialConfig,
    TrialResult, VerifierResult,
};
use palestra_core::{Verdict, disk, harbor};
use serde_json::{Map, Value, json};

use super::failure::exit_in_harbor;
use super::ground::{not_graded, nothing};
use super::job::{Job, now};
use super::plan::Trial;
use super::record::AttemptRecord;
use super::{Ran, Request, Rollout};
use crate::error::EngineError;
use crate::event::Event;

impl Rollout<'_> {
    /// Grades one and writes its result, which makes it be over.
    pub(super) fn finish_one(&self, ran: Ran) {
        let Ran { trial, dir, mut record } = ran;
        let begin = Instant::now();
        let graded_from = now();
        let mut checksum = String::new();
        if self.job.plan.grade && record.flags().grade && record.verdict.is_none() {
            match self.judge(&trial, &dir, &mut record, &mut checksum) {
                Ok(()) => {}
                Err(EngineError::Interrupted) => return,
                Err(error) => record.verdict = Some(not_graded(&error)),
            }
            record.seconds.grade = begin.elapsed().as_secs_f64();
        }
        if self.tools.check_stop().is_err() {
            // It ran, and is graded when the job goes on.
            return;
        }
        record.finished_at = Some(now());
        let written = self.write_result(&trial, &dir, &record, &graded_from, &checksum);
        if !self.keep(written) {
            return;
        }
        self.sink.event(&Event::Attempted {
            trial: trial.name.clone(),
            instance_id: record.instance_id.clone(),
            outcome: record.outcome().to_owned(),
            detail: record.detail(),
            steps: record.steps,
            tokens: record.usage.prompt + record.usage.completion,
            cost: record.cost,
            seconds: record.seconds.setup + record.seconds.agent + record.seconds.grade,
            all_steps: self.steps.load(Ordering::Relaxed),
        });
    }

    fn judge(
        &self,
        trial: &Trial,
        dir: &Path,
        record: &mut AttemptRecord,
        checksum: &mut String,
    ) -> Result<(), EngineError> {
        let patch = fs_err::read(dir.join(form::PATCH))?;
        let ground = match self.grounds.get(self.tools, self.job, trial.task)? {
            Ok(ground) => ground,
            Err(failure) => {
                record.failure = Some(failure);
                return Ok(());
            }
        };
        checksum.clone_from(&ground.checksum);
        if patch.is_empty() {
            record.verdict = Some(nothing());
            return Ok(());
        }
        let mut graded = None;
        // A failure of the machine is no verdict, so it is tried again.
        for _ in 0..=self.request.retries {
            let one = self.grounds.grade(self.tools, &ground, &patch, dir, self.request)?;
            self.tools.check_stop()?;
            let invalid = matches!(one.verdict, Verdict::Invalid(_));
            graded = Some(one);
            if !invalid {
                break;
            }
        }
        let Some(graded) = graded else { return Ok(()) };
        record.verdict = Some(graded.verdict);
        record.cause = graded.cause;
        record.tampering = graded.tampering;
        disk::write_atomic(&dir.join(form::TEST_OUTPUT), &graded.log)?;
        disk::write_json(&dir.join("verifier/grading.json"), &graded.detail)?;
        Ok(())
    }

    fn write_result(
        &self,
        trial: &Trial,
        dir: &Path,
        record: &AttemptRecord,
        graded_from: &str,
        checksum: &str,
    ) -> Result<(), EngineError> {
        record.write(dir)?;
        let result = self.trial_result(trial, dir, record, graded_from, checksum);
        if let Some(verifier) = &result.verifier_result {
            let reward = verifier.rewards.get("reward").copied().unwrap_or_default();
            disk::write_atomic(&dir.join(form::REWARD), format!("{reward}\n").as_bytes())?;
        }
        let mut log = format!("{} {}: {}\n", record.started_at, trial.name, record.outcome());
        log += &format!("{} {}\n", record.ran_at, record.detail());
        disk::write_atomic(&dir.join(form::TRIAL_LOG), log.as_bytes())?;
        // Before the result, so that no attempt is over of which the ledger does not know.
        self.job.note(&trial.name, record.outcome(), &record.detail())?;
        Ok(disk::write_json(&dir.join(form::RESULT), &result)?)
    }

    /// Harbor's `config.json` of an attempt.
    pub(super) fn trial_config(&self, trial: &Trial) -> TrialConfig {
        TrialConfig {
            task: self.job.task_config(trial.task),
            trial_name: trial.name.clone(),
            trials_dir: self.job.dir().to_string_lossy().into_owned(),
            agent: self.job.agent_config(trial.variant),
            job_id: self.job.id(),
        }
    }

    fn trial_result(
        &self,
        trial: &Trial,
        dir: &Path,
        record: &AttemptRecord,
        graded_from: &str,
        checksum: &str,
    ) -> TrialResult {
        let task = self.job.task_config(trial.task);
        let agent = &self.request.agents[trial.variant];
        let model = self.job.plan.variants[trial.variant].model.as_deref();
        let reward = match &record.verdict {
            Some(Verdict::Resolved) => Some(1.0),
            Some(Verdict::Unresolved(_)) => Some(0.0),
            _ => None,
        };
        let metadata = [
            ("exit", json!(record.exit)),
            ("outcome", record.outcome().into()),
            ("flags", json!(record.flags())),
            ("steps", record.steps.into()),
        ];
        let metadata: Map<String, Value> =
            metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let finished_at = record.finished_at.clone();
        let phase = |from: &str, to: Option<String>| {
            Some(Timing { started_at: Some(from.to_owned()), finished_at: to })
        };
        TrialResult {
            id: self.job.trial_id(trial),
            task_name: harbor::package_name(&record.instance_id),
            trial_name: trial.name.clone(),
            trial_uri: format!("file://{}", dir.display()),
            source: task.source.clone(),
            task_id: task,
            task_checksum: checksum.to_owned(),
            config: self.trial_config(trial),
            agent_info: AgentInfo {
                name: agent.name().to_owned(),
                version: agent.version().to_owned(),
                model_info: model.map(model_info),
            },
            agent_result: Some(AgentResult {
                n_input_tokens: Some(record.usage.prompt),
                n_cache_tokens: Some(record.usage.cached),
                n_output_tokens: Some(record.usage.completion),
                cost_usd: record.cost,
                metadata,
            }),
            verifier_result: reward
                .map(|reward| VerifierResult { rewards: [("reward".to_owned(), reward)].into() }),
            verifier_environment_mode: Some("separate".to_owned()),
            exception_info: exception(record),
            started_at: Some(record.started_at.clone()),
            finished_at: finished_at.clone(),
            environment_setup: phase(&record.started_at, None),
            agent_execution: phase(&record.started_at, Some(record.ran_at.clone())),
            verifier: record.verdict.as_ref().and_then(|_| phase(graded_from, finished_at)),
        }
    }
}

fn model_info(model: &str) -> ModelInfo {
    match model.split_once('/') {
        Some((provider, name)) => {
            ModelInfo { name: name.to_owned(), provider: Some(provider.to_owned()) }
        }
        None => ModelInfo { name: model.to_owned(), provider: None },
    }
}

/// What Harbor calls an exception.
fn exception(record: &AttemptRecord) -> Option<ExceptionInfo> {
    let (name, message) = match (&record.failure, &record.exit, &record.verdict) {
        (Some(failure), ..) => (failure.kind.harbor(), failure.message.clone()),
        (None, _, Some(Verdict::Invalid(reason))) => {
            ("VerifierOutputParseError", format!("{reason:?}"))
        }
        (None, Some(exit), _) => (exit_in_harbor(exit)?, record.detail()),
        (None, None, _) => return None,
    };
    Some(ExceptionInfo {
        exception_type: name.to_owned(),
        exception_message: message,
        exception_traceback: String::new(),
        occurred_at: record.ran_at.clone(),
    })
}

impl Job {
    /// Writes Harbor's `lock.json` of the job.
    pub(super) fn write_lock(&self, request: &Request) -> Result<(), EngineError> {
        let lock = json!({
            "schema_version": 3,
            "created_at": now(),
            "harbor": {},
            "n_concurrent_trials": request.concurrency,
            "retry": {"max_retries": request.retries},
            "trials": [],
        });
        let path = self.dir().join(form::LOCK);
        if path.is_file() {
            return Ok(());
        }
        Ok(disk::write_json(&path, &lock)?)
    }
}
