//! `palestra build` and `palestra gate`: the stages on a directory that exists.

use palestra_engine::EngineError;
use palestra_engine::curate::{self, Order, Until};
use palestra_engine::dataset::Dataset;
use palestra_engine::regate;
use palestra_engine::shop::{Shop, Tools};
use palestra_engine::synth::Author;
use palestra_git::Repo;

use crate::args::{Cli, Gate, Stage};
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

pub(crate) fn build(cli: &Cli, args: &Stage) -> Result<Code, CliError> {
    stage(cli, args, Until::Build)
}

pub(crate) fn gate(cli: &Cli, args: &Gate) -> Result<Code, CliError> {
    if !args.rerun {
        return stage(cli, &args.stage, Until::Gate);
    }
    let progress = Progress::new(cli.quiet);
    let dataset = Dataset::open(&args.stage.dir, None)?;
    let tools = Tools::open(context::surroundings(cli)?)?;
    let jobs = context::jobs(args.stage.jobs);
    let seen = regate::regate(&tools, &dataset, jobs, palestra_engine::shop::limits(), &progress);
    progress.done();
    let seen = seen?;
    if cli.json {
        let mut json = serde_json::to_string_pretty(&seen).map_err(std::io::Error::other)?;
        json.push('\n');
        result(&json)?;
    } else {
        let mut text = format!(
            "\n{} tasks: {} gold resolved, {} resolved without the fix, {:.1} s\n",
            seen.tasks, seen.gold_resolved, seen.empty_resolved, seen.seconds
        );
        for (task, why) in &seen.broken {
            text.push_str(&format!("  {task}: {why}\n"));
        }
        result(&text)?;
    }
    Ok(if seen.broken.is_empty() { Code::Done } else { Code::Found })
}

fn stage(cli: &Cli, args: &Stage, until: Until) -> Result<Code, CliError> {
    let progress = Progress::new(cli.quiet);
    let dataset = Dataset::open(&args.dir, None)?;
    let plan = dataset.plan()?;
    let (mined, summary) = curate::mined(&dataset)?;
    let candidates = curate::candidates(mined, args.limit);
    let surroundings = context::surroundings(cli)?;
    let repo = Repo::open(&plan.source, &surroundings.home.repositories())
        .map_err(EngineError::from)?
        .with_name(plan.repository.clone());
    let shop = Shop::new(Tools::open(surroundings)?, repo);
    let order =
        Order { candidates: &candidates, summary: &summary, until, jobs: context::jobs(args.jobs) };
    let report = curate::work(&shop, &dataset, &order, &Author::nobody(), &progress);
    progress.done();
    super::curate::show(cli, &report?, &args.dir)?;
    Ok(Code::Done)
}
