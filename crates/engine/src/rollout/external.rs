//! Agents that are programs of their own: where they are installed, and the gateway, which is all
//! that they can reach.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use palestra_agent::Limits;
use palestra_agent::external::{ExternalSpec, install_plan};
use palestra_build::program::{Program, ProgramPlan, ProgramTools};
use palestra_gateway::{
    Budget, Gateway, GatewayOptions, Session, SessionOptions, Status, Upstream,
};
use palestra_model::{Model, Sampling};
use palestra_sandbox::{Network, Policy};

use super::failure::{Failure, FailureKind};
use crate::shop::Tools;

/// The name of the gateway inside.
const NAME: &str = "gateway.palestra.internal";

/// The gateway of a job, in front of one model.
pub(super) struct Door {
    gateway: Gateway,
}

impl Door {
    /// Opens it. The model behind it keeps its limits, its ledger and its key.
    pub(super) fn open(model: Arc<dyn Model>) -> Result<Self, Failure> {
        let mut options = GatewayOptions::new(vec![Upstream::model(model)]);
        options.implicit = None;
        let gateway = Gateway::start(options)
            .map_err(|error| Failure::new(FailureKind::Machine, error.to_string()))?;
        Ok(Self { gateway })
    }

    /// The only way out of the sandbox of an attempt.
    pub(super) fn network(&self) -> Result<Network, Failure> {
        let rule = format!("{NAME}:80={}", self.gateway.address());
        let policy: Policy = rule
            .parse()
            .map_err(|error| Failure::new(FailureKind::Internal, format!("{rule}: {error}")))?;
        Ok(Network::Allow(Arc::new(policy)))
    }
}

/// The session of an attempt; it ends with it.
pub(super) struct Visit {
    door: Arc<Door>,
    session: Session,
    pub(super) url: String,
}

impl Visit {
    /// Begins a session whose calls go to `agent/trace.jsonl` below a trial's directory.
    pub(super) fn begin(
        door: &Arc<Door>,
        id: &str,
        dir: &Path,
        model: Option<String>,
        sampling: &Sampling,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let budget = Budget {
            calls: Some(u64::from(limits.steps)),
            tokens: limits.tokens,
            cost: limits.cost,
        };
        let options = SessionOptions {
            model,
            budget,
            sampling: sampling.clone(),
            tokens: sampling.token_ids,
            directory: Some(dir.join("agent")),
            ..SessionOptions::default()
        };
        let session = door
            .gateway
            .create(id, options, None)
            .map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
        let url = format!("http://{NAME}/sessions/{id}");
        Ok(Self { door: Arc::clone(door), session, url })
    }

    /// What the session took.
    pub(super) fn status(&self) -> Status {
        self.session.status()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.door.gateway.remove(self.session.id());
    }
}

/// What the external agent of a variant needs, made once.
#[derive(Default)]
pub(super) struct Outfit(Mutex<Option<(Arc<Door>, Program)>>);

impl Outfit {
    /// The gateway and the program.
    pub(super) fn get(
        &self,
        tools: &Tools,
        spec: &ExternalSpec,
        model: &Arc<dyn Model>,
    ) -> Result<(Arc<Door>, Program), Failure> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((door, program)) = &*known {
            return Ok((Arc::clone(door), program.clone()));
        }
        let program = install(tools, spec)?;
        let door = Arc::new(Door::open(Arc::clone(model))?);
        *known = Some((Arc::clone(&door), program.clone()));
        Ok((door, program))
    }
}

/// Installs an agent, or finds it in the store.
fn install(tools: &Tools, spec: &ExternalSpec) -> Result<Program, Failure> {
    let plan = install_plan(spec);
    if let Some(layer) = plan.layer {
        return Ok(Program { layer, binds: Vec::new() });
    }
    let cache = tools.home().cache();
    let installing = ProgramTools {
        host: &tools.host,
        store: &tools.store,
        uv: &tools.uv,
        interpreters: &tools.interpreters,
        index: tools.index(),
        state: &cache,
    };
    let made = installing.install(&ProgramPlan {
        key: &plan.key,
        directory: &plan.directory,
        python: plan.python.as_deref(),
        commands: &plan.commands,
        env: &plan.env,
        hosts: &plan.hosts,
    });
    made.map_err(|why| {
        let message = format!("the agent {} cannot be installed: {why}", spec.name);
        Failure::new(FailureKind::AgentSetup, message)
    })
}
