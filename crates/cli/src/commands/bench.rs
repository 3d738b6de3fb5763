//! `palestra bench`.

use std::path::Path;

use palestra_engine::EngineError;

use crate::args::Cli;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{note, result};

/// What R2E-Gym's own miner does in one process on the history of sqlparse, commits per second.
const R2E_GYM: f64 = 4.2;

pub(crate) fn mine(cli: &Cli, repo: &str, runs: usize) -> Result<Code, CliError> {
    let home = context::home(cli)?;
    let mut rates = Vec::new();
    for run in 1..=runs.max(1) {
        let seen = palestra_mine::bench(Path::new(repo), &home.repositories(), context::jobs(None))
            .map_err(EngineError::from)?;
        let rate = seen.rate();
        if !cli.quiet && !cli.json {
            note(&format!(
                "run {run}: {} commits in {:.3} s, {rate:.0} commits/s",
                seen.commits, seen.seconds
            ));
        }
        rates.push(rate);
    }
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    if cli.json {
        let json = serde_json::json!({"commits_per_second": median, "runs": rates});
        result(&format!("{json}\n"))?;
    } else {
        result(&format!(
            "{median:.0} commits/s (median of {}), {:.0} times R2E-Gym's miner ({R2E_GYM} commits/s)\n",
            rates.len(),
            median / R2E_GYM
        ))?;
    }
    Ok(Code::Done)
}
