//! Prints bugs for the Python files below a directory, one JSON object a line: nothing is run, so
//! whether a test would see them is not known.
//!
//! ```text
//! cargo run -p palestra-mutate --example bugs -- DIR [SEED [PER_ENTITY [LIKELIHOOD [KINDS...]]]] > bugs.jsonl
//! ```
//!
//! A likelihood of 0.01 changes hardly ever more than one place of a function or class.
//!
//! `edits` are relative to the file as it is: the bytes from `start` up to `end` become
//! `replacement`.

use std::error::Error;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use palestra_mutate::{Bug, InjectOptions, Source, inject};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let root =
        arguments.next().ok_or("usage: bugs DIR [SEED [PER_ENTITY [LIKELIHOOD [KINDS...]]]]")?;
    let mut options = InjectOptions::default();
    if let Some(seed) = arguments.next() {
        options.seed = seed.parse()?;
    }
    if let Some(count) = arguments.next() {
        options.per_entity = count.parse()?;
    }
    if let Some(likelihood) = arguments.next() {
        options.likelihood = Some(likelihood.parse()?);
    }
    let kinds = arguments.map(|kind| kind.parse()).collect::<Result<Vec<_>, _>>()?;
    if !kinds.is_empty() {
        options.modifiers = kinds;
    }
    let mut paths = Vec::new();
    collect(Path::new(&root), &mut paths)?;
    paths.sort();
    let mut out = BufWriter::new(std::io::stdout().lock());
    // One file at a time, so that a large tree needs no memory. Bugs do not depend on other files.
    for path in paths {
        let content = fs::read(&path)?;
        let name = path.strip_prefix(&root)?.to_string_lossy();
        let source = Source { path: &name, content: &content, executable: false };
        let (bugs, problems) = inject(&[source], &options);
        for problem in problems {
            writeln!(std::io::stderr(), "{}: {}", problem.path, problem.what)?;
        }
        for bug in &bugs {
            write_bug(&mut out, bug)?;
        }
    }
    Ok(out.flush()?)
}

/// Every `*.py` below a directory, without what is hidden and without links.
fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            collect(&path, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "py") {
            found.push(path);
        }
    }
    Ok(())
}

fn write_bug(out: &mut impl std::io::Write, bug: &Bug) -> std::io::Result<()> {
    let Some(entity) = bug.entities.first() else { return Ok(()) };
    let modifiers: Vec<String> = bug.modifiers.iter().map(ToString::to_string).collect();
    write!(
        out,
        r#"{{"id":{},"modifier":{},"path":{},"entity":{},"line":{},"edits":["#,
        Json(&bug.id),
        Json(&modifiers.join(" ")),
        Json(&entity.path),
        Json(&entity.name),
        entity.line
    )?;
    for (at, edit) in bug.edits.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let text = String::from_utf8_lossy(&edit.replacement);
        let (start, end) = (edit.start, edit.end);
        write!(out, r#"{comma}{{"start":{start},"end":{end},"replacement":{}}}"#, Json(&text))?;
    }
    writeln!(out, "]}}")
}

/// A text as a JSON string.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(out, "\\{c}")?,
                c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c))?,
                c => write!(out, "{c}")?,
            }
        }
        out.write_str("\"")
    }
}
