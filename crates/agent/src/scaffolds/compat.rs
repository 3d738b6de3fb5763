//! What the scaffolds of R2E-Gym and OpenHands have in common: an editor whose texts go back to the
//! same ancestor.

use std::path::Path;

use crate::clip::shown;
use crate::editor::{Edited, Fault};
use crate::hands::Hands;

/// Lines shown around an edit.
pub(crate) const SNIPPET: usize = 4;
/// What stands where a long text was cut.
const CLIPPED: &str = "<response clipped><NOTE>To save on context only part of this file has been shown to you. You should retry this tool after you have searched inside the file with `grep -n` in order to find the line numbers of what you are looking for.</NOTE>";

/// The first `most` characters, with the note where there are more.
pub(crate) fn truncated(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}{CLIPPED}", &text[..end]),
        None => text.to_owned(),
    }
}

/// Tabs as spaces up to the next multiple of eight.
fn expanded(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut column = 0;
    for character in line.chars() {
        if character == '\t' {
            let width = 8 - column % 8;
            out.extend(std::iter::repeat_n(' ', width));
            column += width;
        } else {
            out.push(character);
            column += 1;
        }
    }
    out
}

/// Lines with their numbers, as `cat -n` would show them.
pub(crate) fn numbered(text: &str, what: &str, first: usize, most: usize) -> String {
    let text = truncated(text, most);
    let lines: Vec<_> = text
        .split('\n')
        .enumerate()
        .map(|(index, line)| format!("{:6}\t{}", first + index, expanded(line)))
        .collect();
    format!("Here's the result of running `cat -n` on {what}:\n{}\n", lines.join("\n"))
}

/// The file around a replacement: lines and the number of the first.
pub(crate) fn around_replacement(edited: &Edited) -> (String, usize) {
    let first = edited.line.saturating_sub(SNIPPET);
    let last = edited.line + SNIPPET + edited.lines.saturating_sub(1);
    (lines(&edited.content, first, last), first + 1)
}

/// The file around an insertion after the line `at`.
pub(crate) fn around_insertion(edited: &Edited) -> (String, usize) {
    let first = edited.line.saturating_sub(SNIPPET);
    let last = edited.line + edited.lines + SNIPPET - 1;
    (lines(&edited.content, first, last), (edited.line + 1).saturating_sub(SNIPPET).max(1))
}

/// Lines `first..=last`, counted from 0.
fn lines(content: &[u8], first: usize, last: usize) -> String {
    let (text, _) = shown(content);
    let lines: Vec<_> =
        text.split('\n').skip(first).take((last + 1).saturating_sub(first)).collect();
    lines.join("\n")
}

/// What `find` lists two levels deep, sorted, without what is hidden; with `python`, directories and
/// Python files only.
pub(crate) fn listed(hands: &Hands, path: &Path, python: bool) -> Result<String, Fault> {
    let name = path.to_string_lossy();
    let mut argv = vec!["find", &*name, "-maxdepth", "2", "-not", "-path", "*/.*"];
    if python {
        argv.extend(["(", "-type", "d", "-o", "-name", "*.py", ")"]);
    }
    let found = hands.program(&argv, &hands.assignment.directory)?;
    let mut lines: Vec<&[u8]> = found.stdout.bytes.split(|byte| *byte == b'\n').collect();
    lines.retain(|line| !line.is_empty());
    lines.sort_unstable();
    let mut out = String::new();
    for line in lines {
        out.push_str(&shown(line).0);
        out.push('\n');
    }
    Ok(out)
}

/// Text without the control sequences of terminals and without carriage returns.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\u{1b}', '\r']) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let sequence = rest[at..].strip_prefix("\u{1b}[").map(|body| {
            let end = body.find(|c: char| !c.is_ascii_digit() && c != ';');
            end.filter(|end| body[*end..].starts_with('m')).map(|end| &body[end + 1..])
        });
        rest = match sequence {
            Some(Some(after)) => after,
            Some(None) => {
                out.push('\u{1b}');
                after
            }
            None if rest[at..].starts_with('\u{1b}') => {
                out.push('\u{1b}');
                after
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_returns_go() {
        assert_eq!(plain("a\u{1b}[1;31mb\u{1b}[0m\r\nc\u{1b}[2Kd\u{1b}"), "ab\nc\u{1b}[2Kd\u{1b}");
        assert_eq!(expanded("a\tb\t"), "a       b       ");
    }

    #[test]
    fn what_is_shown_around_edits() {
        let content: String = (1..=20).map(|line| format!("{line}\n")).collect();
        let edited = |line, lines| Edited { content: content.clone().into_bytes(), line, lines };
        assert_eq!(
            around_replacement(&edited(9, 2)),
            ("6\n7\n8\n9\n10\n11\n12\n13\n14\n15".into(), 6)
        );
        // After line 9, one line: four before it, it, four after it.
        assert_eq!(around_insertion(&edited(9, 1)).0, "6\n7\n8\n9\n10\n11\n12\n13\n14");
        assert_eq!(around_insertion(&edited(9, 1)).1, 6);
        assert_eq!(around_insertion(&edited(0, 1)), ("1\n2\n3\n4\n5".into(), 1));
        assert_eq!(
            numbered("a\tb", "x", 7, 100),
            "Here's the result of running `cat -n` on x:\n     7\ta       b\n"
        );
        assert!(truncated("abc", 2).starts_with("ab<response clipped>"));
    }
}
