//! Taking tests out of what a model answered, or an agent left.

use palestra_core::ChangeKind;
use palestra_diff::Side;

use super::{ProposedTests, ScreenRules, TestRequest, screen};
use crate::reject::{Reason, Rejection};
use crate::reply::{Block, one_block};

/// Bytes of notes that are kept.
const NOTES: usize = 2_000;

/// The tests of an answer, screened.
pub(super) fn tests_from_reply(
    text: &str,
    request: &TestRequest,
) -> Result<ProposedTests, Rejection> {
    let block = one_block(text, |code| {
        code.contains("def test") && crate::python::Source::broken_line(code).is_none()
    })?;
    let path = stated_path(&block, request);
    let notes =
        crate::prompt::clip(text.split(block.code.as_str()).next().unwrap_or_default(), NOTES);
    let notes =
        notes.lines().filter(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n");
    proposed(path, block.code, notes.trim().to_owned(), request)
}

/// The path that the answer names for its block; the one that was asked for, where it names none.
fn stated_path(block: &Block<'_>, request: &TestRequest) -> String {
    let first = block.code.lines().next().unwrap_or_default();
    let comment = first.strip_prefix('#').unwrap_or_default();
    let places = [block.language.as_str(), block.info, comment, block.above];
    let words = places.into_iter().flat_map(|place| place.split([' ', '\t', '=', ',', '(', ')']));
    let words = words.map(|word| word.trim_matches(['`', '"', '\'', '*', ':', '#', '.']));
    let mut paths = words.filter(|word| word.ends_with(".py") && word.len() > 3);
    // Of all that is named, what was asked for.
    let named: Vec<&str> = paths.by_ref().collect();
    let asked = named.iter().find(|path| **path == request.path);
    let path = asked.or(named.first()).copied().unwrap_or(&request.path);
    // A name alone means the directory that was given.
    match path.contains('/') || super::style::is_test_file(&request.path) && path == request.path {
        true => path.strip_prefix("./").unwrap_or(path).to_owned(),
        false if request.path.ends_with(&format!("/{path}")) => request.path.clone(),
        false => match request.style.directory.as_str() {
            "" => path.to_owned(),
            directory => format!("{directory}/{path}"),
        },
    }
}

fn proposed(
    path: String,
    content: String,
    notes: String,
    request: &TestRequest,
) -> Result<ProposedTests, Rejection> {
    let screened = screen(&path, &content, &ScreenRules::of(request))?;
    Ok(ProposedTests { path, content, notes, screened })
}

/// The tests of a patch that an agent left: the new file that was asked for, or else the only
/// new test file. What else the patch does is named in the notes and dropped.
///
/// # Errors
/// A rejection where there is no such file, or it does not pass the screening.
pub fn tests_from_patch(patch: &[u8], request: &TestRequest) -> Result<ProposedTests, Rejection> {
    let (patch, _) = palestra_diff::parse(patch);
    let mut found: Vec<(String, String)> = Vec::new();
    let mut others = Vec::new();
    for file in &patch.files {
        let path = String::from_utf8_lossy(file.path()).into_owned();
        let new = file.kind == ChangeKind::Added && !file.damaged && !file.is_binary();
        if new && (path == request.path || super::style::is_test_file(&path)) {
            let mut content = Vec::new();
            for line in file.hunks().iter().flat_map(|hunk| &hunk.lines) {
                if line.side != Side::Deleted {
                    content.extend_from_slice(line.text);
                    content.push(b'\n');
                }
            }
            found.push((path, String::from_utf8_lossy(&content).into_owned()));
        } else {
            others.push(path);
        }
    }
    let asked = found.iter().position(|(path, _)| *path == request.path);
    let (path, content) = match (asked, found.len()) {
        (Some(at), _) => found.swap_remove(at),
        (None, 1) => found.swap_remove(0),
        (None, 0) => {
            let detail = format!("the patch adds no file `{}`", request.path);
            return Err(Rejection::new(Reason::NoFile, detail));
        }
        (None, several) => {
            let detail = format!("{several} new test files, and none is `{}`", request.path);
            return Err(Rejection::new(Reason::SeveralBlocks, detail));
        }
    };
    others.extend(found.into_iter().map(|(path, _)| path));
    let notes = match others.is_empty() {
        true => String::new(),
        false => crate::prompt::clip(&format!("dropped: {}", others.join(", ")), NOTES),
    };
    proposed(path, content, notes, request)
}
