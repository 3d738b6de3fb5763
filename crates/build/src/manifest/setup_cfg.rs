//! Declarative metadata in `setup.cfg`.

use super::ini::{Ini, lines};
use super::{Manifest, python};

pub(crate) fn read(ini: &Ini, manifest: &mut Manifest) {
    if let Some(name) = ini.get("metadata", "name") {
        manifest.name.get_or_insert_with(|| name.to_owned());
    }
    if let Some(requires) = ini.get("options", "python_requires") {
        manifest.python.requires.get_or_insert_with(|| requires.replace('\n', ""));
    }
    for key in ["classifiers", "classifier"] {
        for line in ini.get("metadata", key).into_iter().flat_map(lines) {
            python::classifier(line, manifest);
        }
    }
    let list = |section: &str, key: &str| -> Vec<String> {
        let value = ini.get(section, key).unwrap_or_default();
        lines(value).flat_map(split_semicolons).collect()
    };
    manifest.declares_runtime |= ini.get("options", "install_requires").is_some();
    manifest.runtime.extend(list("options", "install_requires"));
    // distutils2 and d2to1 wrote it like this; PBR reads requirements.txt.
    manifest.runtime.extend(list("metadata", "requires-dist"));
    manifest.test.extend(list("options", "tests_require"));
    manifest.build.extend(list("options", "setup_requires"));
    for (extra, value) in ini.section("options.extras_require") {
        let requirements = lines(value).map(str::to_owned).collect();
        manifest.group(extra, requirements);
    }
    if ini.names().any(|n| n == "pbr")
        || list("options", "setup_requires").iter().any(|r| r == "pbr")
    {
        manifest.uses_pbr = true;
    }
}

/// `a; b` on one line are two requirements, but `a; python_version < "3"` is one.
fn split_semicolons(line: &str) -> Vec<String> {
    let is_marker = |text: &str| {
        let text = text.trim();
        text.is_empty() || text.contains("==") || text.contains(['<', '>', '\'', '"'])
    };
    match line.split_once(';') {
        Some((_, rest)) if is_marker(rest) => vec![line.to_owned()],
        Some((first, rest)) => {
            let mut all = vec![first.trim().to_owned()];
            all.extend(split_semicolons(rest.trim()));
            all
        }
        None => vec![line.to_owned()],
    }
}
