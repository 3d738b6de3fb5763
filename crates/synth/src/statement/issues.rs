//! Real issues: a file of them, and which of them a commit names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::template::{clean, clean_line};

/// An issue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its number in the repository.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text, in Markdown.
    #[serde(default)]
    pub body: String,
}

impl Issue {
    /// The issue as a statement: without references to others, and without comments that a form
    /// put there.
    pub fn statement(&self) -> String {
        static COMMENT: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?s)<!--.*?-->").unwrap_or_else(|error| unreachable!("fixed: {error}"))
        });
        let body = self.body.replace("\r\n", "\n");
        let body = COMMENT.replace_all(&body, "");
        // References go from prose; code stays as it is.
        let mut text = format!("# {}\n\n", clean_line(&self.title));
        let (mut prose, mut fenced) = (String::new(), false);
        for line in body.lines() {
            let fence =
                line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
            if fence || fenced {
                if !prose.is_empty() {
                    text.push_str(&clean(&std::mem::take(&mut prose)));
                    text.push_str("\n\n");
                }
                text.push_str(line);
                text.push('\n');
                fenced ^= fence;
                if fence && !fenced {
                    text.push('\n');
                }
            } else {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        text.push_str(&clean(&prose));
        text.trim().to_owned()
    }
}

/// The issues of a repository, by their numbers.
#[derive(Debug, Clone, Default)]
pub struct Issues {
    by_number: BTreeMap<u64, Issue>,
}

impl Issues {
    /// Reads a file with one issue a line, as JSON objects with `number`, `title` and `body`, and
    /// any other fields. Pull requests (a field `pull_request` with something in it) are passed
    /// over. What cannot be read is in the second value, a line each.
    ///
    /// # Errors
    /// Where there is no such file.
    pub fn read(path: &Path) -> std::io::Result<(Self, Vec<String>)> {
        let text = fs_err::read(path)?;
        let (issues, problems) = Self::parse(&String::from_utf8_lossy(&text));
        let place = path.display();
        Ok((issues, problems.into_iter().map(|problem| format!("{place}:{problem}")).collect()))
    }

    /// Reads the text of such a file.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut issues = Self::default();
        let mut problems = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match issue(line) {
                Ok(Some(issue)) => drop(issues.by_number.insert(issue.number, issue)),
                Ok(None) => {}
                Err(what) => problems.push(format!("{}: {what}", number + 1)),
            }
        }
        (issues, problems)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// The issue that a commit names: the first that it closes, else the first that it mentions,
    /// of those that are here and have a text.
    pub fn linked(&self, repository: &str, subject: &str, body: &str) -> Option<&Issue> {
        let numbers = linked_numbers(repository, subject, body);
        let mut found = numbers.into_iter().filter_map(|number| self.by_number.get(&number));
        found.find(|issue| !issue.body.trim().is_empty())
    }
}

fn issue(line: &str) -> Result<Option<Issue>, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if value.get("pull_request").is_some_and(|pull| !pull.is_null() && pull != false) {
        return Ok(None);
    }
    let text =
        |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = value.get("number");
    let number = number.and_then(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok()));
    let number = number.ok_or("there is no `number`")?;
    let issue = Issue { number, title: text("title"), body: text("body") };
    match issue.title.is_empty() {
        true => Err(format!("issue {number} has no `title`")),
        false => Ok(Some(issue)),
    }
}

/// The numbers that a message names: those after a word that closes an issue first, then `#12`,
/// `gh-12` and addresses; each once. Numbers with another repository before them do not count.
pub fn linked_numbers(repository: &str, subject: &str, body: &str) -> Vec<u64> {
    static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"(?ix)
            (?P<close>\b(?:close|closes|closed|fix|fixes|fixed|resolve|resolves|resolved)\b
                [\ :]*(?:(?:issue|bug|ticket)s?[\ :]*)?)?
            (?: https?://[^/\s]+/(?P<repo>[\w.-]+/[\w.-]+)/issues/(?P<url>\d{1,9})
              | (?P<other>[\w.-]+/[\w.-]+)?\#(?P<hash>\d{1,9})\b
              | \bgh-(?P<gh>\d{1,9})\b )";
        Regex::new(pattern).unwrap_or_else(|error| unreachable!("fixed: {error}"))
    });
    let text = format!("{subject}\n{body}");
    let (mut closed, mut named) = (Vec::new(), Vec::new());
    let mut last_end = None;
    for found in REFERENCE.captures_iter(&text) {
        let whole = found.get(0).map_or(0..0, |whole| whole.range());
        let other = found.name("repo").or(found.name("other"));
        // `fixes #1, #2` closes both.
        let goes_on = last_end.is_some_and(|end: usize| {
            let between = text.get(end..whole.start).unwrap_or_default();
            matches!(between.trim(), "," | "and" | "&" | ", and")
        });
        let closes = found.name("close").is_some() || goes_on;
        last_end = closes.then_some(whole.end);
        if other.is_some_and(|other| !other.as_str().eq_ignore_ascii_case(repository)) {
            continue;
        }
        let number = found.name("url").or(found.name("hash")).or(found.name("gh"));
        let Some(number) = number.and_then(|number| number.as_str().parse().ok()) else { continue };
        if closes { &mut closed } else { &mut named }.push(number);
    }
    let mut numbers: Vec<u64> = Vec::new();
    for number in closed.into_iter().chain(named) {
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_messages() {
        let check = |subject: &str, body: &str, want: &[u64]| {
            assert_eq!(linked_numbers("a/b", subject, body), want, "{subject} {body}");
        };
        check("Split on GO (#7)", "Fixes #3.", &[3, 7]);
        check("x", "fixes #1, #2 and #3; see #4", &[1, 2, 3, 4]);
        check("x gh-12", "closes issue #5", &[5, 12]);
        check("x", "https://github.com/a/b/issues/9 and c/d#8", &[9]);
        check("x", "https://github.com/c/d/issues/9", &[]);
        check("C# and #include", "no #x12", &[]);
        check("Fix: A/B#6", "", &[6]);
        check("x", "resolves: #99999999999999", &[]);
    }

    #[test]
    fn a_file_of_issues() {
        let text = r##"{"number": 3, "title": "Rows vanish", "body": "They do.", "labels": []}
{"number": "4", "title": "No body", "body": null}
{"number": 5, "title": "A pull", "body": "x", "pull_request": {"url": "u"}}
{"title": "no number"}
nonsense

{"number": 6, "title": ""}"##;
        let (issues, problems) = Issues::parse(text);
        assert_eq!((issues.len(), problems.len()), (2, 3), "{problems:?}");
        assert_eq!(issues.linked("a/b", "fixes #4", "see #3").unwrap().number, 3);
        assert!(issues.linked("a/b", "fixes #5", "").is_none());
    }

    #[test]
    fn an_issue_as_a_statement() {
        let issue = Issue {
            number: 1,
            title: "Rows vanish (#7)".into(),
            body: "<!-- fill\nthis -->\nSee #8 for more\r\n```\nx = '#9'\n\ny\n```\nThanks\n"
                .into(),
        };
        let want = "# Rows vanish\n\nfor more\n\n```\nx = '#9'\n\ny\n```\n\nThanks";
        assert_eq!(issue.statement(), want);
    }
}
