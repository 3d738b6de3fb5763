//! What the program takes from its surroundings: directories, variables, interrupts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use palestra_build::Index;
use palestra_build::interpreters::Search;
use palestra_engine::EngineError;
use palestra_engine::home::Home;
use palestra_engine::shop::Surroundings;

use crate::args::Cli;
use crate::outcome::CliError;
use crate::progress;

/// Opens `--home`, `$PALESTRA_HOME`, or `palestra` in the XDG data directory.
pub(crate) fn home(cli: &Cli) -> Result<Home, CliError> {
    let root = match &cli.home {
        Some(root) => root.clone(),
        None => std::env::var_os("XDG_DATA_HOME")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .or_else(|| user_home().map(|home| home.join(".local/share")))
            .ok_or_else(|| CliError::usage("neither $HOME nor $PALESTRA_HOME is set: give --home"))?
            .join("palestra"),
    };
    Ok(Home::open(&root)?)
}

/// What the engine cannot know by itself.
pub(crate) fn surroundings(cli: &Cli) -> Result<Surroundings, CliError> {
    Ok(Surroundings {
        home: home(cli)?,
        search: Search { path: path_dirs(), home: user_home(), ..Search::default() },
        index: index(),
        stop: interrupt()?,
    })
}

/// The package index, and the way to the network.
pub(crate) fn index() -> Index {
    Index::from_variables(std::env::vars())
}

/// The user's home directory.
pub(crate) fn user_home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// The directories of `$PATH`.
pub(crate) fn path_dirs() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Date and time, as names of jobs have them.
pub(crate) fn stamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d__%H-%M-%S").to_string()
}

/// How many workers, where the command line does not say.
pub(crate) fn jobs(asked: Option<usize>) -> usize {
    asked.filter(|n| *n > 0).unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    })
}

/// How long an interrupted run may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// A flag that the first Ctrl-C (or SIGTERM) sets. A second one ends the process at once, and so
/// does a run that has not ended a while after the first: sandboxes die with this process, and
/// what is on disk is whole at every moment.
pub(crate) fn interrupt() -> Result<Arc<AtomicBool>, CliError> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    let seen = Arc::clone(&flag);
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(PATIENCE);
        let error = CliError::Engine(EngineError::Interrupted);
        progress::error(&error);
        std::process::exit(error.code() as i32);
    })?;
    Ok(flag)
}
