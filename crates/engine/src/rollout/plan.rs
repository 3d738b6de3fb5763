//! What a job is made of: tasks, variants, attempts. Written down once, so that the job can go on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use palestra_agent::{ContextPolicy, Limits};
use palestra_core::Hash;
use palestra_dataset::{Instance, InstanceOptions, read_instances};
use palestra_dialect::Dialect;
use palestra_model::Sampling;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::EngineError;
use crate::evaluate::Sources;

/// Version of the form of a plan on disk; raised when an older reader would misread it.
const FORM: u32 = 1;

/// One agent with one model and one way of sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// The agent's name, as in `-a`.
    pub agent: String,
    /// Its options.
    #[serde(default)]
    pub options: Map<String, Value>,
    /// The model's name as the server knows it.
    #[serde(default)]
    pub model: Option<String>,
    /// How to sample.
    #[serde(default)]
    pub sampling: Sampling,
    /// The job whose attempts of the same names the agent `replay` plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<PathBuf>,
}

impl Variant {
    /// A name for tables: agent, model, temperature.
    pub fn label(&self) -> String {
        let mut label = self.agent.clone();
        if let Some(model) = &self.model {
            label += &format!(" {model}");
        }
        if let Some(temperature) = self.sampling.temperature {
            label += &format!(" t={temperature}");
        }
        label
    }
}

/// Attempts fork once, and go on as several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branching {
    /// After so many steps.
    pub at: u32,
    /// Into so many.
    pub width: u32,
}

/// Attempts fork again and again, and what a critic thinks best goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Forks that go on from one.
    pub width: u32,
    /// How often an attempt forks between its beginning and its end.
    pub depth: u32,
    /// Calls of the model, all forks of a search together. When they are spent the best attempt that
    /// has ended is taken, or the best one goes on alone to its end.
    pub budget: u32,
    /// Calls of the model between two looks of the critic.
    pub every: u32,
}

/// Where the rows of another dataset get what they need, and whose rules judge them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Repositories and images.
    pub sources: Sources,
    /// The rules; those that a row was made for where none are named.
    #[serde(default)]
    pub dialect: Option<Dialect>,
    /// The split, where the dataset has several.
    #[serde(default)]
    pub split: Option<String>,
}

impl Rows {
    /// All rows of a dataset.
    pub fn read(&self, path: &Path) -> Result<Vec<Instance>, EngineError> {
        let options = InstanceOptions { split: self.split.clone(), ..InstanceOptions::default() };
        Ok(read_instances(path, &options)?)
    }
}

/// A task of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Its name.
    pub id: String,
    /// Its directory; of a row, the file that it stands in.
    pub path: PathBuf,
}

/// What a job is made of. A job with one plan is never continued with another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobPlan {
    /// The version of this form.
    pub form: u32,
    /// The tasks, in order.
    pub tasks: Vec<PlannedTask>,
    /// The variants, in order.
    pub variants: Vec<Variant>,
    /// Attempts at each task by each variant; with branching, stems.
    pub attempts: u32,
    /// Bounds of each attempt.
    #[serde(default)]
    pub limits: Limits,
    /// How long histories are shortened.
    #[serde(default)]
    pub context: ContextPolicy,
    /// Whether and where attempts fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branching: Option<Branching>,
    /// Whether and how an attempt is searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// When the critic thinks an attempt right with this probability, a search ends, and no more
    /// attempts at its task are begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<f64>,
    /// The critic's file; the built-in one where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critic: Option<PathBuf>,
    /// Whether attempts are graded.
    pub grade: bool,
    /// Where the tasks are rows of another dataset: what goes for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
}

/// One attempt of a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trial {
    /// Its name, which is also that of its directory.
    pub name: String,
    /// Index of the task.
    pub task: usize,
    /// Index of the variant.
    pub variant: usize,
    /// From 1.
    pub attempt: u32,
    /// From 1 where attempts fork.
    pub branch: Option<u32>,
}

/// Attempts that are made together: one, or the branches of one stem.
pub type Group = Vec<Trial>;

impl JobPlan {
    /// A plan with the defaults of everything but what is tried.
    pub fn new(tasks: Vec<PlannedTask>, variants: Vec<Variant>, attempts: u32) -> Self {
        Self {
            form: FORM,
            tasks,
            variants,
            attempts,
            limits: Limits::default(),
            context: ContextPolicy::default(),
            branching: None,
            search: None,
            enough: None,
            critic: None,
            grade: true,
            rows: None,
        }
    }

    /// Fails on a plan of which nothing could come.
    pub fn check(&self) -> Result<(), EngineError> {
        let input = |what: &str| Err(EngineError::Input(what.to_owned()));
        if self.form > FORM {
            return input("the job was planned by a newer version: update palestra");
        }
        if self.tasks.is_empty() {
            return input("no task is left: look at --include and --exclude");
        }
        if self.variants.is_empty() || self.attempts == 0 {
            return input("nothing is to be tried: give an agent and at least one attempt");
        }
        let mut names = BTreeMap::new();
        for task in &self.tasks {
            if let Some(other) = names.insert(&task.id, &task.path) {
                return Err(EngineError::Input(format!(
                    "two tasks are named {}: {} and {}",
                    task.id,
                    other.display(),
                    task.path.display()
                )));
            }
        }
        if self.branching.is_some_and(|b| b.width < 2 || b.at == 0) {
            return input("attempts fork after at least one step, into at least two");
        }
        if self.enough.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return input("a probability that is enough is from 0 to 1");
        }
        if let Some(search) = &self.search {
            if search.width < 2 || search.depth == 0 || search.budget == 0 || search.every == 0 {
                return input("a search is at least 2 wide, 1 deep, and has a budget");
            }
            if self.branching.is_some() {
                return input("attempts either fork once or are searched for, not both");
            }
        }
        Ok(())
    }

    /// All attempts, in the order in which they are begun: every task once before any twice.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        for attempt in 1..=self.attempts {
            for variant in 0..self.variants.len() {
                for task in 0..self.tasks.len() {
                    let trial = |branch| Trial {
                        name: self.name(task, variant, attempt, branch),
                        task,
                        variant,
                        attempt,
                        branch,
                    };
                    groups.push(match self.branching {
                        None => vec![trial(None)],
                        Some(branching) => {
                            (1..=branching.width).map(|branch| trial(Some(branch))).collect()
                        }
                    });
                }
            }
        }
        groups
    }

    /// The names of attempts say what they are of, and never collide.
    fn name(&self, task: usize, variant: usize, attempt: u32, branch: Option<u32>) -> String {
        let mut name = format!("{}__", self.tasks[task].id);
        if self.variants.len() > 1 {
            name += &format!("v{}-", variant + 1);
        }
        name += &attempt.to_string();
        if let Some(branch) = branch {
            name += &format!(".{branch}");
        }
        name
    }

    /// The hash of all that decides what the attempts are.
    pub fn hash(&self) -> Hash {
        Hash::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// In a few words, how it differs from another.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let ids =
            |plan: &Self| -> Vec<String> { plan.tasks.iter().map(|t| t.id.clone()).collect() };
        let labels =
            |plan: &Self| -> Vec<String> { plan.variants.iter().map(Variant::label).collect() };
        if self == other {
            return None;
        }
        Some(if ids(self) != ids(other) {
            format!("{} tasks against {}", self.tasks.len(), other.tasks.len())
        } else if labels(self) != labels(other) {
            format!("{} against {}", labels(self).join(", "), labels(other).join(", "))
        } else if self.attempts != other.attempts {
            format!("{} attempts against {}", self.attempts, other.attempts)
        } else {
            "other limits, options or paths".to_owned()
        })
    }
}

/// The tasks below a path: the path itself, or the directories in it, by name.
pub fn tasks_below(path: &Path) -> Result<Vec<PlannedTask>, EngineError> {
    let task = |dir: PathBuf| -> Option<PlannedTask> {
        let id = dir.file_name()?.to_str()?.to_owned();
        (!id.starts_with('.') && dir.join("task.toml").is_file())
            .then_some(PlannedTask { id, path: dir })
    };
    let path = fs_err::canonicalize(path)?;
    if let Some(one) = task(path.clone()) {
        return Ok(vec![one]);
    }
    let mut tasks = Vec::new();
    for entry in fs_err::read_dir(&path)? {
        tasks.extend(task(entry?.path()));
    }
    tasks.sort_by(|a, b| a.id.cmp(&b.id));
    if tasks.is_empty() {
        return Err(EngineError::Input(format!(
            "{} holds no task (no directory with a task.toml): make some with `palestra curate`",
            path.display()
        )));
    }
    Ok(tasks)
}

/// The rows of a dataset as tasks, in their order.
pub fn tasks_of(dataset: &Path, rows: &Rows) -> Result<Vec<PlannedTask>, EngineError> {
    let path = fs_err::canonicalize(dataset)?;
    let task = |row: Instance| PlannedTask { id: row.instance_id.to_string(), path: path.clone() };
    Ok(rows.read(&path)?.into_iter().map(task).collect())
}
