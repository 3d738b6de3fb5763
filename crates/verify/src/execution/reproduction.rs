//! What R2E-Gym's generated test programs print.
//!
//! Such a program prints for each of its tests one of `Issue reproduced`, `Issue resolved` and
//! `Other issues`. R2E-Gym counts how often the output contains `resolved`, which `unresolved` and
//! any echo of the word do as well.

use serde::{Deserialize, Serialize};

/// What one test of such a program said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// `Issue resolved`.
    Resolved,
    /// `Issue reproduced`.
    Reproduced,
    /// `Other issues`.
    Other,
}

/// What a test program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueTests {
    /// What was said, in order.
    pub outcomes: Vec<Outcome>,
    /// What R2E-Gym counts: occurrences of `resolved` in the output.
    pub r2e_count: usize,
}

impl IssueTests {
    /// How often something was said.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.iter().filter(|o| **o == outcome).count()
    }
}

/// Reads the output: a line that ends with one of the three, after nothing or after something that
/// is no part of a word, such as the name of the test and a colon.
pub fn parse_issue_tests(output: &str) -> IssueTests {
    let known = [
        ("Issue resolved", Outcome::Resolved),
        ("Issue reproduced", Outcome::Reproduced),
        ("Other issues", Outcome::Other),
    ];
    let outcome = |line: &str| {
        let line = line.trim().trim_end_matches(['.', '!', '"', '\'']);
        known.iter().find_map(|(text, outcome)| {
            let before = line.strip_suffix(text)?;
            // In "no Issue resolved" or "print('Issue resolved" it is not what a test says.
            let label = before.trim_end();
            let apart = label.is_empty() || label.ends_with([':', '-', '>', ']', ')', '|']);
            apart.then_some(*outcome)
        })
    };
    IssueTests {
        outcomes: output.lines().filter_map(outcome).collect(),
        r2e_count: output.matches("resolved").count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_from_echoes() {
        let output = "test_a: Issue resolved\nIssue reproduced\r\n  Other issues.\n\
                      the bug is unresolved\nprint(\"Issue resolved\")\nIssue resolved\n\
                      this is no Issue resolved\n[3] Issue resolved\n";
        let tests = parse_issue_tests(output);
        let resolved = Outcome::Resolved;
        let want = [resolved, Outcome::Reproduced, Outcome::Other, resolved, resolved];
        assert_eq!(tests.outcomes, want);
        assert_eq!((tests.count(resolved), tests.r2e_count), (3, 6));
        assert_eq!(parse_issue_tests(""), IssueTests::default());
    }
}
