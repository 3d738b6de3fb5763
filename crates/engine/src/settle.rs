//! An environment for a commit: the loop between making one and running tests in it.

use std::collections::BTreeMap;
use std::time::Instant;

use palestra_build::{Action, BuildError, BuildFailure, Built, Recipe, Repair, Step};
use palestra_core::{CommitId, Runner};
use palestra_grade::TestRun;
use palestra_sandbox::FileOp;

use crate::error::EngineError;
use crate::event::Event;
use crate::gold::{evidence, one_line, rank, why_nothing_passes, works};
use crate::work::{Rejected, Workshop, spec};

/// How often an environment is tried in another way.
const ROUNDS: usize = 10;
/// After so many attempts that were no better, an environment in which some tests pass is taken.
const PATIENCE: u32 = 2;
/// After so many seconds, an environment in which some tests pass is taken as it is.
const REPAIR_SECONDS: u64 = 180;

/// What an environment is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    /// The commit that says what is needed.
    pub(crate) fix: &'a CommitId,
    /// The commit whose tree is laid out.
    pub(crate) base: &'a CommitId,
    /// Of the fix, RFC 3339.
    pub(crate) date: &'a str,
    /// What the tests are run on.
    pub(crate) test_paths: &'a [String],
    /// What stands in those of them that are known.
    pub(crate) contents: &'a BTreeMap<String, Vec<u8>>,
}

/// An environment in which at least one test passes.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) built: Built,
    /// The run that shows it.
    pub(crate) run: TestRun,
    /// Whether every test passes.
    pub(crate) works: bool,
    /// Names of the rules that repaired it.
    pub(crate) repairs: Vec<String>,
}

impl Workshop<'_> {
    /// Makes environments, and runs the tests in them with `changes`, until they run.
    pub(crate) fn settle(
        &self,
        site: &Site<'_>,
        changes: &[FileOp],
    ) -> Result<Result<Settled, Rejected>, EngineError> {
        let mut recipe = match self.builder.plan(site.fix, site.date, site.test_paths) {
            Ok(recipe) => recipe,
            Err(error @ (BuildError::NoPython(_) | BuildError::HostilePath { .. })) => {
                return Ok(Err(unbuildable(&error)));
            }
            Err(error) => return Err(error.into()),
        };
        let mut tried: Vec<Recipe> = Vec::new();
        let mut best: Option<(Built, TestRun, Recipe)> = None;
        let mut last_failure: Option<BuildFailure> = None;
        let begin = Instant::now();
        let mut no_better = 0;
        for round in 0..ROUNDS {
            self.check_stop()?;
            let built = self.builder.build(site.fix, site.base, &recipe);
            let (step, evidence) = match built {
                Err(failure) => {
                    if failure.step == Step::Machine {
                        return Err(failure.into());
                    }
                    let said = (failure.step, failure.log.clone());
                    last_failure = Some(failure);
                    said
                }
                Ok(built) => {
                    let run = palestra_grade::run_tests(
                        self.host,
                        &spec(&built),
                        &built.environment,
                        changes,
                        site.test_paths,
                        &self.limits,
                    )?;
                    let evidence = evidence(&run);
                    let clean = works(&run);
                    if best.as_ref().is_none_or(|(_, old, _)| rank(&run) > rank(old)) {
                        best = Some((built, run, recipe.clone()));
                        no_better = 0;
                    } else {
                        no_better += 1;
                    }
                    // What fails now may fail for reasons that no environment mends.
                    let enough = best.as_ref().is_some_and(|(_, run, _)| run.report.passes() > 0)
                        && (no_better >= PATIENCE || begin.elapsed().as_secs() > REPAIR_SECONDS);
                    if clean || enough {
                        break;
                    }
                    (Step::Test, evidence)
                }
            };
            tried.push(recipe.clone());
            if round + 1 == ROUNDS {
                break;
            }
            let next = self
                .builder
                .repair(&recipe, step, &evidence, &tried)
                .or_else(|| with_unittest(&recipe, step, site));
            match next {
                None => break,
                Some((next, repair)) => {
                    let commit = site.fix.to_string();
                    self.sink.event(&Event::Repaired { commit, repair });
                    recipe = next;
                }
            }
        }
        let Some((built, gold_run, recipe)) = best else {
            return match last_failure {
                Some(failure) => Ok(Err(no_environment(&failure, tried.len()))),
                None => Err(EngineError::Interrupted),
            };
        };
        if gold_run.report.passes() == 0 {
            let (reason, detail) = why_nothing_passes(&gold_run);
            return Ok(Err(Rejected { reason: reason.to_owned(), detail }));
        }
        let works = works(&gold_run);
        self.builder.remember(site.fix, site.date, &recipe)?;
        let repairs = recipe.repairs.iter().map(|repair| repair.rule.clone()).collect();
        Ok(Ok(Settled { built, run: gold_run, works, repairs }))
    }
}

/// Tests that know nothing of pytest may not be meant for it: pytest collects mixins, and
/// functions whose names begin with `test`, that the project's own runner does not.
fn with_unittest(recipe: &Recipe, step: Step, site: &Site<'_>) -> Option<(Recipe, String)> {
    let knows_pytest = |path: &String| {
        let content = site.contents.get(path);
        content.is_none_or(|text| memchr::memmem::find(text, b"pytest").is_some())
    };
    if step != Step::Test
        || recipe.runner != Runner::Pytest
        || site.test_paths.iter().any(knows_pytest)
    {
        return None;
    }
    let actions = vec![Action::Runner(Runner::Unittest)];
    let repair = Repair { rule: "unittest".to_owned(), actions };
    Some((recipe.with(repair), "unittest: run the tests with unittest".to_owned()))
}

fn no_environment(failure: &BuildFailure, attempts: usize) -> Rejected {
    let detail = match attempts {
        0 | 1 => failure.to_string(),
        n => format!("{failure} ({n} attempts)"),
    };
    let reason = format!("environment_{}_failed", failure.step);
    Rejected { reason, detail: one_line(&detail) }
}

fn unbuildable(error: &BuildError) -> Rejected {
    let reason = match error {
        BuildError::NoPython(_) => "no_python",
        _ => "hostile_path",
    };
    Rejected { reason: reason.to_owned(), detail: one_line(&error.to_string()) }
}
