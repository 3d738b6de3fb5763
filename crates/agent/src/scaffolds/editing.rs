//! Views of files and directories, and what is said of edits, for our own scaffold.

use std::path::Path;

use crate::agent::AgentError;
use crate::clip::shown;
use crate::editor::{Edited, Fault, Found, Hint, Insertion, Refused, is_binary, look};
use crate::hands::Hands;
use crate::scaffold::{Call, Observed};

/// Lines shown around an edit.
const AROUND: usize = 4;
/// More lines of an edit are not shown.
const SHOWN: usize = 60;

/// Carries out a call of the tool `edit`.
pub(crate) fn act(hands: &mut Hands, call: &Call) -> Result<Observed, AgentError> {
    let path = hands.absolute(call.text("path").unwrap_or_default());
    let command = call.text("command").unwrap_or_default();
    let need = |name: &str| {
        call.text(name).ok_or_else(|| {
            Observed::refusal(format!("the command `{command}` needs the parameter `{name}`"))
        })
    };
    let result = match command {
        "view" => view(hands, &path, call.range("view_range")),
        "create" => match need("file_text") {
            Ok(text) => create(hands, &path, text),
            Err(refusal) => return Ok(refusal),
        },
        "str_replace" => match need("old_str") {
            Ok(old) => replace(hands, &path, old, call.text("new_str").unwrap_or_default()),
            Err(refusal) => return Ok(refusal),
        },
        "insert" => match (need("new_str"), call.integer("insert_line")) {
            (Ok(text), Some(line)) => insert(hands, &path, line, text),
            (Err(refusal), _) => return Ok(refusal),
            (Ok(_), None) => {
                let why = "the command `insert` needs the parameter `insert_line`";
                return Ok(Observed::refusal(why));
            }
        },
        "undo_edit" => undo(hands, &path),
        other => return Ok(Observed::refusal(format!("there is no command `{other}`"))),
    };
    match result {
        Ok(text) => Ok(Observed::answer(hands.bounded(&text))),
        Err(Fault::Refused(why)) => Ok(Observed::refusal(told(&path, &why))),
        Err(Fault::Sandbox(error)) => Err(error.into()),
    }
}

type Result<T, E = Fault> = std::result::Result<T, E>;

fn view(hands: &Hands, path: &Path, range: Option<Option<(i64, i64)>>) -> Result<String> {
    let content = match look(&hands.sandbox, path)? {
        Found::Nothing => return Err(Refused::Missing.into()),
        Found::Directory => return directory(hands, path),
        Found::File(content) => content,
    };
    if is_binary(&content) {
        return Err(Refused::Binary.into());
    }
    let (text, note) = shown(&content);
    let count = text.lines().count();
    let (from, to) = match range {
        None => (1, count),
        Some(range) => {
            let (from, to) = range.ok_or(Refused::Line(count))?;
            let to = if to == -1 { count as i64 } else { to };
            match (usize::try_from(from), usize::try_from(to)) {
                (Ok(from), Ok(to)) if from >= 1 && from <= to && from <= count.max(1) => {
                    (from, to.min(count))
                }
                _ => return Err(Refused::Line(count).into()),
            }
        }
    };
    let mut out = format!("{} has {count} lines", path.display());
    if (from, to) != (1, count) {
        out.push_str(&format!("; these are {from} to {to}"));
    }
    out.push_str(":\n");
    numbered(&mut out, &text, from, to);
    if !content.is_empty() && !content.ends_with(b"\n") && to == count {
        out.push_str("[no newline at the end]\n");
    }
    if memchr::memmem::find(&content, b"\r\n").is_some() {
        out.push_str("[lines end with CRLF]\n");
    }
    out.push_str(&note.map(|note| format!("{note}\n")).unwrap_or_default());
    Ok(out)
}

/// Lines `from` to `to`, counted from 1, with their numbers.
fn numbered(out: &mut String, text: &str, from: usize, to: usize) {
    let lines = text.split('\n').enumerate().skip(from - 1).take((to + 1).saturating_sub(from));
    for (number, line) in lines {
        let line = line.strip_suffix('\r').unwrap_or(line);
        out.push_str(&format!("{:6}\t{line}\n", number + 1));
    }
}

/// What is in a directory, two levels deep, without what is hidden.
pub(crate) fn directory(hands: &Hands, path: &Path) -> Result<String> {
    let name = path.to_string_lossy();
    let argv = ["find", "-L", &*name, "-maxdepth", "2", "-mindepth", "1", "-not", "-path", "*/.*"];
    let found = hands.program(&argv, Path::new("/"))?;
    let mut lines: Vec<&[u8]> = found.stdout.bytes.split(|byte| *byte == b'\n').collect();
    lines.retain(|line| !line.is_empty());
    lines.sort_unstable();
    let mut out = format!("{name}, two levels deep, without what is hidden:\n");
    for line in lines {
        out.push_str(&shown(line).0);
        out.push('\n');
    }
    Ok(out)
}

fn create(hands: &mut Hands, path: &Path, text: &str) -> Result<String> {
    let edited = hands.editor.create(&hands.sandbox, path, text, false)?;
    let bytes = edited.content.len();
    Ok(format!("made {} with {} lines, {bytes} bytes", path.display(), text.lines().count()))
}

fn replace(hands: &mut Hands, path: &Path, old: &str, new: &str) -> Result<String> {
    let edited = hands.editor.replace(&hands.sandbox, path, old, new)?;
    Ok(changed(path, &edited))
}

fn insert(hands: &mut Hands, path: &Path, line: i64, text: &str) -> Result<String> {
    let edited = hands.editor.insert(&hands.sandbox, path, line, text, Insertion::Lines)?;
    Ok(changed(path, &edited))
}

fn undo(hands: &mut Hands, path: &Path) -> Result<String> {
    Ok(match hands.editor.undo(&hands.sandbox, path)? {
        Some(content) => {
            let lines = String::from_utf8_lossy(&content).lines().count();
            format!("took back the last edit of {}; it has {lines} lines", path.display())
        }
        None => format!("took back that {} was made; it is gone", path.display()),
    })
}

/// What a file looks like around an edit.
fn changed(path: &Path, edited: &Edited) -> String {
    let (text, _) = shown(&edited.content);
    let from = edited.line.saturating_sub(AROUND) + 1;
    let to = edited.line + edited.lines.min(SHOWN) + AROUND;
    let mut out = format!("edited {}:\n", path.display());
    numbered(&mut out, text.strip_suffix('\n').unwrap_or(&text), from, to);
    out
}

/// Why an edit was refused.
fn told(path: &Path, why: &Refused) -> String {
    let path = path.display();
    match why {
        Refused::Missing => format!("there is no {path}"),
        Refused::Exists => {
            format!("{path} is there already; use str_replace or insert, or remove it first")
        }
        Refused::Directory => format!("{path} is a directory, which can only be viewed"),
        Refused::Special => format!("{path} is no regular file"),
        Refused::TooLarge(limit) => format!("{path} is larger than {limit} bytes; use bash for it"),
        Refused::Binary => {
            format!("{path} is not a text file, so it cannot be viewed; use bash for it")
        }
        Refused::NoMatch(hint) => format!(
            "old_str is not in {path}{}; nothing was changed",
            match hint {
                Some(Hint::LineEnds { crlf: true, line }) => format!(
                    " (it would be at line {line} if its lines ended with \\r\\n, as those of the file do)"
                ),
                Some(Hint::LineEnds { crlf: false, line }) => format!(
                    " (it would be at line {line} if its lines ended with \\n, as those of the file do)"
                ),
                Some(Hint::Space { line }) => format!(
                    " (at line {line} is a text that differs from it only in white space at the ends of lines)"
                ),
                None => String::new(),
            }
        ),
        Refused::Many(lines) => {
            let lines: Vec<_> = lines.iter().map(usize::to_string).collect();
            format!(
                "old_str is in {path} more than once, at lines {}; add lines around it until it is unique. Nothing was changed",
                lines.join(", ")
            )
        }
        Refused::Empty => "old_str is empty; nothing was changed".to_owned(),
        Refused::Same => "old_str and new_str are the same; nothing was changed".to_owned(),
        Refused::Line(count) => format!(
            "{path} has {count} lines, and there is no such line or range; view_range is [first, last] counted from 1, where last may be -1 for the end, and insert_line is 0 to {count}"
        ),
        Refused::Nothing => format!("no edit of {path} is left to take back"),
        Refused::Changed => format!(
            "{path} was changed by something else since the last edit, so that edit cannot be taken back"
        ),
        Refused::Failed(why) => why.clone(),
    }
}
