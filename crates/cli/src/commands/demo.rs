//! `palestra demo`.

use std::path::PathBuf;

use palestra_engine::demo;
use palestra_engine::report::YieldReport;

use crate::args::{Cli, Demo, Selection};
use crate::commands::curate;
use crate::context;
use crate::outcome::{CliError, Code};
use crate::progress::{Progress, result};

pub(crate) fn run(cli: &Cli, args: &Demo) -> Result<Code, CliError> {
    let (report, tasks) = make(cli, args)?;
    curate::show(cli, &report, &tasks)?;
    if !cli.json {
        let first = std::fs::read_dir(&tasks)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("task.toml").is_file())
            .min();
        if let Some(task) = first {
            let statement = std::fs::read_to_string(task.join("instruction.md"))?;
            let indented: String = statement.lines().map(|line| format!("    {line}\n")).collect();
            result(&format!(
                "\n  one of them, {}/instruction.md:\n\n{indented}\n",
                task.display()
            ))?;
        }
    }
    Ok(if report.tasks > 0 { Code::Done } else { Code::Found })
}

/// Makes the tasks, without showing them.
pub(crate) fn make(cli: &Cli, args: &Demo) -> Result<(YieldReport, PathBuf), CliError> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => std::env::temp_dir().join(format!("palestra-demo-{}", std::process::id())),
    };
    let repository = out.join("repository");
    let tasks = out.join("tasks");
    if !repository.join(".git").exists() {
        demo::unpack(&repository)?;
    }
    let selection = Selection {
        since: None,
        until: None,
        limit: None,
        name: Some("demo/tinytab".to_owned()),
        preset: "wide".to_owned(),
    };
    let progress = Progress::new(cli.quiet);
    let source = repository.to_string_lossy().into_owned();
    let report = curate::curate(cli, &source, &tasks, &selection, context::jobs(None), &progress);
    progress.done();
    Ok((report?, tasks))
}
