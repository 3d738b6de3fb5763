//! `search`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use palestra_sandbox::Outcome;
use serde_json::Value;

use crate::agent::AgentError;
use crate::clip::shown;
use crate::editor::{Fault, Found, look};
use crate::hands::Hands;
use crate::scaffold::{Call, Observed};

/// More files are not listed.
const FILES: usize = 100;

/// Carries out a call.
pub(super) fn act(
    hands: &mut Hands,
    call: &Call,
    python_only: bool,
) -> Result<Observed, AgentError> {
    let term = call.text("search_term").unwrap_or_default();
    let python = call.arguments.get("python_only").and_then(Value::as_bool).unwrap_or(python_only);
    let path = plain(&hands.absolute(call.text("path").unwrap_or(".")));
    if term.contains('\0') || term.len() > 100_000 || path.as_os_str().as_bytes().contains(&0) {
        return Ok(Observed::refusal("the term or the path holds a NUL byte, or is too long\n"));
    }
    let found = match look(&hands.sandbox, &path) {
        Err(Fault::Sandbox(error)) => return Err(error.into()),
        found => found,
    };
    let name = path.to_string_lossy().into_owned();
    let text = match found {
        Ok(Found::Nothing) => format!("Directory '{name}' not found or not a directory."),
        Ok(Found::Directory) => directory(hands, term, &name, python)?,
        Ok(Found::File(_)) | Err(_) => file(hands, term, &name)?,
    };
    Ok(Observed::answer(hands.bounded(&format!("{text}\n"))))
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

fn file(hands: &Hands, term: &str, name: &str) -> Result<String, AgentError> {
    let result = hands.program(&["grep", "-n", "-e", term, "--", name], Path::new("/"))?;
    Ok(match result.outcome {
        Outcome::Exited(0) => {
            let (text, _) = shown(&result.stdout.bytes);
            format!("Matches for \"{term}\" in {name}:\n{}", text.trim())
        }
        Outcome::Exited(1) => format!("No matches found for \"{term}\" in {name}"),
        _ => format!("Error executing grep:\n{}", shown(&result.stderr.bytes).0),
    })
}

fn directory(hands: &Hands, term: &str, name: &str, python: bool) -> Result<String, AgentError> {
    let mut argv = vec!["grep", "-rcIF", "--exclude-dir=.?*", "--exclude=.?*"];
    argv.extend(python.then_some("--include=*.py"));
    argv.extend(["-e", term, "--", name]);
    let result = hands.program(&argv, Path::new("/"))?;
    let (text, _) = shown(&result.stdout.bytes);
    let mut counts: Vec<(String, u64)> = text
        .lines()
        .filter_map(|line| {
            let (file, count) = line.rsplit_once(':')?;
            let count = count.parse().ok().filter(|count| *count > 0)?;
            Some((relative(hands, file), count))
        })
        .collect();
    counts.sort_unstable();
    if counts.is_empty() {
        return Ok(format!("No matches found for \"{term}\" in {name}"));
    }
    if counts.len() > FILES {
        let files = counts.len();
        return Ok(format!(
            "More than {files} files matched for \"{term}\" in {name}. Please narrow your search."
        ));
    }
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let mut out = format!("Found {total} matches for \"{term}\" in {name}:\n");
    for (file, count) in counts {
        out.push_str(&format!("{file} ({count} matches)\n"));
    }
    out.push_str(&format!("End of matches for \"{term}\" in {name}"));
    Ok(out)
}

/// A path as seen from the repository.
fn relative(hands: &Hands, file: &str) -> String {
    match Path::new(file).strip_prefix(&hands.assignment.directory) {
        Ok(below) => format!("./{}", below.display()),
        Err(_) => file.to_owned(),
    }
}
