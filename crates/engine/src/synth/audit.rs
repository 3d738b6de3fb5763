//! How much the tests of a task see: wrong fixes, graded for real.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use palestra_core::harbor::{self, TaskForm};
use palestra_core::task::Strength;
use palestra_core::{Hash, Verdict, disk};
use palestra_grade::{RunLimits, TestRun};
use palestra_mutate::MutantOptions;
use palestra_sandbox::FileOp;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::gold::one_line;
use crate::parallel::parallel;
use crate::shop::Tools;
use crate::stored::Stored;
use crate::work::spec;

/// Seconds that a run with a wrong fix may take besides ten times what the fix takes.
const SLACK: f64 = 10.0;

/// How to audit.
#[derive(Debug, Clone)]
pub struct AuditRequest {
    /// Which wrong fixes are made of the right one.
    pub mutants: MutantOptions,
    /// Tasks at a time.
    pub jobs: usize,
    /// A task with a lower score is marked as weak.
    pub weak_below: f64,
    /// Bounds of each run.
    pub limits: RunLimits,
}

/// A wrong fix, and what came of it: a candidate whose worth is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradedMutant {
    /// The task.
    pub instance_id: String,
    /// Its name.
    pub mutant: String,
    /// What kind of mistake it is.
    pub kind: String,
    /// The mistake in words.
    pub description: String,
    /// The whole patch.
    pub patch: String,
    /// Whether it resolves the task, and why not.
    pub verdict: Verdict,
    /// The tests of the task's lists that did not pass.
    pub failed: Vec<String>,
    /// Wall time of the run.
    pub seconds: f64,
}

/// What auditing a task gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskAudit {
    /// The task.
    pub instance_id: String,
    /// What is written into it.
    pub strength: Strength,
    /// Wall time of its tests with the fix.
    pub test_seconds: f64,
    /// Mean wall time of a mutant, all included.
    pub mutant_seconds: f64,
}

/// What auditing many gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AuditReport {
    /// By task, in the order of their names.
    pub tasks: Vec<TaskAudit>,
    /// Tasks that could not be audited, with the reason.
    pub failed: BTreeMap<String, String>,
    /// Wall time.
    pub seconds: f64,
}

/// Where the graded mutants of a task stand in its dataset.
pub fn candidates_path(dataset: &Path, instance_id: &str) -> PathBuf {
    dataset.join(".palestra/candidates").join(format!("{instance_id}.jsonl"))
}

/// Makes wrong fixes for every task of a dataset, grades them, and writes what was seen into the
/// tasks. A task that was audited in the same way is not run again.
pub fn audit(
    tools: &Tools,
    dataset: &Dataset,
    wanted: &dyn Fn(&str) -> bool,
    request: &AuditRequest,
    sink: &dyn Sink,
) -> Result<AuditReport, EngineError> {
    let begin = Instant::now();
    let name = |dir: &PathBuf| dir.file_name().map(|n| n.to_string_lossy().into_owned());
    let dirs: Vec<PathBuf> = dataset
        .tasks()?
        .into_iter()
        .filter(|dir| name(dir).is_some_and(|name| wanted(&name)))
        .collect();
    if dirs.is_empty() {
        let message = format!("{} holds no task with such a name", dataset.dir().display());
        return Err(EngineError::Input(message));
    }
    sink.event(&Event::Planned { candidates: dirs.len(), done: 0 });
    let report = std::sync::Mutex::new(AuditReport::default());
    parallel(&dirs, request.jobs, |dir| {
        tools.check_stop()?;
        let begin = Instant::now();
        let id = name(dir).unwrap_or_default();
        let result = one(tools, dataset, dir, &id, request)?;
        let (outcome, detail) = match &result {
            Ok(audit) => {
                let Strength { mutants, killed, weak, .. } = audit.strength;
                let outcome = if weak { "weak" } else { "strong" };
                (outcome, format!("{killed} of {mutants} wrong fixes fail"))
            }
            Err(why) => ("not_audited", why.clone()),
        };
        let (outcome, seconds) = (outcome.to_owned(), begin.elapsed().as_secs_f64());
        sink.event(&Event::Decided { commit: id.clone(), outcome, detail, seconds });
        let mut report = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match result {
            Ok(audit) => report.tasks.push(audit),
            Err(why) => drop(report.failed.insert(id, why)),
        }
        Ok(())
    })?;
    let mut report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.tasks.sort_by(|a, b| a.instance_id.cmp(&b.instance_id));
    report.seconds = begin.elapsed().as_secs_f64();
    let name = dataset.plan()?.repository;
    dataset.write_manifest(&name)?;
    Ok(report)
}

fn one(
    tools: &Tools,
    dataset: &Dataset,
    dir: &Path,
    id: &str,
    request: &AuditRequest,
) -> Result<Result<TaskAudit, String>, EngineError> {
    let stored = match Stored::read(dataset.scratch()?, dir)? {
        Ok(stored) => stored,
        Err(why) => return Ok(Err(why)),
    };
    let base = |path: &str| stored.base(path).map(|(_, content)| content);
    let mutants = match palestra_mutate::mutants(&base, &stored.gold, &request.mutants) {
        Ok((mutants, _)) => mutants,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let made = Hash::of_parts(mutants.iter().map(|mutant| mutant.patch.as_slice()));
    let built = match stored.environment(tools)? {
        Ok(built) => built,
        Err(why) => return Ok(Err(why)),
    };
    let spec = spec(&built);
    let test_ops = palestra_grade::overlay_ops(&stored.hidden)?;
    let run = |patch: &[u8], limits: &RunLimits| -> Result<Result<TestRun, String>, EngineError> {
        let ops = match palestra_grade::patch::to_ops(patch, &|path| stored.base(path)) {
            Ok(ops) => ops,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let changes: Vec<FileOp> = ops.into_iter().chain(test_ops.iter().cloned()).collect();
        let (environment, paths) = (&stored.task.environment, &stored.task.test_paths);
        Ok(Ok(palestra_grade::run_tests(&tools.host, &spec, environment, &changes, paths, limits)?))
    };
    let (fail, pass) = (&stored.task.fail_to_pass, &stored.task.pass_to_pass);
    let gold = match run(&stored.gold, &request.limits)? {
        Ok(gold) => gold,
        Err(why) => return Ok(Err(format!("the fix does not apply: {why}"))),
    };
    if !palestra_grade::verdict(&gold, fail, pass).is_resolved() {
        return Ok(Err(
            "the fix does not resolve the task any more: `gate --rerun` says more".into()
        ));
    }
    let seconds = (gold.seconds * 10.0 + SLACK).ceil() as u64;
    let limits = RunLimits { seconds: seconds.min(request.limits.seconds), ..request.limits };
    let mut graded = Vec::new();
    let mut distinguishing: BTreeMap<&str, usize> = BTreeMap::new();
    let begin = Instant::now();
    for mutant in &mutants {
        tools.check_stop()?;
        let run = match run(&mutant.patch, &limits)? {
            Ok(run) => run,
            Err(why) => return Ok(Err(format!("{}: {why}", mutant.id))),
        };
        let failed: Vec<String> =
            fail.iter().chain(pass).filter(|test| !run.report.passed(test)).cloned().collect();
        for test in fail.iter().chain(pass).filter(|test| !run.report.passed(test)) {
            *distinguishing.entry(test).or_default() += 1;
        }
        graded.push(GradedMutant {
            instance_id: id.to_owned(),
            mutant: mutant.id.clone(),
            kind: mutant.kind.name().to_owned(),
            description: one_line(&mutant.description),
            patch: String::from_utf8_lossy(&mutant.patch).into_owned(),
            verdict: palestra_grade::verdict(&run, fail, pass),
            failed,
            seconds: run.seconds,
        });
    }
    let took = begin.elapsed().as_secs_f64();
    let killed = graded.iter().filter(|m| !m.verdict.is_resolved()).count();
    let score = if graded.is_empty() { 0.0 } else { killed as f64 / graded.len() as f64 };
    let strength = Strength {
        mutants: graded.len(),
        killed,
        score: (score * 1e4).round() / 1e4,
        distinguishing: distinguishing.len(),
        blind: fail.iter().filter(|test| !distinguishing.contains_key(test.as_str())).count(),
        weak: graded.is_empty() || score < request.weak_below,
        made,
    };
    let path = candidates_path(dataset.dir(), id);
    let mut lines = Vec::new();
    for mutant in &graded {
        serde_json::to_writer(&mut lines, mutant).map_err(std::io::Error::other)?;
        lines.push(b'\n');
    }
    disk::write_atomic(&path, &lines)?;
    write(dir, &strength)?;
    Ok(Ok(TaskAudit {
        instance_id: id.to_owned(),
        strength,
        test_seconds: gold.seconds,
        mutant_seconds: took / mutants.len().max(1) as f64,
    }))
}

/// Writes the strength into the task.
fn write(dir: &Path, strength: &Strength) -> Result<(), EngineError> {
    let path = dir.join(harbor::TASK_JSON);
    let corrupt = |path: &Path, why: String| EngineError::Corrupt { path: path.to_owned(), why };
    let mut form = TaskForm::from_json(&fs_err::read(&path)?)
        .map_err(|error| corrupt(&path, error.to_string()))?;
    form.task.strength = Some(strength.clone());
    let manifest = dir.join("task.toml");
    let old: toml::Table = toml::from_str(&fs_err::read_to_string(&manifest)?)
        .map_err(|error| corrupt(&manifest, error.to_string()))?;
    let title = old.get("task").and_then(|task| task.get("description")).and_then(|t| t.as_str());
    let seconds = old.get("verifier").and_then(|v| v.get("timeout_sec")).and_then(|t| t.as_float());
    // The times of the gate are not kept; its bound is.
    form.task.gate.seconds = seconds.map(|seconds| vec![seconds / 10.0]).unwrap_or_default();
    let text = harbor::task_toml(&form.task, title.unwrap_or_default())?;
    let json = serde_json::to_vec(&form).map_err(std::io::Error::other)?;
    disk::write_atomic(&path, &json)?;
    Ok(disk::write_atomic(&manifest, text.as_bytes())?)
}

impl AuditReport {
    /// The table that a person reads.
    pub fn table(&self) -> String {
        use std::fmt::Write;
        let mut text =
            format!("  {:<58}{:>8}{:>8}{:>7}{:>7}\n", "task", "mutants", "killed", "score", "time");
        for task in &self.tasks {
            let Strength { mutants, killed, score, weak, .. } = task.strength;
            let _ = writeln!(
                text,
                "  {:<58}{mutants:>8}{killed:>8}{:>7.2}{:>6.2}x{}",
                task.instance_id,
                score,
                task.mutant_seconds / task.test_seconds.max(1e-9),
                if weak { "  weak" } else { "" }
            );
        }
        for (task, why) in &self.failed {
            let _ = writeln!(text, "  {task:<58}  {why}");
        }
        let scores: Vec<f64> = self.tasks.iter().map(|task| task.strength.score).collect();
        let q = |q| palestra_stats::quantile(&scores, q).unwrap_or_default();
        let total = |f: &dyn Fn(&TaskAudit) -> f64| self.tasks.iter().map(f).sum::<f64>();
        let mutants = total(&|task| task.strength.mutants as f64);
        let killed = total(&|task| task.strength.killed as f64);
        let spent = total(&|task| task.mutant_seconds * task.strength.mutants as f64);
        let own = total(&|task| task.test_seconds * task.strength.mutants as f64);
        let times: Vec<f64> = self
            .tasks
            .iter()
            .map(|task| task.mutant_seconds / task.test_seconds.max(1e-9))
            .collect();
        let weak = self.tasks.iter().filter(|task| task.strength.weak).count();
        let _ = writeln!(
            text,
            "\n  {} tasks, {weak} weak; {mutants} wrong fixes, {killed} killed ({:.1} %)\n  \
             score       min {:.2}  p10 {:.2}  p25 {:.2}  median {:.2}  p75 {:.2}  max {:.2}\n  \
             seconds     {:.1}; a wrong fix takes {:.2} times what the tests take with the fix (median of \
             the tasks; {:.2} over all: some never end, and are stopped)",
            self.tasks.len(),
            100.0 * killed / mutants.max(1.0),
            q(0.0),
            q(0.1),
            q(0.25),
            q(0.5),
            q(0.75),
            q(1.0),
            self.seconds,
            palestra_stats::quantile(&times, 0.5).unwrap_or_default(),
            spent / own.max(1e-9),
        );
        text
    }
}
