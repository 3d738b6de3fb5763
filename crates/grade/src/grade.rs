//! One attempt at one of our own tasks into a verdict. `THREATS.md` says what it withstands.

mod audit;
mod evidence;
mod rejudge;

pub use self::evidence::evidence;
pub use self::rejudge::{Asked, Stale, rejudge};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use palestra_core::{Environment, InvalidReason, TestFile, TestReport, Verdict};
use palestra_sandbox::{FileOp, Host, Outcome, SandboxSpec};

use crate::error::GradeError;
use crate::grading::{Audit, Cause, GradeOptions, Grading, Tampering, Weight, When};
use crate::judge::{last_line, verdict};
use crate::patch::{BaseFile, PatchError, to_ops};
use crate::policy::{Ground, Policy, policy};
use crate::random::Random;
use crate::run::{RunLimits, TestRun, overlay_ops, path_of};
use crate::screen::{Against, Screened, in_repository};
use crate::trial::{Trial, Tried};

/// What an attempt is graded with.
#[derive(Clone, Copy)]
pub struct GradeInput<'a> {
    /// The sandbox: base tree and environment.
    pub spec: &'a SandboxSpec,
    /// How to run it.
    pub environment: &'a Environment,
    /// The base tree: mode and content of a path, where there is something.
    pub base: &'a dyn Fn(&str) -> Option<BaseFile>,
    /// The attempt, as git writes patches.
    pub patch: &'a [u8],
    /// The fix. What it changes, an attempt may change too; and where something looks like proof
    /// of a forgery, the fix is run as well, to see whether the same is said of it.
    pub gold: &'a [u8],
    /// The hidden files, with their contents.
    pub test_files: &'a [(TestFile, Option<Vec<u8>>)],
    /// What the tests are run on.
    pub test_paths: &'a [String],
    /// Tests that fail without the fix and pass with it.
    pub fail_to_pass: &'a [String],
    /// Tests that pass with and without the fix.
    pub pass_to_pass: &'a [String],
    /// Bounds of each run.
    pub limits: &'a RunLimits,
    /// How strictly to look.
    pub options: GradeOptions,
}

/// Grades an attempt. Whatever the attempt does is a verdict, and so is a failure of the machine
/// (`Invalid`); an error means that the question itself is wrong, such as a hidden file without
/// content.
pub fn grade(host: &Host, input: &GradeInput<'_>) -> Result<Grading, GradeError> {
    let begin = Instant::now();
    let hidden = overlay_ops(input.test_files)?;
    let gold = to_ops(input.gold, input.base).map_err(GradeError::Gold)?;
    let by_path = |ops: &[FileOp]| -> BTreeMap<String, FileOp> {
        ops.iter().filter_map(|op| Some((in_repository(path_of(op))?, op.clone()))).collect()
    };
    let import_roots = import_roots(input);
    let ground = Ground { base: input.base, import_roots: &import_roots };
    let grader = Grader {
        input,
        policy: policy()?,
        trial: Trial {
            host,
            spec: input.spec,
            environment: input.environment,
            limits: input.limits,
            policy: policy()?,
            ground: &ground,
            test_paths: input.test_paths,
            canaries: input.options.canaries,
        },
        hidden_paths: by_path(&hidden).into_keys().collect(),
        hidden,
        gold_by_path: by_path(&gold),
        gold: Screened { ops: gold, ..Screened::default() },
        import_roots: &import_roots,
    };
    let mut found = grader.judge()?;
    found.tampering.sort();
    found.tampering.dedup();
    let mut grading = Grading {
        verdict: found.verdict,
        cause: found.cause,
        tampering: found.tampering,
        touches_tests: found.touches_tests,
        report: found.report,
        audit: found.audit,
        evidence: evidence(input),
        sessions: found.sessions,
        log_tail: found.log_tail,
        seconds: begin.elapsed().as_secs_f64(),
    };
    name_tampering(&mut grading);
    Ok(grading)
}

/// Directories beside hidden tests from which modules are imported: the first above each that is
/// no package.
fn import_roots(input: &GradeInput<'_>) -> BTreeSet<String> {
    let hidden = |path: &str| input.test_files.iter().any(|(f, c)| f.path == path && c.is_some());
    let mut roots = BTreeSet::new();
    for path in input.test_paths {
        let mut place = path.rsplit_once('/').map_or("", |(place, _)| place);
        loop {
            let slash = if place.is_empty() { "" } else { "/" };
            let init = format!("{place}{slash}__init__.py");
            if place.is_empty() || !hidden(&init) && (input.base)(&init).is_none() {
                break;
            }
            place = place.rsplit_once('/').map_or("", |(above, _)| above);
        }
        roots.insert(place.to_owned());
    }
    roots
}

/// Says in the verdict itself what the attempt did beside solving the task.
fn name_tampering(grading: &mut Grading) {
    let names = |weight| -> Vec<&str> {
        let acts = grading.tampering.iter().filter(|act| act.weight == weight);
        let mut names: Vec<&str> = acts.map(|act| act.name.as_str()).collect();
        names.dedup();
        names
    };
    let touched: Vec<&str> = grading.touches_tests.iter().map(String::as_str).collect();
    let parts = [
        ("tampering", names(Weight::Proof)),
        ("put back", names(Weight::Undone)),
        ("hidden tests laid over", touched),
        ("to be looked at", names(Weight::Suspicion)),
    ];
    let mut more = String::new();
    for (what, list) in parts.into_iter().filter(|(_, list)| !list.is_empty()) {
        more.push_str(&format!("; {what}: {}", list.join(", ")));
    }
    if let Verdict::Unresolved(text) = &mut grading.verdict {
        text.push_str(&more);
    }
}

/// A verdict in the making.
#[derive(Debug)]
struct Found {
    verdict: Verdict,
    cause: Cause,
    tampering: Vec<Tampering>,
    touches_tests: Vec<String>,
    report: TestReport,
    audit: Option<Audit>,
    sessions: usize,
    log_tail: String,
}

impl Found {
    /// A verdict for which nothing was run.
    fn only(verdict: Verdict, cause: Cause) -> Self {
        Self {
            verdict,
            cause,
            tampering: Vec::new(),
            touches_tests: Vec::new(),
            report: TestReport::default(),
            audit: None,
            sessions: 0,
            log_tail: String::new(),
        }
    }

    fn settle(&mut self, cause: Cause, why: String) {
        (self.cause, self.verdict) = (cause, Verdict::Unresolved(why));
    }
}

struct Grader<'a> {
    input: &'a GradeInput<'a>,
    policy: &'a Policy,
    trial: Trial<'a>,
    hidden: Vec<FileOp>,
    hidden_paths: BTreeSet<String>,
    gold: Screened,
    gold_by_path: BTreeMap<String, FileOp>,
    import_roots: &'a BTreeSet<String>,
}

impl Grader<'_> {
    fn judge(&self) -> Result<Found, GradeError> {
        if self.input.fail_to_pass.is_empty() {
            let text = "the task names no test that must pass".to_owned();
            return Ok(Found::only(
                Verdict::Invalid(InvalidReason::NothingRan(text)),
                Cause::NoTests,
            ));
        }
        let ops = match to_ops(self.input.patch, self.input.base) {
            Ok(ops) => ops,
            Err(error) => return Ok(rejected(&error)),
        };
        let (parsed, _) = palestra_diff::parse(self.input.patch);
        let screened = self.policy.screen(
            ops,
            &parsed,
            &Against {
                base: self.input.base,
                gold: &self.gold_by_path,
                hidden: &self.hidden_paths,
                import_roots: self.import_roots,
            },
        );
        let mut found = Found::only(Verdict::Resolved, Cause::Passed);
        found.touches_tests.clone_from(&screened.touches_tests);
        found.tampering.extend(screened.tampering.iter().cloned());
        match self.examine(&screened, &mut found) {
            Err(GradeError::Sandbox(error)) => self.blame(&error.to_string(), &mut found)?,
            other => other?,
        }
        Ok(found)
    }

    /// Runs the tests, and whatever a first result calls for.
    fn examine(&self, screened: &Screened, found: &mut Found) -> Result<(), GradeError> {
        let tried = self.trial.run(screened, &self.hidden)?;
        (found.verdict, found.cause) = self.settle(&tried)?;
        found.tampering.extend(self.cleared(tried.tampering, &self.hidden)?);
        found.sessions = tried.run.sessions;
        found.report = tried.run.report;
        found.log_tail = tried.run.log_tail;
        let has = |weight| found.tampering.iter().any(|act| act.weight == weight);
        if has(Weight::Proof) {
            found.settle(Cause::Tampered, proof_text(&found.tampering));
        } else if found.verdict.is_resolved() {
            let audit = match self.input.options.audit {
                When::Never => false,
                When::Suspicious => has(Weight::Suspicion),
                When::Always => true,
            };
            if audit {
                self.audit(screened, found, &mut Random::new()?)?;
            }
        }
        Ok(())
    }

    /// A sandbox failed: was it the attempt that filled or killed it, or the machine?
    fn blame(&self, error: &str, found: &mut Found) -> Result<(), GradeError> {
        match self.trial.run(&self.gold, &self.hidden) {
            Ok(control) if self.resolves(&control.run) => {
                found.settle(Cause::Died, format!("the sandbox did not outlive the run: {error}"));
                let act = "breaks_the_sandbox";
                let seen = Tampering::new(Weight::Suspicion, act, "", "with the fix it holds");
                found.tampering.push(seen);
            }
            Ok(_) | Err(GradeError::Sandbox(_)) => {
                let reason = InvalidReason::Infrastructure(error.to_owned());
                (found.verdict, found.cause) = (Verdict::Invalid(reason), Cause::Infrastructure);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Leaves out of what looks like proof whatever is seen with the fix as well.
    fn cleared(
        &self,
        tampering: Vec<Tampering>,
        hidden: &[FileOp],
    ) -> Result<Vec<Tampering>, GradeError> {
        if tampering.iter().all(|act| act.weight != Weight::Proof) {
            return Ok(tampering);
        }
        let control = self.trial.run(&self.gold, hidden)?;
        let common = |act: &Tampering| {
            act.weight == Weight::Proof && control.tampering.iter().any(|other| other.same(act))
        };
        Ok(tampering.into_iter().filter(|act| !common(act)).collect())
    }

    /// What one run means for an attempt.
    fn settle(&self, tried: &Tried) -> Result<(Verdict, Cause), GradeError> {
        let run = &tried.run;
        let input = self.input;
        let unresolved = |cause, why: String| Ok((Verdict::Unresolved(why), cause));
        if run.install_failed {
            let why = format!("the project cannot be installed: {}", last_line(&run.log_tail));
            return unresolved(Cause::SetupFailed, why);
        }
        let limit = match run.outcome {
            Outcome::TimedOut => Some((Cause::TimedOut, "the tests did not end in time")),
            Outcome::OutOfMemory => Some((Cause::OutOfMemory, "the tests ran out of memory")),
            Outcome::OutOfDisk => Some((Cause::OutOfDisk, "the tests wrote too much")),
            _ => None,
        };
        let judged = verdict(run, input.fail_to_pass, input.pass_to_pass);
        if judged.is_resolved() {
            return Ok((judged, Cause::Passed));
        }
        if let Some((cause, what)) = limit {
            return unresolved(cause, what.to_owned());
        }
        if !run.started {
            // Is it the attempt that keeps the runner from starting, or the environment?
            let blameless = !tried.installed
                && !self.trial.run(&Screened::default(), &self.hidden)?.run.started;
            if blameless {
                return Ok((judged, Cause::Infrastructure));
            }
            let why = format!("the runner does not start: {}", last_line(&run.log_tail));
            return unresolved(Cause::Died, why);
        }
        let Verdict::Unresolved(why) = judged else {
            return Ok((judged, Cause::Infrastructure));
        };
        let cause = if !run.report.finished {
            Cause::Died
        } else if run.report.tests.is_empty() && run.report.collection_errors.is_empty() {
            Cause::NothingReported
        } else {
            Cause::TestsFailed
        };
        unresolved(cause, why)
    }

    fn resolves(&self, run: &TestRun) -> bool {
        verdict(run, self.input.fail_to_pass, self.input.pass_to_pass).is_resolved()
    }
}

fn rejected(error: &PatchError) -> Found {
    let why = format!("the patch is rejected: {error}");
    let mut found = Found::only(Verdict::Unresolved(why), Cause::PatchRejected);
    let path = match error {
        PatchError::Path { path, .. } | PatchError::BeyondSymlink { path, .. } => path.clone(),
        PatchError::Apply(palestra_diff::ApplyError::Path { path, .. }) => path.clone(),
        _ => return found,
    };
    let act = Tampering::new(Weight::Undone, "leaves_the_repository", path, error.to_string());
    found.tampering.push(act);
    found
}

fn proof_text(tampering: &[Tampering]) -> String {
    let mut proofs = tampering.iter().filter(|act| act.weight == Weight::Proof);
    let first = proofs.next().map_or(String::new(), |act| {
        let colon = if act.place.is_empty() { "" } else { ": " };
        format!("{}{colon}{}", act.place, act.detail)
    });
    match proofs.count() {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}
