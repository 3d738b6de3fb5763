//! A sandbox, as its users have it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use palestra_proxy::proxy_variables;

use palestra_store::LayersInUse;

use crate::error::{Result, SandboxError};
use crate::host::{Host, Inner, PROXY_PORT};
use crate::live::{Live, locked};
use crate::pid1::request;
use crate::snapshot::{Held, Snapshot};
use crate::spec::{Network, SandboxSpec};
use crate::wire::{Decoder, Encoder};

/// Variables that every command has, unless the sandbox or the command says otherwise.
const DEFAULT_ENV: [(&str, &str); 5] = [
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TERM", "dumb"),
    ("TZ", "UTC"),
];

/// A live isolated place. Dropping it destroys it.
///
/// It may be used from several threads at once. Commands of [`Sandbox::exec`] wait for each other;
/// sessions and operations on files wait for nobody.
#[derive(Debug)]
pub struct Sandbox {
    pub(crate) host: Host,
    pub(crate) spec: Arc<SandboxSpec>,
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) state: Mutex<State>,
    /// Keeps its layers in their store.
    layers: LayersInUse,
}

/// What a sandbox is just now.
#[derive(Debug)]
pub(crate) struct State {
    /// Writable layers that it goes on from, lowest first. They are never written to again.
    pub(crate) held: Vec<Arc<Held>>,
    pub(crate) now: Now,
}

#[derive(Debug)]
pub(crate) enum Now {
    /// It has processes.
    Live(Arc<Live>),
    /// A snapshot took its writable layer; the next use gives it a new one.
    Frozen,
    /// It was killed.
    Dead,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A session may still hold it.
        if let Now::Live(live) = &locked(&self.state).now {
            live.kill();
        }
    }
}

impl Sandbox {
    pub(crate) fn new(
        host: Host,
        spec: Arc<SandboxSpec>,
        held: Vec<Arc<Held>>,
        now: Now,
        layers: LayersInUse,
    ) -> Self {
        let mut env: BTreeMap<OsString, OsString> =
            DEFAULT_ENV.iter().map(|(name, value)| (name.into(), value.into())).collect();
        if let Network::Allow(_) = spec.network {
            let variables = proxy_variables(PROXY_PORT.into());
            env.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        }
        env.extend(host.inner().backend.variables(&spec));
        env.extend(spec.env.clone());
        Self { host, spec, env, state: Mutex::new(State { held, now }), layers }
    }

    /// What it was made from.
    pub fn spec(&self) -> &SandboxSpec {
        &self.spec
    }

    /// Its processes; made anew where a snapshot ended them.
    pub(crate) fn live(&self) -> Result<Arc<Live>> {
        let mut state = locked(&self.state);
        match &state.now {
            Now::Live(live) => Ok(live.clone()),
            Now::Dead => Err(SandboxError::Dead("it was killed".to_owned())),
            Now::Frozen => {
                let live = Arc::new(self.host.start_one(&self.spec, &state.held)?);
                state.now = Now::Live(live.clone());
                Ok(live)
            }
        }
    }

    /// Kills every process inside, from any thread. An operation under way fails with
    /// [`SandboxError::Dead`], and so does every later one.
    pub fn kill(&self) {
        let now = std::mem::replace(&mut locked(&self.state).now, Now::Dead);
        if let Now::Live(live) = now {
            live.kill();
        }
    }

    /// Processor time of the programs that have ended in it so far, with all that they started.
    /// It begins anew with the first use after a snapshot.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut out = Encoder::default();
        out.u8(request::USED);
        match self.live()?.order(&out, &[], "the processor time")? {
            Ok((body, _)) => {
                let micros = Decoder(&body).u64();
                micros
                    .map(Duration::from_micros)
                    .map_err(|_| SandboxError::Protocol("the processor time"))
            }
            Err(source) => {
                Err(SandboxError::Io { what: "ask for processor time".to_owned(), source })
            }
        }
    }

    /// Kills every process and removes what they changed. Dropping does the same.
    pub fn destroy(self) -> Result<()> {
        drop(self);
        Ok(())
    }

    /// Kills every process and keeps what they changed, for [`crate::Store::adopt`]. Needs a
    /// writable layer on disk. What was written to `/tmp` and `/dev/shm` is not kept.
    pub fn freeze(self) -> Result<Frozen> {
        const NEED: &str = "only a sandbox with a writable layer on disk can be frozen; make it with Writable::Disk";
        if !self.host.inner().backend.shows_layers() {
            return Err(SandboxError::Unsupported(
                "a Docker host keeps writable layers itself, so none can be frozen; take a snapshot, or download what is wanted",
            ));
        }
        let mut state = locked(&self.state);
        if !state.held.is_empty() {
            return Err(SandboxError::Unsupported(
                "a sandbox that goes on from a snapshot cannot be frozen; take a snapshot and store that",
            ));
        }
        let Now::Live(live) = std::mem::replace(&mut state.now, Now::Dead) else {
            return Err(SandboxError::Dead("it was killed".to_owned()));
        };
        live.kill();
        let dir = live.take_dir().ok_or(SandboxError::Unsupported(NEED))?;
        Ok(Frozen { dir, host: live.host().clone() })
    }

    /// Keeps what the programs changed so far, and goes on above it. Every process is ended, those
    /// of sessions too; what was written to `/tmp` and `/dev/shm` is lost. Nothing is copied, so
    /// this takes no longer than ending the processes. The next use of this sandbox starts anew
    /// from here. (By Docker everything that was changed is copied, and the sandbox goes on at once.)
    ///
    /// Fails with [`SandboxError::Unsupported`] where the kernel cannot share a writable layer in
    /// memory (before Linux 6.15) and it has to be copied: see [`Sandbox::snapshot_live`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        let held = self.host.inner().backend.snapshot(self)?;
        let layers = self.layers.clone();
        Ok(Snapshot { host: self.host.clone(), spec: self.spec.clone(), held, layers })
    }

    /// As [`Sandbox::snapshot`], while every process goes on: what they changed so far is copied.
    /// A file that is being written to may be caught half.
    pub fn snapshot_live(&self) -> Result<Snapshot> {
        let held = self.host.inner().backend.snapshot_live(self)?;
        let layers = self.layers.clone();
        Ok(Snapshot { host: self.host.clone(), spec: self.spec.clone(), held, layers })
    }

    /// Takes a snapshot and makes `count` sandboxes from it, each with a writable layer of its own.
    pub fn fork(&self, count: usize) -> Result<Vec<Sandbox>> {
        let snapshot = self.snapshot()?;
        (0..count).map(|_| snapshot.create()).collect()
    }
}

/// What the programs of a sandbox changed: the upper directory of an overlay to which nothing
/// writes any more. Dropping it removes it.
#[derive(Debug)]
pub struct Frozen {
    dir: PathBuf,
    host: Arc<Inner>,
}

impl Frozen {
    /// The directory. Deletions are in it as overlayfs notes them (`userxattr`).
    pub fn path(&self) -> PathBuf {
        self.dir.join("upper")
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.host.trash.put(&self.dir);
    }
}
