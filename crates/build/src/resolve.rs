//! Choosing and getting packages. Only code of packages can run here, never the repository's:
//! this phase has the network and the shared cache, and no tree. A package that must be built can
//! touch the cache and the environment; that is as far as packages of the index are trusted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use fs_err as fs;
use palestra_core::environment::ENV_DIR;
use palestra_core::{Environment, EnvironmentId, Hash, disk};
use palestra_sandbox::{Bind, Exec, ExecResult, FileOp, Sandbox};
use serde::{Deserialize, Serialize};

use crate::builder::{Builder, Step};
use crate::dates;
use crate::fetching::{Fetching, WORK, uv_bind};
use crate::interpreters::Interpreter;
use crate::recipe::Recipe;
use crate::requirement;
use crate::uv::Uv;

/// Raised when the same inputs are resolved in another way.
const FORM: &str = "1";

/// Takes byte code over from an earlier environment.
const BYTE_CODE: &str = include_str!("../data/byte_code.py");

/// Where an earlier environment stands inside.
const PRIOR: &str = "/opt/prior";

/// What is odd about the public index.
#[derive(Debug, Default, Deserialize)]
struct Oddities {
    at_least_as_of: BTreeMap<String, String>,
}

static ODDITIES: LazyLock<Oddities> =
    LazyLock::new(|| toml::from_str(include_str!("../data/index.toml")).unwrap_or_default());

type Failure = (Step, String);

/// A resolved environment whose packages are in a layer.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) id: EnvironmentId,
    pub(crate) lock: String,
    pub(crate) exclude_newer: String,
    pub(crate) layer: PathBuf,
}

/// A lock on disk, by the hash of what it was resolved from.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    lock: String,
    exclude_newer: String,
}

/// The interpreter at its own path, and uv.
pub(crate) fn binds(uv: &Uv, interpreter: &Interpreter) -> Vec<Bind> {
    let mut binds = vec![uv_bind(uv)];
    binds.extend(interpreter_binds(interpreter));
    binds
}

/// The interpreter at its own path.
pub(crate) fn interpreter_binds(interpreter: &Interpreter) -> Vec<Bind> {
    let bind = |p: &PathBuf| Bind { source: p.clone(), target: p.clone(), writable: false };
    interpreter.prefix.iter().map(bind).collect()
}

/// Finds or makes the lock of a recipe, and the layer of its packages.
pub(crate) fn lock_and_sync(
    builder: &Builder,
    recipe: &Recipe,
    interpreter: &Interpreter,
    log: &mut String,
) -> Result<Locked, Failure> {
    let key = Hash::of_parts([
        FORM.to_owned(),
        builder.options.index.config(),
        interpreter.full(),
        recipe.exclude_newer.clone(),
        recipe.all_requirements().join("\n"),
        recipe.constraints.join("\n"),
        format!("{:?}", recipe.later),
    ]);
    let path = builder.options.state.join("locks").join(format!("{}.json", key.short()));
    builder.flight.alone(key.as_str(), || {
        let mut sandbox = None;
        let known = fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok());
        let remembered: Remembered = match known {
            Some(known) => known,
            None => {
                let place = sandbox.insert(place(builder, interpreter)?);
                let resolved = compile(place, recipe, interpreter, log)?;
                disk::write_json(&path, &resolved).map_err(machine)?;
                resolved
            }
        };
        let id = Environment::identify(&recipe.python.to_string(), &remembered.lock);
        let layer =
            packages(builder, &recipe.constraints, interpreter, &id, &remembered, sandbox, log)?;
        let Remembered { lock, exclude_newer } = remembered;
        Ok(Locked { id, lock, exclude_newer, layer })
    })
}

fn machine(error: impl std::fmt::Display) -> Failure {
    (Step::Machine, error.to_string())
}

/// A sandbox with uv, the interpreter, the cache, and a way to the package indexes.
fn place(builder: &Builder, interpreter: &Interpreter) -> Result<Sandbox, Failure> {
    let options = &builder.options;
    let mut all = interpreter_binds(interpreter);
    if let Some(prior) = prior(builder, interpreter) {
        all.push(Bind { source: prior, target: PathBuf::from(PRIOR), writable: false });
    }
    let fetching = Fetching {
        host: &options.host,
        uv: &options.uv,
        index: &options.index,
        state: &options.state,
        layers: Vec::new(),
        binds: all,
        programs: &[&format!("{ENV_DIR}/bin")],
        env: vec![("VIRTUAL_ENV".to_owned(), ENV_DIR.to_owned())],
        policy: options.index.policy().map_err(machine)?,
    };
    fetching.sandbox().map_err(machine)
}

/// The packages' directory of the environment made last with this interpreter.
fn prior(builder: &Builder, interpreter: &Interpreter) -> Option<PathBuf> {
    let name = fs::read_to_string(prior_file(builder, interpreter)).ok()?;
    let layer = builder.options.store.layer(name.trim())?;
    Some(layer.join(ENV_DIR.trim_start_matches('/'))).filter(|p| p.is_dir())
}

fn prior_file(builder: &Builder, interpreter: &Interpreter) -> PathBuf {
    builder.options.state.join("prior").join(executable_hash(interpreter))
}

fn executable_hash(interpreter: &Interpreter) -> String {
    let executable = interpreter.executable.display().to_string();
    Hash::of(executable.as_bytes()).short()[..8].to_owned()
}

/// Runs `uv pip compile`, as of the recipe's day, then as of later ones.
fn compile(
    sandbox: &Sandbox,
    recipe: &Recipe,
    interpreter: &Interpreter,
    log: &mut String,
) -> Result<Remembered, Failure> {
    let ops = [
        write("requirements.in", &recipe.all_requirements()),
        write("constraints.txt", &recipe.constraints),
    ];
    sandbox.apply(&ops).map_err(machine)?;
    let first = dates::days(&recipe.exclude_newer).unwrap_or_default();
    // What a commit needs may have come out between the start of its quarter and its day.
    for day in [first, dates::next_quarter(first)] {
        let exclude_newer = dates::midnight(day);
        let mut argv = words("uv pip compile --no-header --no-annotate --quiet");
        argv.extend(as_of(&exclude_newer, &later(recipe, day)));
        argv.extend(["--python".to_owned(), interpreter.executable.display().to_string()]);
        argv.extend(words("-c constraints.txt -b constraints.txt requirements.in"));
        let result = run(sandbox, argv, WORK)?;
        if result.outcome.success() {
            let lock = tidy_lock(&result.stdout.text());
            return Ok(Remembered { lock, exclude_newer });
        }
        let said = result.stderr.text();
        // A source elsewhere that is out of reach is the recipe's trouble, not the machine's.
        if !names_a_source(&said, recipe) {
            machine_trouble(&said)?;
        }
        // What the last try says counts: an earlier one may have failed for its date alone.
        log.clear();
        log.push_str(&format!("resolving as of {exclude_newer}:\n{said}\n"));
        if !said.contains("No solution found") {
            break;
        }
    }
    Err((Step::Resolve, String::new()))
}

/// Whether uv speaks of a requirement that comes from an address of its own.
fn names_a_source(said: &str, recipe: &Recipe) -> bool {
    recipe.all_requirements().iter().any(|line| {
        let url = requirement::parse(line).and_then(|r| r.url);
        let address = url.and_then(|u| u.split_once("://")).map(|(_, address)| address);
        let host = address.and_then(|a| a.split('/').next());
        host.is_some_and(|host| !host.is_empty() && said.contains(host))
    })
}

/// Fails if uv says that it could not talk to the package index, or could not write: that is the
/// machine's trouble, and no property of a commit.
pub(crate) fn machine_trouble(said: &str) -> Result<(), Failure> {
    const NETWORK: &[&str] = &[
        "error sending request",
        "dns error",
        "tcp connect error",
        "client error (Connect)",
        "Connection refused",
        "Connection reset",
        "Network is unreachable",
        "operation timed out",
        "Request failed after",
        "invalid peer certificate",
    ];
    const DISK: &[&str] = &["No space left on device", "Disk quota exceeded", "os error 28"];
    let line_with = |signs: &[&str]| {
        let found = said.lines().find(|line| signs.iter().any(|sign| line.contains(sign)))?;
        Some(found.trim().trim_start_matches("cause: ").trim_start_matches("error: ").to_owned())
    };
    if let Some(line) = line_with(NETWORK) {
        return Err(machine(format!(
            "the package index cannot be reached: {line}; check the network, a proxy, or UV_DEFAULT_INDEX"
        )));
    }
    match line_with(DISK) {
        Some(line) => Err(machine(format!("the disk is full: {line}; make room and run again"))),
        None => Ok(()),
    }
}

/// A list of requirements, to be written for uv.
fn write(name: &str, lines: &[String]) -> FileOp {
    FileOp::Write {
        path: PathBuf::from(WORK).join(name),
        mode: 0o644,
        bytes: (lines.join("\n") + "\n").into_bytes(),
    }
}

/// The packages that a recipe takes later than the rest, with the time that holds for them.
fn later(recipe: &Recipe, day: i64) -> BTreeMap<String, String> {
    let time = |(name, days): (&String, &i64)| (name.clone(), dates::midnight(day + days));
    recipe.later.iter().map(time).collect()
}

/// Every pinned package without a limit: the lock has decided.
fn decided(lock: &str) -> BTreeMap<String, String> {
    let names = lock.lines().filter_map(requirement::name_of);
    names.map(|name| (name, "2999-01-01T00:00:00Z".to_owned())).collect()
}

/// Options that take packages as of a time, and some as of another.
pub(crate) fn as_of(exclude_newer: &str, others: &BTreeMap<String, String>) -> Vec<String> {
    let mut argv = vec!["--exclude-newer".to_owned(), exclude_newer.to_owned()];
    let mut times = others.clone();
    for (name, time) in &ODDITIES.at_least_as_of {
        // These times are all midnight UTC in one form, so their order is that of the texts.
        let have = times.get(name).map_or(exclude_newer, String::as_str);
        if have < time.as_str() {
            times.insert(name.clone(), time.clone());
        }
    }
    for (name, time) in times {
        argv.extend(["--exclude-newer-package".to_owned(), format!("{name}={time}")]);
    }
    argv
}

/// The pins alone, sorted.
fn tidy_lock(text: &str) -> String {
    let mut lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|l| !l.is_empty() && !l.starts_with('#') && !l.starts_with("--"))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines.iter().map(|l| format!("{l}\n")).collect()
}

/// The layer of an environment whose lock is known.
pub(crate) fn sync_lock(
    builder: &Builder,
    environment: &Environment,
    interpreter: &Interpreter,
    log: &mut String,
) -> Result<PathBuf, Failure> {
    let locked = Remembered {
        lock: environment.lock.clone(),
        exclude_newer: environment.exclude_newer.clone(),
    };
    let id = Environment::identify(&environment.python, &environment.lock);
    packages(builder, &[], interpreter, &id, &locked, None, log)
}

/// The layer that holds the environment with its packages.
fn packages(
    builder: &Builder,
    constraints: &[String],
    interpreter: &Interpreter,
    id: &EnvironmentId,
    locked: &Remembered,
    sandbox: Option<Sandbox>,
    log: &mut String,
) -> Result<PathBuf, Failure> {
    // The environment names its interpreter by path, so the same lock has one layer for each.
    let executable = interpreter.executable.display().to_string();
    let name = format!("env-{id}-{}", executable_hash(interpreter));
    builder.flight.alone(&name, || {
        if let Some(layer) = builder.options.store.layer(&name) {
            return Ok(layer);
        }
        let sandbox = match sandbox {
            Some(sandbox) => sandbox,
            None => place(builder, interpreter)?,
        };
        let locked_lines: Vec<String> = locked.lock.lines().map(str::to_owned).collect();
        let ops =
            [write("requirements.lock", &locked_lines), write("constraints.txt", constraints)];
        sandbox.apply(&ops).map_err(machine)?;
        let mut venv = words("uv venv --quiet --no-project --python");
        venv.extend([executable.clone(), ENV_DIR.to_owned()]);
        step(&sandbox, venv, log)?;
        let mut sync = words("uv pip sync --quiet");
        // What packages are built with keeps to the time, and to the limits.
        let mut free = decided(&locked.lock);
        free.retain(|name, _| !matches!(name.as_str(), "setuptools" | "wheel"));
        sync.extend(as_of(&locked.exclude_newer, &free));
        sync.extend(["--python".to_owned(), format!("{ENV_DIR}/bin/python")]);
        sync.extend(words("-b constraints.txt --allow-empty-requirements requirements.lock"));
        step(&sandbox, sync, log)?;
        sandbox.normalise_times(&[ENV_DIR.as_ref()]).map_err(machine)?;
        let mut reuse = vec![format!("{ENV_DIR}/bin/python")];
        reuse.extend(["-I", "-S", "-c", BYTE_CODE, ENV_DIR, PRIOR].map(str::to_owned));
        run(&sandbox, reuse, WORK)?;
        // Files that are not for this Python do not compile; nothing imports them either.
        let mut compile = vec![format!("{ENV_DIR}/bin/python")];
        compile.extend(words("-I -S -m compileall -q -q -j 2"));
        compile.push(format!("{ENV_DIR}/lib"));
        run(&sandbox, compile, WORK)?;
        let frozen = sandbox.freeze().map_err(machine)?;
        let layer =
            builder.options.store.adopt(&name, &frozen.path(), &[ENV_DIR]).map_err(machine)?;
        let file = prior_file(builder, interpreter);
        disk::write_atomic(&file, name.as_bytes()).map_err(machine)?;
        Ok(layer)
    })
}

fn step(sandbox: &Sandbox, argv: Vec<String>, log: &mut String) -> Result<(), Failure> {
    let shown = argv.join(" ");
    let result = run(sandbox, argv, WORK)?;
    if result.outcome.success() {
        return Ok(());
    }
    let (out, err) = (result.stdout.text(), result.stderr.text());
    machine_trouble(&err)?;
    log.push_str(&format!("{shown}: {:?}\n{out}{err}\n", result.outcome));
    Err((Step::Sync, String::new()))
}

/// Runs a command inside, for ten minutes at most.
pub(crate) fn run(sandbox: &Sandbox, argv: Vec<String>, cwd: &str) -> Result<ExecResult, Failure> {
    let exec = Exec::new(argv).cwd(cwd).timeout(Duration::from_secs(600));
    sandbox.exec(&exec).map_err(machine)
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_packages_are_taken_later() {
        let odd: Oddities = toml::from_str(include_str!("../data/index.toml")).unwrap();
        assert_eq!(odd.at_least_as_of.len(), 4);
        let argv = as_of("2022-01-01T00:00:00Z", &BTreeMap::new());
        assert_eq!(argv[2..], ["--exclude-newer-package", "atomicwrites=2022-07-10T00:00:00Z"]);
        assert_eq!(as_of("2023-01-01T00:00:00Z", &BTreeMap::new()).len(), 2);
        let free = decided("a==1\natomicwrites==1\n");
        let argv = as_of("2022-01-01T00:00:00Z", &free).join(" ");
        assert!(argv.contains("a=2999") && argv.contains("atomicwrites=2999"), "{argv}");
    }

    #[test]
    fn locks_are_pins_alone() {
        let text = "# header\nb==2\n--index-url https://x\na==1 ; python_version < '3'\nb==2\n\n";
        assert_eq!(tidy_lock(text), "a==1 ; python_version < '3'\nb==2\n");
    }
}
