//! `export` on the command line.

use std::path::PathBuf;

use clap::Args;

/// `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Jobs, or directories of jobs: ours, Harbor's, mini-swe-agent's, R2E-Gym's, OpenHands'.
    #[arg(required = true, value_name = "JOBS")]
    pub(crate) jobs: Vec<PathBuf>,
    /// Who is to read it: trl, llama-factory, axolotl, ms-swift, verl, skyrl or hub.
    #[arg(long = "for", value_name = "TRAINER")]
    pub(crate) target: Option<String>,
    /// What a row is: agent, testing-agent, verifier, preference, kto, rl, tokens or tokenised
    /// [default: agent].
    #[arg(long, value_name = "FORM")]
    pub(crate) form: Option<String>,
    /// Where it is written.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Its name [default: that of the directory].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Parquet or jsonl [default: what the trainer usually reads].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) file: Option<String>,
    /// A file with any of these options and all others: selection, loss, verifier (TOML).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Failed attempts too.
    #[arg(long)]
    pub(crate) all: bool,
    /// At most so many attempts of a task and verdict, those with the fewest calls first.
    #[arg(long, value_name = "N")]
    pub(crate) per_task: Option<u32>,
    /// The directory of a tokenizer, for exact lengths and tokenised rows.
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// At most so many tokens a row.
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Decides between equals.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}
