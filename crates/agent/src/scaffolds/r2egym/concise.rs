//! Python files without the bodies of their functions.

use std::path::Path;

use palestra_core::EntityKind;

/// Bodies whose last line is at least so far from their first are left out.
const BODY: usize = 3;

/// All lines with their numbers from 1.
pub(super) fn whole(text: &str) -> Vec<(usize, String)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// Lines with their numbers, and a line in place of each long body.
pub(super) fn elided(path: &Path, content: &[u8], text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let (entities, _) = palestra_syntax::entities(&path.to_string_lossy(), content);
    let mut ranges: Vec<(usize, usize)> = entities
        .iter()
        .map(|found| &found.entity)
        .filter(|entity| matches!(entity.kind, EntityKind::Function | EntityKind::Method))
        .filter_map(|entity| {
            let first = body(&lines, entity.start_line)?;
            (entity.end_line >= first + BODY).then_some((first, entity.end_line))
        })
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    let mut out = Vec::new();
    let mut next = ranges.iter().peekable();
    let mut left_until = 0;
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        while let Some((first, last)) = next.next_if(|(first, _)| *first <= number) {
            if *first > left_until {
                out.push((number, format!("... eliding lines {first}-{last} ...")));
                left_until = *last;
            }
        }
        if number > left_until {
            out.push((number, (*line).to_owned()));
        }
    }
    out
}

/// The first line of the body of a function that begins at line `start`.
fn body(lines: &[&str], start: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (index, line) in lines.iter().enumerate().skip(start.checked_sub(1)?) {
        let mut quote = None;
        for character in line.chars() {
            match (quote, character) {
                (Some(open), now) if open == now => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(character),
                (None, '#') => break,
                (None, '(' | '[' | '{') => depth += 1,
                (None, ')' | ']' | '}') => depth -= 1,
                (None, ':') if depth == 0 => {
                    let mut rest = lines.iter().enumerate().skip(index + 1);
                    let code = |line: &str| !line.is_empty() && !line.starts_with('#');
                    return rest.find(|(_, line)| code(line.trim())).map(|(next, _)| next + 1);
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_are_left_out() {
        let source = "import os\n\ndef short():\n    return 1\n\nclass A:\n    def long(\n        self, x: dict = {':': 1},  # a: b\n    ) -> int:\n        \"\"\"Doc.\"\"\"\n        a = 1\n        b = 2\n        return a + b\n\n    y = 2\n";
        let lines = elided(Path::new("a.py"), source.as_bytes(), source);
        let text: Vec<_> = lines.iter().map(|(number, line)| format!("{number} {line}")).collect();
        assert_eq!(
            text,
            [
                "1 import os",
                "2 ",
                "3 def short():",
                "4     return 1",
                "5 ",
                "6 class A:",
                "7     def long(",
                "8         self, x: dict = {':': 1},  # a: b",
                "9     ) -> int:",
                "10 ... eliding lines 10-13 ...",
                "14 ",
                "15     y = 2",
            ]
        );
        assert_eq!(whole("a\nb\n"), [(1, "a".to_owned()), (2, "b".to_owned())]);
    }
}
