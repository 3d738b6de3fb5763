//! `palestra critic`: training, and how good the result is.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use palestra_core::disk;
use palestra_engine::dataset::Dataset;
use palestra_engine::rollout::Job;
use palestra_engine::verify::{rows_of_dataset, rows_of_job};
use palestra_verify::Candidate;
use palestra_verify::bench::{Pool, Problem};
use palestra_verify::critic::{Evaluation, FEATURES, Row, TrainOptions, train};
use serde_json::json;

use crate::args::Cli;
use crate::args_verify::Critic;
use crate::commands::rank::{critic, read, wrong};
use crate::outcome::{CliError, Code};
use crate::progress::{note, result};

pub(crate) fn run(cli: &Cli, command: &Critic) -> Result<Code, CliError> {
    match command {
        Critic::Train { from, out, without } => {
            let without: BTreeSet<String> = without.iter().cloned().collect();
            let known = |name: &str| FEATURES.iter().any(|(known, _)| *known == name);
            if let Some(name) = without.iter().find(|name| !known(name)) {
                return Err(CliError::usage(format!("no critic has a feature {name:?}")));
            }
            let rows = rows(cli, from)?;
            let options = TrainOptions { without, ..TrainOptions::default() };
            let critic = train(&rows, &options).map_err(|error| wrong(&error))?;
            disk::write_atomic(out, critic.to_json().as_bytes())?;
            let mut uses: Vec<(&str, f64)> = critic.importance().into_iter().collect();
            uses.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
            if cli.json {
                let trees = critic.ensemble.trees.len();
                let found = json!({
                    "critic": out, "trees": trees, "validation": critic.validation, "splits": uses,
                });
                return print(&found);
            }
            let mut text = table("on groups held out", &critic.validation);
            let _ = write!(text, "\n  {} trees; split by", critic.ensemble.trees.len());
            for (name, share) in uses.iter().take(8) {
                let _ = write!(text, " {name} {:.0} %", 100.0 * share);
            }
            let _ = writeln!(text, "\n  written to {}", out.display());
            result(&text)?;
        }
        Critic::Eval { critic: path, from } => {
            let critic = critic(path)?;
            let rows = rows(cli, from)?;
            if rows.is_empty() {
                return Err(CliError::Nothing("there is no graded attempt".to_owned()));
            }
            let evaluation = critic.evaluate(&rows);
            let seen: BTreeSet<&String> =
                rows.iter().map(|r| &r.group).filter(|g| critic.groups.contains_key(*g)).collect();
            if cli.json {
                return print(&json!({ "evaluation": evaluation, "trained_on": seen }));
            }
            let mut text = table("all", &evaluation);
            if !seen.is_empty() {
                let seen: Vec<&str> = seen.into_iter().map(String::as_str).collect();
                let _ = writeln!(text, "\n  it was trained on {} too", seen.join(", "));
            }
            result(&text)?;
        }
    }
    Ok(Code::Done)
}

fn print(found: &serde_json::Value) -> Result<Code, CliError> {
    let json = serde_json::to_string_pretty(found).map_err(std::io::Error::other)?;
    result(&format!("{json}\n"))?;
    Ok(Code::Done)
}

/// Graded attempts of jobs and of audited datasets.
fn rows(cli: &Cli, from: &[PathBuf]) -> Result<Vec<Row>, CliError> {
    let mut all: Vec<Row> = Vec::new();
    for path in from {
        let (rows, notes) = one(path)?;
        if !cli.quiet {
            notes.iter().for_each(|line| note(&format!("warning: {line}")));
        }
        all.extend(rows);
    }
    Ok(all)
}

fn one(path: &Path) -> Result<(Vec<Row>, Vec<String>), CliError> {
    if path.extension().is_some_and(|end| end == "jsonl") {
        let (pool, problems) = Pool::read(&read(path)?);
        let wrong = |p: Problem| format!("{}: line {}: {}", path.display(), p.line, p.what);
        let rows = pool.rows.into_iter().filter_map(|row| {
            let Candidate { id, task, features, .. } = row.candidate;
            Some(Row { id, task, group: row.group, features, right: row.resolved? })
        });
        return Ok((rows.collect(), problems.into_iter().map(wrong).collect()));
    }
    match path.join(".palestra").is_dir() {
        true => Ok(rows_of_dataset(&Dataset::open(path, None)?)?),
        false => Ok(rows_of_job(&Job::open(path)?)?),
    }
}

fn table(all: &str, evaluation: &Evaluation) -> String {
    let mut text = format!(
        "  {:<36}{:>7}{:>7}{:>8}{:>13}{:>8}{:>8}\n",
        "", "rows", "right", "AUC", "within tasks", "ECE", "Brier"
    );
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    let groups = evaluation.groups.iter().map(|(name, e)| (name.as_str(), e));
    for (name, e) in std::iter::once((all, evaluation)).chain(groups) {
        let _ = writeln!(
            text,
            "  {name:<36}{:>7}{:>7}{:>8}{:>13}{:>8}{:>8}",
            e.rows,
            e.right,
            number(e.auc),
            number(e.auc_within_tasks),
            number(e.ece),
            number(e.brier)
        );
    }
    text
}
