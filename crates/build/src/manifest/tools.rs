//! What is for tests and what is for other chores, from the table in `data/tools.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::requirement;

#[derive(Debug, Default, Deserialize)]
struct Tools {
    drop: Vec<String>,
    drop_prefixes: Vec<String>,
    drop_unless_asked: Vec<String>,
    test_groups: Vec<String>,
    other_groups: Vec<String>,
    options: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
}

static TOOLS: LazyLock<Tools> =
    LazyLock::new(|| toml::from_str(include_str!("../../data/tools.toml")).unwrap_or_default());

/// What a group of requirements is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// The tests need it.
    Test,
    /// A feature that some tests may exercise.
    Feature,
    /// Documentation, style, packaging.
    Other,
}

/// What an extra, a dependency group or a tox environment of this name is for.
pub(crate) fn group(name: &str) -> Group {
    let name = requirement::normalise(name);
    if TOOLS.test_groups.contains(&name) {
        return Group::Test;
    }
    let parts: Vec<&str> = name.split('-').collect();
    let matches = |other: &String| parts.iter().any(|p| p.starts_with(other.as_str()));
    if TOOLS.other_groups.iter().any(matches) {
        return Group::Other;
    }
    if parts.iter().any(|p| matches!(*p, "test" | "tests" | "testing")) {
        return Group::Test;
    }
    Group::Feature
}

/// Whether a distribution is a tool for chores.
pub(crate) fn is_tool(name: &str) -> bool {
    TOOLS.drop.iter().any(|d| d == name)
        || TOOLS.drop_prefixes.iter().any(|p| name.starts_with(p.as_str()))
}

/// Whether a distribution is kept only when pytest's options need it.
pub(crate) fn is_on_request(name: &str) -> bool {
    TOOLS.drop_unless_asked.iter().any(|d| d == name)
}

/// The plugins that pytest's command line options need.
pub(crate) fn for_options(options: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in options.split_whitespace() {
        let option = word.split('=').next().unwrap_or(word);
        for (start, plugin) in &TOOLS.options {
            let long = start.starts_with("--");
            // `-n4` is `-n 4`, but `-nbval` is not.
            let short = option.strip_prefix(start.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.bytes().all(|b| b.is_ascii_digit()) || rest == "auto"
            });
            let hit = if long {
                option == start || option.starts_with(&format!("{start}-"))
            } else {
                short
            };
            if hit {
                found.push(plugin.clone());
            }
        }
        if option == "-p" {
            continue;
        }
    }
    found
}

/// The plugin that a setting of pytest's needs.
pub(crate) fn for_setting(key: &str) -> Option<&'static str> {
    TOOLS.settings.get(key).map(String::as_str).filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads() {
        toml::from_str::<Tools>(include_str!("../../data/tools.toml")).unwrap();
    }

    #[test]
    fn groups_are_told_apart() {
        for (name, expected) in [
            ("tests", Group::Test),
            ("unit_tests", Group::Test),
            ("Dev", Group::Test),
            ("docs", Group::Other),
            ("mypy-tests", Group::Other),
            ("min-extra-deps", Group::Other),
            ("extra-deps", Group::Feature),
            ("s3", Group::Feature),
        ] {
            assert_eq!(group(name), expected, "{name}");
        }
    }

    #[test]
    fn options_name_plugins() {
        let found = for_options("-q -n4 --cov=x --cov-report= --timeout 3 -nothing");
        assert_eq!(found, ["pytest-xdist", "pytest-cov", "pytest-cov", "pytest-timeout"]);
    }
}
