//! One prediction: its environment, its run, its verdict.

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use palestra_build::rows::{AsOf, RowCause, RowEnvironment};
use palestra_core::{Hash, InvalidReason, Verdict, disk};
use palestra_dataset::{Instance, Kind};
use palestra_dialect::{Dialect, EmptyPatch, smith_profile};

use super::environment::{Lacking, Plan};
use super::key::{self, Parts};
use super::outcome::{Decision, Ending, Surroundings};
use super::run::{Job, Ran};
use super::script::script_of;
use super::{Files, Submission, Work, native, patch_of, regrade};
use crate::error::EngineError;

impl Work<'_> {
    /// Decides one prediction.
    pub(crate) fn decide(
        &self,
        row: &Instance,
        submission: &Submission,
    ) -> Result<Decision, EngineError> {
        let dialect = self.request.dialect.unwrap_or_else(|| native(row));
        let rules = dialect.rules();
        let files = self.place.files(row.instance_id.as_str());
        let patch = patch_of(row, submission)?;
        let mut decision = blank(row, dialect, patch.as_deref());
        let handed_in = matches!(submission, Submission::Patch(_));
        if handed_in && patch.is_none() && rules.ladder.empty == EmptyPatch::NotRun {
            decision.ending = Ending::EmptyPatch;
            decision.verdict = Verdict::Unresolved("the prediction has no patch".to_owned());
            decision.detail = "empty patch".to_owned();
            disk::write_json(&files.decision(), &decision)?;
            return Ok(decision);
        }
        let script = match script_of(row, dialect) {
            Ok(script) => script,
            Err(why) => {
                return self.without_environment(
                    decision,
                    &files,
                    Lacking { why, log: String::new() },
                );
            }
        };
        // A patch that makes a bug is taken back, whoever judges.
        let reverse = || {
            let theirs = &Dialect::SweSmith.rules().gold_ladder;
            rules.gold_ladder.as_ref().or(theirs.as_ref()).unwrap_or(&rules.ladder)
        };
        let ladder = match submission {
            Submission::Gold if row.inverted => reverse(),
            _ => &rules.ladder,
        };
        let job =
            Job { row, dialect, patch: patch.as_deref(), script: &script, ladder, files: &files };
        let began = Instant::now();
        match self.plan(row)? {
            Err(lacking) => self.without_environment(decision, &files, lacking),
            Ok(Plan::Image(environment)) => {
                decision.environment.seconds = began.elapsed().as_secs_f64();
                self.run(&job, &environment, decision)
            }
            Ok(Plan::Specification { spec, source, days }) => {
                // A specification leaves versions open. The gold patch tells whether a day's are
                // right; everybody else gets those that the gold patch was happy with.
                let mut first: Option<Decision> = None;
                let days: Vec<AsOf> = match submission {
                    Submission::Gold => days,
                    _ => days.into_iter().take(1).collect(),
                };
                let mut lacking = None;
                for day in &days {
                    self.tools.check_stop()?;
                    let built = match submission {
                        Submission::Gold => self.builder.build_as_of(&spec, &source, day),
                        _ => self.builder.build(&spec, &source),
                    };
                    let environment = match built {
                        Ok(environment) => environment,
                        Err(failure) => {
                            if let RowCause::Machine(why) = failure.cause {
                                return Err(EngineError::Machine(why));
                            }
                            let again = matches!(
                                failure.cause,
                                RowCause::Unresolvable(_)
                                    | RowCause::PackageBuild(_)
                                    | RowCause::Command(_)
                            );
                            let why = failure.to_string();
                            lacking.get_or_insert(Lacking { why, log: failure.log });
                            if again {
                                continue;
                            }
                            break;
                        }
                    };
                    let mut started = decision.clone();
                    started.environment.seconds = began.elapsed().as_secs_f64();
                    let done = self.run(&job, &environment, started)?;
                    if done.verdict.is_resolved() && matches!(submission, Submission::Gold) {
                        self.builder.remember(&spec, day)?;
                    }
                    if done.verdict.is_resolved() || done.ending == Ending::TimedOut {
                        return Ok(done);
                    }
                    first.get_or_insert(done);
                }
                match (first, lacking) {
                    // What the first day gave is what stands; its files are written again.
                    (Some(first), _) if days.len() == 1 => Ok(first),
                    (Some(first), _) => self.settle(&job, first),
                    (None, Some(lacking)) => self.without_environment(decision, &files, lacking),
                    (None, None) => self.without_environment(
                        decision,
                        &files,
                        Lacking {
                            why: "no day to take packages as of".to_owned(),
                            log: String::new(),
                        },
                    ),
                }
            }
        }
    }

    fn without_environment(
        &self,
        mut decision: Decision,
        files: &Files,
        lacking: Lacking,
    ) -> Result<Decision, EngineError> {
        if !lacking.log.is_empty() {
            disk::write_atomic(&files.build_log(), lacking.log.as_bytes())?;
        }
        decision.ending = Ending::NoEnvironment;
        decision.detail = one_line(&lacking.why);
        decision.verdict = Verdict::Invalid(InvalidReason::Environment(lacking.why));
        disk::write_json(&files.decision(), &decision)?;
        Ok(decision)
    }

    /// Runs a prediction in an environment, or finds that it was run, and judges it.
    fn run(
        &self,
        job: &Job<'_>,
        environment: &RowEnvironment,
        mut decision: Decision,
    ) -> Result<Decision, EngineError> {
        let rules = job.dialect.rules();
        let timeout = self.request.timeout.or(limit_of(job.row)).or(rules.place.timeout);
        let key = Parts {
            environment,
            bug: bug_of(job.row),
            patch: job.patch,
            script: job.script,
            command: rules.place.run,
            secret: job.dialect == Dialect::Strict,
            ladder: job.ladder,
            timeout,
            memory: self.request.memory,
        }
        .key();
        decision.environment = Surroundings {
            layers: key::layers(environment),
            as_of: environment.as_of.as_ref().map(ToString::to_string),
            notes: environment.notes.clone(),
            bytes: environment.bytes,
            seconds: decision.environment.seconds,
        };
        decision.key = Some(key.clone());
        let kept = self.tools.home().runs().join(format!("{}/{key}", &key.as_str()[..2]));
        let (mut ran, log) = match self.kept(&kept) {
            Some((ran, log)) => {
                decision.reused = true;
                (ran, log)
            }
            None => {
                let (ran, log) = self.fresh(job, environment, timeout)?;
                // How long a run takes and what room it needs depends on the machine's mood, too.
                if matches!(ran.ending, Ending::Graded | Ending::PatchRejected) {
                    disk::write_atomic(&kept.join("log"), &log)?;
                    disk::write_json(&kept.join("run.json"), &ran)?;
                }
                (ran, log)
            }
        };
        ran.log = Hash::of(&log);
        decision.take(&ran);
        disk::write_atomic(&job.files.log(), &log)?;
        if !environment.log.is_empty() {
            disk::write_atomic(&job.files.build_log(), environment.log.as_bytes())?;
        }
        disk::write_atomic(&job.files.script(), job.script.as_bytes())?;
        match job.patch {
            Some(patch) => disk::write_atomic(&job.files.patch(), patch)?,
            None => disk::write_atomic(&job.files.patch(), b"")?,
        }
        regrade::judge(job.row, decision, &log, job.files)
    }

    /// A gold patch that no day satisfied: what the first gave stands.
    fn settle(&self, job: &Job<'_>, first: Decision) -> Result<Decision, EngineError> {
        let key = first.key.as_ref().map(Hash::as_str).unwrap_or_default();
        let kept = self.tools.home().runs().join(format!("{}/{key}", &key[..2.min(key.len())]));
        match self.kept(&kept) {
            Some((_, log)) => {
                disk::write_atomic(&job.files.log(), &log)?;
                regrade::judge(job.row, first, &log, job.files)
            }
            None => Ok(first),
        }
    }

    /// A run that was done before, with its log.
    fn kept(&self, dir: &Path) -> Option<(Ran, Vec<u8>)> {
        let ran: Ran = serde_json::from_slice(&fs::read(dir.join("run.json")).ok()?).ok()?;
        let log = fs::read(dir.join("log")).ok()?;
        (Hash::of(&log) == ran.log).then_some((ran, log))
    }
}

impl Decision {
    fn take(&mut self, ran: &Ran) {
        self.ending = ran.ending;
        self.rung.clone_from(&ran.rung);
        self.exit.clone_from(&ran.exit);
        self.timed_out = ran.timed_out;
        self.secret.clone_from(&ran.secret);
        self.limits.clone_from(&ran.limits);
        self.seconds = ran.seconds;
        self.log = Some(ran.log.clone());
    }
}

fn blank(row: &Instance, dialect: Dialect, patch: Option<&[u8]>) -> Decision {
    Decision {
        instance_id: row.instance_id.to_string(),
        repo: row.repo.clone(),
        dialect,
        verdict: Verdict::Unresolved(String::new()),
        ending: Ending::Graded,
        detail: String::new(),
        key: None,
        patch: patch.map(Hash::of),
        log: None,
        parser: None,
        row: key::row(row),
        rung: None,
        exit: None,
        timed_out: None,
        secret: None,
        limits: Vec::new(),
        environment: Surroundings::default(),
        seconds: 0.0,
        reused: false,
    }
}

/// How long the tests of a row may take where its dataset says so.
fn limit_of(row: &Instance) -> Option<Duration> {
    let found = (row.kind == Kind::SweSmith).then(|| smith_profile(&row.repo, &row.base_commit));
    found.flatten().map(|profile| Duration::from_secs(profile.timeout))
}

/// The patch that makes the bug of a row, where its tree does not have it yet.
pub(crate) fn bug_of(row: &Instance) -> Option<&str> {
    row.patch.as_deref().filter(|_| row.inverted)
}

pub(crate) fn one_line(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    flat.chars().take(300).collect()
}
