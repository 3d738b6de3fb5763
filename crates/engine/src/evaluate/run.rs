//! A run: patch in, log out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use palestra_build::rows::RowEnvironment;
use palestra_core::Hash;
use palestra_dataset::Instance;
use palestra_dialect::markers::Markers;
use palestra_dialect::{Applied, Dialect, Fill, Ladder, smith_test_files};
use palestra_sandbox::{Exec, FileOp, Limit, Limits, Outcome, Sandbox, Writable};

use super::attempt::bug_of;
use super::outcome::Ending;
use super::{Files, Work};
use crate::error::EngineError;

/// Bytes of a log that are kept.
const LOG: usize = 64 << 20;
/// How long a command that applies a patch may take.
const APPLY: Duration = Duration::from_secs(300);
/// The limit on tests where neither the dialect nor the user knows one.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

/// What is to be run.
pub(crate) struct Job<'a> {
    pub(crate) row: &'a Instance,
    pub(crate) dialect: Dialect,
    pub(crate) patch: Option<&'a [u8]>,
    pub(crate) script: &'a str,
    pub(crate) ladder: &'a Ladder,
    pub(crate) files: &'a Files,
}

/// How a run went, apart from its log.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ran {
    pub(crate) ending: Ending,
    pub(crate) rung: Option<String>,
    pub(crate) exit: Option<String>,
    pub(crate) timed_out: Option<u64>,
    pub(crate) limits: Vec<String>,
    /// The word in the markers of a strict run. It is no secret any more.
    pub(crate) secret: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) log: Hash,
}

/// A word that nobody can know before the run.
fn secret() -> Result<String, EngineError> {
    use std::io::Read;
    let mut bytes = [0u8; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Default for Ran {
    fn default() -> Self {
        Self {
            ending: Ending::Graded,
            rung: None,
            exit: None,
            timed_out: None,
            limits: Vec::new(),
            secret: None,
            seconds: 0.0,
            log: Hash::of(b""),
        }
    }
}

impl Work<'_> {
    /// Runs a prediction in a fresh sandbox.
    pub(crate) fn fresh(
        &self,
        job: &Job<'_>,
        environment: &RowEnvironment,
        timeout: Option<Duration>,
    ) -> Result<(Ran, Vec<u8>), EngineError> {
        let begin = Instant::now();
        let place = &job.dialect.rules().place;
        let mut wanted = environment.sandbox();
        wanted.writable = Writable::Disk;
        wanted.limits =
            Limits { memory: self.request.memory, processes: 4096, ..Limits::default() };
        let sandbox = self.tools.host.create(&wanted)?;
        let mut ran = Ran::default();
        let workdir = environment.workdir.as_str();
        if let Some(bug) = bug_of(job.row)
            && let Some(said) = plant(&sandbox, workdir, bug)?
        {
            ran.ending = Ending::NoEnvironment;
            ran.seconds = begin.elapsed().as_secs_f64();
            ran.log = Hash::of(&said);
            sandbox.destroy()?;
            return Ok((ran, said));
        }
        if let Some(patch) = job.patch {
            sandbox.apply(&[write(place.patch, patch)])?;
            let (applied, said) = climb(&sandbox, job, workdir, place.patch)?;
            if applied.is_none() && !job.ladder.rungs.is_empty() {
                ran.ending = Ending::PatchRejected;
                ran.seconds = begin.elapsed().as_secs_f64();
                ran.log = Hash::of(&said);
                sandbox.destroy()?;
                return Ok((ran, said));
            }
            ran.rung = applied.map(|applied| match applied {
                Applied::Rung(at) => at.to_string(),
                Applied::Already => "already".to_owned(),
            });
            if job.row.inverted {
                put_tests_back(&sandbox, job.row, workdir)?;
            }
        }
        // What a test can print, it can print before the run. Not so a word that is new each time.
        let script = match job.dialect {
            Dialect::Strict => {
                let secret = secret()?;
                let script = Markers::with_secret(&secret).put_into(job.script);
                ran.secret = Some(secret);
                script
            }
            _ => job.script.to_owned(),
        };
        let mut command: Vec<String> = place.run.iter().map(|word| (*word).to_owned()).collect();
        match (job.dialect, command.last()) {
            (Dialect::SweRebenchV2, _) => {
                let tests = job.row.test_patch.as_deref().unwrap_or_default();
                let folder = Path::new(place.patch).parent().unwrap_or(Path::new("/"));
                let tests =
                    write(&folder.join("test_patch.diff").to_string_lossy(), tests.as_bytes());
                sandbox.apply(&[tests])?;
                command.push(script);
            }
            (Dialect::R2eGym, _) => {}
            (_, Some(path)) => {
                sandbox.apply(&[write(path, script.as_bytes())])?;
            }
            (_, None) => {}
        }
        let mut argv = vec!["/bin/bash", "-c", "exec \"$@\" 2>&1", "-"];
        argv.extend(command.iter().map(String::as_str));
        let limit = timeout.unwrap_or(LONGEST);
        let mut tests = Exec::new(argv).cwd(workdir).timeout(limit);
        tests.output_limit = LOG;
        let result = sandbox.exec(&tests)?;
        let mut log = result.stdout.bytes;
        ran.ending = match result.outcome {
            Outcome::TimedOut => Ending::TimedOut,
            Outcome::OutOfMemory => Ending::OutOfMemory,
            Outcome::OutOfDisk => Ending::OutOfDisk,
            _ => Ending::Graded,
        };
        if ran.ending == Ending::TimedOut {
            ran.timed_out = Some(limit.as_secs());
            log.extend(format!("\n\nTimeout error: {} seconds exceeded.", limit.as_secs()).bytes());
        }
        ran.exit = Some(format!("{:?}", result.outcome));
        ran.limits = result.limits.iter().map(|limit: &Limit| format!("{limit:?}")).collect();
        sandbox.destroy()?;
        ran.seconds = begin.elapsed().as_secs_f64();
        ran.log = Hash::of(&log);
        Ok((ran, log))
    }
}

/// Makes the bug of a row and commits it, as its branch has it; what was said where that fails.
fn plant(sandbox: &Sandbox, workdir: &str, bug: &str) -> Result<Option<Vec<u8>>, EngineError> {
    const BUG: &str = "/tmp/bug.diff";
    sandbox.apply(&[write(BUG, bug.as_bytes())])?;
    let identity = ["-c", "user.name=palestra", "-c", "user.email=palestra@localhost"];
    let apply = ["git", "apply", "--index", "--whitespace=nowarn", BUG];
    let commit = ["commit", "--quiet", "--no-verify", "--message", "bug"];
    let commit = [&["git"][..], &identity, &commit].concat();
    for argv in [&apply[..], &commit] {
        let result = sandbox.exec(&Exec::new(argv).cwd(workdir).timeout(APPLY))?;
        if !result.outcome.success() {
            let mut said =
                b"the patch that makes the bug does not apply to the base commit:\n".to_vec();
            said.extend(&result.stdout.bytes);
            said.extend(&result.stderr.bytes);
            return Ok(Some(said));
        }
    }
    Ok(None)
}

/// Takes back what a patch did to the files of the row's tests. As in SWE-smith one file that git
/// does not know spares them all.
fn put_tests_back(sandbox: &Sandbox, row: &Instance, workdir: &str) -> Result<(), EngineError> {
    let files = smith_test_files(&row.fail_to_pass, &row.pass_to_pass);
    if !files.is_empty() {
        let argv = ["git", "checkout", "--"].into_iter().chain(files);
        sandbox.exec(&Exec::new(argv).cwd(workdir).timeout(APPLY))?;
    }
    Ok(())
}

/// Goes up the ladder; what its commands said is the log where none of them took the patch.
fn climb(
    sandbox: &Sandbox,
    job: &Job<'_>,
    workdir: &str,
    patch: &str,
) -> Result<(Option<Applied>, Vec<u8>), EngineError> {
    let mut said = Vec::new();
    let touched = touched(job.patch.unwrap_or_default());
    let fill = Fill { patch, base: &job.row.base_commit, files: &touched };
    let climb = job.ladder.climb(&fill, |argv| -> Result<i32, EngineError> {
        let result = match sandbox.exec(&Exec::new(argv).cwd(workdir).timeout(APPLY)) {
            Ok(result) => result,
            // A program that is not there takes no patch.
            Err(palestra_sandbox::SandboxError::CannotRun { .. }) => return Ok(127),
            Err(error) => return Err(error.into()),
        };
        said.extend(format!("$ {}\n", argv.join(" ")).bytes());
        said.extend(&result.stdout.bytes);
        said.extend(&result.stderr.bytes);
        Ok(match result.outcome {
            Outcome::Exited(code) => code,
            _ => 128,
        })
    })?;
    Ok((climb.applied, said))
}

/// The paths that a patch names as changed.
fn touched(patch: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(patch);
    let lines = text.lines().filter_map(|line| line.strip_prefix("+++ b/"));
    lines.map(|path| path.split('\t').next().unwrap_or(path).to_owned()).collect()
}

fn write(path: &str, bytes: &[u8]) -> FileOp {
    FileOp::Write { path: PathBuf::from(path), mode: 0o644, bytes: bytes.to_vec() }
}
