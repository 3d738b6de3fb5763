//! Choosing among attempts, and measuring the choice, on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args_synth::Served;

/// `rank`.
#[derive(Debug, Args)]
pub(crate) struct Rank {
    /// A job that `palestra run` made.
    pub(crate) job: PathBuf,
    /// How scores decide: ours, r2e-paper, r2e-code, r2e-notebook, swe-gym, execution-based,
    /// execution-free, critic, or a TOML file.
    #[arg(long, value_name = "PRESET", default_value = "ours")]
    pub(crate) preset: String,
    /// A critic that `palestra critic train` made [default: the built-in one].
    #[arg(long, value_name = "FILE")]
    pub(crate) critic: Option<PathBuf>,
    /// Runs no tests.
    #[arg(long, conflicts_with_all = ["tests", "samples"])]
    pub(crate) no_execution: bool,
    /// Generated tests: a directory with `TASK/*.py`.
    #[arg(long, value_name = "DIR", conflicts_with = "samples")]
    pub(crate) tests: Option<PathBuf>,
    /// Asks the model of --model for so many files of tests for each task. It sees the statement and
    /// the base tree.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) samples: u32,
    /// Decides between equals.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Runs of tests at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// A model that is asked whether each attempt is right, at the server of --base-url; its probability
    /// of YES takes the place of the critic's.
    #[arg(long, value_name = "MODEL", help_heading = "Judge")]
    pub(crate) judge: Option<String>,
    /// What it is shown: ours, r2e or swe-gym, as those projects' verifiers were trained.
    #[arg(
        long,
        value_name = "FORM",
        default_value = "ours",
        requires = "judge",
        help_heading = "Judge"
    )]
    pub(crate) form: palestra_engine::verify::Form,
    /// Of it: both, patch or trajectory.
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "both",
        requires = "judge",
        help_heading = "Judge"
    )]
    pub(crate) view: String,
    /// How often it is asked; the mean counts. More than once makes sense with a --temperature.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "judge", help_heading = "Judge")]
    pub(crate) judge_samples: u32,
    /// Tokens of a prompt; longer ones are condensed, or not scored.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 32_768,
        requires = "judge",
        help_heading = "Judge"
    )]
    pub(crate) judge_context: usize,
    #[command(flatten)]
    pub(crate) served: Served,
}

/// `critic`.
#[derive(Debug, Subcommand)]
pub(crate) enum Critic {
    /// Trains a critic on graded attempts.
    Train {
        /// Graded jobs, datasets that were audited (of these, patches alone are known), and pools that
        /// `bench verifier` wrote (*.jsonl).
        #[arg(required = true, value_name = "JOBS")]
        from: Vec<PathBuf>,
        /// Where the critic is written.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        /// Features to leave out.
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        without: Vec<String>,
    },
    /// Says how good a critic is on graded attempts.
    Eval {
        /// The critic.
        critic: PathBuf,
        /// Graded jobs, and datasets that were audited.
        #[arg(required = true, value_name = "JOBS")]
        from: Vec<PathBuf>,
    },
}

/// `bench verifier`.
#[derive(Debug, Args)]
pub(crate) struct BenchVerifier {
    /// Attempts with their scores and verdicts, as lines of JSON.
    #[arg(value_name = "POOL", required_unless_present = "tasks")]
    pub(crate) pools: Vec<PathBuf>,
    /// Makes the pool from datasets that were audited: attempts of simulated agents, whose patches,
    /// verdicts and runs of tests are real. The critic is trained on other repositories than it is
    /// measured on.
    #[arg(long, value_name = "DATASET", num_args = 1.., conflicts_with = "pools")]
    pub(crate) tasks: Vec<PathBuf>,
    /// Where pool, report, tables and plots are written.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Decides everything that is decided by chance.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Attempts at each task.
    #[arg(short = 'k', long, value_name = "N", default_value_t = 8)]
    pub(crate) attempts: usize,
    /// Tasks at most of each dataset.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Stands in for a testing agent: takes this share of the hidden tests that show the issue for
    /// generated ones. It knows the hidden tests, which no testing agent does. 0: regression tests
    /// only.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) stand_in: f64,
    /// How many wrong tests it writes for each that shows the issue.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, requires = "stand_in")]
    pub(crate) toxic: f64,
    /// Resamples of the tasks for intervals.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) resamples: usize,
    /// Runs of tests at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}
