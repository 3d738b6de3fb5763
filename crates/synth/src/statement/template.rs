//! The statement of a task from a template: what the commit says, and how the tests fail.

use std::sync::LazyLock;

use regex::Regex;

use super::StatementInput;
use super::check::hidden_names;

/// How many failures a statement quotes.
const FAILURES: usize = 5;
/// How many lines of one failure it quotes.
const LINES: usize = 12;

/// What every statement ends with: where the repository is, and who decides.
pub fn closing(repository: &str) -> String {
    format!(
        "The repository ({repository}) is in `/testbed`. Change it so that the described behaviour \
         holds. Tests that you cannot see will check it; do not change existing tests.\n"
    )
}

/// [`template`] of all that is known; lines of failures that name a hidden test are left out, and
/// a commit without a message (an injected bug) speaks through its failures.
pub fn template_of(input: &StatementInput) -> String {
    let failures: Vec<&str> = input.failing.iter().map(|test| test.before.as_str()).collect();
    let hidden = hidden_names(input);
    let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
    template(&input.repository, &input.subject, &input.body, &failures, &hidden)
}

/// `instruction.md`: subject and body of the commit without references, then the messages of
/// the tests that fail before the fix, without lines that have one of the hidden names.
pub fn template(
    repository: &str,
    subject: &str,
    body: &str,
    failures: &[&str],
    hidden: &[&str],
) -> String {
    let mut quoted: Vec<String> = Vec::new();
    for failure in failures {
        let excerpt = excerpt(failure, hidden);
        if !excerpt.is_empty() && !quoted.contains(&excerpt) {
            quoted.push(excerpt);
        }
    }
    let (subject, body) = unmerge(subject, body);
    let silent = subject.trim().is_empty() && body.trim().is_empty();
    let subject = clean_line(&subject);
    let body = match silent {
        true => {
            "Something that used to work gives wrong results, or fails. Find out why and repair \
                 it where it is broken."
                .to_owned()
        }
        false => clean(&body),
    };
    let found = quoted.first().and_then(|quoted| quoted.lines().next());
    let title = match (subject.as_str(), found) {
        ("", Some(line)) if silent => {
            let short: String = line.chars().take(80).collect();
            format!("Unexpected behaviour: {}", short.trim())
        }
        ("", _) => "Make the failing behaviour work".to_owned(),
        (subject, _) => subject.to_owned(),
    };
    let mut text = format!("# {title}\n\n");
    if !body.is_empty() {
        text.push_str(&body);
        text.push_str("\n\n");
    }
    if !quoted.is_empty() {
        let when = if silent { "At present" } else { "Without the change," };
        text.push_str(&format!("{when} checks fail like this:\n\n"));
        for excerpt in quoted.iter().take(FAILURES) {
            text.push_str("```\n");
            text.push_str(excerpt);
            text.push_str("\n```\n\n");
        }
        if quoted.len() > FAILURES {
            text.push_str(&format!("({} more fail.)\n\n", quoted.len() - FAILURES));
        }
    }
    text.push_str(&closing(repository));
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

pub(super) fn clean_line(line: &str) -> String {
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
pub(super) fn clean(body: &str) -> String {
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
fn excerpt(message: &str, hidden: &[&str]) -> String {
    let told = |line: &&str| !hidden.iter().any(|name| line.contains(name));
    let marked: Vec<&str> = message
        .lines()
        .filter(told)
        .filter_map(|line| line.strip_prefix("E "))
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let indent = marked.iter().map(|l| l.len() - l.trim_start().len()).min().unwrap_or(0);
    let marked: Vec<&str> = marked.iter().map(|line| &line[indent..]).collect();
    let lines: Vec<&str> = if marked.is_empty() {
        let lines = message.lines().filter(told);
        let last = lines.rev().find(|line| !line.trim().is_empty());
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
        let text = template(
            "a/b",
            "Merge pull request #7 from x/y",
            "Stop losing rows\n\nMore.",
            &[],
            &[],
        );
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
        assert_eq!(excerpt(message, &[]), "assert 1 == 2\n +  where 1 = f()");
    }

    #[test]
    fn a_bug_without_a_message_speaks_through_its_failures() {
        let failure = "E   ValueError: no rows\nE   in test_rows\n\ntests/test_x.py:3: ValueError";
        let text = template("a/b", "", "", &[failure], &["test_rows"]);
        assert!(text.starts_with("# Unexpected behaviour: ValueError: no rows\n"), "{text}");
        assert!(!text.contains("test_rows"), "{text}");
        let text = template("a/b", "", "", &["tests/test_x.py:3: AssertionError"], &["test_x.py"]);
        assert!(text.starts_with("# Make the failing behaviour work\n"), "{text}");
    }
}
