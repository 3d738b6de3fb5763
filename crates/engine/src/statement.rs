//! The statement of a task from a template: what the commit says, and how the tests fail.

use std::sync::LazyLock;

use regex::Regex;

/// One failing test as the statement shows it.
#[derive(Debug, Clone)]
pub struct Failure<'a> {
    /// The failure text of the run on the base tree.
    pub message: &'a str,
}

/// How many failures a statement quotes.
const FAILURES: usize = 5;
/// How many lines of one failure it quotes.
const LINES: usize = 12;

/// `instruction.md`: subject and body of the commit without references, then the messages of
/// the tests that fail before the fix.
pub fn template(repository: &str, subject: &str, body: &str, failures: &[Failure<'_>]) -> String {
    let (subject, body) = unmerge(subject, body);
    let subject = clean_line(&subject);
    let body = clean(&body);
    let title = if subject.is_empty() { "Make the failing behaviour work" } else { &subject };
    let mut text = format!("# {title}\n\n");
    if !body.is_empty() {
        text.push_str(&body);
        text.push_str("\n\n");
    }
    let mut quoted: Vec<String> = Vec::new();
    for failure in failures {
        let excerpt = excerpt(failure.message);
        if !excerpt.is_empty() && !quoted.contains(&excerpt) {
            quoted.push(excerpt);
        }
    }
    if !quoted.is_empty() {
        text.push_str("Without the change, checks fail like this:\n\n");
        for excerpt in quoted.iter().take(FAILURES) {
            text.push_str("```\n");
            text.push_str(excerpt);
            text.push_str("\n```\n\n");
        }
        if quoted.len() > FAILURES {
            text.push_str(&format!("({} more fail.)\n\n", quoted.len() - FAILURES));
        }
    }
    text.push_str(&format!(
        "The repository ({repository}) is in `/testbed`. Change it so that the described behaviour \
         holds. Tests that you cannot see will check it; do not change existing tests.\n"
    ));
    text
}

/// The message of a merged pull request is in the body of the merge.
fn unmerge(subject: &str, body: &str) -> (String, String) {
    if !subject.starts_with("Merge ") {
        return (subject.to_owned(), body.to_owned());
    }
    let body = body.trim();
    match body.split_once('\n') {
        Some((first, rest)) => (first.to_owned(), rest.to_owned()),
        None => (body.to_owned(), String::new()),
    }
}

fn clean_line(line: &str) -> String {
    static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?ix)
            \s*[\(\[]\s*(?:(?:gh|issue|pr|pull\ request|see|refs?|fix(?:e[sd])?|close[sd]?|resolve[sd]?)[\ :\-]*)?
                (?:[\w.-]+/[\w.-]+)?\#\d+(?:\s*[,&]\s*\#\d+)*\s*[\)\]]
            | \b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?|refs?|see|part\ of|addresses)\b[\ :]*
                (?:(?:issue|bug|ticket|pr|pull\ request)s?[\ :]*)?
                (?:(?:[\w.-]+/[\w.-]+)?\#\d+|gh-\d+|https?://\S+)(?:\s*(?:,|and|&)\s*\#\d+)*\.?
            | (?:\b[\w.-]+/[\w.-]+)?\#\d+\b
            | \bgh-\d+\b
            | https?://\S*(?:/issues?/|/pull/|/commit/|/merge_requests/|/ticket/)\S*
            | \b[0-9a-f]{40}\b
            ",
        )
        .unwrap_or_else(|error| unreachable!("the pattern is fixed: {error}"))
    });
    let line = REFERENCE.replace_all(line, "");
    let line = line.trim().trim_start_matches([':', ',']);
    line.trim_end_matches([':', '-', ',']).trim().to_owned()
}

/// Removes references to issues, pull requests and commits, and trailers.
fn clean(body: &str) -> String {
    let trailer = |line: &str| {
        let lower = line.trim_start().to_ascii_lowercase();
        [
            "signed-off-by:",
            "co-authored-by:",
            "reviewed-by:",
            "acked-by:",
            "reported-by:",
            "change-id:",
            "git-svn-id:",
            "cherry picked from",
            "(cherry picked from",
            "this reverts commit",
        ]
        .iter()
        .any(|start| lower.starts_with(start))
    };
    let mut lines: Vec<String> = Vec::new();
    for line in body.lines() {
        if trailer(line) {
            continue;
        }
        let had_text = !line.trim().is_empty();
        let indent = line.len() - line.trim_start().len();
        let cleaned = clean_line(line);
        let only_mark = cleaned.chars().all(|c| !c.is_alphanumeric());
        if had_text && only_mark {
            continue;
        }
        let blank_before = lines.last().is_none_or(|last| last.is_empty());
        if cleaned.is_empty() {
            if !blank_before {
                lines.push(String::new());
            }
            continue;
        }
        lines.push(format!("{}{cleaned}", " ".repeat(indent)));
    }
    lines.join("\n").trim().to_owned()
}

/// The lines of a failure that say what was wrong, without the code of the test.
fn excerpt(message: &str) -> String {
    let marked: Vec<&str> = message
        .lines()
        .filter_map(|line| line.strip_prefix("E "))
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let indent = marked.iter().map(|l| l.len() - l.trim_start().len()).min().unwrap_or(0);
    let marked: Vec<&str> = marked.iter().map(|line| &line[indent..]).collect();
    let lines: Vec<&str> = if marked.is_empty() {
        let last = message.lines().rev().find(|line| !line.trim().is_empty());
        last.into_iter().collect()
    } else {
        marked
    };
    let mut text = lines.iter().take(LINES).copied().collect::<Vec<_>>().join("\n");
    if lines.len() > LINES {
        text.push_str("\n…");
    }
    text.replace("```", "` ` `")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_go_and_words_stay() {
        let check = |line: &str, want: &str| assert_eq!(clean_line(line), want);
        check("Fix cells that contain the delimiter (#4)", "Fix cells that contain the delimiter");
        check("Fixes #3: quotes", "quotes");
        check("Split on GO. (fixes #762)", "Split on GO.");
        check("See https://github.com/a/b/issues/4 for more", "for more");
        check("Use https://example.org/docs", "Use https://example.org/docs");
        check("Handle C# and #include", "Handle C# and #include");
    }

    #[test]
    fn a_merge_speaks_through_its_body() {
        let text =
            template("a/b", "Merge pull request #7 from x/y", "Stop losing rows\n\nMore.", &[]);
        assert!(text.starts_with("# Stop losing rows\n\nMore.\n"), "{text}");
    }

    #[test]
    fn trailers_go() {
        assert_eq!(
            clean("One.\n\nFixes #3\nSigned-off-by: A <a@b>\n\n\n(cherry picked from commit x)"),
            "One."
        );
    }

    #[test]
    fn the_code_of_a_test_is_not_quoted() {
        let message = "def test_x():\n>       assert f() == 2\nE       assert 1 == 2\nE        +  where 1 = f()\n\ntests/t.py:3: AssertionError";
        assert_eq!(excerpt(message), "assert 1 == 2\n +  where 1 = f()");
    }
}
