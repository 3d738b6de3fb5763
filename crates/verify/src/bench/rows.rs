//! What every cascade reaches on each task: the rows that are resampled.

use std::collections::BTreeMap;

use palestra_stats::{self as stats, Binomials, Field, Ties, pass_at_k};

use super::pool::Labelled;
use crate::cascade::{Cascade, columns};
use crate::error::Result;

/// A task: attempts in order of name.
pub(super) type Task<'a> = &'a [&'a Labelled];

/// A cascade, compiled.
pub(super) struct Compiled<'a> {
    pub(super) cascade: &'a Cascade,
    stages: stats::Cascade,
    names: Vec<&'a str>,
}

impl<'a> Compiled<'a> {
    pub(super) fn new(cascade: &'a Cascade) -> Self {
        let (stages, names) = cascade.compile();
        Self { cascade, stages, names }
    }

    /// best@k on a task for each k. Where there are fewer attempts, all are taken.
    pub(super) fn best_at(
        &self,
        task: &[&Labelled],
        ks: &[usize],
        binomials: &Binomials,
    ) -> Result<Vec<f64>> {
        let candidates = task.iter().map(|row| &row.candidate);
        let field = Field::new(&columns(&self.names, candidates), worth(task))?;
        let n = task.len();
        let there: Vec<usize> = (1..=n).collect();
        let wanted = ks.iter().any(|k| *k < n);
        let there = if wanted { there } else { vec![n] };
        let first = there[0];
        let all = self.stages.best_at_all(&field, &Ties::Average, &there, binomials)?;
        Ok(ks.iter().map(|k| all[k.min(&n) - first]).collect())
    }
}

pub(super) fn is_right(row: &Labelled) -> bool {
    row.resolved == Some(true)
}

fn worth(task: &[&Labelled]) -> Vec<f64> {
    task.iter().map(|row| f64::from(u8::from(is_right(row)))).collect()
}

/// For each task a row: chance, oracle, then each cascade, each for all k.
pub(super) fn rows(
    tasks: &BTreeMap<&str, Vec<&Labelled>>,
    cascades: &[Compiled<'_>],
    ks: &[usize],
    threads: usize,
) -> Result<Vec<Vec<f64>>> {
    let most = tasks.values().map(Vec::len).max().unwrap_or_default();
    let binomials = Binomials::up_to(most);
    let tasks: Vec<Task<'_>> = tasks.values().map(Vec::as_slice).collect();
    let there_are = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if threads == 0 { there_are } else { threads }.clamp(1, tasks.len().max(1));
    let part = tasks.len().div_ceil(threads).max(1);
    let binomials = &binomials;
    let parts: Vec<Result<Vec<Vec<f64>>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = tasks
            .chunks(part)
            .map(|part| {
                scope.spawn(move || part.iter().map(|t| row(t, cascades, ks, binomials)).collect())
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| match worker.join() {
                Ok(rows) => rows,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let mut all = Vec::with_capacity(tasks.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

fn row(
    task: Task<'_>,
    cascades: &[Compiled<'_>],
    ks: &[usize],
    binomials: &Binomials,
) -> Result<Vec<f64>> {
    let n = task.len() as u64;
    let c = task.iter().filter(|row| is_right(row)).count() as u64;
    let mut row = vec![c as f64 / n as f64; ks.len()];
    let oracle = |k: &usize| pass_at_k(n, c, (*k as u64).min(n)).unwrap_or_default();
    row.extend(ks.iter().map(oracle));
    for cascade in cascades {
        row.extend(cascade.best_at(task, ks, binomials)?);
    }
    Ok(row)
}
