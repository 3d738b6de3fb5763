//! `file_editor`.

use std::path::Path;

use crate::agent::AgentError;
use crate::clip::shown;
use crate::editor::{Fault, Found, Insertion, Refused, is_binary, look};
use crate::hands::Hands;
use crate::scaffold::{Call, Observed};
use crate::scaffolds::compat::{around_insertion, around_replacement, listed, numbered, truncated};
use crate::scaffolds::r2egym::concise;

/// Longer texts are cut to so many characters.
const LONGEST: usize = 10_000;
/// Longer Python files are shown without the bodies of their functions, where no range is asked for.
const CONCISE: usize = 110;

/// Carries out a call.
pub(super) fn act(
    hands: &mut Hands,
    call: &Call,
    python_only: bool,
) -> Result<Observed, AgentError> {
    let path = hands.absolute(call.text("path").unwrap_or_default());
    let result = match call.text("command").unwrap_or_default() {
        "view" => view(hands, &path, call, python_only),
        "create" => create(hands, &path, call),
        "str_replace" => replace(hands, &path, call),
        "insert" => insert(hands, &path, call),
        _ => undo(hands, &path),
    };
    match result {
        Ok(text) => Ok(Observed::answer(hands.bounded(&format!("{text}\n")))),
        Err(Wrong::Said(why)) => Ok(Observed::refusal(format!("ERROR: {why}\n"))),
        Err(Wrong::Fault(Fault::Refused(why))) => {
            let text = told(&path, call, &why);
            Ok(Observed::refusal(hands.bounded(&format!("ERROR: {text}\n"))))
        }
        Err(Wrong::Fault(Fault::Sandbox(error))) => Err(error.into()),
    }
}

enum Wrong {
    Said(String),
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

fn view(hands: &Hands, path: &Path, call: &Call, python_only: bool) -> Result<String, Wrong> {
    let name = path.display();
    let content = match look(&hands.sandbox, path)? {
        Found::Nothing => return Err(Refused::Missing.into()),
        Found::Directory => {
            let text = format!(
                "Here's the files and directories up to 2 levels deep in {name}, excluding hidden:\n{}",
                listed(hands, path, python_only)?
            );
            return Ok(truncated(&text, LONGEST));
        }
        Found::File(content) => content,
    };
    let python = path.extension().is_some_and(|extension| extension == "py");
    if python_only && !python {
        return Err(Wrong::Said(format!(
            "{name} is not a Python file, and only those can be viewed"
        )));
    }
    if is_binary(&content) {
        return Err(Refused::Binary.into());
    }
    let (text, _) = shown(&content);
    let range =
        call.range("view_range").map(|range| range.ok_or(Refused::Line(text.lines().count())));
    let range = range.transpose()?;
    let asked = call.arguments.get("concise").and_then(serde_json::Value::as_bool) == Some(true);
    let concise = python && (asked || range.is_none() && text.lines().count() > CONCISE);
    let lines =
        if concise { concise::elided(path, &content, &text) } else { concise::whole(&text) };
    let total = text.lines().count() as i64;
    if let Some((start, end)) = range {
        if start < 1 || start > total {
            return Err(Wrong::Said(format!(
                "Invalid view_range [{start}, {end}]: start line must be in [1, {total}]"
            )));
        }
        if end != -1 && (end < start || end > total) {
            return Err(Wrong::Said(format!(
                "Invalid view_range [{start}, {end}]: end must be >= start and <= {total}, or -1 to view until end."
            )));
        }
    }
    let within = |number: usize| match range {
        Some((start, end)) => number as i64 >= start && (end == -1 || number as i64 <= end),
        None => true,
    };
    let shown: Vec<_> = lines
        .iter()
        .filter(|(number, _)| within(*number))
        .map(|(number, line)| format!("{number:6} {line}"))
        .collect();
    let head = if concise {
        format!(
            "Here is a condensed view for file: {name}; [Note: bodies of functions are left out. Use view_range without concise to see the parts that matter.]\n"
        )
    } else {
        format!("Here's the result of running `cat -n` on the file: {name}:\n")
    };
    Ok(truncated(&format!("{head}{}", shown.join("\n")), LONGEST))
}

fn create(hands: &mut Hands, path: &Path, call: &Call) -> Result<String, Wrong> {
    let name = path.display();
    let text = call.text("file_text").ok_or_else(|| {
        Wrong::Said("Cannot create file without 'file_text' parameter.".to_owned())
    })?;
    hands.editor.create(&hands.sandbox, path, text, false)?;
    Ok(format!(
        "File created at {name}. {}Review the file and make sure that it is as expected. Edit the file if necessary.",
        numbered(text, &name.to_string(), 1, LONGEST)
    ))
}

fn replace(hands: &mut Hands, path: &Path, call: &Call) -> Result<String, Wrong> {
    let name = path.display();
    let old = call.text("old_str").ok_or_else(|| {
        Wrong::Said("Missing required parameter 'old_str' for 'str_replace'.".to_owned())
    })?;
    let new = call.text("new_str").unwrap_or_default();
    let edited = hands.editor.replace(&hands.sandbox, path, old, new)?;
    let (snippet, first) = around_replacement(&edited);
    Ok(format!(
        "The file {name} has been edited. {}Review the changes and make sure they are as expected. Edit the file again if necessary.",
        numbered(&snippet, &format!("a snippet of {name}"), first, LONGEST)
    ))
}

fn insert(hands: &mut Hands, path: &Path, call: &Call) -> Result<String, Wrong> {
    let name = path.display();
    let text = call.text("new_str").ok_or_else(|| {
        Wrong::Said("Missing required parameter 'new_str' for 'insert'.".to_owned())
    })?;
    let line = call.integer("insert_line").ok_or_else(|| {
        Wrong::Said("Missing required parameter 'insert_line' for 'insert'.".to_owned())
    })?;
    let edited = hands.editor.insert(&hands.sandbox, path, line, text, Insertion::Joined)?;
    let (snippet, first) = around_insertion(&edited);
    Ok(format!(
        "The file {name} has been edited. {}Review the changes and make sure they are as expected (correct indentation, no duplicate lines, etc). Edit the file again if necessary.",
        numbered(&snippet, "a snippet of the edited file", first, LONGEST)
    ))
}

fn undo(hands: &mut Hands, path: &Path) -> Result<String, Wrong> {
    let name = path.display();
    let content = hands.editor.undo(&hands.sandbox, path)?;
    Ok(match content {
        Some(content) => format!(
            "Last edit to {name} undone successfully. {}",
            numbered(&shown(&content).0, &name.to_string(), 1, LONGEST)
        ),
        None => format!("Last edit to {name} undone successfully. The file is gone again."),
    })
}

fn told(path: &Path, call: &Call, why: &Refused) -> String {
    let name = path.display();
    let old = call.text("old_str").unwrap_or_default();
    match why {
        Refused::Missing => format!("The path '{name}' does not exist."),
        Refused::Exists => {
            format!("File already exists at: {name}. Cannot overwrite with 'create'.")
        }
        Refused::Directory => {
            format!("The path '{name}' is a directory. Only 'view' can be used on directories.")
        }
        Refused::NoMatch(_) => {
            format!("No occurrences of '{old}' found in {name} for replacement.")
        }
        Refused::Many(lines) => format!(
            "Multiple occurrences of '{old}' found in {name}, at lines {lines:?}. Please ensure it is unique before using str_replace."
        ),
        Refused::Line(count) => {
            let line = call.integer("insert_line").unwrap_or_default();
            match call.text("command") {
                Some("insert") => format!("Invalid insert_line {line}. Must be in [0, {count}]."),
                _ => format!("Invalid view_range: two lines are needed; the file has {count}"),
            }
        }
        Refused::Nothing => format!("No previous edits found for {name} to undo."),
        Refused::Changed => format!(
            "{name} was changed by something else since the last edit, which cannot be undone any more."
        ),
        Refused::Empty => "old_str is empty.".to_owned(),
        Refused::Same => "old_str and new_str are the same.".to_owned(),
        Refused::Binary => format!("{name} is not a text file."),
        Refused::Special => format!("{name} is not a regular file."),
        Refused::TooLarge(limit) => format!("{name} is larger than {limit} bytes."),
        Refused::Failed(why) => why.clone(),
    }
}
