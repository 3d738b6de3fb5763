//! Sandboxes of the steps, and running commands in them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use palestra_sandbox::{
    Bind, Exec, FileOp, Limits, Network, Outcome, Sandbox, SandboxSpec, Writable,
};

pub(crate) use crate::fetching::WORK;

use crate::fetching::Fetching;
use crate::rows::builder::RowOptions;
use crate::rows::failure::{Failed, RowCause, RowStep};
use crate::rows::interpreter::Runtime;
use crate::rows::spec::RowSpec;
use crate::rows::standin::{self, CONDA, PREFIX};

/// Where pip's cache stands in sandboxes that fetch packages.
const PIP_CACHE: &str = "/opt/pip-cache";
/// How much of a step's output is kept, bytes.
const KEPT: usize = 1 << 20;

/// A sandbox with the package indexes in reach, uv and its cache. No code of a repository may
/// ever be in it.
pub(crate) fn fetching(
    options: &RowOptions,
    runtime: &Runtime,
    layers: &[PathBuf],
) -> Result<Sandbox, Failed> {
    let machine = |error: &dyn std::fmt::Display| Failed::machine(RowStep::Packages, error);
    let pip = options.state.join("pip-cache");
    fs::create_dir_all(&pip).map_err(|e| machine(&e))?;
    let mut binds = runtime.binds.clone();
    binds.push(Bind { source: pip, target: PathBuf::from(PIP_CACHE), writable: true });
    let mut env = options.index.for_pip();
    // Inside, the way out is the sandbox's own.
    env.retain(|(name, _)| name != "HTTPS_PROXY");
    let own = [
        ("PIP_CACHE_DIR", PIP_CACHE),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ];
    env.extend(own.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let fetching = Fetching {
        host: &options.host,
        uv: &options.uv,
        index: &options.index,
        state: &options.state,
        layers: runtime.layers.iter().chain(layers).cloned().collect(),
        binds,
        programs: &[&format!("{PREFIX}/bin")],
        env,
        policy: options.index.policy().map_err(|e| machine(&e))?,
    };
    fetching.sandbox().map_err(|e| machine(&e))
}

/// A sandbox for the row's own commands: no network, and nothing of the host to write to.
pub(crate) fn working(
    options: &RowOptions,
    runtime: &Runtime,
    layers: &[PathBuf],
    env: &[(String, String)],
) -> Result<Sandbox, Failed> {
    let spec = SandboxSpec {
        layers: runtime.layers.iter().chain(layers).cloned().collect(),
        binds: runtime.binds.clone(),
        network: Network::None,
        writable: Writable::Disk,
        limits: Limits { memory: 8 << 30, ..Limits::default() },
        env: env.iter().map(|(k, v)| (k.into(), v.into())).collect(),
        ..SandboxSpec::default()
    };
    options.host.create(&spec).map_err(|e| Failed::machine(RowStep::Install, e))
}

/// How commands of a row ended.
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    pub(crate) log: String,
}

impl Ran {
    /// The failure that an end other than by itself is.
    pub(crate) fn stopped(&self, step: RowStep, timeout: Duration) -> Option<Failed> {
        let cause = match self.outcome {
            Outcome::TimedOut => {
                RowCause::TimedOut(format!("{step} took more than {} s", timeout.as_secs()))
            }
            Outcome::OutOfMemory => RowCause::Limit(format!("{step} took too much memory")),
            Outcome::OutOfDisk => RowCause::Limit(format!("{step} wrote too much")),
            Outcome::Exited(_) | Outcome::Signaled(_) => return None,
        };
        Some(Failed { step, cause, log: self.log.clone() })
    }
}

/// Runs commands as one script for bash, in the activated environment and in the repository. The
/// first that fails ends it.
pub(crate) fn script<'a>(
    sandbox: &Sandbox,
    spec: &RowSpec,
    step: RowStep,
    commands: impl Iterator<Item = &'a str>,
    timeout: Duration,
) -> Result<Ran, Failed> {
    let mut text = format!(
        "set -eo pipefail\nsource {CONDA}/bin/activate\nconda activate testbed\ncd {}\nset -x\n",
        spec.workdir
    );
    for command in commands {
        let _ = writeln!(text, "{command}");
    }
    bash(sandbox, step, text, timeout)
}

/// Runs a script of ours or a row's.
pub(crate) fn bash(
    sandbox: &Sandbox,
    step: RowStep,
    text: String,
    timeout: Duration,
) -> Result<Ran, Failed> {
    let path = PathBuf::from("/tmp/palestra-step.sh");
    let write = FileOp::Write { path, mode: 0o644, bytes: text.into_bytes() };
    sandbox.apply(&[write]).map_err(|e| Failed::machine(step, e))?;
    let argv = ["/bin/bash", "-c", "exec /bin/bash /tmp/palestra-step.sh 2>&1"];
    let mut exec = Exec::new(argv).timeout(timeout);
    exec.output_limit = KEPT;
    let result = sandbox.exec(&exec).map_err(|e| Failed::machine(step, e))?;
    Ok(Ran { outcome: result.outcome, log: result.stdout.text() })
}

/// Runs a program in a sandbox that fetches; its two streams as one text.
pub(crate) fn program(
    sandbox: &Sandbox,
    argv: Vec<String>,
) -> Result<(Outcome, String, String), Failed> {
    let exec = Exec::new(argv).cwd(WORK).timeout(Duration::from_secs(1800));
    let result = sandbox.exec(&exec).map_err(|e| Failed::machine(RowStep::Packages, e))?;
    Ok((result.outcome, result.stdout.text(), result.stderr.text()))
}

/// A file of lines in the working directory of sandboxes that fetch.
pub(crate) fn lines(name: &str, lines: &[String]) -> FileOp {
    FileOp::Write {
        path: Path::new(WORK).join(name),
        mode: 0o644,
        bytes: (lines.join("\n") + "\n").into_bytes(),
    }
}

/// The variables of a row's commands.
pub(crate) fn variables(spec: &RowSpec, version: Option<&str>) -> Vec<(String, String)> {
    let mut all = standin::variables();
    if let Some(version) = version {
        all.push(("SETUPTOOLS_SCM_PRETEND_VERSION".to_owned(), version.to_owned()));
    }
    all.extend(spec.env.clone());
    all
}
