//! Attempts from disk, one by one: our jobs, and what other tools leave behind.

mod atif;
mod json;
mod mini;
mod openhands;
mod r2e;
mod trial;

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use crate::card::Reason;
use crate::episode::{Episode, Origin};
use crate::error::{ExportError, Result};

/// A line that is longer is not read.
const LONGEST_LINE: u64 = 256 << 20;
/// A file that is larger is not read whole.
const LARGEST_FILE: u64 = 512 << 20;
/// How far below a directory attempts are looked for.
const DEPTH: usize = 4;

/// Where an attempt stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The directory of a trial, or a file.
    pub path: PathBuf,
    /// Where in the file its line begins, and its length in bytes.
    pub line: Option<(u64, u64)>,
    /// What is expected there.
    pub origin: Origin,
}

/// Why an attempt could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The kind of failure, which is counted.
    pub reason: Reason,
    /// What was wrong.
    pub what: String,
}

impl Refused {
    pub(crate) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self { reason: Reason::Corrupt, what: what.to_string() }
    }

    pub(crate) fn foreign(what: impl std::fmt::Display) -> Self {
        Self { reason: Reason::UnknownForm, what: what.to_string() }
    }
}

/// Finds the attempts below a path and calls `found` for each, in the order of their names. Nothing
/// is read of them yet but the beginnings of lines.
///
/// # Errors
/// The path cannot be read, or nothing below it is in a form that is known.
pub fn find(path: &Path, found: &mut dyn FnMut(Result<Place, Refused>)) -> Result<()> {
    let mut count = 0u64;
    let mut counted = |place: Result<Place, Refused>| {
        count += 1;
        found(place);
    };
    if path.is_dir() {
        below(path, 0, &mut counted)?;
    } else {
        file(path, true, &mut counted)?;
    }
    if count == 0 {
        return Err(ExportError::NoAttempts {
            path: path.to_owned(),
            why: "neither a job of palestra or Harbor, nor *.traj.json of mini-swe-agent, nor \
                  lines of R2E-Gym or OpenHands"
                .to_owned(),
        });
    }
    Ok(())
}

fn below(dir: &Path, depth: usize, found: &mut dyn FnMut(Result<Place, Refused>)) -> Result<()> {
    if let Some(origin) = trial::is_trial(dir) {
        found(Ok(Place { path: dir.to_owned(), line: None, origin }));
        return Ok(());
    }
    if depth > DEPTH {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // A link could lead round in a circle.
        if !hidden && !entry.file_type()?.is_symlink() {
            names.push(entry.path());
        }
    }
    names.sort();
    for path in names {
        if path.is_dir() {
            below(&path, depth + 1, found)?;
        } else {
            file(&path, false, found)?;
        }
    }
    Ok(())
}

/// A file that holds attempts. One that was not `named` is looked into only if its name says so.
fn file(path: &Path, named: bool, found: &mut dyn FnMut(Result<Place, Refused>)) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.ends_with(".traj.json") || named && name.ends_with(".json") {
        found(Ok(Place { path: path.to_owned(), line: None, origin: Origin::MiniSweAgent }));
        return Ok(());
    }
    let ours = ["ledger.jsonl", "calls.jsonl", "trace.jsonl"].contains(&&*name);
    if !name.ends_with(".jsonl") || ours {
        return Ok(());
    }
    let mut reader = BufReader::with_capacity(1 << 20, fs::File::open(path)?);
    let mut at = 0u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(());
        }
        let start = at;
        at += read;
        let where_ = || format!("{} at byte {start}", path.display());
        if read == LONGEST_LINE && line.last() != Some(&b'\n') {
            found(Err(Refused::corrupt(format!("{}: the line is too long", where_()))));
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match kind_of_line(&line) {
            Some(origin) => {
                found(Ok(Place { path: path.to_owned(), line: Some((start, read)), origin }));
            }
            None if serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_err() => {
                found(Err(Refused::corrupt(format!("{}: no JSON, or cut off", where_()))));
            }
            None if named => {
                found(Err(Refused::foreign(format!("{}: no form that is known", where_()))));
            }
            // Some other tool's file in a directory of jobs.
            None => return Ok(()),
        }
    }
}

/// What wrote a line, by the names of its fields at the top.
fn kind_of_line(line: &[u8]) -> Option<Origin> {
    #[derive(serde::Deserialize)]
    struct Peek {
        trajectory_steps: Option<serde::de::IgnoredAny>,
        history: Option<serde::de::IgnoredAny>,
        instance_id: Option<serde::de::IgnoredAny>,
    }
    let peek: Peek = serde_json::from_slice(line).ok()?;
    match peek {
        Peek { trajectory_steps: Some(_), .. } => Some(Origin::R2eGym),
        Peek { history: Some(_), instance_id: Some(_), .. } => Some(Origin::OpenHands),
        _ => None,
    }
}

/// Reads one attempt.
pub fn read(place: &Place) -> Result<Episode, Refused> {
    match place.origin {
        Origin::Palestra => trial::own(&place.path),
        Origin::Harbor => trial::harbor(&place.path),
        Origin::MiniSweAgent => mini::read(&whole(&place.path)?, &place.path),
        Origin::R2eGym => r2e::read(&line(place)?),
        Origin::OpenHands => openhands::read(&line(place)?),
    }
}

fn whole(path: &Path) -> Result<Value, Refused> {
    let bytes = bytes(path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Refused::corrupt(format!("{}: {error}", path.display())))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Refused> {
    let size = fs::metadata(path).map_err(Refused::corrupt)?.len();
    if size > LARGEST_FILE {
        return Err(Refused::corrupt(format!("{}: {size} bytes are too many", path.display())));
    }
    fs::read(path).map_err(Refused::corrupt)
}

fn line(place: &Place) -> Result<Value, Refused> {
    let (start, length) = place.line.unwrap_or_default();
    let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
    let read = fs::File::open(&place.path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut text)
    });
    read.map_err(Refused::corrupt)?;
    serde_json::from_slice(&text).map_err(|error| {
        Refused::corrupt(format!("{} at byte {start}: {error}", place.path.display()))
    })
}
