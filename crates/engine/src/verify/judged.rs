//! What a model thinks of attempts. Each is asked about once; answers are kept beside the job.

use std::path::PathBuf;
use std::sync::Arc;

use palestra_core::atif::Trajectory;
use palestra_core::{Hash, disk};
use palestra_model::{CallOptions, Model};
use palestra_verify::free::{
    Judge, Judgement, Limit, Prompt, View, existing_files, ours, r2e, said_in, swe_gym,
};

use crate::derive::optional;
use crate::error::EngineError;

/// How an attempt is shown to a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// Ours, for models that were not trained for it.
    #[default]
    Ours,
    /// As R2E-Gym's verifier was trained.
    R2e,
    /// As SWE-Gym's verifier was trained. It always shows the whole conversation.
    SweGym,
}

impl std::str::FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "ours" => Ok(Self::Ours),
            "r2e" => Ok(Self::R2e),
            "swe-gym" => Ok(Self::SweGym),
            _ => Err(format!("{name:?} is no form: there are ours, r2e and swe-gym")),
        }
    }
}

/// A model that scores attempts.
pub struct ModelJudge {
    /// Who is asked.
    pub model: Arc<dyn Model>,
    /// How.
    pub judge: Judge,
    /// What it sees.
    pub form: Form,
    /// Patch, trajectory, or both.
    pub view: View,
    /// Tokens of a prompt, a quarter of its bytes each.
    pub tokens: usize,
    /// Questions at a time.
    pub jobs: usize,
}

impl ModelJudge {
    fn prompt(&self, statement: &str, trajectory: Option<&Trajectory>, patch: &[u8]) -> Prompt {
        let count = |text: &str| text.len().div_ceil(4);
        let limit = Limit { tokens: self.tokens, count: &count };
        match self.form {
            Form::Ours => {
                let patch = String::from_utf8_lossy(patch);
                ours::prompt(statement, trajectory, &patch, self.view, limit)
            }
            Form::R2e => {
                let steps = trajectory.map(r2e::steps).unwrap_or_default();
                r2e::prompt(statement, &steps, &existing_files(patch), self.view, limit)
            }
            Form::SweGym => swe_gym::prompt(&trajectory.map(said_in).unwrap_or_default(), limit),
        }
    }

    /// What it thinks of an attempt. Only what has a probability is kept: another server, or the same
    /// one with log-probabilities, may give one the next time.
    pub(super) fn ask(
        &self,
        cache: &std::path::Path,
        statement: &str,
        trajectory: Option<&Trajectory>,
        patch: &[u8],
    ) -> Result<Judgement, EngineError> {
        let prompt = self.prompt(statement, trajectory, patch);
        let how = format!(
            "{} {} {} {}",
            self.judge.model, self.judge.samples, self.judge.temperature, self.judge.continuations
        );
        let key = Hash::of_parts([&how, &prompt.system, &prompt.user]);
        let file: PathBuf = cache.join(format!("judged-{key}.json"));
        if let Some(bytes) = optional(&file)?
            && let Ok(known) = serde_json::from_slice(&bytes)
        {
            return Ok(known);
        }
        let judgement = self.judge.ask(&*self.model, &prompt, &CallOptions::default());
        if judgement.unscorable.is_empty() {
            disk::write_json(&file, &judgement)?;
        }
        Ok(judgement)
    }
}
