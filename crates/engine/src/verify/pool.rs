//! A pool of attempts with true verdicts, made of audited tasks, to measure verifiers on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use palestra_core::harbor::GOLD_PATCH;
use palestra_core::{Hash, Verdict};
use palestra_stats::{SplitMix, quantile};
use palestra_verify::bench::{Labelled, Pool};
use palestra_verify::critic::{Row, TrainOptions, of_patch, of_trajectory, train};
use palestra_verify::execution::changed_paths;
use palestra_verify::{Candidate, Cost};
use serde::{Deserialize, Serialize};

use super::attempts::parsed;
use super::execute::{Executed, Execution, execute};
use super::ground::Ground;
use super::rank::{score, wrong};
use super::rows::graded;
use super::simulated::{Intent, Known, Seen, intents};
use super::stand_in::StandIn;
use super::write::{Ask, TestSample, TestWriter};
use crate::dataset::Dataset;
use crate::error::EngineError;
use crate::event::{Event, Sink};
use crate::shop::Tools;
use crate::stored::Stored;

/// How a pool is made.
#[derive(Debug, Clone)]
pub struct PoolRequest {
    /// Attempts at each task.
    pub attempts: usize,
    /// Decides everything that is decided by chance.
    pub seed: u64,
    /// How tests are run.
    pub execution: Execution,
    /// Who stands in for a testing agent; without, there are regression tests only.
    pub stand_in: Option<StandIn>,
    /// Tasks at most of each dataset.
    pub limit: Option<usize>,
}

/// How a pool came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolReport {
    /// What is real in it and what is not.
    pub what: String,
    /// What decided.
    pub seed: u64,
    /// Tasks.
    pub tasks: usize,
    /// Attempts by repository.
    pub groups: BTreeMap<String, usize>,
    /// The testing agent that was stood in for.
    pub stand_in: Option<StandIn>,
    /// Runs of tests, and how many of them had been made before.
    pub runs: (usize, usize),
    /// By task: all work of verification over the runs of tests on attempts alone.
    pub costs: BTreeMap<String, f64>,
    /// Its median, and its largest.
    pub cost: Option<(f64, f64)>,
    /// What was left out.
    pub notes: Vec<String>,
    /// Wall seconds.
    pub seconds: f64,
}

const WHAT: &str = "Patches, verdicts and runs of tests are real: patches are fixes and the graded \
                    wrong fixes of an audit. Agents are simulated: which patch an attempt leaves and \
                    what its trajectory shows is drawn by a seed, and depends on the agent's skill; \
                    tokens are made up. Wrong fixes were made of the right one, so what compares \
                    attempts with each other is kept from critics and choices.";

/// Features that would tell how the pool was made, and those that only running tests gives.
const WITHOUT: [&str; 6] =
    ["agreement", "similarity", "same_files", "lines_rank", "regression", "reproduction"];

/// Tests that are there already.
struct Fixed(Vec<TestSample>);

impl TestWriter for Fixed {
    fn write(&self, _: &Ask<'_>) -> Result<Vec<TestSample>, EngineError> {
        Ok(self.0.clone())
    }
}

/// Makes a pool of the tasks of some datasets.
pub fn pool(
    tools: &Tools,
    datasets: &[Dataset],
    request: &PoolRequest,
    sink: &dyn Sink,
) -> Result<(Pool, PoolReport), EngineError> {
    let begin = Instant::now();
    let mut report = PoolReport {
        what: WHAT.to_owned(),
        seed: request.seed,
        stand_in: request.stand_in,
        ..PoolReport::default()
    };
    let mut pool = Pool::default();
    let mut dirs = Vec::new();
    for dataset in datasets {
        let tasks = dataset.tasks()?;
        let most = request.limit.unwrap_or(tasks.len());
        let mut taken = 0;
        for dir in tasks {
            let id = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let graded = graded(dataset, &id, &mut report.notes)?;
            if graded.is_empty() {
                report.notes.push(format!("{id} was not audited, and is left out"));
            } else if taken < most {
                taken += 1;
                dirs.push((dataset, dir, id, graded));
            }
        }
    }
    sink.event(&Event::Planned { candidates: dirs.len(), done: 0 });
    for (dataset, dir, id, graded) in dirs {
        tools.check_stop()?;
        let begin = Instant::now();
        let mut known = vec![Known {
            name: "gold".to_owned(),
            patch: fs_err::read(dir.join(GOLD_PATCH))?,
            right: true,
            failed: 0,
        }];
        known.extend(graded.into_iter().filter(|m| !matches!(m.verdict, Verdict::Invalid(_))).map(
            |mutant| Known {
                right: mutant.verdict.is_resolved(),
                name: mutant.mutant,
                patch: mutant.patch.into_bytes(),
                failed: mutant.failed.len(),
            },
        ));
        known.sort_by(|a, b| a.name.cmp(&b.name));
        let made = of_task(tools, dataset, &dir, &id, &known, request, &mut report)?;
        let (outcome, detail) = match made {
            Ok(rows) => {
                let right = rows.iter().filter(|row| row.resolved == Some(true)).count();
                let detail = format!("{right} of {} attempts are right", rows.len());
                for row in &rows {
                    *report.groups.entry(row.group.clone()).or_default() += 1;
                }
                report.tasks += 1;
                pool.rows.extend(rows);
                ("pooled", detail)
            }
            Err(why) => {
                report.notes.push(format!("{id}: {why}"));
                ("left_out", why)
            }
        };
        let (outcome, seconds) = (outcome.to_owned(), begin.elapsed().as_secs_f64());
        sink.event(&Event::Decided { commit: id, outcome, detail, seconds });
    }
    let costs: Vec<f64> = report.costs.values().copied().collect();
    report.cost = quantile(&costs, 0.5).zip(quantile(&costs, 1.0));
    report.seconds = begin.elapsed().as_secs_f64();
    Ok((pool, report))
}

fn of_task(
    tools: &Tools,
    dataset: &Dataset,
    dir: &std::path::Path,
    id: &str,
    known: &[Known],
    request: &PoolRequest,
    report: &mut PoolReport,
) -> Result<Result<Vec<Labelled>, String>, EngineError> {
    let ground = match Ground::read(dataset.scratch()?, dir)? {
        Ok(ground) => ground,
        Err(why) => return Ok(Err(why)),
    };
    let mut samples = Vec::new();
    if let Some(stand_in) = &request.stand_in {
        let stored = match Stored::read(dataset.scratch()?, dir)? {
            Ok(stored) => stored,
            Err(why) => return Ok(Err(why)),
        };
        let number = Hash::of_parts([b"stand-in", id.as_bytes()]);
        let number = u64::from_str_radix(&number.as_str()[..16], 16).unwrap_or_default();
        let mut random = SplitMix::stream(request.seed, number);
        samples.extend(stand_in.sample(&stored, &mut random));
    }
    let writer = Fixed(samples);
    let intents = intents(id, known, request.attempts, request.seed);
    let patches = |place: &dyn Fn(&Intent) -> usize| -> BTreeMap<String, Vec<u8>> {
        intents.iter().map(|i| (i.id.clone(), known[place(i)].patch.clone())).collect()
    };
    let run = |patches: &BTreeMap<String, Vec<u8>>| {
        execute(tools, &ground, patches, Some(&writer), &request.execution)
    };
    // What agents see when they run tests decides what some of them leave.
    let at_first = match run(&patches(&|i| i.first))? {
        Ok(executed) => executed,
        Err(why) => return Ok(Err(why)),
    };
    let leaves = |i: &Intent| i.leaves(seen(&at_first, &i.id));
    let left = patches(&leaves);
    let executed = match run(&left)? {
        Ok(executed) => executed,
        Err(why) => return Ok(Err(why)),
    };
    report.runs.0 += at_first.runs.0 + executed.runs.0;
    report.runs.1 += at_first.runs.1 + executed.runs.1;
    report.costs.extend(executed.cost().map(|cost| (id.to_owned(), cost)));
    let rows = intents.iter().map(|intent| {
        let known = &known[leaves(intent)];
        let mut candidate = Candidate::new(id, intent.id.clone());
        let changed = changed_paths(&known.patch);
        let seen = [seen(&at_first, &intent.id), seen(&executed, &intent.id)];
        let trajectory = intent.trajectory(&changed, seen);
        candidate.features = of_trajectory(&trajectory, None);
        candidate.features.extend(of_patch(&known.patch));
        if let Ok(ops) = ground.ops(&known.patch) {
            parsed(&mut candidate.features, &ops);
        }
        candidate.patch = Some(Hash::of(&known.patch));
        score(&mut candidate, &executed);
        let ran = executed.candidates.get(&intent.id);
        let passes = |test: &palestra_verify::execution::Generated| {
            Some((test.name.clone(), *test.attempts.get(&intent.id)?))
        };
        let metrics = trajectory.final_metrics.unwrap_or_default();
        let tokens = metrics.total_prompt_tokens.zip(metrics.total_completion_tokens);
        Labelled {
            candidate,
            group: ground.repository.clone(),
            resolved: Some(known.right),
            cost: Cost {
                tokens: tokens.map_or(0.0, |(prompt, completion)| (prompt + completion) as f64),
                ..Cost::default()
            },
            verification: Cost { seconds: ran.map_or(0.0, |r| r.seconds), ..Cost::default() },
            tests: executed.generated.iter().filter_map(passes).collect(),
        }
    });
    Ok(Ok(rows.collect()))
}

/// How many regression tests failed and passed.
fn seen(executed: &Executed, id: &str) -> Option<Seen> {
    let regression = &executed.candidates.get(id)?.regression;
    (regression.tests > 0).then_some((regression.broken.len(), regression.passed))
}

/// Scores every attempt of a pool by a critic that was trained on the other repositories, or, where
/// there is only one, on the other half of its tasks. Gives what was done, in words.
pub fn leave_one_out(pool: &mut Pool, options: &TrainOptions) -> Result<Vec<String>, EngineError> {
    let mut notes = Vec::new();
    let groups: BTreeSet<String> = pool.rows.iter().map(|row| row.group.clone()).collect();
    let one = groups.len() < 2;
    if one {
        let note = "there is one repository only: each half of its tasks is scored by a critic that was \
                    trained on the other half";
        notes.push(note.to_owned());
    }
    let tasks: BTreeSet<&String> = pool.rows.iter().map(|row| &row.candidate.task).collect();
    let half: BTreeMap<String, String> =
        tasks.iter().enumerate().map(|(i, t)| ((*t).clone(), format!("half {}", i % 2))).collect();
    let part = |row: &Labelled| match one {
        true => half.get(&row.candidate.task).cloned().unwrap_or_default(),
        false => row.group.clone(),
    };
    let parts: BTreeSet<String> = pool.rows.iter().map(part).collect();
    let mut options = options.clone();
    options.without.extend(WITHOUT.iter().map(|name| (*name).to_owned()));
    let mut scored = Vec::new();
    for held_out in parts {
        let others = pool.rows.iter().filter(|row| part(row) != held_out);
        let rows: Vec<Row> = others
            .filter_map(|row| {
                Some(Row {
                    id: row.candidate.id.clone(),
                    task: row.candidate.task.clone(),
                    group: part(row),
                    features: row.candidate.features.clone(),
                    right: row.resolved?,
                })
            })
            .collect();
        match train(&rows, &options) {
            Ok(critic) => scored.push((held_out, critic)),
            Err(error) => notes.push(format!("{held_out} has no critic: {error}")),
        }
    }
    if scored.is_empty() && !pool.rows.is_empty() {
        let why = palestra_verify::VerifyError::Training(notes.join("; "));
        return Err(wrong(why));
    }
    for (held_out, critic) in scored {
        let places: Vec<usize> =
            (0..pool.rows.len()).filter(|i| part(&pool.rows[*i]) == held_out).collect();
        for place in places {
            if let Some(row) = pool.rows.get_mut(place) {
                critic.score(&mut row.candidate);
            }
        }
    }
    Ok(notes)
}
