//! Text that is not Python, line by line.

use super::Touched;
use crate::mutants::{Action, Idea, MutantKind};
use crate::splice::Splice;
use crate::tree::shown;

/// Marks, and what is written in their place. The longer ones first.
const MARKS: &[(&str, &str, MutantKind)] = &[
    ("==", "!=", MutantKind::Operator),
    ("!=", "==", MutantKind::Operator),
    ("<=", "<", MutantKind::OffByOne),
    (">=", ">", MutantKind::OffByOne),
    (" < ", " <= ", MutantKind::OffByOne),
    (" > ", " >= ", MutantKind::OffByOne),
    ("&&", "||", MutantKind::Operator),
    ("||", "&&", MutantKind::Operator),
    (" + ", " - ", MutantKind::Operator),
    (" - ", " + ", MutantKind::Operator),
    ("true", "false", MutantKind::Constant),
    ("false", "true", MutantKind::Constant),
    ("True", "False", MutantKind::Constant),
    ("False", "True", MutantKind::Constant),
];

pub(crate) fn ideas(index: usize, touched: &Touched, ideas: &mut Vec<Idea>) {
    let text = touched.after();
    for run in &touched.runs {
        let mut start = run.new.start;
        let lines = text.get(run.new.clone()).unwrap_or_default();
        for line in lines.split_inclusive(|b| *b == b'\n') {
            let range = start..start + line.len();
            start = range.end;
            let content = line.trim_ascii();
            if content.is_empty() || is_comment(content) {
                continue;
            }
            let number = text[..range.start].iter().filter(|b| **b == b'\n').count() + 1;
            let mut add = |kind, what: String, splice| {
                ideas.push(Idea {
                    kind,
                    description: format!("{what} at {}:{number}", touched.path),
                    place: (index, run.hunk),
                    action: Action::Edit(vec![(index, vec![splice])]),
                });
            };
            // Without a line that opens or closes something, most languages do not compile.
            if is_balanced(content) {
                let what = format!("line `{}` missing", shown(line));
                add(MutantKind::PartialRevert, what, Splice::delete(range.clone()));
            }
            for (kind, at, length, other) in places(line) {
                let at = range.start + at..range.start + at + length;
                let what = format!("`{}` became `{}`", shown(&text[at.clone()]), other.trim());
                add(kind, what, Splice::new(at, other));
            }
        }
    }
}

fn is_comment(line: &[u8]) -> bool {
    [&b"#"[..], b"//", b"/*", b"*", b"--", b";"].iter().any(|mark| line.starts_with(mark))
        && !line.starts_with(b"#include")
        && !line.starts_with(b"#define")
}

fn is_balanced(line: &[u8]) -> bool {
    [(b'(', b')'), (b'[', b']'), (b'{', b'}')].iter().all(|(open, close)| {
        let count = |mark: &u8| line.iter().filter(|b| *b == mark).count();
        count(open) == count(close)
    })
}

/// What can be changed in a line: kind, position, length, and the other text.
fn places(line: &[u8]) -> Vec<(MutantKind, usize, usize, String)> {
    let mut found = Vec::new();
    let is_word = |at: Option<&u8>| at.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        let before = at.checked_sub(1).and_then(|i| line.get(i));
        let mark = MARKS.iter().find(|(mark, ..)| rest.starts_with(mark.as_bytes()));
        if let Some((mark, other, kind)) = mark {
            let word = is_word(mark.as_bytes().first());
            if !word || !is_word(before) && !is_word(rest.get(mark.len())) {
                found.push((*kind, at, mark.len(), (*other).to_owned()));
            }
            at += mark.len();
            continue;
        }
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 {
            let number =
                std::str::from_utf8(&rest[..digits]).ok().and_then(|d| d.parse::<u64>().ok());
            let alone = !is_word(before) && before != Some(&b'.') && !is_word(rest.get(digits));
            let bump = number.and_then(|n| n.checked_add(1)).filter(|_| alone);
            if let Some(bump) = bump.filter(|_| rest.get(digits) != Some(&b'.')) {
                found.push((MutantKind::Constant, at, digits, bump.to_string()));
            }
        }
        at += digits.max(1);
    }
    found
}
