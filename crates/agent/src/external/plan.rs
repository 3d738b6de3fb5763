//! What has to be done to have an external agent in a layer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use palestra_core::Hash;
use serde::Serialize;

use crate::external::spec::ExternalSpec;

/// What to do, as data. Words of commands may be `{uv}` and `{python}`, which stand for programs that
/// who carries it out knows: `python` is an interpreter that is at the same place in the sandboxes
/// of the attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstallPlan {
    /// Names the layer: plans that do the same have the same key.
    pub key: Hash,
    /// A layer that is there already; the rest is empty then.
    pub layer: Option<PathBuf>,
    /// The directory that the layer consists of.
    pub directory: PathBuf,
    /// Versions of Python that will do, such as `>=3.10`; `None` if none is needed.
    pub python: Option<String>,
    /// Commands, in order, in the sandbox.
    pub commands: Vec<Vec<String>>,
    /// Their variables.
    pub env: BTreeMap<String, String>,
    /// Hosts that they may reach.
    pub hosts: Vec<String>,
}

/// How to install an agent.
pub fn install_plan(spec: &ExternalSpec) -> InstallPlan {
    let install = &spec.install;
    let directory = spec.directory();
    let mut plan = InstallPlan {
        key: Hash::of(b""),
        layer: install.layer.clone(),
        directory: directory.clone(),
        python: None,
        commands: Vec::new(),
        env: BTreeMap::new(),
        hosts: Vec::new(),
    };
    if plan.layer.is_none() {
        let place = directory.display().to_string();
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        if !install.packages.is_empty() {
            plan.python = Some(install.python.clone().unwrap_or_else(|| ">=3.10".to_owned()));
            let python = format!("{place}/bin/python");
            plan.commands.push(command(&[
                "{uv}",
                "venv",
                "--relocatable",
                "--python",
                "{python}",
                &place,
            ]));
            let mut words: Vec<String> = command(&[
                "{uv}",
                "pip",
                "install",
                "--python",
                &python,
                "--compile-bytecode",
                "--link-mode",
                "copy",
            ]);
            words.extend(install.packages.iter().cloned());
            plan.commands.push(words);
        } else {
            plan.commands.push(command(&["mkdir", "-p", &place]));
        }
        for line in &install.commands {
            plan.commands.push(command(&["sh", "-ec", &format!("cd \"$0\"; {line}"), &place]));
        }
        if let Some(day) = &install.as_of {
            plan.env.insert("UV_EXCLUDE_NEWER".to_owned(), day.clone());
        }
        plan.hosts = install.hosts.clone();
    }
    plan.key = Hash::of(serde_json::to_string(&plan).unwrap_or_default().as_bytes());
    plan
}
