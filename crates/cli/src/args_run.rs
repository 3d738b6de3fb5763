//! `run` and `job` on the command line, and the same in a file.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value};

/// `run`. Everything but where it is from can stand in a TOML file under the same names, with `_`
/// for `-`; what is on the command line counts more.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Run {
    /// A file with any of these options (TOML).
    #[arg(short, long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// The tasks: a task's directory, or a directory of them.
    #[arg(short, long, value_name = "TASKS")]
    pub(crate) path: Option<PathBuf>,
    /// Instead of tasks the rows of a dataset: SWE-bench and its kin, as `grade` reads them.
    #[arg(short, long, value_name = "DATASET", conflicts_with = "path")]
    pub(crate) dataset: Option<PathBuf>,
    /// Only tasks whose names match one of these globs.
    #[arg(short, long = "include", value_name = "GLOB", value_delimiter = ',')]
    pub(crate) include: Vec<String>,
    /// No tasks whose names match one of these globs.
    #[arg(short = 'x', long = "exclude", value_name = "GLOB", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// At most so many tasks.
    #[arg(short = 'l', long, value_name = "N")]
    pub(crate) n_tasks: Option<usize>,
    /// The agent: editor, mini, r2egym, openhands, agentless, oracle, nop, or a TOML file that
    /// describes a command-line agent; may be repeated.
    #[arg(short, long = "agent", value_name = "AGENT")]
    pub(crate) agent: Vec<String>,
    /// An option of the agent, such as format=text; may be repeated.
    #[arg(long = "ak", value_name = "NAME=VALUE", value_parser = option)]
    #[serde(deserialize_with = "options")]
    pub(crate) agent_options: Vec<(String, Value)>,
    /// The model, by the name that its server knows; may be repeated.
    #[arg(short, long = "model", value_name = "MODEL")]
    pub(crate) model: Vec<String>,
    /// Attempts at each task.
    #[arg(short = 'k', long, value_name = "N")]
    pub(crate) attempts: Option<u32>,
    /// Attempts at a time.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) concurrency: Option<usize>,
    /// Attempts that are graded at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) grading: Option<usize>,
    /// How often an attempt is made again that failed by the machine's doing [default: 2].
    #[arg(short, long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// Where jobs are written [default: jobs].
    #[arg(short = 'o', long, value_name = "DIR")]
    pub(crate) jobs_dir: Option<PathBuf>,
    /// The job's name; a job of this name and plan goes on [default: date and time].
    #[arg(long, value_name = "NAME")]
    pub(crate) job_name: Option<String>,
    /// Says what would be done.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) dry_run: bool,
    /// Does not grade.
    #[arg(long)]
    pub(crate) no_grade: bool,

    /// The split, where the dataset has several.
    #[arg(long, value_name = "NAME", help_heading = "Rows of a dataset")]
    pub(crate) split: Option<String>,
    /// Whose rules decide [default: those that the rows were made for].
    #[arg(long, value_name = "NAME", help_heading = "Rows of a dataset")]
    pub(crate) dialect: Option<String>,
    /// A directory of git mirrors, as owner/name, owner__name or owner+name; may be repeated.
    #[arg(long, value_name = "DIR", help_heading = "Rows of a dataset")]
    pub(crate) mirrors: Vec<PathBuf>,
    /// Where a repository without a mirror is cloned from; `none` forbids it [default: GitHub].
    #[arg(long, value_name = "URL", help_heading = "Rows of a dataset")]
    pub(crate) clone: Option<String>,
    /// Environments are the images that the rows name, and not made from specifications.
    #[arg(long, help_heading = "Rows of a dataset")]
    pub(crate) images: bool,

    /// Where the model is served, up to and without `/v1` or with it [env: OPENAI_BASE_URL or
    /// ANTHROPIC_BASE_URL].
    #[arg(long, value_name = "URL", help_heading = "Model")]
    pub(crate) base_url: Option<String>,
    /// What it speaks: chat, responses or anthropic [default: chat].
    #[arg(long, value_name = "API", help_heading = "Model")]
    pub(crate) api: Option<String>,
    /// The variable that holds the key [default: OPENAI_API_KEY or ANTHROPIC_API_KEY].
    #[arg(long, value_name = "VARIABLE", help_heading = "Model")]
    pub(crate) key_env: Option<String>,
    /// Temperatures; each is a variant of its own.
    #[arg(long, value_name = "T", value_delimiter = ',', help_heading = "Model")]
    pub(crate) temperature: Vec<f64>,
    /// Nucleus.
    #[arg(long, value_name = "P", help_heading = "Model")]
    pub(crate) top_p: Option<f64>,
    /// Tokens of one completion.
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub(crate) max_tokens: Option<u64>,
    /// Seed of the first attempt; each further one has the next.
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub(crate) seed: Option<u64>,
    /// Asks for log-probabilities.
    #[arg(long, help_heading = "Model")]
    pub(crate) logprobs: bool,
    /// Asks for token ids (vLLM, SGLang).
    #[arg(long, help_heading = "Model")]
    pub(crate) token_ids: bool,
    /// Reads replies as streams.
    #[arg(long, help_heading = "Model")]
    pub(crate) stream: bool,
    /// A file of prices (TOML, dollars for a million tokens).
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) prices: Option<PathBuf>,
    /// Records every call to this file.
    #[arg(long, value_name = "FILE", help_heading = "Model", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Answers every call from this file, and asks no server.
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) replay: Option<PathBuf>,
    /// Calls of the model at a time [default: as many as attempts].
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub(crate) model_concurrency: Option<usize>,
    /// Calls a minute.
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub(crate) rpm: Option<u32>,
    /// Tokens a minute.
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub(crate) tpm: Option<u64>,
    /// Dollars for the whole job.
    #[arg(long, value_name = "DOLLARS", help_heading = "Model")]
    pub(crate) budget: Option<f64>,

    /// Calls of the model in one attempt [default: 50].
    #[arg(long, value_name = "N", help_heading = "Bounds of an attempt")]
    pub(crate) max_steps: Option<u32>,
    /// Seconds of the agent's own time, waits for the server apart [default: 3600].
    #[arg(long, value_name = "SECONDS", help_heading = "Bounds of an attempt")]
    pub(crate) max_seconds: Option<f64>,
    /// Tokens of all calls of one attempt together.
    #[arg(long, value_name = "N", help_heading = "Bounds of an attempt")]
    pub(crate) max_total_tokens: Option<u64>,
    /// Tokens of one prompt and its completion.
    #[arg(long, value_name = "N", help_heading = "Bounds of an attempt")]
    pub(crate) max_context: Option<u64>,
    /// Dollars.
    #[arg(long, value_name = "DOLLARS", help_heading = "Bounds of an attempt")]
    pub(crate) max_cost: Option<f64>,
    /// Seconds of one command [default: 120].
    #[arg(long, value_name = "SECONDS", help_heading = "Bounds of an attempt")]
    pub(crate) command_seconds: Option<f64>,
    /// How a long history is shortened: none, mask:KEEP (observations but the last KEEP), or
    /// summarise:TOKENS:KEEP [default: none].
    #[arg(long, value_name = "POLICY", help_heading = "Bounds of an attempt")]
    pub(crate) context: Option<String>,
    /// Attempts fork after STEP calls into WIDTH that share them.
    #[arg(long, value_name = "STEP:WIDTH", help_heading = "Bounds of an attempt")]
    pub(crate) branch_at: Option<String>,

    /// Searches for each attempt: best-first forks it again and again, and goes on with the fork that
    /// the critic thinks best.
    #[arg(long, value_name = "KIND", help_heading = "Search")]
    pub(crate) search: Option<String>,
    /// Forks that go on from one [default: 3].
    #[arg(long, value_name = "N", requires = "search", help_heading = "Search")]
    pub(crate) width: Option<u32>,
    /// How often an attempt forks between its beginning and its end [default: 4].
    #[arg(long, value_name = "N", requires = "search", help_heading = "Search")]
    pub(crate) depth: Option<u32>,
    /// Calls of the model in one search, all forks together [default: 100]. --budget bounds its money.
    #[arg(long, value_name = "N", requires = "search", help_heading = "Search")]
    pub(crate) search_calls: Option<u32>,
    /// Calls of the model between two looks of the critic [default: 1].
    #[arg(long, value_name = "N", requires = "search", help_heading = "Search")]
    pub(crate) every: Option<u32>,
    /// The critic that decides [default: the built-in one].
    #[arg(long, value_name = "FILE", help_heading = "Search")]
    pub(crate) critic: Option<PathBuf>,
    /// Ends a search, or the attempts at a task, when one is right with this probability, as the critic
    /// sees it.
    #[arg(long, value_name = "P", help_heading = "Search")]
    pub(crate) enough: Option<f64>,
}

/// `job`.
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Goes on with a job where it was stopped or killed.
    Resume(Resume),
    /// Grades what the attempts of a job left once more.
    Regrade(Again),
    /// Shows what a job came to so far.
    Show(Again),
}

/// A job that is there.
#[derive(Debug, Args)]
pub(crate) struct Again {
    /// The job's directory.
    pub(crate) job: PathBuf,
    /// Attempts that are graded at a time [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) grading: Option<usize>,
}

/// `job resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The job's directory.
    pub(crate) job: PathBuf,
    /// Attempts at a time, where another number is wanted than before.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) concurrency: Option<usize>,
}

/// `gateway`.
#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// Servers in front of which it stands, up to and without `/v1` or with it; sessions are spread
    /// over them.
    #[arg(required = true, value_name = "URL")]
    pub(crate) upstream: Vec<String>,
    /// What they speak: chat, responses or anthropic. Agents may speak any of them.
    #[arg(long, value_name = "API", default_value = "chat")]
    pub(crate) api: String,
    /// The variable that holds the key [default: OPENAI_API_KEY or ANTHROPIC_API_KEY].
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) key_env: Option<String>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    pub(crate) bind: std::net::SocketAddr,
    /// Where calls are recorded, as DIR/SESSION/trace.jsonl.
    #[arg(short, long, value_name = "DIR", default_value = "traces")]
    pub(crate) out: PathBuf,
    /// The model that is asked for, whatever agents say.
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Asks for token ids and log-probabilities (vLLM, SGLang).
    #[arg(long)]
    pub(crate) token_ids: bool,
    /// Only sessions that `POST /sessions` made.
    #[arg(long)]
    pub(crate) no_implicit: bool,
    /// The variable that holds what `POST /sessions` and its kin must send as their key; without it
    /// whoever reaches the port may manage sessions.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) admin_env: Option<String>,
    /// A file of prices (TOML, dollars for a million tokens).
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
}

impl Run {
    /// Takes from `file` what is not given here.
    pub(crate) fn or(mut self, file: Self) -> Self {
        macro_rules! take {
            (some: $($some:ident)*; lists: $($list:ident)*; flags: $($flag:ident)*) => {
                $(self.$some = self.$some.or(file.$some);)*
                $(if self.$list.is_empty() { self.$list = file.$list; })*
                $(self.$flag |= file.$flag;)*
            };
        }
        take! {
            some: path dataset split dialect clone n_tasks attempts concurrency grading retries jobs_dir job_name base_url api
                key_env top_p max_tokens seed prices record replay model_concurrency rpm tpm budget
                max_steps max_seconds max_total_tokens max_context max_cost command_seconds context
                branch_at search width depth search_calls every critic enough;
            lists: include exclude mirrors agent agent_options model temperature;
            flags: no_grade images logprobs token_ids stream
        }
        self
    }
}

/// `NAME=VALUE`, the value as JSON where it is.
fn option(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("{text:?} is no option: write it like format=text"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

fn options<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<(String, Value)>, D::Error> {
    Ok(Map::deserialize(from)?.into_iter().collect())
}
