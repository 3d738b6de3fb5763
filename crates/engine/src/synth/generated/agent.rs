//! Tests by an agent in a sandbox with the fixed tree.

use std::path::PathBuf;
use std::sync::Arc;

use palestra_agent::{AgentError, Aid, Assignment, ContextPolicy, Stage as Stand};
use palestra_core::environment::{ENV_DIR, TESTBED};
use palestra_model::Sampling;
use palestra_sandbox::{Bounds, DiffOptions};
use palestra_synth::Rejection;
use palestra_synth::ledger::{StageOutcome, stage};
use palestra_synth::tests::{ProposedTests, TestRequest};

use super::Writing;
use super::writer::{Bench, Writer};
use crate::error::EngineError;
use crate::work::spec;

/// Bytes and files that an agent may have changed.
const AGENT_BYTES: u64 = 64 << 20;
const AGENT_FILES: u64 = 20_000;

impl Writer<'_> {
    /// Lets an agent write them in a sandbox with the fixed tree.
    pub(super) fn by_agent(
        &self,
        bench: &Bench,
        request: &TestRequest,
        writing: &Writing,
    ) -> Result<Result<ProposedTests, Rejection>, EngineError> {
        let author = self.shop.author;
        let statement = palestra_synth::tests::agent_assignment(&author.prompts, request)
            .map_err(|error| EngineError::Input(error.to_string()))?;
        let mut place = spec(&bench.built);
        let variables = bench.built.variables();
        place.env =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let sandbox = self.shop.host.create(&place)?;
        sandbox.apply(&bench.gold_ops)?;
        let stage_of_agent = Stand {
            sandbox,
            assignment: Arc::new(Assignment {
                id: self.commit().to_owned(),
                statement,
                directory: PathBuf::from(TESTBED),
                path: vec![PathBuf::from(ENV_DIR).join("bin")],
            }),
            model: Arc::clone(&writing.model),
            model_name: author.model.clone().unwrap_or_default(),
            sampling: Sampling { seed: Some(self.request.seed), ..Sampling::default() },
            limits: writing.limits.clone(),
            context: ContextPolicy::default(),
            session: format!("tests-{}", self.commit()),
            stop: Arc::clone(self.shop.stop),
            aid: Aid::default(),
        };
        let mut live = writing.agent.start(stage_of_agent).map_err(failed)?;
        loop {
            self.shop.check_stop()?;
            if live.step().map_err(failed)?.exit.is_some() {
                break;
            }
        }
        let sandbox = live.finish();
        let options = DiffOptions {
            top: TESTBED.into(),
            exclude: vec![format!("{TESTBED}/.git").into()],
            bounds: Bounds { bytes: AGENT_BYTES, entries: AGENT_FILES },
        };
        let changes: Vec<palestra_diff::Change> =
            sandbox.changes(&options)?.into_iter().map(Into::into).collect();
        sandbox.destroy()?;
        let own = |change: &palestra_diff::Change| change.path == request.path.as_bytes();
        let patch = palestra_diff::make(
            &changes.into_iter().filter(own).collect::<Vec<_>>(),
            &palestra_diff::MakeOptions::default(),
        );
        let result = palestra_synth::tests::tests_from_patch(&patch, request);
        let (outcome, why, what) = match &result {
            Ok(_) => (StageOutcome::Kept, "", String::new()),
            Err(rejection) => {
                (StageOutcome::Rejected, rejection.reason.name(), rejection.to_string())
            }
        };
        self.note(stage::TESTS_AGENT, outcome, why, &what)?;
        Ok(result)
    }
}

fn failed(error: AgentError) -> EngineError {
    EngineError::Machine(error.to_string())
}
