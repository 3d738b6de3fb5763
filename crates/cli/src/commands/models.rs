//! The models of a job, as the command line and the variables describe them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use palestra_agent::Agent;
use palestra_engine::rollout::Job;
use palestra_model::{
    Answer, Api, CallOptions, Cassette, Client, ClientConfig, Ledger, LimitConfig, Limits, Model,
    ModelError, Prices, Request, Secret,
};
use serde::{Deserialize, Serialize};

use crate::args_run::Run;
use crate::context;
use crate::outcome::CliError;

/// How a job is run, as far as it can be written down: no keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) concurrency: usize,
    pub(crate) grading: usize,
    pub(crate) retries: u32,
    base_url: String,
    api: Api,
    /// The variable that holds the key.
    key: Option<String>,
    stream: bool,
    prices: Option<PathBuf>,
    record: Option<PathBuf>,
    replay: Option<PathBuf>,
    model_concurrency: Option<usize>,
    rpm: Option<u32>,
    tpm: Option<u64>,
    budget: Option<f64>,
}

impl Asked {
    pub(crate) fn of(args: &Run) -> Result<Self, CliError> {
        let api = api(args.api.as_deref())?;
        let (url, default) = match api {
            Api::Anthropic => ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
            _ => ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        };
        let base_url = args.base_url.clone().or_else(|| variable(url));
        Ok(Self {
            concurrency: context::jobs(args.concurrency),
            grading: context::jobs(args.grading),
            retries: args.retries.unwrap_or(2),
            base_url: base_url.unwrap_or_else(|| default.to_owned()),
            api,
            key: key(api, args.key_env.as_deref())?,
            stream: args.stream,
            prices: args.prices.clone(),
            record: args.record.clone(),
            replay: args.replay.clone(),
            model_concurrency: args.model_concurrency,
            rpm: args.rpm,
            tpm: args.tpm,
            budget: args.budget,
        })
    }

    /// The server, with the ledger of a job.
    fn client(&self, dir: &Path) -> Result<Client, CliError> {
        let mut config = ClientConfig::new(self.api, &self.base_url);
        if let Some(name) = &self.key {
            config.key = Some(secret(name)?);
        }
        config.stream = self.stream;
        config.cache_prompts = self.api == Api::Anthropic;
        let local = ["http://localhost", "http://127.", "http://[::1]"];
        if !local.iter().any(|start| self.base_url.starts_with(start)) {
            config.proxy = context::index().upstream().map(str::to_owned);
        }
        config.limits = Arc::new(Limits::new(LimitConfig {
            requests_per_minute: self.rpm.map(f64::from),
            tokens_per_minute: self.tpm.map(|tokens| tokens as f64),
            concurrent: Some(self.model_concurrency.unwrap_or(self.concurrency)),
            ..LimitConfig::default()
        }));
        if let Some(path) = &self.prices {
            config.prices = Arc::new(Prices::read(path).map_err(wrong)?);
        }
        let ledger = Ledger::open(dir.join("calls.jsonl"), self.budget).map_err(wrong)?;
        config.ledger = Some(Arc::new(ledger));
        Client::new(config).map_err(wrong)
    }

    /// What is asked: the server, a cassette, or both. Calls are booked in `dir`.
    pub(crate) fn model(&self, dir: &Path) -> Result<Arc<dyn Model>, CliError> {
        if let Some(path) = &self.replay {
            return Ok(Arc::new(Cassette::replay(path).map_err(wrong)?));
        }
        let client: Arc<dyn Model> = Arc::new(self.client(dir)?);
        Ok(match &self.record {
            None => client,
            Some(path) => Arc::new(Cassette::record(path, client).map_err(wrong)?),
        })
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// What a server speaks.
pub(crate) fn api(name: Option<&str>) -> Result<Api, CliError> {
    match name {
        None | Some("chat") => Ok(Api::Chat),
        Some("responses") => Ok(Api::Responses),
        Some("anthropic") => Ok(Api::Anthropic),
        Some(other) => {
            Err(CliError::usage(format!("{other:?} is no API: chat, responses or anthropic")))
        }
    }
}

/// The variable that holds the key: the one that is named, or the usual one if it is set.
pub(crate) fn key(api: Api, named: Option<&str>) -> Result<Option<String>, CliError> {
    let usual = match api {
        Api::Anthropic => "ANTHROPIC_API_KEY",
        _ => "OPENAI_API_KEY",
    };
    match named {
        Some(name) => secret(name).map(|_| Some(name.to_owned())),
        None => Ok(variable(usual).map(|_| usual.to_owned())),
    }
}

/// What a variable holds, which is nobody's to see.
pub(crate) fn secret(name: &str) -> Result<Secret, CliError> {
    let unset = || CliError::usage(format!("the variable {name}, which holds a key, is not set"));
    variable(name).map(|value| Secret::new(value.trim())).ok_or_else(unset)
}

fn wrong(error: ModelError) -> CliError {
    CliError::usage(error.to_string())
}

/// The model of agents that need none.
struct Nobody;

impl Model for Nobody {
    fn call(&self, _: &Request, _: &CallOptions) -> Result<Answer, ModelError> {
        Err(ModelError::Rejected {
            server: self.server(),
            status: 0,
            detail: "this agent asks no model".to_owned(),
        })
    }

    fn server(&self) -> String {
        "no server".to_owned()
    }
}

/// The model of each variant. All of them share one server, with its limits and its ledger.
pub(crate) fn of(
    job: &Job,
    agents: &[Arc<dyn Agent>],
    how: &Asked,
) -> Result<Vec<Arc<dyn Model>>, CliError> {
    let nobody: Arc<dyn Model> = Arc::new(Nobody);
    let asked = match agents.iter().any(|agent| agent.needs_model()) {
        true => how.model(job.dir())?,
        false => Arc::clone(&nobody),
    };
    let of =
        |agent: &Arc<dyn Agent>| Arc::clone(if agent.needs_model() { &asked } else { &nobody });
    Ok(agents.iter().map(of).collect())
}
