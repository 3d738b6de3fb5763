//! `str_replace_editor`.

use std::path::Path;

use crate::agent::AgentError;
use crate::clip::shown;
use crate::editor::{Fault, Found, Insertion, Refused, is_binary, look};
use crate::hands::Hands;
use crate::scaffold::{Call, Observed};
use crate::scaffolds::compat::{around_insertion, around_replacement, listed, numbered};

/// Longer texts are cut to so many characters.
const LONGEST: usize = 16_000;

/// Carries out a call.
pub(super) fn act(hands: &mut Hands, call: &Call) -> Result<Observed, AgentError> {
    let name = call.text("path").unwrap_or_default();
    let path = Path::new(name);
    let command = call.text("command").unwrap_or_default();
    let result = if !path.is_absolute() {
        let maybe = hands.absolute(name);
        let why = format!(
            "The path should be an absolute path, starting with `/`. Maybe you meant {}?",
            maybe.display()
        );
        invalid("path", name, &why)
    } else {
        match command {
            "view" => view(hands, path, call),
            "create" => create(hands, path, call),
            "str_replace" => replace(hands, path, call),
            "insert" => insert(hands, path, call),
            _ => undo(hands, path),
        }
    };
    match result {
        Ok(text) => Ok(Observed::answer(hands.bounded(&text))),
        Err(Wrong::Said(why)) => Ok(Observed::refusal(hands.bounded(&format!("ERROR:\n{why}")))),
        Err(Wrong::Fault(Fault::Refused(why))) => {
            let text = format!("ERROR:\n{}", told(name, call, &why));
            Ok(Observed::refusal(hands.bounded(&text)))
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

type Result<T, E = Wrong> = std::result::Result<T, E>;

fn invalid<T>(parameter: &str, value: &str, why: &str) -> Result<T> {
    Err(Wrong::Said(format!("Invalid `{parameter}` parameter: {value}. {why}")))
}

fn needed<'a>(call: &'a Call, parameter: &str) -> Result<&'a str> {
    call.text(parameter).ok_or_else(|| missing(call, parameter))
}

fn missing(call: &Call, parameter: &str) -> Wrong {
    let command = call.text("command").unwrap_or_default();
    Wrong::Said(format!("Parameter `{parameter}` is required for command: {command}."))
}

fn view(hands: &Hands, path: &Path, call: &Call) -> Result<String> {
    let name = path.display().to_string();
    let content = match look(&hands.sandbox, path)? {
        Found::Nothing => return Err(Refused::Missing.into()),
        Found::Directory => {
            if call.arguments.contains_key("view_range") {
                return invalid(
                    "view_range",
                    &call.arguments["view_range"].to_string(),
                    "The `view_range` parameter is not allowed when `path` points to a directory.",
                );
            }
            let list = listed(hands, path, false)?;
            return Ok(format!(
                "Here's the files and directories up to 2 levels deep in {name}, excluding hidden items:\n{list}\n"
            ));
        }
        Found::File(content) => content,
    };
    if is_binary(&content) {
        return Err(Refused::Binary.into());
    }
    let (text, _) = shown(&content);
    let Some(range) = call.range("view_range") else {
        return Ok(numbered(&text, &name, 1, LONGEST));
    };
    let value = call.arguments["view_range"].to_string();
    let Some((start, end)) = range else {
        return invalid("view_range", &value, "It should be a list of two integers.");
    };
    let lines: Vec<_> = text.split('\n').collect();
    let count = lines.len() as i64;
    if start < 1 || start > count {
        let why = format!(
            "Its first element `{start}` should be within the range of lines of the file: [1, {count}]."
        );
        return invalid("view_range", &value, &why);
    }
    if end > count {
        let why = format!(
            "Its second element `{end}` should be smaller than the number of lines in the file: `{count}`."
        );
        return invalid("view_range", &value, &why);
    }
    if end != -1 && end < start {
        let why = format!(
            "Its second element `{end}` should be greater than or equal to the first element `{start}`."
        );
        return invalid("view_range", &value, &why);
    }
    let end = if end == -1 { count } else { end };
    // Both are within 1 and the number of lines.
    let part = lines[start as usize - 1..end as usize].join("\n");
    Ok(numbered(&part, &name, start as usize, LONGEST))
}

fn create(hands: &mut Hands, path: &Path, call: &Call) -> Result<String> {
    let text = needed(call, "file_text")?;
    hands.editor.create(&hands.sandbox, path, text, false)?;
    Ok(format!("File created successfully at: {}", path.display()))
}

fn replace(hands: &mut Hands, path: &Path, call: &Call) -> Result<String> {
    let name = path.display();
    let old = needed(call, "old_str")?;
    let new = call.text("new_str").unwrap_or_default();
    let edited = hands.editor.replace(&hands.sandbox, path, old, new)?;
    let (snippet, first) = around_replacement(&edited);
    Ok(format!(
        "The file {name} has been edited. {}Review the changes and make sure they are as expected. Edit the file again if necessary.",
        numbered(&snippet, &format!("a snippet of {name}"), first, LONGEST)
    ))
}

fn insert(hands: &mut Hands, path: &Path, call: &Call) -> Result<String> {
    let line = call.integer("insert_line").ok_or_else(|| missing(call, "insert_line"))?;
    let text = needed(call, "new_str")?;
    let edited = hands.editor.insert(&hands.sandbox, path, line, text, Insertion::Joined)?;
    let (snippet, first) = around_insertion(&edited);
    Ok(format!(
        "The file {} has been edited. {}Review the changes and make sure they are as expected (correct indentation, no duplicate lines, etc). Edit the file again if necessary.",
        path.display(),
        numbered(&snippet, "a snippet of the edited file", first, LONGEST)
    ))
}

fn undo(hands: &mut Hands, path: &Path) -> Result<String> {
    let name = path.display().to_string();
    Ok(match hands.editor.undo(&hands.sandbox, path)? {
        Some(content) => format!(
            "Last edit to {name} undone successfully. {}",
            numbered(&shown(&content).0, &name, 1, LONGEST)
        ),
        None => format!("Last edit to {name} undone successfully. The file is gone again."),
    })
}

fn told(name: &str, call: &Call, why: &Refused) -> String {
    let old = call.text("old_str").unwrap_or_default();
    let path = |why: String| format!("Invalid `path` parameter: {name}. {why}");
    match why {
        Refused::Missing => {
            path(format!("The path {name} does not exist. Please provide a valid path."))
        }
        Refused::Exists => path(format!(
            "File already exists at: {name}. Cannot overwrite files using command `create`."
        )),
        Refused::Directory => path(format!(
            "The path {name} is a directory and only the `view` command can be used on directories."
        )),
        Refused::NoMatch(_) => format!(
            "No replacement was performed, old_str `{old}` did not appear verbatim in {name}."
        ),
        Refused::Many(lines) => format!(
            "No replacement was performed. Multiple occurrences of old_str `{old}` in lines {lines:?}. Please ensure it is unique."
        ),
        Refused::Same => format!(
            "Invalid `new_str` parameter: {old}. No replacement was performed. `new_str` and `old_str` must be different."
        ),
        Refused::Empty => "Parameter `old_str` is required for command: str_replace.".to_owned(),
        Refused::Line(count) => format!(
            "Invalid `insert_line` parameter: {}. It should be within the range of lines of the file: [0, {count}]",
            call.integer("insert_line").unwrap_or_default()
        ),
        Refused::Nothing => format!("No edit history found for {name}."),
        Refused::Changed => format!(
            "{name} was changed by something else since the last edit, which cannot be undone any more."
        ),
        Refused::Binary => path("The file is not a text file.".to_owned()),
        Refused::Special => path("It is not a regular file.".to_owned()),
        Refused::TooLarge(limit) => path(format!("The file is larger than {limit} bytes.")),
        Refused::Failed(why) => why.clone(),
    }
}
