//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    args_export as export, args_grade as grade, args_run as run, args_sandbox as sandbox,
    args_synth as synth, args_verify as verify,
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a command ran to its end and found something wrong (a gate that no longer holds, a missing part)
  2    the command line or the input is wrong; nothing was changed
  3    the machine failed (disk, network, sandbox); run the same command again
  130  interrupted; run the same command again to continue";

/// A gym for software-engineering agents: git repositories into executable, proven tasks.
#[derive(Debug, Parser)]
#[command(name = "palestra", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where layers, git objects and caches are kept.
    #[arg(long, global = true, env = "PALESTRA_HOME", value_name = "DIR", help_heading = "Global")]
    pub(crate) home: Option<PathBuf>,
    /// One JSON document (or JSON lines) on standard output instead of text.
    #[arg(long, global = true, help_heading = "Global")]
    pub(crate) json: bool,
    /// No progress, only the result.
    #[arg(long, short, global = true, help_heading = "Global")]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes proven tasks from a repository: mine, build, gate.
    Curate(Box<Curate>),
    /// Reads the history and says of every commit whether it may become a task, and why not.
    Mine(Mine),
    /// Makes the environments of the mined candidates and runs their tests on the fixed tree.
    Build(Stage),
    /// Proves the built candidates and writes their tasks; with --rerun, proves the tasks again.
    Gate(Gate),
    /// Grades predictions: on rows of SWE-bench and its kin, by the rules of each.
    Grade(grade::Grade),
    /// Grades what `grade` left once more, without running anything.
    Regrade(grade::Regrade),
    /// Grades wrong fixes of every task, and so finds out how much its tests see.
    Audit(synth::Audit),
    /// Lists what models are asked that write tests, statements and bugs.
    Prompts(synth::Prompts),
    /// Lets agents try tasks, and grades what they leave.
    Run(Box<run::Run>),
    /// Goes on with jobs that `run` began, grades them again, shows them.
    #[command(subcommand)]
    Job(run::Job),
    /// Chooses the best of a job's attempts at each task, without its hidden tests.
    Rank(Box<verify::Rank>),
    /// Trains what scores attempts without running anything, and measures it.
    #[command(subcommand)]
    Critic(verify::Critic),
    /// Makes training sets of jobs, as trainers read them.
    Export(Box<export::Export>),
    /// Stands between agents and the servers of models, and records every call.
    Gateway(run::Gateway),
    /// Curates a small repository that comes with the program, and shows the result.
    Demo(Demo),
    /// Runs programs in sandboxes, and keeps sandboxes.
    #[command(subcommand, after_help = sandbox::EXIT_CODES)]
    Sandbox(sandbox::Sandbox),
    /// Shows and removes what nobody uses any more: remains of killed processes, unused layers.
    Gc(sandbox::Gc),
    /// Says what this machine lacks, and how to get it.
    Doctor,
    /// Measures this program on this machine.
    #[command(subcommand)]
    Bench(Bench),
}

/// Which commits.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only commits since this date (2016-01-01, or RFC 3339).
    #[arg(long, value_name = "DATE")]
    pub(crate) since: Option<String>,
    /// Only commits until this date.
    #[arg(long, value_name = "DATE")]
    pub(crate) until: Option<String>,
    /// At most so many candidates, the newest first.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Call the repository so [default: from its URL, its origin, or its directory].
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) name: Option<String>,
    /// Filters: r2e, r2e-paper, wide, or a TOML file.
    #[arg(long, value_name = "PRESET", default_value = "wide")]
    pub(crate) preset: String,
}

/// `curate`.
#[derive(Debug, Args)]
pub(crate) struct Curate {
    /// Path or URL of a git repository.
    pub(crate) repo: String,
    /// Where the tasks are written.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Candidates at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    #[command(flatten)]
    pub(crate) synth: synth::Synth,
}

/// `mine`.
#[derive(Debug, Args)]
pub(crate) struct Mine {
    /// Path or URL of a git repository.
    pub(crate) repo: String,
    /// Keep the result here, for `build` and `gate`.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Threads [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

/// `build`.
#[derive(Debug, Args)]
pub(crate) struct Stage {
    /// A directory that `mine --out` or `curate` made.
    pub(crate) dir: PathBuf,
    /// At most so many candidates, the newest first.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Candidates at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

/// `gate`.
#[derive(Debug, Args)]
pub(crate) struct Gate {
    #[command(flatten)]
    pub(crate) stage: Stage,
    /// Prove the written tasks again, from their directories alone; change nothing.
    #[arg(long)]
    pub(crate) rerun: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the repository and the tasks are written [default: a temporary directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `bench sandbox`.
#[derive(Debug, Args)]
pub(crate) struct BenchSandbox {
    /// Rounds of the cheap measures.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) rounds: usize,
    /// Idle sandboxes to hold at once.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) idle: usize,
    /// A directory on the disk to be measured [default: below the home directory of palestra].
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Leave the peers and the test suite out.
    #[arg(long)]
    pub(crate) own_only: bool,
}

/// `bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Commits per second over a whole history, with every filter.
    Mine {
        /// Path of a git repository.
        repo: String,
        /// How many times; the median is reported.
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// What sandboxes take, with docker, podman, crun and bubblewrap beside them where they are
    /// installed. As root it measures as an ordinary user too, and starts a Docker daemon of its
    /// own where none runs.
    Sandbox(BenchSandbox),
    /// What the engine takes for many agents at a time, against a model that plays a script.
    Rollout(BenchRollout),
    /// What choosing among attempts reaches, beside chance and an oracle.
    Verifier(verify::BenchVerifier),
    /// The model of `bench rollout`.
    #[command(hide = true)]
    ScriptedModel {
        /// Calls until it ends an attempt.
        #[arg(long)]
        steps: usize,
        /// Milliseconds.
        #[arg(long)]
        latency: u64,
    },
}

/// `bench rollout`.
#[derive(Debug, Args)]
pub(crate) struct BenchRollout {
    /// The tasks [default: those of `demo`].
    #[arg(short, long, value_name = "TASKS")]
    pub(crate) path: Option<PathBuf>,
    /// Attempts, all at a time.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) episodes: usize,
    /// Calls of the model in each.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) steps: usize,
    /// Milliseconds that the model waits before it answers.
    #[arg(long, default_value_t = 20, value_name = "MS")]
    pub(crate) latency: u64,
    /// The agent: one with the tools `bash` and `submit`.
    #[arg(short, long, default_value = "editor")]
    pub(crate) agent: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
