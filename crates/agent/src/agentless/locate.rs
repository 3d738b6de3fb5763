//! Where a change may have to be made: what the model is shown, and what it answers.

use palestra_core::EntityKind;

/// Lines shown around a place.
const AROUND: usize = 10;
/// Longer files are not shown whole.
const WHOLE: usize = 400;

/// Paths of `files` that a reply names, in its order.
pub(super) fn files<'a>(reply: &str, files: &[&'a str], most: usize) -> Vec<&'a str> {
    let mut named = Vec::new();
    for line in reply.lines() {
        let line = line.trim().trim_start_matches(['-', '*', ' ']).trim_matches('`').trim();
        let line = match line.split_once(". ") {
            Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit()) => rest,
            _ => line,
        };
        let line = line.strip_prefix("./").unwrap_or(line).trim_matches('`');
        if let Some(path) = files.iter().find(|path| **path == line)
            && !named.contains(path)
        {
            named.push(*path);
        }
    }
    named.truncate(most);
    named
}

/// What is in a file, with line numbers: for Python its classes and functions, otherwise its start.
pub(super) fn outline(path: &str, content: &[u8]) -> String {
    let mut out = format!("### {path}\n");
    let (entities, _) = palestra_syntax::entities(path, content);
    let text = String::from_utf8_lossy(content);
    let lines: Vec<&str> = text.lines().collect();
    for found in &entities {
        let entity = &found.entity;
        if matches!(entity.kind, EntityKind::Import) {
            continue;
        }
        let line = lines.get(entity.start_line.saturating_sub(1)).unwrap_or(&"");
        out.push_str(&format!("{}-{}: {line}\n", entity.start_line, entity.end_line));
    }
    if entities.is_empty() {
        for (number, line) in lines.iter().enumerate().take(100) {
            out.push_str(&format!("{}: {line}\n", number + 1));
        }
    }
    out
}

/// Lines of each file that a reply names, from 1, both inclusive.
pub(super) fn places(reply: &str, files: &[(String, Vec<u8>)]) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in reply.lines() {
        let line = line.trim();
        let bare = line.trim_start_matches("### ").trim_matches('`');
        if let Some(index) = files.iter().position(|(path, _)| path == bare) {
            current = Some(index);
            continue;
        }
        let (Some(index), Some((kind, name))) = (current, line.split_once(':')) else { continue };
        let (path, content) = &files[index];
        let name = name.trim().trim_matches('`');
        match kind.trim().trim_start_matches(['-', '*', ' ']) {
            "line" | "lines" => {
                let mut numbers = name.split('-').map(|number| number.trim().parse::<usize>());
                if let Some(Ok(from)) = numbers.next() {
                    let to = numbers.next().and_then(Result::ok).unwrap_or(from);
                    found.push((index, from, to.max(from)));
                }
            }
            "function" | "method" | "class" => {
                let name = name.trim_end_matches("()");
                let (entities, _) = palestra_syntax::entities(path, content);
                let same = |full: &str| full == name || full.rsplit('.').next() == Some(name);
                found.extend(
                    entities
                        .iter()
                        .filter(|found| same(&found.entity.name))
                        .map(|found| (index, found.entity.start_line, found.entity.end_line)),
                );
            }
            _ => {}
        }
    }
    found
}

/// The parts of files at some places, with what is around them; whole files where none is named.
pub(super) fn parts(files: &[(String, Vec<u8>)], places: &[(usize, usize, usize)]) -> String {
    let mut out = String::new();
    for (index, (path, content)) in files.iter().enumerate() {
        let text = String::from_utf8_lossy(content);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut ranges: Vec<(usize, usize)> = places
            .iter()
            .filter(|(file, ..)| *file == index)
            .map(|(_, from, to)| (from.saturating_sub(AROUND + 1), (to + AROUND).min(lines.len())))
            .filter(|(from, to)| from < to)
            .collect();
        if ranges.is_empty() {
            // Of several files, those in which nothing was named matter less.
            if places.is_empty() {
                ranges.push((0, lines.len().min(WHOLE)));
            } else {
                continue;
            }
        }
        ranges.sort_unstable();
        out.push_str(&format!("### {path}\n"));
        let mut shown = 0;
        for (from, to) in ranges {
            let from = from.max(shown);
            if from >= to {
                continue;
            }
            if from > shown {
                out.push_str("...\n");
            }
            lines[from..to].iter().for_each(|line| out.push_str(line));
            if !out.ends_with('\n') {
                out.push('\n');
            }
            shown = to;
        }
        if shown < lines.len() {
            out.push_str("...\n");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_replies_are_found() {
        let known = ["a/b.py", "c.py", "d.py"];
        let reply = "Maybe:\n```\n./c.py\n1. `a/b.py`\n- c.py\nnone.py\n```\nd.py is not.";
        assert_eq!(files(reply, &known, 5), ["c.py", "a/b.py"]);
        assert_eq!(files(reply, &known, 1), ["c.py"]);
    }

    #[test]
    fn places_become_parts() {
        let source: String = (1..=60)
            .map(|line| match line {
                20 => "def f():\n".to_owned(),
                21 => "    return 1\n".to_owned(),
                _ => format!("x{line} = {line}\n"),
            })
            .collect();
        let all =
            [("a.py".to_owned(), source.into_bytes()), ("b.py".to_owned(), b"y = 1\n".to_vec())];
        let found = places("```\na.py\nfunction: f\nline: 58\n```", &all);
        assert_eq!(found, [(0, 20, 21), (0, 58, 58)]);
        let text = parts(&all, &found);
        assert!(text.starts_with("### a.py\n...\nx10 = 10\n"), "{text}");
        assert!(
            text.contains("x31 = 31\n...\nx48 = 48\n") && text.ends_with("x60 = 60\n\n"),
            "{text}"
        );
        assert!(parts(&all, &[]).contains("### b.py\ny = 1\n"));
        assert!(outline("a.py", &all[0].1).contains("20-21: def f():\n"));
    }
}
