//! Sandboxes in which packages are fetched: uv, its cache, and a way to the package indexes. No
//! code of a repository may ever be in one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use palestra_proxy::Policy;
use palestra_sandbox::{Bind, FileOp, Host, Limits, Network, Sandbox, SandboxSpec, Writable};

use crate::index::Index;
use crate::uv::Uv;

/// Where uv stands inside.
pub(crate) const UV_DIR: &str = "/opt/uv";
/// Where lists of requirements are written inside.
pub(crate) const WORK: &str = "/opt/work";
/// Where uv's cache stands inside.
const CACHE: &str = "/opt/cache";
/// uv's configuration inside.
const CONFIG: &str = "/opt/work/uv.toml";

/// What such a sandbox is made of.
pub(crate) struct Fetching<'a> {
    pub(crate) host: &'a Host,
    pub(crate) uv: &'a Uv,
    pub(crate) index: &'a Index,
    /// Where the cache of packages is.
    pub(crate) state: &'a Path,
    pub(crate) layers: Vec<PathBuf>,
    /// What is visible besides uv, its cache and the files that the index names.
    pub(crate) binds: Vec<Bind>,
    /// Directories of programs that come before the system's, after uv's own.
    pub(crate) programs: &'a [&'a str],
    /// Variables that replace those of this kind of sandbox.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) policy: Policy,
}

/// uv where it stands inside.
pub(crate) fn uv_bind(uv: &Uv) -> Bind {
    Bind { source: uv.path.clone(), target: Path::new(UV_DIR).join("uv"), writable: false }
}

impl Fetching<'_> {
    /// Makes it. What fails is the machine's trouble, in words.
    pub(crate) fn sandbox(self) -> Result<Sandbox, String> {
        fn say(error: impl std::fmt::Display) -> String {
            error.to_string()
        }
        let cache = self.state.join("uv-cache");
        fs::create_dir_all(&cache).map_err(say)?;
        let mut binds = vec![uv_bind(self.uv)];
        binds.extend(self.binds);
        binds.push(Bind { source: cache, target: PathBuf::from(CACHE), writable: true });
        binds.extend(self.index.binds());
        let mut path = vec![UV_DIR];
        path.extend(self.programs);
        path.extend(["/usr/local/bin", "/usr/bin", "/bin"]);
        let path = path.join(":");
        let own = [
            ("PATH", path.as_str()),
            ("HOME", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("UV_CACHE_DIR", CACHE),
            ("UV_CONFIG_FILE", CONFIG),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("UV_LINK_MODE", "copy"),
            ("UV_NO_PROGRESS", "1"),
        ];
        let ours = self.index.variables().chain(own);
        let mut env: BTreeMap<OsString, OsString> =
            ours.map(|(k, v)| (k.into(), v.into())).collect();
        env.extend(self.env.into_iter().map(|(k, v)| (k.into(), v.into())));
        let spec = SandboxSpec {
            layers: self.layers,
            binds,
            network: Network::Allow(Arc::new(self.policy)),
            writable: Writable::Disk,
            limits: Limits { memory: 8 << 30, ..Limits::default() },
            env,
            ..SandboxSpec::default()
        };
        let sandbox = self.host.create(&spec).map_err(say)?;
        let bytes = self.index.config().into_bytes();
        let config = FileOp::Write { path: PathBuf::from(CONFIG), mode: 0o644, bytes };
        sandbox.apply(&[config]).map_err(say)?;
        Ok(sandbox)
    }
}
