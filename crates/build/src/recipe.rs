//! Recipes: everything that an environment is made from, and what was changed to make it work.

use std::collections::{BTreeMap, BTreeSet};

use palestra_core::Runner;
use serde::{Deserialize, Serialize};

use crate::python::Minor;
use crate::requirement;

/// How the project itself gets into its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallMode {
    /// Installed in place, with its metadata, scripts and compiled parts.
    #[default]
    Editable,
    /// Only put on `PYTHONPATH`.
    PathOnly,
}

/// What an environment is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The interpreter.
    pub python: Minor,
    /// The packages are as they were at this time, RFC 3339 (midnight UTC).
    pub exclude_newer: String,
    /// What must be there, as requirement lines, sorted.
    pub requirements: Vec<String>,
    /// What is there for tests of optional features: dropped when it cannot be had.
    pub optional: Vec<String>,
    /// What installing the project needs.
    pub build: Vec<String>,
    /// Version limits.
    pub constraints: Vec<String>,
    /// Packages that are taken as of so many days after [`Recipe::exclude_newer`].
    #[serde(default)]
    pub later: BTreeMap<String, i64>,
    /// The extras and groups that test requirements were taken from.
    #[serde(default)]
    pub extras: Vec<String>,
    /// What was asked for and left out, with the reason.
    #[serde(default)]
    pub dropped: Vec<String>,
    /// What a reader should know: another Python than asked for, missing system packages.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Variables for installing and testing.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How the project is installed.
    #[serde(default)]
    pub install: InstallMode,
    /// What runs the tests.
    #[serde(default)]
    pub runner: Runner,
    /// The changes that led from the manifest to this recipe, in order.
    #[serde(default)]
    pub repairs: Vec<Repair>,
    /// Hash of the manifest: commits with the same one start from the same recipe.
    pub fingerprint: String,
    /// The tree's own top-level modules; what is missing of these no package brings.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub own_modules: BTreeSet<String>,
}

/// One change of a recipe, and the rule that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The rule's name.
    pub rule: String,
    /// What it did.
    pub actions: Vec<Action>,
}

/// A change of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", content = "what")]
pub enum Action {
    /// Adds a requirement; one of the same name is replaced if the new one says more.
    Require(String),
    /// Adds a requirement that may be dropped again.
    Try(String),
    /// Adds a version limit.
    Constrain(String),
    /// Leaves a distribution out.
    Drop(String),
    /// Takes the version clauses off a distribution's requirements.
    Unpin(String),
    /// Takes the version clauses off all requirements with exact versions.
    UnpinAll,
    /// Leaves out everything optional.
    DropOptional,
    /// Takes packages of so many days later.
    Later(i64),
    /// Takes one package of so many days later, and the others not.
    LaterPackage(String, i64),
    /// Takes another interpreter.
    Python(Minor),
    /// Installs the project in another way.
    Install(InstallMode),
    /// Runs the tests with another program.
    Runner(Runner),
    /// Sets a variable.
    Env(String, String),
    /// Notes something for the reader.
    Note(String),
}

impl Recipe {
    /// The recipe after a repair.
    #[must_use]
    pub fn with(&self, repair: Repair) -> Self {
        let mut recipe = self.clone();
        for action in &repair.actions {
            recipe.apply(action);
        }
        recipe.repairs.push(repair);
        recipe
    }

    /// Whether two recipes make the same environment, however they came about.
    pub fn same_result(&self, other: &Self) -> bool {
        self.python == other.python
            && self.exclude_newer == other.exclude_newer
            && self.requirements == other.requirements
            && self.optional == other.optional
            && self.build == other.build
            && self.constraints == other.constraints
            && self.later == other.later
            && self.env == other.env
            && self.install == other.install
            && self.runner == other.runner
    }

    /// Everything to resolve, sorted.
    pub(crate) fn all_requirements(&self) -> Vec<String> {
        let all = self.requirements.iter().chain(&self.optional).chain(&self.build);
        requirement::tidy(all.cloned())
    }

    fn lists(&mut self) -> [&mut Vec<String>; 3] {
        [&mut self.requirements, &mut self.optional, &mut self.build]
    }

    fn apply(&mut self, action: &Action) {
        let named = |line: &String, name: &str| requirement::name_of(line).as_deref() == Some(name);
        match action {
            Action::Require(line) => {
                let Some(name) = requirement::name_of(line) else { return };
                self.optional.retain(|l| !named(l, &name));
                self.requirements.retain(|l| !named(l, &name) || l == line);
                self.requirements.push(line.clone());
                self.requirements = requirement::tidy(std::mem::take(&mut self.requirements));
            }
            Action::Try(line) => {
                self.optional.push(line.clone());
                self.optional = requirement::tidy(std::mem::take(&mut self.optional));
            }
            Action::Constrain(line) => {
                let Some(name) = requirement::name_of(line) else { return };
                self.constraints.retain(|l| !named(l, &name));
                self.constraints.push(line.clone());
                self.constraints.sort();
            }
            Action::Drop(name) => {
                for list in self.lists() {
                    list.retain(|l| !named(l, name));
                }
            }
            Action::Unpin(name) => {
                for list in self.lists() {
                    for line in list.iter_mut().filter(|l| named(l, name)) {
                        *line = requirement::unpinned(line).unwrap_or_else(|| line.clone());
                    }
                }
                self.constraints.retain(|l| !named(l, name));
            }
            Action::UnpinAll => {
                for list in self.lists() {
                    for line in list.iter_mut().filter(|l| l.contains("==")) {
                        *line = requirement::unpinned(line).unwrap_or_else(|| line.clone());
                    }
                }
                self.constraints.retain(|l| !l.contains("=="));
            }
            Action::DropOptional => {
                let names = self.optional.iter().filter_map(|l| requirement::name_of(l));
                self.dropped.extend(names.map(|n| format!("{n}: optional")));
                self.optional.clear();
            }
            Action::Later(days) => {
                if let Some(day) = crate::dates::days(&self.exclude_newer) {
                    self.exclude_newer = crate::dates::midnight(day + days);
                }
            }
            Action::LaterPackage(name, days) => {
                self.later.insert(name.clone(), *days);
            }
            Action::Python(minor) => {
                self.python = *minor;
                // Packages that know an interpreter are newer than it.
                if let (Some(day), Some(released)) =
                    (crate::dates::days(&self.exclude_newer), crate::python::released(*minor))
                {
                    let floor = crate::plan::floor_for(released);
                    self.exclude_newer = crate::dates::midnight(day.max(floor));
                }
            }
            Action::Install(mode) => self.install = *mode,
            Action::Runner(runner) => self.runner = *runner,
            Action::Env(name, value) => {
                self.env.insert(name.clone(), value.clone());
            }
            Action::Note(text) => {
                if !self.notes.contains(text) {
                    self.notes.push(text.clone());
                }
            }
        }
        if let Action::Drop(name) = action {
            self.dropped.push(name.clone());
            self.dropped.sort();
            self.dropped.dedup();
        }
    }
}
