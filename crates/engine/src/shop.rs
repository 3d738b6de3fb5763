//! The tools of a run, opened once: sandboxes, store, uv, interpreters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use palestra_build::interpreters::{self, Interpreter, Search};
use palestra_build::uv::{self, Uv};
use palestra_build::{Builder, BuilderOptions, Index};
use palestra_git::Repo;
use palestra_grade::RunLimits;
use palestra_image::{Image, PullOptions, Reference};
use palestra_sandbox::{Host, HostConfig, SandboxError, Store};
use palestra_store::lease::Lock;

use crate::dataset::Dataset;
use crate::error::EngineError;
use crate::event::Sink;
use crate::home::Home;
use crate::synth::Author;
use crate::work::Workshop;

/// What only a face knows: where to look, and what was asked for.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Our directories.
    pub home: Home,
    /// Where interpreters may be.
    pub search: Search,
    /// The package index, proxies, certificates.
    pub index: Index,
    /// Set when the user wants to stop.
    pub stop: Arc<AtomicBool>,
}

/// The tools that do not depend on a repository.
#[derive(Debug)]
pub struct Tools {
    /// Where sandboxes are made.
    pub host: Arc<Host>,
    /// Where layers are kept.
    pub store: Arc<Store>,
    /// The package installer.
    pub uv: Uv,
    /// The interpreters of this machine.
    pub interpreters: Vec<Interpreter>,
    surroundings: Surroundings,
    /// Layers are used without being held.
    _using: Lock,
}

impl Tools {
    /// Starts the launcher, sweeps what killed runs left, finds uv and the interpreters.
    pub fn open(surroundings: Surroundings) -> Result<Self, EngineError> {
        let home = &surroundings.home;
        let mut config = HostConfig::new(home.state());
        if let Some(url) = surroundings.index.upstream() {
            config.proxy.upstream = Some(url.parse().map_err(SandboxError::from)?);
        }
        let using = home.using()?;
        let host = Arc::new(Host::start(&config)?);
        let store = Arc::new(Store::open(home.store())?);
        store.sweep()?;
        let interpreters = interpreters::discover(&surroundings.search);
        let uv = uv::locate(&uv::Locate {
            path: &surroundings.search.path,
            tools: &home.cache(),
            interpreters: &interpreters,
            index: &surroundings.index,
        })?;
        Ok(Self { host, store, uv, interpreters, surroundings, _using: using })
    }

    /// What makes environments for the commits of `repo`.
    pub fn builder(&self, repo: &Repo) -> Builder {
        Builder::new(BuilderOptions {
            host: Arc::clone(&self.host),
            store: Arc::clone(&self.store),
            repo: repo.clone(),
            uv: self.uv.clone(),
            interpreters: self.interpreters.clone(),
            index: self.surroundings.index.clone(),
            state: self.surroundings.home.cache(),
        })
    }

    /// Our directories.
    pub fn home(&self) -> &Home {
        &self.surroundings.home
    }

    /// The package index.
    pub fn index(&self) -> &Index {
        &self.surroundings.index
    }

    /// An image by its name: the one in the store, else the registry's.
    pub fn image(&self, name: &str) -> Result<Image, EngineError> {
        if let Some(known) = palestra_image::find(&self.store, name)? {
            return Ok(known);
        }
        let reference: Reference = name.parse()?;
        Ok(palestra_image::pull(&reference, &self.store, &PullOptions::default())?)
    }

    /// The flag that stops a run.
    pub fn stop(&self) -> &Arc<AtomicBool> {
        &self.surroundings.stop
    }

    /// Fails if the user wants to stop.
    pub fn check_stop(&self) -> Result<(), EngineError> {
        let stop = self.surroundings.stop.load(Ordering::Relaxed);
        if stop { Err(EngineError::Interrupted) } else { Ok(()) }
    }
}

/// The tools, and the repository that a run is about.
#[derive(Debug)]
pub struct Shop {
    /// The tools.
    pub tools: Tools,
    /// The repository.
    pub repo: Repo,
    /// Bounds of each run of tests.
    pub limits: RunLimits,
}

impl Shop {
    /// Joins the two.
    pub fn new(tools: Tools, repo: Repo) -> Self {
        Self { tools, repo, limits: limits() }
    }

    /// What works on the candidates of a dataset.
    pub fn workshop<'a>(
        &'a self,
        dataset: &'a Dataset,
        builder: &'a Builder,
        sink: &'a dyn Sink,
        author: &'a Author,
    ) -> Workshop<'a> {
        Workshop {
            host: &self.tools.host,
            repo: &self.repo,
            builder,
            dataset,
            sink,
            stop: self.tools.stop(),
            limits: self.limits,
            author,
        }
    }
}

/// Bounds of each run of tests: five minutes, and enough of the output for repairs.
pub fn limits() -> RunLimits {
    RunLimits { seconds: 300, output: 256 << 10 }
}
