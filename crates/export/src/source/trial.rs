//! A trial's directory: ours, or Harbor's.

use std::path::Path;

use palestra_core::{Verdict, job};
use palestra_trace::Graph;
use serde::Deserialize;
use serde_json::Value;

use super::{Refused, atif, bytes, json, whole};
use crate::card::Reason;
use crate::episode::{Episode, Origin, Outcome, TokenChain, repository_of};

/// What we keep of an attempt beside Harbor's forms.
const ATTEMPT: &str = "attempt.json";

/// Whether a directory is a trial, and whose.
pub(super) fn is_trial(dir: &Path) -> Option<Origin> {
    if dir.join(ATTEMPT).is_file() {
        return Some(Origin::Palestra);
    }
    let harbor = dir.join(job::TRAJECTORY).is_file()
        || dir.join(job::RESULT).is_file() && dir.join("agent").is_dir();
    harbor.then_some(Origin::Harbor)
}

/// As much of `attempt.json` as is needed, so that older and newer ones are read too.
#[derive(Deserialize)]
struct Attempt {
    instance_id: String,
    #[serde(default)]
    exit: Option<Value>,
    #[serde(default)]
    failure: Option<Failure>,
    #[serde(default)]
    verdict: Option<Verdict>,
    #[serde(default)]
    tampering: Vec<String>,
    #[serde(default)]
    steps: u32,
    #[serde(default)]
    usage: palestra_model::Usage,
    #[serde(default)]
    cost: Option<f64>,
    #[serde(default)]
    seconds: Seconds,
    #[serde(default)]
    finished_at: Option<String>,
    #[serde(default)]
    agent: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Failure {
    kind: Value,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, Default)]
struct Seconds {
    #[serde(default)]
    agent: f64,
}

/// The last two parts of the path: job and trial.
fn name(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let parts: Vec<_> = dir.components().rev().take(2).collect();
    let parts: Vec<_> =
        parts.iter().rev().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.join("/")
}

/// An attempt of ours.
pub(super) fn own(dir: &Path) -> Result<Episode, Refused> {
    let attempt: Attempt = serde_json::from_slice(&bytes(&dir.join(ATTEMPT))?)
        .map_err(|error| Refused::corrupt(format!("{}: {error}", dir.join(ATTEMPT).display())))?;
    let mut episode = Episode::new(Origin::Palestra, name(dir), attempt.instance_id);
    if attempt.finished_at.is_none() {
        let what = format!("{}: it is not over", dir.display());
        return Err(Refused { reason: Reason::NotOver, what });
    }
    let failed = attempt.failure.is_some();
    episode.outcome = match (&attempt.failure, attempt.verdict) {
        (Some(failure), _) => {
            let first = failure.message.lines().next().unwrap_or_default();
            let kind = failure.kind.as_str().unwrap_or_default();
            Outcome::Invalid(format!("{kind}: {first}"))
        }
        (None, Some(Verdict::Resolved)) => Outcome::Resolved,
        (None, Some(Verdict::Unresolved(_))) => Outcome::Unresolved,
        (None, Some(Verdict::Invalid(reason))) => Outcome::Invalid(format!("{reason:?}")),
        (None, None) => Outcome::Ungraded,
    };
    // As the engine's own flags: a failure says nothing about the agent.
    episode.trainable = !failed && !matches!(episode.outcome, Outcome::Invalid(_));
    episode.reward = match episode.outcome {
        Outcome::Resolved => Some(1.0),
        Outcome::Unresolved => Some(0.0),
        _ => None,
    };
    episode.finished = attempt.exit.as_ref().and_then(Value::as_str) == Some("submitted");
    episode.exit = attempt.exit.map(|exit| exit.as_str().map_or(exit.to_string(), str::to_owned));
    episode.tampering = attempt.tampering;
    episode.tokens = attempt.usage.prompt + attempt.usage.completion;
    episode.cost = attempt.cost;
    episode.seconds = attempt.seconds.agent;
    let agent = attempt.agent.get("name").and_then(Value::as_str);
    episode.agent = agent.unwrap_or_default().to_owned();
    about(&mut episode, dir)?;
    conversation(&mut episode, dir, failed)?;
    episode.steps = attempt.steps;
    Ok(episode)
}

/// A trial of Harbor's.
pub(super) fn harbor(dir: &Path) -> Result<Episode, Refused> {
    let path = dir.join(job::RESULT);
    if !path.is_file() {
        let what = format!("{}: it is not over", dir.display());
        return Err(Refused { reason: Reason::NotOver, what });
    }
    let result = whole(&path)?;
    let task = json::text(&result, &["task_name"])
        .ok_or_else(|| Refused::corrupt(format!("{}: no task_name", path.display())))?;
    let task = task.rsplit('/').next().unwrap_or(task);
    let mut episode = Episode::new(Origin::Harbor, name(dir), task);
    let rewards = json::at(&result, &["verifier_result", "rewards"]);
    let reward = rewards.and_then(|all| {
        let first = || all.as_object().and_then(|all| all.values().next());
        all.get("reward").or_else(first).and_then(Value::as_f64)
    });
    let exception = json::text(&result, &["exception_info", "exception_type"]);
    episode.reward = reward;
    episode.outcome = match (reward, exception) {
        (Some(reward), _) if reward >= 1.0 => Outcome::Resolved,
        (Some(_), _) => Outcome::Unresolved,
        (None, Some(exception)) => Outcome::Invalid(exception.to_owned()),
        (None, None) => Outcome::Ungraded,
    };
    episode.trainable = !matches!(episode.outcome, Outcome::Invalid(_));
    episode.finished = exception.is_none();
    episode.exit = exception.map(str::to_owned);
    episode.agent = json::text(&result, &["agent_info", "name"]).unwrap_or_default().to_owned();
    episode.cost = json::number(&result, &["agent_result", "cost_usd"]);
    let count = |key: &str| {
        json::at(&result, &["agent_result", key]).and_then(Value::as_u64).unwrap_or_default()
    };
    episode.tokens = count("n_input_tokens") + count("n_output_tokens");
    about(&mut episode, dir)?;
    conversation(&mut episode, dir, false)?;
    Ok(episode)
}

/// Patch, model, statement and repository.
fn about(episode: &mut Episode, dir: &Path) -> Result<(), Refused> {
    let patch = dir.join(job::PATCH);
    if patch.is_file() {
        let patch = String::from_utf8_lossy(&bytes(&patch)?).into_owned();
        episode.patch = Some(patch).filter(|patch| !patch.is_empty());
    }
    let config = whole(&dir.join(job::CONFIG)).unwrap_or_default();
    if episode.agent.is_empty() {
        let agent = json::text(&config, &["agent", "name"]);
        episode.agent = agent.unwrap_or_default().to_owned();
    }
    episode.model = json::text(&config, &["agent", "model_name"]).map(str::to_owned);
    episode.repository = repository_of(&episode.task);
    // The task may be on another machine by now.
    let Some(task) = json::text(&config, &["task", "path"]).map(Path::new) else { return Ok(()) };
    if let Ok(statement) = bytes(&task.join("instruction.md")) {
        episode.statement = Some(String::from_utf8_lossy(&statement).trim().to_owned());
    }
    let toml = bytes(&task.join("task.toml")).unwrap_or_default();
    if let Ok(toml) = toml::from_str::<toml::Table>(&String::from_utf8_lossy(&toml)) {
        let ours = toml.get("metadata").and_then(|metadata| metadata.get("palestra"));
        let field = |name: &str| {
            ours.and_then(|ours| ours.get(name)).and_then(toml::Value::as_str).map(str::to_owned)
        };
        episode.repository = field("repository").or_else(|| episode.repository.take());
        episode.created_at = field("created_at");
    }
    Ok(())
}

/// The conversation as the model had it where there is a trace; else as the trajectory tells it.
fn conversation(episode: &mut Episode, dir: &Path, failed: bool) -> Result<(), Refused> {
    let trajectory = dir.join(job::TRAJECTORY);
    episode.trajectory = trajectory.is_file().then(|| trajectory.clone());
    let trace = dir.join(job::TRACE);
    if trace.is_file() {
        match palestra_trace::read(&trace) {
            // A cut-off trace of an attempt that is over would be another conversation.
            Ok(read) if read.problems.is_empty() || failed => {
                if from_trace(episode, &read.graph) {
                    return Ok(());
                }
            }
            Ok(read) => {
                let first = read.problems.first().cloned().unwrap_or_default();
                return Err(Refused::corrupt(format!("{}: {first}", trace.display())));
            }
            Err(error) => return Err(Refused::corrupt(error)),
        }
    }
    if !trajectory.is_file() {
        return Err(Refused::corrupt(format!("{}: no trajectory", dir.display())));
    }
    atif::fill(episode, &bytes(&trajectory)?).map_err(|refused| Refused {
        what: format!("{}: {}", dir.display(), refused.what),
        ..refused
    })
}

/// Whether there was any call.
fn from_trace(episode: &mut Episode, graph: &Graph) -> bool {
    let Some(last) = graph.calls().last() else { return false };
    let sample = graph.sample(last.head);
    episode.messages = sample.messages.iter().map(|message| (**message).clone()).collect();
    episode.tools = sample.tools.to_vec();
    for branch in graph.branches() {
        if branch.complete() && branch.mask.contains(&1) {
            episode.chains.push(TokenChain {
                last: branch.nodes.last() == Some(&last.head),
                ids: branch.token_ids,
                mask: branch.mask,
                logprobs: branch.logprobs,
            });
        }
    }
    true
}
