//! Environments for the commits of one repository.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use palestra_core::environment::{ENV_DIR, TESTBED};
use palestra_core::{CommitId, Environment};
use palestra_git::{Repo, TreeEntry};
use palestra_sandbox::{Bind, Host, Store};

use crate::error::BuildError;
use crate::flight::Flight;
use crate::imports;
use crate::index::Index;
use crate::interpreters::Interpreter;
use crate::manifest::{self, Manifest};
use crate::memory::Memory;
use crate::plan::{self, Surroundings};
use crate::recipe::{InstallMode, Recipe};
use crate::repair;
use crate::tree::{self, Blobs};
use crate::uv::Uv;
use crate::{dates, fetching, install, keys, resolve};

/// Everything that a [`Builder`] works with.
#[derive(Debug, Clone)]
pub struct BuilderOptions {
    /// Makes sandboxes.
    pub host: Arc<Host>,
    /// Keeps layers.
    pub store: Arc<Store>,
    /// The repository.
    pub repo: Repo,
    /// Resolves and installs packages.
    pub uv: Uv,
    /// The interpreters at hand, the preferred one of each minor version first.
    pub interpreters: Vec<Interpreter>,
    /// The package index.
    pub index: Index,
    /// A directory for locks, remembered recipes and uv's cache; shared by all repositories.
    pub state: PathBuf,
}

/// A step of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Choosing versions of packages.
    Resolve,
    /// Getting the packages into the environment.
    Sync,
    /// Installing the project.
    Install,
    /// Running the tests, which is not this crate's work.
    Test,
    /// Not the recipe's fault: the machine, the store or the repository.
    Machine,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Sync => "sync",
            Self::Install => "install",
            Self::Test => "test",
            Self::Machine => "machine",
        })
    }
}

/// Why a recipe gave no environment.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{step} failed after {seconds:.1} s: {}", last_line(.log))]
pub struct BuildFailure {
    /// Where it failed.
    pub step: Step,
    /// What was said.
    pub log: String,
    /// Wall time of the build until then.
    pub seconds: f64,
}

fn last_line(log: &str) -> &str {
    log.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("no output")
}

/// A built environment.
#[derive(Debug, Clone)]
pub struct Built {
    /// What it is.
    pub environment: Environment,
    /// Its layers, lowest first: packages, the base commit's tree, the installed project (where
    /// installing leaves anything).
    pub layers: Vec<PathBuf>,
    /// What else must be visible: the interpreter, and uv for installing the project again.
    pub binds: Vec<Bind>,
    /// What was said on the way; empty where everything was there already.
    pub log: String,
    /// Wall time.
    pub seconds: f64,
}

impl Built {
    /// Variables for every command in the environment.
    pub fn variables(&self) -> BTreeMap<String, String> {
        variables(&self.environment)
    }
}

/// Variables for every command in an environment.
pub fn variables(environment: &Environment) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = [
        ("PATH", format!("{ENV_DIR}/bin:{}:/usr/local/bin:/usr/bin:/bin", fetching::UV_DIR)),
        ("VIRTUAL_ENV", ENV_DIR.to_owned()),
        ("HOME", "/tmp".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("TZ", "UTC".to_owned()),
        ("UV_OFFLINE", "1".to_owned()),
        ("UV_NO_CONFIG", "1".to_owned()),
        ("UV_PYTHON_DOWNLOADS", "never".to_owned()),
        ("PIP_NO_INDEX", "1".to_owned()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    all.extend(environment.env.clone());
    all
}

/// What was read of a commit.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) entries: Vec<TreeEntry>,
    pub(crate) manifest: Manifest,
}

/// Builds environments for the commits of one repository. May be shared between threads; work
/// that several of them need at once is done by one.
#[derive(Debug)]
pub struct Builder {
    pub(crate) options: BuilderOptions,
    pub(crate) blobs: Blobs,
    pub(crate) flight: Flight,
    memory: Memory,
    known: Mutex<HashMap<CommitId, Arc<Known>>>,
    manifests: Mutex<HashMap<Vec<String>, Manifest>>,
    scans: Mutex<HashMap<String, Arc<BTreeSet<String>>>>,
}

/// How many commits' trees are kept in memory.
const KEPT_COMMITS: usize = 64;

impl Builder {
    /// A builder for the repository of `options`.
    pub fn new(options: BuilderOptions) -> Self {
        let name: String = options
            .repo
            .name()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '+' })
            .collect();
        let memory = Memory::new(options.state.join("recipes").join(format!("{name}.jsonl")));
        Self {
            blobs: Blobs::new(options.repo.clone()),
            options,
            flight: Flight::default(),
            memory,
            known: Mutex::default(),
            manifests: Mutex::default(),
            scans: Mutex::default(),
        }
    }

    /// The recipe to try first for a commit of `date` (RFC 3339) whose tests are `test_paths`:
    /// what its manifest asks for, changed as it had to be for its nearest known neighbour.
    pub fn plan(
        &self,
        commit: &CommitId,
        date: &str,
        test_paths: &[String],
    ) -> Result<Recipe, BuildError> {
        let known = self.know(commit)?;
        let day = dates::days(date).unwrap_or_default();
        let test_imports = self.test_imports(&known.entries, test_paths)?;
        let pythons: Vec<(u8, u8, u8)> =
            self.options.interpreters.iter().map(|i| i.version).collect();
        let has_src = known.entries.iter().any(|e| e.path.starts_with(b"src/"));
        let around = Surroundings {
            pythons: &pythons,
            day,
            test_imports: &test_imports,
            own_modules: own_modules(&known.entries),
            has_src,
        };
        let mut recipe = plan::plan(&known.manifest, &around).map_err(BuildError::NoPython)?;
        for repair in self.memory.repairs(&recipe.fingerprint, day)? {
            recipe = recipe.with(repair);
        }
        Ok(recipe)
    }

    /// Makes the environment of a recipe for the task between two commits. The project is
    /// installed from the base tree; only what no commit before it has needed is done.
    pub fn build(
        &self,
        fix: &CommitId,
        base: &CommitId,
        recipe: &Recipe,
    ) -> Result<Built, BuildFailure> {
        let start = Instant::now();
        let mut log = String::new();
        let result = self.steps(fix, base, recipe, &mut log);
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok((environment, layers, binds)) => {
                Ok(Built { environment, layers, binds, log, seconds })
            }
            Err((step, said)) => {
                if !said.is_empty() {
                    log.push_str(&said);
                }
                Err(BuildFailure { step, log, seconds })
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn steps(
        &self,
        _fix: &CommitId,
        base: &CommitId,
        recipe: &Recipe,
        log: &mut String,
    ) -> Result<(Environment, Vec<PathBuf>, Vec<Bind>), (Step, String)> {
        let machine = |error: &dyn std::fmt::Display| (Step::Machine, error.to_string());
        let minor = recipe.python;
        let interpreter = self
            .options
            .interpreters
            .iter()
            .find(|i| i.minor() == minor)
            .ok_or_else(|| machine(&format!("no Python {minor} on this machine")))?;
        let locked = resolve::lock_and_sync(self, recipe, interpreter, log)?;
        let known = self.know(base).map_err(|e| machine(&e))?;
        let tree = tree::tree_layer(&self.options.store, &self.blobs, base, &known.entries)
            .map_err(|e| machine(&e))?;
        let mut env = recipe.env.clone();
        let version = self.version(base, &known.manifest).map_err(|e| machine(&e))?;
        if let Some(version) = &version {
            let names: &[&str] = match known.manifest.uses_pbr {
                true => &["PBR_VERSION"],
                false => &["SETUPTOOLS_SCM_PRETEND_VERSION"],
            };
            env.extend(names.iter().map(|n| ((*n).to_owned(), version.clone())));
        }
        let key =
            keys::install_key(&known.entries, &known.manifest, &self.blobs, version.as_deref())
                .map_err(|e| machine(&e))?;
        let environment = Environment {
            id: locked.id.clone(),
            python: minor.to_string(),
            python_full: interpreter.full(),
            install: match recipe.install {
                InstallMode::Editable => install::command(&known.manifest, &locked.lock),
                InstallMode::PathOnly => Vec::new(),
            },
            lock: locked.lock,
            exclude_newer: locked.exclude_newer,
            env,
            runner: recipe.runner,
            install_key: key,
        };
        let mut layers = vec![locked.layer, tree];
        let binds = resolve::binds(&self.options.uv, interpreter);
        if recipe.install == InstallMode::Editable {
            let project = install::install(self, &environment, &layers, &binds, &known, log)?;
            layers.push(project);
        }
        Ok((environment, layers, binds))
    }

    /// The recipe to try next, and why: what a rule makes of `recipe` in view of what `step`
    /// said. `None` where no rule helps, or only to one that was `tried`.
    pub fn repair(
        &self,
        recipe: &Recipe,
        step: Step,
        evidence: &str,
        tried: &[Recipe],
    ) -> Option<(Recipe, String)> {
        let mut minors: Vec<_> = self.options.interpreters.iter().map(Interpreter::minor).collect();
        minors.sort();
        minors.dedup();
        repair::repair(recipe, step, evidence, tried, &minors)
    }

    /// Remembers that a recipe worked for a commit of `date` (RFC 3339).
    pub fn remember(
        &self,
        commit: &CommitId,
        date: &str,
        recipe: &Recipe,
    ) -> Result<(), BuildError> {
        self.memory.remember(commit, dates::days(date).unwrap_or_default(), recipe)
    }

    /// Where this builder makes its sandboxes.
    pub fn host(&self) -> &Host {
        &self.options.host
    }

    /// The layer of a commit's tree.
    pub fn tree_layer(&self, commit: &CommitId) -> Result<PathBuf, BuildError> {
        let known = self.know(commit)?;
        tree::tree_layer(&self.options.store, &self.blobs, commit, &known.entries)
    }

    /// The manifest of a commit.
    pub fn manifest(&self, commit: &CommitId) -> Result<Manifest, BuildError> {
        Ok(self.know(commit)?.manifest.clone())
    }

    pub(crate) fn know(&self, commit: &CommitId) -> Result<Arc<Known>, BuildError> {
        if let Some(known) = lock(&self.known).get(commit) {
            return Ok(known.clone());
        }
        let entries = self.options.repo.tree(commit)?;
        let manifest = self.read_manifest(&entries);
        let known = Arc::new(Known { entries, manifest });
        let mut all = lock(&self.known);
        if all.len() >= KEPT_COMMITS {
            all.clear();
        }
        all.insert(commit.clone(), known.clone());
        Ok(known)
    }

    fn read_manifest(&self, entries: &[TreeEntry]) -> Manifest {
        let files: BTreeMap<&str, &str> = entries
            .iter()
            .filter(|e| !e.is_submodule() && !e.is_symlink())
            .filter(|e| e.size.is_none_or(|s| s < 2 << 20))
            .filter_map(|e| Some((std::str::from_utf8(&e.path).ok()?, e.oid.as_str())))
            .collect();
        let key: Vec<String> = files
            .iter()
            .filter(|(path, _)| manifest::is_manifest(path))
            .map(|(path, oid)| format!("{path} {oid}"))
            .collect();
        if let Some(manifest) = lock(&self.manifests).get(&key) {
            return manifest.clone();
        }
        let paths: Vec<&str> = files.keys().copied().collect();
        let read = |path: &str| files.get(path).and_then(|oid| self.blobs.read(oid).ok());
        let manifest = manifest::read(&read, &paths);
        lock(&self.manifests).insert(key, manifest.clone());
        manifest
    }

    /// What the tests of a tree import: those of the commit, and all others that look like some,
    /// so that neighbours ask for the same.
    fn test_imports(
        &self,
        entries: &[TreeEntry],
        test_paths: &[String],
    ) -> Result<BTreeSet<String>, BuildError> {
        let mut all = BTreeSet::new();
        for entry in entries {
            let Ok(path) = std::str::from_utf8(&entry.path) else { continue };
            let small = entry.size.is_some_and(|s| s < 4 << 20);
            let wanted = is_test(path) || test_paths.iter().any(|t| t == path);
            if !wanted || !small || !path.ends_with(".py") || entry.is_symlink() {
                continue;
            }
            let scanned = lock(&self.scans).get(&entry.oid).cloned();
            let scanned = match scanned {
                Some(scanned) => scanned,
                None => {
                    let text = self.blobs.read(&entry.oid)?;
                    let scanned = Arc::new(imports::scan(&String::from_utf8_lossy(&text)));
                    lock(&self.scans).insert(entry.oid.clone(), scanned.clone());
                    scanned
                }
            };
            all.extend(scanned.iter().cloned());
        }
        Ok(all)
    }

    /// The version to announce for projects that ask the tags: that of the last tag, without
    /// the distance, so that the commits after a release share it.
    fn version(
        &self,
        commit: &CommitId,
        manifest: &Manifest,
    ) -> Result<Option<String>, BuildError> {
        if !manifest.uses_scm && !manifest.uses_pbr {
            return Ok(None);
        }
        let described = self.options.repo.tags_described(commit)?;
        Ok(Some(described.as_deref().and_then(tag_version).unwrap_or_else(|| "0.1".to_owned())))
    }
}

/// `release-1.2.3rc1-14-gabc` as `1.2.3`.
fn tag_version(described: &str) -> Option<String> {
    let tag = described.rsplitn(3, '-').nth(2).unwrap_or(described);
    let start = tag.find(|c: char| c.is_ascii_digit())?;
    let version: String =
        tag[start..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = version.trim_matches('.').to_owned();
    (!version.is_empty()).then_some(version)
}

/// Whether a path looks like a test, or like something that tests share.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("test_")
        || name.ends_with("_test.py")
        || name == "conftest.py"
        || path.split('/').any(|part| matches!(part, "test" | "tests" | "testing"))
}

/// The modules at the top of the tree and below `src` and `lib`.
fn own_modules(entries: &[TreeEntry]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for entry in entries {
        let Ok(path) = std::str::from_utf8(&entry.path) else { continue };
        if !path.ends_with(".py") {
            continue;
        }
        let inner = ["src/", "lib/"].iter().find_map(|root| path.strip_prefix(root));
        let inner = inner.unwrap_or(path);
        let top = inner.split('/').next().unwrap_or(inner);
        all.insert(top.trim_end_matches(".py").to_owned());
    }
    all.remove("setup");
    all
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind these locks is whole at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The directory that the repository stands in, for messages and commands.
pub(crate) const CWD: &str = TESTBED;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_versions() {
        for (described, expected) in [
            ("v1.2.3-14-gabcdef0", Some("1.2.3")),
            ("release_2.0rc1-0-gabcdef0", Some("2.0")),
            ("package-4.5-1-gabcdef0", Some("4.5")),
            ("latest-1-gabc", None),
        ] {
            assert_eq!(tag_version(described).as_deref(), expected, "{described}");
        }
    }
}
