//! Tasks that people did not write, and how much tests see, on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use palestra_mutate::Modifier;

/// What `curate` makes besides tasks from commits with their own tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Tests written by a model for commits that have none.
    Tests,
    /// Statements: the real issue where one is known, else written by a model, checked and judged.
    Issues,
    /// Bugs put into a tree whose tests pass.
    Bugs,
}

/// The part of `curate` about them.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Synth {
    /// Makes tasks that people did not write.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "KINDS",
        help_heading = "Synthesis"
    )]
    pub(crate) synth: Vec<Kind>,
    /// Makes no tasks from commits with their own tests.
    #[arg(long, help_heading = "Synthesis", requires = "synth")]
    pub(crate) no_commits: bool,
    /// The commit whose tree bugs are put into; may be repeated [default: HEAD].
    #[arg(long, value_name = "REVISION", help_heading = "Synthesis")]
    pub(crate) at: Vec<String>,
    /// At most so many bugs for each commit.
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = "Synthesis")]
    pub(crate) max_bugs: usize,
    /// At most so many bugs of one kind for one function or class.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Synthesis")]
    pub(crate) per_entity: usize,
    /// Only bugs of these kinds, such as func_pm_op_change [default: all].
    #[arg(long, value_delimiter = ',', value_name = "KINDS", help_heading = "Synthesis")]
    pub(crate) bug_kinds: Vec<Modifier>,
    /// How likely each place in a function or class is changed, from 0 to 1; at 0.01 hardly ever
    /// more than one [default: as each kind has it].
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Synthesis")]
    pub(crate) likelihood: Option<f64>,
    /// Joins proven bugs into so many harder ones.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Synthesis")]
    pub(crate) combine: usize,
    /// Asks the model for so many bugs besides.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Synthesis")]
    pub(crate) model_bugs: usize,
    /// Decides everything that is decided by chance.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Synthesis")]
    pub(crate) seed: u64,
    /// Real issues, one JSON object a line with `number`, `title` and `body`.
    #[arg(long, value_name = "FILE", help_heading = "Synthesis")]
    pub(crate) issues: Option<PathBuf>,
    /// Prompts that take the place of ours of the same names; see `palestra prompts`.
    #[arg(long, value_name = "DIR", help_heading = "Synthesis")]
    pub(crate) prompts: Option<PathBuf>,
    /// An agent that writes the tests in a sandbox, such as editor [default: asked in one go].
    #[arg(long, value_name = "AGENT", help_heading = "Synthesis")]
    pub(crate) tests_by: Option<String>,
    /// How often tests are repaired, and statements written anew.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Synthesis")]
    pub(crate) repairs: u32,
    #[command(flatten)]
    pub(crate) served: Served,
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}

/// A model, and where it is served.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Served {
    /// The model, by the name that its server knows; `none` does all that needs no model.
    #[arg(short, long, value_name = "MODEL", default_value = "none", help_heading = "Model")]
    pub(crate) model: String,
    /// Where it is served, up to and without `/v1` or with it [env: OPENAI_BASE_URL or
    /// ANTHROPIC_BASE_URL].
    #[arg(long, value_name = "URL", help_heading = "Model")]
    pub(crate) base_url: Option<String>,
    /// What it speaks: chat, responses or anthropic [default: chat].
    #[arg(long, value_name = "API", help_heading = "Model")]
    pub(crate) api: Option<String>,
    /// The variable that holds the key [default: OPENAI_API_KEY or ANTHROPIC_API_KEY].
    #[arg(long, value_name = "VARIABLE", help_heading = "Model")]
    pub(crate) key_env: Option<String>,
    /// How it samples.
    #[arg(long, value_name = "T", help_heading = "Model")]
    pub(crate) temperature: Option<f64>,
    /// A file of prices (TOML, dollars for a million tokens).
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) prices: Option<PathBuf>,
    /// Dollars for the whole run.
    #[arg(long, value_name = "DOLLARS", help_heading = "Model")]
    pub(crate) budget: Option<f64>,
    /// Records every call to this file.
    #[arg(long, value_name = "FILE", help_heading = "Model", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Answers every call from this file, and asks no server.
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) replay: Option<PathBuf>,
}

/// `prompts`.
#[derive(Debug, Args)]
pub(crate) struct Prompts {
    /// Shows the text of one.
    pub(crate) name: Option<String>,
    /// A directory of prompts that take the place of ours.
    #[arg(long, value_name = "DIR")]
    pub(crate) prompts: Option<PathBuf>,
}

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// A directory of tasks that `curate` made.
    pub(crate) tasks: PathBuf,
    /// Only tasks whose names match one of these globs.
    #[arg(short, long = "include", value_name = "GLOB", value_delimiter = ',')]
    pub(crate) include: Vec<String>,
    /// At most so many wrong fixes for each task.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) max: usize,
    /// A task of whose wrong fixes a smaller share fails is marked as weak.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub(crate) weak_below: f64,
    /// Decides which wrong fixes are made.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Tasks at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
}
