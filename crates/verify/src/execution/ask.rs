//! What a testing agent is asked, and the program in its answer.

use super::SourceFile;
use crate::free::Prompt;

const SYSTEM: &str = include_str!("../../prompts/tests-system.txt");
/// Bytes of the list of files.
const LIST: usize = 8 << 10;

/// The request for a file of tests: the statement, the paths of the base tree, the test file nearest
/// to what may be changed, and source files that the statement names; in all about `bytes`.
pub fn test_prompt(
    statement: &str,
    files: &[SourceFile<'_>],
    near: Option<&str>,
    bytes: usize,
) -> Prompt {
    let mut user = format!("# The issue\n\n{}\n\n# Python files\n\n", statement.trim());
    let begin = user.len();
    let mut condensed = 0;
    for file in files {
        if user.len() - begin > LIST {
            condensed += 1;
            continue;
        }
        user.push_str(file.path);
        user.push('\n');
    }
    let named = |path: &str| {
        let stem = path.rsplit('/').next().and_then(|name| name.strip_suffix(".py"));
        stem.is_some_and(|stem| stem.len() > 2 && mentions(statement, stem))
    };
    let is_near = |file: &&SourceFile<'_>| Some(file.path) == near;
    let shown = files.iter().filter(is_near).chain(files.iter().filter(|f| named(f.path)));
    let mut seen: Vec<&str> = Vec::new();
    for file in shown {
        if seen.contains(&file.path) {
            continue;
        }
        seen.push(file.path);
        let text = String::from_utf8_lossy(file.source);
        if user.len() + text.len() > bytes {
            condensed += 1;
            continue;
        }
        // A fence that no file of Python holds.
        user.push_str(&format!("\n# {}\n\n~~~~~~~~python\n{text}\n~~~~~~~~\n", file.path));
    }
    Prompt { system: SYSTEM.trim().to_owned(), user, condensed, too_long: false }
}

/// Whether a text has a word.
fn mentions(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let before = text[..at].chars().next_back().is_some_and(part);
        let after = text[at + word.len()..].chars().next().is_some_and(part);
        !before && !after
    })
}

/// The program in an answer: the longest block of code, or all of it where there is no block and
/// it looks like one. `None` where there is no test in it.
pub fn test_program(answer: &str) -> Option<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut open: Option<String> = None;
    for line in answer.lines() {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        match (&mut open, fence) {
            (None, true) => open = Some(String::new()),
            (None, false) => {}
            (Some(_), true) => blocks.extend(open.take()),
            (Some(block), false) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks.extend(open);
    if blocks.is_empty() {
        blocks.push(format!("{}\n", answer.trim()));
    }
    let longest = blocks.into_iter().max_by_key(String::len)?;
    let test = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with("def test")
    };
    longest.lines().any(test).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_prose_is_none() {
        let code = "import a\n\n\ndef test_a():\n    assert a\n";
        assert_eq!(test_program(&format!("Here:\n```python\n{code}```\nDone.")).unwrap(), code);
        assert_eq!(test_program(code).unwrap(), code);
        assert_eq!(test_program(&format!("```\n{code}")).unwrap(), code);
        assert_eq!(test_program("I cannot do that."), None);
        assert_eq!(test_program("```python\nx = 1\n```"), None);
        assert_eq!(test_program(""), None);
    }

    #[test]
    fn the_prompt_shows_what_is_named_and_keeps_its_size() {
        let file = |path, source| SourceFile { path, source };
        let long = "x\n".repeat(5000);
        let files = [
            file("pkg/table.py", b"def wide(): ..."),
            file("pkg/tables.py", b"NOT SHOWN"),
            file("pkg/other.py", b"NOT SHOWN"),
            file("tests/test_table.py", b"def test_wide(): ..."),
            file("pkg/big.py", long.as_bytes()),
        ];
        let statement = "`table.wide` is wrong, see big";
        let prompt = test_prompt(statement, &files, Some("tests/test_table.py"), 4000);
        assert!(prompt.user.contains("def wide()") && prompt.user.contains("def test_wide()"));
        assert!(!prompt.user.contains("NOT SHOWN") && prompt.user.len() < 4000);
        assert_eq!(prompt.condensed, 1);
    }
}
