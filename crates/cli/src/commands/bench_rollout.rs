//! `palestra bench rollout`: many agents at a time against a model that plays a script.
//!
//! The model is a process of its own, so that what it takes is not counted.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use palestra_engine::rollout::{self, Job, JobPlan, Request, Variant, tasks_below};
use palestra_engine::shop::{self, Tools};
use palestra_grade::GradeOptions;
use palestra_model::scripted::{Say, ScriptedOptions, ScriptedServer};
use palestra_model::{Api, Client, ClientConfig, Model, Role, Sampling};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use serde_json::{Map, json};

use crate::args::{BenchRollout, Cli, Demo};
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, note, result};

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    /// Attempts, all of them at a time.
    episodes: u64,
    /// Calls of the model in all.
    steps: u64,
    /// Milliseconds that the model waits before it answers.
    latency_ms: u64,
    /// Wall seconds, sandboxes made and removed included.
    seconds: f64,
    /// Calls of the model each second.
    steps_per_second: f64,
    /// Attempts that did not come to their end as they should have.
    lost: u64,
    /// Most memory of this process, less what it had before, by episode: KiB.
    memory_kib_per_episode: f64,
    /// Time of processors of this process, by step: milliseconds.
    cpu_ms_per_step: f64,
    /// Cores of this machine.
    cores: usize,
}

pub(crate) fn run(cli: &Cli, args: &BenchRollout) -> Result<Code, CliError> {
    let dir = tempfile::tempdir()?;
    let tell = |what: &str| {
        if !cli.quiet && !cli.json {
            note(what);
        }
    };
    let tasks = match &args.path {
        Some(path) => path.clone(),
        None => {
            tell("making tasks");
            let out = dir.path().join("demo");
            super::demo::make(cli, &Demo { out: Some(out.clone()) })?;
            out.join("tasks")
        }
    };
    raise_files()?;
    let mut model = Server::start(args.steps, args.latency)?;
    tell(&format!("{} attempts of {} steps at a time", args.episodes, args.steps));
    let measured = measure(cli, args, &tasks, dir.path(), &model.url);
    model.stop();
    let measured = measured?;
    if cli.json {
        let json = serde_json::to_string_pretty(&measured).map_err(std::io::Error::other)?;
        result(&format!("{json}\n"))?;
    } else {
        result(&format!(
            "{} attempts at a time, {} calls of a model with {} ms latency, {} cores\n\
             \x20 {:.1} s, {:.0} steps a second\n\
             \x20 {:.0} KiB of this process for each live attempt\n\
             \x20 {:.3} ms of processor time of this process for each step\n\
             \x20 {} lost\n",
            measured.episodes,
            measured.steps,
            measured.latency_ms,
            measured.cores,
            measured.seconds,
            measured.steps_per_second,
            measured.memory_kib_per_episode,
            measured.cpu_ms_per_step,
            measured.lost
        ))?;
    }
    Ok(if measured.lost > 0 { Code::Found } else { Code::Done })
}

fn measure(
    cli: &Cli,
    args: &BenchRollout,
    tasks: &Path,
    dir: &Path,
    url: &str,
) -> Result<Measured, CliError> {
    let options = Map::new();
    let agent = palestra_agent::agent(&args.agent, &options)
        .map_err(|error| CliError::usage(error.to_string()))?;
    let variant = Variant {
        agent: args.agent.clone(),
        options,
        model: Some("scripted".to_owned()),
        sampling: Sampling::default(),
        replays: None,
    };
    let tasks = tasks_below(tasks)?;
    let attempts = args.episodes.div_ceil(tasks.len());
    let mut plan = JobPlan::new(tasks, vec![variant], u32::try_from(attempts).unwrap_or(u32::MAX));
    plan.grade = false;
    plan.limits.steps = args.steps as u32 + 5;
    let job = Job::create(&dir.join("job"), plan)?;
    let tools = Tools::open(context::surroundings(cli)?)?;
    let client = Client::new(ClientConfig::new(Api::Chat, url))
        .map_err(|error| CliError::usage(error.to_string()))?;
    let model: Arc<dyn Model> = Arc::new(client);
    let request = Request {
        agents: vec![agent],
        models: vec![model],
        concurrency: args.episodes,
        grading: 1,
        retries: 0,
        run_limits: shop::limits(),
        options: GradeOptions::default(),
        critic: palestra_verify::critic::Critic::built_in()
            .map_err(|error| super::rank::wrong(&error))?,
    };
    let progress = Progress::new(true);
    let before = resident();
    let cpu = processor();
    let (most, over) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
    let watcher = {
        let (most, over) = (Arc::clone(&most), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(resident(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        })
    };
    let begin = Instant::now();
    let report = rollout::run(&tools, &job, &request, &progress);
    let seconds = begin.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let _ = watcher.join();
    let report = report?;
    let cpu = (processor() - cpu).as_secs_f64() * 1000.0;
    let variant = &report.variants[0];
    let submitted = variant.exits.get("submitted").copied().unwrap_or(0);
    let steps = variant.steps.max(1);
    let most = most.load(Ordering::Relaxed).saturating_sub(before);
    Ok(Measured {
        episodes: report.over,
        steps: variant.steps,
        latency_ms: args.latency,
        seconds,
        steps_per_second: variant.steps as f64 / seconds,
        lost: report.planned - submitted,
        memory_kib_per_episode: most as f64 / 1024.0 / report.over.max(1) as f64,
        cpu_ms_per_step: cpu / steps as f64,
        cores: context::jobs(None),
    })
}

/// `palestra bench scripted-model`: serves until its input ends.
pub(crate) fn serve(steps: usize, latency: u64) -> Result<Code, CliError> {
    raise_files()?;
    let script = move |request: &palestra_model::Request| {
        let said = request.messages.iter().filter(|one| one.role == Role::Assistant).count();
        let say = if said + 1 < steps {
            let command = format!("echo step {said}; pwd; ls");
            Say::call("bash", json!({ "command": command }).to_string())
        } else {
            Say::call("submit", "{}")
        };
        say.thinking("Let me look at the next thing, as one does.").into()
    };
    let latency = Duration::from_millis(latency);
    let options = ScriptedOptions { latency, ..ScriptedOptions::default() };
    let server = ScriptedServer::start(script, options)?;
    result(&format!("{}\n", server.url()))?;
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line)? > 0 {}
    Ok(Code::Done)
}

/// The scripted model in a process of its own.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(steps: usize, latency: u64) -> Result<Self, CliError> {
        let program: PathBuf = std::env::current_exe()?;
        let mut child = Command::new(program)
            .args(["bench", "scripted-model", "--steps", &steps.to_string()])
            .args(["--latency", &latency.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut url)?;
        }
        if url.trim().is_empty() {
            let _ = child.kill();
            let _ = child.wait();
            let why = std::io::Error::other("the scripted model did not start");
            return Err(why.into());
        }
        Ok(Self { child, url: url.trim().to_owned() })
    }

    fn stop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// As many open files as this process may have: every attempt has some.
fn raise_files() -> Result<(), CliError> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    Ok(setrlimit(Resource::Nofile, most).map_err(std::io::Error::from)?)
}

/// Bytes of memory that this process has now.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Time of processors that this process, without its children, has taken; in steps of 10 ms.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may have spaces. User and system time are fields 14 and 15.
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
