//! Harbor's job tree: `jobs/<job>/<trial>/…`, as much of its forms as an attempt of ours fills.
//!
//! Harbor calls an attempt a trial. What it has no field for stands under `metadata`, or in files
//! beside these.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `config.json` of a job or a trial.
pub const CONFIG: &str = "config.json";
/// `lock.json` of a job or a trial.
pub const LOCK: &str = "lock.json";
/// `result.json` of a job or a trial. Of a trial it is written last: where it stands, the trial is
/// over.
pub const RESULT: &str = "result.json";
/// The trajectory, below a trial.
pub const TRAJECTORY: &str = "agent/trajectory.json";
/// Messages, calls and token ids, below a trial.
pub const TRACE: &str = "agent/trace.jsonl";
/// The patch, below a trial.
pub const PATCH: &str = "artifacts/patch.diff";
/// What is in `artifacts`, below a trial.
pub const MANIFEST: &str = "artifacts/manifest.json";
/// The reward as a number, below a trial.
pub const REWARD: &str = "verifier/reward.txt";
/// What the tests printed, below a trial.
pub const TEST_OUTPUT: &str = "verifier/test-stdout.txt";
/// Words for people, below a job or a trial.
pub const TRIAL_LOG: &str = "trial.log";

/// The task of a trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskConfig {
    /// Its directory.
    pub path: String,
    /// The dataset that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The agent of a trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Its name.
    pub name: String,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// Its options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kwargs: Map<String, Value>,
}

/// `config.json` of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialConfig {
    /// The task.
    pub task: TaskConfig,
    /// Its name.
    pub trial_name: String,
    /// The job's directory.
    pub trials_dir: String,
    /// The agent.
    pub agent: AgentConfig,
    /// The job.
    pub job_id: String,
}

/// `config.json` of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobConfig {
    /// Its name.
    pub job_name: String,
    /// Where it stands.
    pub jobs_dir: String,
    /// Attempts at each task by each agent.
    pub n_attempts: u32,
    /// Attempts at a time.
    pub n_concurrent_trials: usize,
    /// Agents with their models.
    pub agents: Vec<AgentConfig>,
    /// The tasks.
    pub tasks: Vec<TaskConfig>,
}

/// Begin and end of a phase, RFC 3339.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// End.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// What went wrong, under the names of Harbor's table of errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExceptionInfo {
    /// A name of Harbor's table.
    pub exception_type: String,
    /// In words.
    pub exception_message: String,
    /// Where; often empty.
    pub exception_traceback: String,
    /// RFC 3339.
    pub occurred_at: String,
}

/// The model of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name without the provider.
    pub name: String,
    /// Who serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// The agent of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_info: Option<ModelInfo>,
}

/// What the agent took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentResult {
    /// Tokens of all prompts, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_input_tokens: Option<u64>,
    /// Of these, cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_cache_tokens: Option<u64>,
    /// Tokens of all completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_output_tokens: Option<u64>,
    /// Dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Ours.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// What the tests gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifierResult {
    /// By name; ours is `reward`, 1 or 0.
    pub rewards: BTreeMap<String, f64>,
}

/// `result.json` of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// A UUID.
    pub id: String,
    /// The task's name, as in its `task.toml`.
    pub task_name: String,
    /// The trial's name.
    pub trial_name: String,
    /// Where it stands, as a URI.
    pub trial_uri: String,
    /// The task's directory.
    pub task_id: TaskConfig,
    /// The dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Digest of the task's directory.
    pub task_checksum: String,
    /// What it was made from.
    pub config: TrialConfig,
    /// Who acted.
    pub agent_info: AgentInfo,
    /// What it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_result: Option<AgentResult>,
    /// What the tests gave; absent where the attempt is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_result: Option<VerifierResult>,
    /// `separate`: grading is never where the agent was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_environment_mode: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception_info: Option<ExceptionInfo>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Making the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_setup: Option<Timing>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_execution: Option<Timing>,
    /// The tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<Timing>,
}

/// One agent, with one model, on one dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EvalStats {
    /// Trials with a reward.
    pub n_trials: u64,
    /// Trials with an exception.
    pub n_errors: u64,
    /// Numbers over all of them, each an object.
    pub metrics: Vec<Map<String, Value>>,
    /// pass@k by k.
    pub pass_at_k: BTreeMap<u32, f64>,
    /// Names of trials by reward and value.
    pub reward_stats: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Names of trials by exception.
    pub exception_stats: BTreeMap<String, Vec<String>>,
}

/// Counts of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobStats {
    /// Over.
    pub n_completed_trials: u64,
    /// Over, with an exception.
    pub n_errored_trials: u64,
    /// Under way.
    pub n_running_trials: u64,
    /// To come.
    pub n_pending_trials: u64,
    /// Stopped.
    pub n_cancelled_trials: u64,
    /// Done once more after a failure of the machine.
    pub n_retries: u64,
    /// By agent, model and dataset.
    pub evals: BTreeMap<String, EvalStats>,
    /// Tokens of all prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_input_tokens: Option<u64>,
    /// Of these, cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_cache_tokens: Option<u64>,
    /// Tokens of all completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_output_tokens: Option<u64>,
    /// Dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// `result.json` of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// A UUID.
    pub id: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// RFC 3339; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// All trials, those to come included.
    pub n_total_trials: u64,
    /// Counts.
    pub stats: JobStats,
}
