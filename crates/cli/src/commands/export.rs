//! `palestra export`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use palestra_export::{ExportError, ExportRequest, Progress, Verdicts, export};

use crate::args::Cli;
use crate::args_export::Export;
use crate::outcome::{CliError, Code};
use crate::progress::{note, result};

/// How often something is said of a long export.
const EVERY: Duration = Duration::from_secs(5);

pub(crate) fn run(cli: &Cli, args: &Export) -> Result<Code, CliError> {
    let request = request(args)?;
    let said = Cell::new(Instant::now());
    let mut progress = |progress: Progress| {
        if cli.quiet || said.get().elapsed() < EVERY {
            return;
        }
        said.set(Instant::now());
        note(&match progress {
            Progress::Looked(count) => format!("{count} attempts looked at"),
            Progress::Chosen(count) => format!("{count} attempts chosen"),
            Progress::Written(count) => format!("{count} attempts written"),
        });
    };
    let card = export(&args.jobs, &request, &args.out, &mut progress).map_err(failed)?;
    if cli.json {
        let json = serde_json::to_string_pretty(&card).map_err(std::io::Error::other)?;
        result(&format!("{json}\n"))?;
    } else {
        result(&card.markdown())?;
    }
    Ok(Code::Done)
}

fn failed(error: ExportError) -> CliError {
    match error {
        ExportError::Io(error) => CliError::Io(error),
        ExportError::Nothing(_) | ExportError::NoAttempts { .. } => {
            CliError::Nothing(error.to_string())
        }
        other => CliError::usage(other.to_string()),
    }
}

/// What stands in the file, and what is on the command line, which counts more.
fn request(args: &Export) -> Result<ExportRequest, CliError> {
    let mut table = match &args.config {
        None => toml::Table::new(),
        Some(path) => fs_err::read_to_string(path)?
            .parse()
            .map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?,
    };
    let name = args.out.file_name().map(|name| name.to_string_lossy().into_owned());
    if let Some(name) = args.name.clone().or(name.filter(|_| !table.contains_key("name"))) {
        table.insert("name".to_owned(), name.into());
    }
    for (key, value) in [("target", &args.target), ("form", &args.form), ("file", &args.file)] {
        if let Some(value) = value {
            table.insert(key.to_owned(), value.clone().into());
        }
    }
    if !table.contains_key("target") {
        return Err(CliError::usage("say who is to read it: --for trl, hub, verl, …"));
    }
    let text = toml::to_string(&table).unwrap_or_default();
    let mut request: ExportRequest =
        toml::from_str(&text).map_err(|error| CliError::usage(error.message().to_owned()))?;
    if args.all {
        request.selection.verdicts = Verdicts::Both;
    }
    request.selection.per_task = args.per_task.or(request.selection.per_task);
    request.selection.seed = args.seed.unwrap_or(request.selection.seed);
    request.tokenizer = args.tokenizer.clone().or(request.tokenizer);
    request.context = args.context.or(request.context);
    request.check().map_err(failed)?;
    Ok(request)
}
