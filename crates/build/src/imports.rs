//! From the names that code uses (modules, fixtures, marks) to the distributions that bring them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::requirement;

#[derive(Debug, Default, Deserialize)]
struct Table {
    modules: BTreeMap<String, String>,
    fixtures: BTreeMap<String, String>,
    marks: BTreeMap<String, String>,
}

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("../data/imports.toml")).unwrap_or_default());

/// `import a.b, c` and `from a.b import c, d`, with the indented ones of guarded imports, and
/// `importorskip("a.b")`.
static IMPORT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = r#"(?m)^[ \t]*(?:import[ \t]+(?P<plain>[\w., \t]+)|from[ \t]+(?P<from>[\w.]+)[ \t]+import[ \t]+(?P<names>[\w, \t(]+))|import(?:orskip|_module)\(\s*["'](?P<call>[\w.]+)["']"#;
    Regex::new(pattern).ok()
});

/// The distribution that brings a module, by the longest part of its dotted name in the table.
pub(crate) fn distribution(module: &str) -> String {
    let mut name = module;
    loop {
        if let Some(found) = TABLE.modules.get(name) {
            return found.clone();
        }
        match name.rsplit_once('.') {
            Some((parent, _)) => name = parent,
            None => return name.replace('_', "-"),
        }
    }
}

/// The plugin that brings a fixture.
pub(crate) fn for_fixture(name: &str) -> Option<&'static str> {
    TABLE.fixtures.get(name).map(String::as_str)
}

/// The plugin that knows a mark.
pub(crate) fn for_mark(name: &str) -> Option<&'static str> {
    TABLE.marks.get(name).map(String::as_str)
}

/// The dotted names that Python code imports. Relative imports are left out.
pub(crate) fn scan(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(regex) = IMPORT.as_ref() else { return found };
    for captures in regex.captures_iter(code) {
        if let Some(plain) = captures.name("plain") {
            let names = plain.as_str().split(',').filter_map(|n| n.split_whitespace().next());
            found.extend(names.map(str::to_owned));
        }
        if let Some(call) = captures.name("call") {
            found.insert(call.as_str().to_owned());
        }
        if let Some(from) = captures.name("from")
            && !from.as_str().starts_with('.')
        {
            found.insert(from.as_str().to_owned());
            let names = captures.name("names").map_or("", |n| n.as_str());
            let names = names.split([',', '(']).filter_map(|n| n.split_whitespace().next());
            found.extend(names.map(|n| format!("{}.{n}", from.as_str())));
        }
    }
    found
}

/// Whether one of the imported names can come from the distribution of this normalised name.
pub(crate) fn brings(distribution_name: &str, imported: &BTreeSet<String>) -> bool {
    imported.iter().any(|module| {
        let brought = distribution(module);
        let brought = requirement::name_of(&brought).unwrap_or(brought);
        let dotted = requirement::normalise(module);
        let top = dotted.split('-').next().unwrap_or_default();
        brought == distribution_name
            || top == distribution_name
            || requirement::normalise(module.split('.').next().unwrap_or_default())
                == distribution_name
            || (distribution_name.contains('-')
                && (dotted == distribution_name
                    || dotted.starts_with(&format!("{distribution_name}-"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads() {
        toml::from_str::<Table>(include_str!("../data/imports.toml")).unwrap();
    }

    #[test]
    fn names_become_distributions() {
        for (module, expected) in [
            ("yaml", "PyYAML"),
            ("PIL.Image", "Pillow"),
            ("google.protobuf.message", "protobuf"),
            ("pkg_resources", "setuptools<81"),
            ("some_thing.sub", "some-thing"),
        ] {
            assert_eq!(distribution(module), expected);
        }
    }

    #[test]
    fn code_names_its_imports() {
        let code = "import os, yaml as y\nfrom google.cloud import storage\n\
                    try:\n    from PIL import (Image,\n        Draw)\nexcept ImportError: pass\n\
                    from . import x\nboto3 = pytest.importorskip('boto3')\n\
                    # import nothing\n";
        let found = scan(code);
        for name in ["os", "yaml", "google.cloud.storage", "PIL.Image", "boto3"] {
            assert!(found.contains(name), "{name} in {found:?}");
        }
        assert!(!found.contains("nothing"));
        assert!(brings("google-cloud-storage", &found));
        assert!(brings("pillow", &found) && brings("pyyaml", &found) && brings("boto3", &found));
        assert!(!brings("botocore", &found));
    }
}
