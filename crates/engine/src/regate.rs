//! Proves written tasks again, from their directories alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use palestra_grade::RunLimits;
use palestra_sandbox::FileOp;
use serde::Serialize;

use crate::dataset::Dataset;
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::parallel::parallel;
use crate::shop::Tools;
use crate::stored::Stored;
use crate::work::{GATE_RUNS, spec};

/// What proving a dataset again gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Regate {
    /// Tasks in the directory.
    pub tasks: usize,
    /// Tasks of which every gold run was resolved.
    pub gold_resolved: usize,
    /// Tasks of which some run without the fix was resolved.
    pub empty_resolved: usize,
    /// Tasks that did not hold, with what happened.
    pub broken: BTreeMap<String, String>,
    /// Wall time.
    pub seconds: f64,
}

/// Runs base and gold of every task again, each as often as the gate did, on `jobs` threads.
pub fn regate(
    tools: &Tools,
    dataset: &Dataset,
    jobs: usize,
    limits: RunLimits,
    sink: &dyn Sink,
) -> Result<Regate, EngineError> {
    let begin = Instant::now();
    let dirs = dataset.tasks()?;
    sink.event(&Event::Planned { candidates: dirs.len(), done: 0 });
    let total = Mutex::new(Regate { tasks: dirs.len(), ..Regate::default() });
    parallel(&dirs, jobs, |dir| {
        let begin = Instant::now();
        let name = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        tools.check_stop()?;
        let seen = again(tools, dataset, dir, &limits)?;
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        total.gold_resolved += usize::from(seen.gold);
        total.empty_resolved += usize::from(seen.empty);
        let outcome = if seen.broken.is_none() { "holds" } else { "broken" };
        sink.event(&Event::Decided {
            commit: name.clone(),
            outcome: outcome.to_owned(),
            detail: seen.broken.clone().unwrap_or_default(),
            seconds: begin.elapsed().as_secs_f64(),
        });
        total.broken.extend(seen.broken.map(|why| (name, why)));
        Ok(())
    })?;
    let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.seconds = begin.elapsed().as_secs_f64();
    Ok(total)
}

/// What one task gave.
struct Seen {
    gold: bool,
    empty: bool,
    broken: Option<String>,
}

fn again(
    tools: &Tools,
    dataset: &Dataset,
    dir: &Path,
    limits: &RunLimits,
) -> Result<Seen, EngineError> {
    let broken = |why: String| Ok(Seen { gold: false, empty: false, broken: Some(why) });
    let stored = match Stored::read(dataset.scratch()?, dir)? {
        Ok(stored) => stored,
        Err(why) => return broken(why),
    };
    let task = &stored.task;
    let test_ops = palestra_grade::overlay_ops(&stored.hidden)?;
    let gold_ops = match palestra_grade::patch::to_ops(&stored.gold, &|path| stored.base(path)) {
        Ok(ops) => ops,
        Err(error) => return broken(format!("the gold patch does not apply: {error}")),
    };
    let built = match stored.environment(tools)? {
        Ok(built) => built,
        Err(why) => return broken(why),
    };
    let spec = spec(&built);
    let with_fix: Vec<FileOp> = gold_ops.iter().chain(&test_ops).cloned().collect();
    let mut seen = Seen { gold: true, empty: false, broken: None };
    for _ in 0..task.gate.runs.max(GATE_RUNS) {
        for (changes, gold) in [(&with_fix, true), (&test_ops, false)] {
            tools.check_stop()?;
            let run = palestra_grade::run_tests(
                &tools.host,
                &spec,
                &task.environment,
                changes,
                &task.test_paths,
                limits,
            )?;
            let verdict = palestra_grade::verdict(&run, &task.fail_to_pass, &task.pass_to_pass);
            if gold && !verdict.is_resolved() {
                seen.gold = false;
                seen.broken = Some(format!("gold: {verdict:?}"));
            }
            if !gold && verdict.is_resolved() {
                seen.empty = true;
                seen.broken = Some("resolved without the fix".to_owned());
            }
        }
    }
    Ok(seen)
}
