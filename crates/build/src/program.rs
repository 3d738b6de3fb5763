//! A program from the package index in a layer of its own, such as a command-line agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use palestra_core::Hash;
use palestra_sandbox::{Bind, Exec, Host, Store};

use crate::fetching::{Fetching, UV_DIR};
use crate::index::Index;
use crate::interpreters::Interpreter;
use crate::resolve::interpreter_binds;
use crate::uv::Uv;

/// All commands together may take so long, each.
const PATIENCE: Duration = Duration::from_secs(900);

/// With what it is installed.
#[derive(Debug, Clone, Copy)]
pub struct ProgramTools<'a> {
    /// Where sandboxes are made.
    pub host: &'a Host,
    /// Where the layer goes.
    pub store: &'a Store,
    /// The installer.
    pub uv: &'a Uv,
    /// Interpreters of this machine.
    pub interpreters: &'a [Interpreter],
    /// The package index.
    pub index: &'a Index,
    /// Where the cache of packages is.
    pub state: &'a Path,
}

/// What is installed.
#[derive(Debug, Clone, Copy)]
pub struct ProgramPlan<'a> {
    /// Names what is done: the layer is made once for each key and interpreter.
    pub key: &'a Hash,
    /// The directory that the layer consists of.
    pub directory: &'a Path,
    /// The least version of Python, such as `>=3.10`; `None` if none is needed.
    pub python: Option<&'a str>,
    /// Commands in order. `{uv}` and `{python}` in them stand for the programs.
    pub commands: &'a [Vec<String>],
    /// Their variables.
    pub env: &'a BTreeMap<String, String>,
    /// Hosts that they may reach besides the package index.
    pub hosts: &'a [String],
}

/// A program that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its layer.
    pub layer: PathBuf,
    /// What else it needs to be visible: its interpreter.
    pub binds: Vec<Bind>,
}

impl ProgramTools<'_> {
    /// Installs a program, or finds it in the store. The error says in words what failed.
    pub fn install(&self, plan: &ProgramPlan<'_>) -> Result<Program, String> {
        let interpreter = plan.python.map(|wanted| self.interpreter(wanted)).transpose()?;
        let beside = interpreter.map(interpreter_binds).unwrap_or_default();
        let of = interpreter.map(|i| i.executable.display().to_string()).unwrap_or_default();
        let name =
            format!("program-{}-{}", plan.key.short(), &Hash::of(of.as_bytes()).short()[..8]);
        if let Some(layer) = self.store.layer(&name) {
            return Ok(Program { layer, binds: beside });
        }
        let say = |error: &dyn std::fmt::Display| error.to_string();
        let fetching = Fetching {
            host: self.host,
            uv: self.uv,
            index: self.index,
            state: self.state,
            layers: Vec::new(),
            binds: beside.clone(),
            programs: &[],
            env: plan.env.clone().into_iter().collect(),
            policy: self.index.policy_with(plan.hosts)?,
        };
        let sandbox = fetching.sandbox()?;
        let uv = format!("{UV_DIR}/uv");
        for command in plan.commands {
            let words = command.iter().map(|word| match word.as_str() {
                "{uv}" => uv.clone(),
                "{python}" => of.clone(),
                other => other.to_owned(),
            });
            let exec = Exec::new(words).timeout(PATIENCE);
            let result = sandbox.exec(&exec).map_err(|e| say(&e))?;
            if !result.outcome.success() {
                let said = result.stderr.text();
                let tail: Vec<&str> = said.lines().rev().take(12).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Err(format!("`{}` failed:\n{}", command.join(" "), tail.join("\n")));
            }
        }
        let frozen = sandbox.freeze().map_err(|e| say(&e))?;
        let keep = plan.directory.to_string_lossy();
        let layer = self.store.adopt(&name, &frozen.path(), &[&*keep]).map_err(|e| say(&e))?;
        Ok(Program { layer, binds: beside })
    }

    /// The newest interpreter that is new enough.
    fn interpreter(&self, wanted: &str) -> Result<&Interpreter, String> {
        let wrong = || format!("{wanted:?} is no version of Python like >=3.10");
        let least = wanted.strip_prefix(">=").ok_or_else(wrong)?.trim();
        let (major, minor) = least.split_once('.').ok_or_else(wrong)?;
        let least: (u8, u8) =
            (major.parse().map_err(|_| wrong())?, minor.parse().map_err(|_| wrong())?);
        self.interpreters
            .iter()
            .filter(|one| (one.version.0, one.version.1) >= least)
            .max_by_key(|one| (one.version.0, one.version.1))
            .ok_or_else(|| format!("no Python {wanted} on this machine: install one"))
    }
}
