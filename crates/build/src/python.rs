//! Python versions: minors, version clauses over them, and which one suits a commit.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A minor version of Python, such as 3.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minor(pub u8, pub u8);

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Minor {
    type Err = String;
    /// Reads `3.12` and `3.12.1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a Python version; expected a form like 3.12");
        let mut parts = text.trim().split('.').map(|p| p.parse::<u8>());
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Minor {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Minor> for String {
    fn from(minor: Minor) -> Self {
        minor.to_string()
    }
}

/// First releases, as year, month, day.
const RELEASES: &[(Minor, &str)] = &[
    (Minor(3, 5), "2015-09-13"),
    (Minor(3, 6), "2016-12-23"),
    (Minor(3, 7), "2018-06-27"),
    (Minor(3, 8), "2019-10-14"),
    (Minor(3, 9), "2020-10-05"),
    (Minor(3, 10), "2021-10-04"),
    (Minor(3, 11), "2022-10-24"),
    (Minor(3, 12), "2023-10-02"),
    (Minor(3, 13), "2024-10-07"),
    (Minor(3, 14), "2025-10-07"),
    (Minor(3, 15), "2026-10-01"),
];

/// A version that the metadata declares must have been out for so many days before the commit.
const SETTLED_DAYS: i64 = 120;
/// One that it merely does not exclude, for so many.
const ESTABLISHED_DAYS: i64 = 365;

/// When a minor version came out, as days since 1970; `None` for unknown ones.
pub(crate) fn released(minor: Minor) -> Option<i64> {
    let text = RELEASES.iter().find(|(m, _)| *m == minor)?.1;
    crate::dates::days(text)
}

/// Whether `version` satisfies the clauses of `specifier` (`>=3.6,!=3.7.*`). Clauses that
/// cannot be read are taken as satisfied.
pub(crate) fn satisfies(version: (u8, u8, u8), specifier: &str) -> bool {
    specifier.split(',').all(|clause| clause_holds(version, clause.trim()))
}

fn clause_holds(version: (u8, u8, u8), clause: &str) -> bool {
    let operators = ["===", "~=", "==", "!=", "<=", ">=", "<", ">"];
    let Some(operator) = operators.iter().find(|o| clause.starts_with(**o)) else { return true };
    let text = clause[operator.len()..].trim().trim_matches(['"', '\'']);
    let (text, wild) = match text.strip_suffix(".*") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let numbers: Option<Vec<u8>> = text.split('.').map(|p| p.parse().ok()).collect();
    let Some(numbers) = numbers else { return true };
    let have = [version.0, version.1, version.2];
    let want = |i: usize| numbers.get(i).copied().unwrap_or(0);
    let full = [want(0), want(1), want(2)];
    let prefix = have.iter().zip(&numbers).all(|(h, w)| h == w);
    match *operator {
        "==" | "===" if wild => prefix,
        "==" | "===" => have == full,
        "!=" if wild => !prefix,
        "!=" => have != full,
        "<=" => have <= full,
        ">=" => have >= full,
        "<" => have < full,
        ">" => have > full,
        _ => {
            let keep = numbers.len().saturating_sub(1).max(1);
            have >= full && have.iter().zip(&numbers[..keep]).all(|(h, w)| h == w)
        }
    }
}

/// What a repository says about the Pythons it runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonWish {
    /// Version clauses, as in `requires-python`.
    #[serde(default)]
    pub requires: Option<String>,
    /// Versions named by classifiers, test environments and CI files.
    #[serde(default)]
    pub declared: BTreeSet<Minor>,
}

/// A choice of interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The version.
    pub minor: Minor,
    /// Set when it is not one that the repository declares: what it wants, in words.
    pub note: Option<String>,
}

/// Chooses among `available` full versions for a commit of `day` (days since 1970): the newest
/// minor that the repository declares and that was out for some months by then; failing that
/// the nearest above. The error says what was wanted and what was there.
pub fn choose(wish: &PythonWish, available: &[(u8, u8, u8)], day: i64) -> Result<Choice, String> {
    let allowed: BTreeSet<Minor> = available
        .iter()
        .filter(|v| v.0 == 3)
        .filter(|v| wish.requires.as_deref().is_none_or(|r| satisfies(**v, r)))
        .map(|v| Minor(v.0, v.1))
        .collect();
    let out_by = |minor: &Minor, days: i64| released(*minor).is_some_and(|r| r + days <= day);
    let declared: BTreeSet<Minor> = wish.declared.iter().filter(|m| m.0 == 3).copied().collect();
    let python2_only = !wish.declared.is_empty() && declared.is_empty();
    if python2_only || allowed.is_empty() {
        return Err(no_python(wish, available));
    }
    let fitting = |days: i64| {
        let within = |m: &&Minor| (declared.is_empty() || declared.contains(m)) && out_by(m, days);
        allowed.iter().rfind(within).copied()
    };
    let days = if declared.is_empty() { ESTABLISHED_DAYS } else { SETTLED_DAYS };
    if let Some(minor) = fitting(days).or_else(|| fitting(0)) {
        return Ok(Choice { minor, note: None });
    }
    // Everything declared is missing here, or was too new then. The nearest above the newest
    // declared that was out is closest to what the authors ran.
    let newest = declared.iter().rfind(|m| out_by(m, 0)).copied();
    let floor = newest.or_else(|| declared.first().copied()).unwrap_or(Minor(3, 0));
    let above = allowed.range(floor..).next();
    let Some(minor) = above.or_else(|| allowed.last()).copied() else {
        return Err(no_python(wish, available));
    };
    let wants = wants(wish);
    Ok(Choice { minor, note: Some(format!("wants Python {wants}; nearest here is {minor}")) })
}

fn wants(wish: &PythonWish) -> String {
    let declared: Vec<String> = wish.declared.iter().map(Minor::to_string).collect();
    match (&wish.requires, declared.is_empty()) {
        (Some(requires), true) => requires.clone(),
        (Some(requires), false) => format!("{requires} ({})", declared.join(", ")),
        (None, true) => "any".to_owned(),
        (None, false) => declared.join(", "),
    }
}

fn no_python(wish: &PythonWish, available: &[(u8, u8, u8)]) -> String {
    let found: BTreeSet<String> = available.iter().map(|v| format!("{}.{}", v.0, v.1)).collect();
    let found = match found.is_empty() {
        true => "none".to_owned(),
        false => {
            let mut minors: Vec<Minor> = found.iter().filter_map(|m| m.parse().ok()).collect();
            minors.sort();
            minors.iter().map(Minor::to_string).collect::<Vec<_>>().join(", ")
        }
    };
    format!("no Python that fits: wants {}; found {found}", wants(wish))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &[(u8, u8, u8)] = &[
        (2, 7, 18),
        (3, 6, 15),
        (3, 7, 16),
        (3, 8, 18),
        (3, 9, 18),
        (3, 10, 13),
        (3, 11, 7),
        (3, 12, 1),
        (3, 13, 0),
    ];

    fn check(requires: Option<&str>, declared: &[&str], date: &str) -> String {
        let wish = PythonWish {
            requires: requires.map(str::to_owned),
            declared: declared.iter().map(|d| d.parse().unwrap()).collect(),
        };
        match choose(&wish, HERE, crate::dates::days(date).unwrap()) {
            Ok(Choice { minor, note }) => {
                format!("{minor}{}", if note.is_some() { " nearest" } else { "" })
            }
            Err(error) => error,
        }
    }

    #[test]
    fn the_newest_declared_and_settled_wins() {
        assert_eq!(check(Some(">=3.5"), &["3.5", "3.8", "3.9"], "2022-06-01"), "3.9");
        // 3.13 is declared, but had been out for ten days only.
        assert_eq!(check(Some(">=3.8"), &["3.12", "3.13"], "2024-10-17"), "3.12");
        assert_eq!(check(Some(">=3.10"), &["3.10", "3.14", "3.15"], "2026-08-01"), "3.10");
        assert_eq!(check(Some(">=3.8,<3.12"), &[], "2026-08-01"), "3.11");
        assert_eq!(check(None, &[], "2021-01-01"), "3.8");
    }

    #[test]
    fn the_nearest_above_is_marked() {
        assert_eq!(check(None, &["2.7", "3.3", "3.4", "3.5"], "2016-06-01"), "3.6 nearest");
        assert_eq!(check(None, &[], "2014-06-01"), "3.6 nearest");
        assert_eq!(check(Some(">=3.6"), &[], "2017-01-10"), "3.6");
    }

    #[test]
    fn no_python_says_what_was_there() {
        let expected = "no Python that fits: wants 2.6, 2.7; found 2.7, 3.6, 3.7, 3.8, 3.9, \
                        3.10, 3.11, 3.12, 3.13";
        assert_eq!(check(None, &["2.6", "2.7"], "2014-06-01"), expected);
        assert!(check(Some(">=3.14"), &[], "2026-06-01").starts_with("no Python that fits"));
    }

    #[test]
    fn clauses_hold() {
        for (clause, yes, no) in [
            (">=3.6", (3, 6, 0), (3, 5, 9)),
            ("~=3.6", (3, 9, 0), (4, 0, 0)),
            ("~=3.6.1", (3, 6, 5), (3, 7, 0)),
            ("==3.6.*", (3, 6, 15), (3, 7, 0)),
            ("!=3.0.*,!=3.1.*", (3, 2, 0), (3, 1, 4)),
            ("<4", (3, 13, 0), (4, 0, 0)),
            ("<=3.10", (3, 10, 0), (3, 11, 0)),
        ] {
            assert!(satisfies(yes, clause), "{clause} {yes:?}");
            assert!(!satisfies(no, clause), "{clause} {no:?}");
        }
    }
}
