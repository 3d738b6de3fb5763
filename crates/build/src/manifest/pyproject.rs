//! `pyproject.toml`: standard metadata, and the tables of poetry, flit, hatch, pdm and uv.

use toml::{Table, Value};

use super::{Manifest, python};

pub(crate) fn read(text: &str, manifest: &mut Manifest) {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let line = error.message().lines().next().unwrap_or_default().to_owned();
            manifest.problems.push(format!("pyproject.toml: {line}"));
            return;
        }
    };
    if let Some(build) = table.get("build-system") {
        manifest.build.extend(strings(build.get("requires")));
        let backend = build.get("build-backend").and_then(Value::as_str);
        manifest.backend = backend.map(str::to_owned).or(manifest.backend.take());
    }
    if let Some(project) = table.get("project").and_then(Value::as_table) {
        standard(project, manifest);
    }
    for (name, group) in tables(table.get("dependency-groups")) {
        let items = group.as_array().map(Vec::as_slice).unwrap_or_default();
        let requirements = strings(Some(group));
        manifest.group(name, requirements);
        for include in items.iter().filter_map(|i| i.get("include-group")?.as_str()) {
            manifest.includes.push((name.to_owned(), include.to_owned()));
        }
    }
    let Some(tool) = table.get("tool") else { return };
    if let Some(poetry) = tool.get("poetry").and_then(Value::as_table) {
        self::poetry(poetry, manifest);
    }
    if let Some(flit) = tool.get("flit").and_then(|f| f.get("metadata")) {
        flit_metadata(flit, manifest);
    }
    for (name, environment) in tables(tool.get("hatch").and_then(|h| h.get("envs"))) {
        let mut all = strings(environment.get("dependencies"));
        all.extend(strings(environment.get("extra-dependencies")));
        manifest.group(name, all);
        if super::tools::group(name) == super::tools::Group::Test {
            manifest.wanted_groups.extend(strings(environment.get("features")));
        }
        for row in environment.get("matrix").and_then(Value::as_array).into_iter().flatten() {
            let pythons = strings(row.get("python"));
            manifest.python.declared.extend(pythons.iter().filter_map(|p| python::factor(p)));
        }
    }
    for (name, group) in tables(tool.get("pdm").and_then(|p| p.get("dev-dependencies"))) {
        manifest.group(name, strings(Some(group)));
    }
    if let Some(dev) = tool.get("uv").and_then(|u| u.get("dev-dependencies")) {
        manifest.group("dev", strings(Some(dev)));
    }
    if tool.get("setuptools_scm").is_some() || tool.get("setuptools-scm").is_some() {
        manifest.uses_scm = true;
    }
    if let Some(tox) = tool.get("tox").and_then(|t| t.get("legacy_tox_ini")?.as_str()) {
        manifest.tox_text = Some(tox.to_owned());
    }
    if let Some(pytest) = tool.get("pytest").and_then(|p| p.get("ini_options")) {
        pytest_options(pytest, manifest);
    }
    all_strings(&Value::Table(table), &mut manifest.reads_files);
}

/// `[tool.pytest.ini_options]`, or a `pytest.toml`.
fn pytest_options(options: &Value, manifest: &mut Manifest) {
    for (key, value) in tables(Some(options)) {
        let text = match value {
            Value::Array(_) => strings(Some(value)).join(" "),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        manifest.pytest_setting(key, &text);
    }
}

fn standard(project: &Table, manifest: &mut Manifest) {
    if let Some(name) = project.get("name").and_then(Value::as_str) {
        manifest.name = Some(name.to_owned());
    }
    if let Some(requires) = project.get("requires-python").and_then(Value::as_str) {
        manifest.python.requires = Some(requires.to_owned());
    }
    for line in strings(project.get("classifiers")) {
        python::classifier(&line, manifest);
    }
    manifest.declares_runtime |= project.contains_key("dependencies");
    manifest.runtime.extend(strings(project.get("dependencies")));
    for (name, extra) in tables(project.get("optional-dependencies")) {
        manifest.group(name, strings(Some(extra)));
    }
}

fn flit_metadata(metadata: &Value, manifest: &mut Manifest) {
    if let Some(requires) = metadata.get("requires-python").and_then(Value::as_str) {
        manifest.python.requires = Some(requires.to_owned());
    }
    if let Some(name) = metadata.get("module").and_then(Value::as_str) {
        manifest.name = Some(name.to_owned());
    }
    for line in strings(metadata.get("classifiers")) {
        python::classifier(&line, manifest);
    }
    manifest.declares_runtime |= metadata.get("requires").is_some();
    manifest.runtime.extend(strings(metadata.get("requires")));
    manifest.test.extend(strings(metadata.get("dev-requires")));
    for (name, extra) in tables(metadata.get("requires-extra")) {
        manifest.group(name, strings(Some(extra)));
    }
}

fn poetry(poetry: &Table, manifest: &mut Manifest) {
    if let Some(name) = poetry.get("name").and_then(Value::as_str) {
        manifest.name.get_or_insert_with(|| name.to_owned());
    }
    for line in strings(poetry.get("classifiers")) {
        python::classifier(&line, manifest);
    }
    let dependencies = poetry.get("dependencies");
    let mut optional = Vec::new();
    for (name, value) in tables(dependencies) {
        if name == "python" {
            if let Some(text) = value.as_str() {
                manifest.python.requires.get_or_insert_with(|| python::clauses(text));
            }
            continue;
        }
        let is_optional = value.get("optional").and_then(Value::as_bool).unwrap_or(false);
        let lines = poetry_requirements(name, value);
        if is_optional {
            optional.extend(lines);
        } else {
            manifest.declares_runtime = true;
            manifest.runtime.extend(lines);
        }
    }
    for (extra, members) in tables(poetry.get("extras")) {
        let names: Vec<String> =
            strings(Some(members)).iter().map(|m| crate::requirement::normalise(m)).collect();
        let is_member = |line: &&String| {
            crate::requirement::name_of(line).is_some_and(|name| names.contains(&name))
        };
        manifest.group(extra, optional.iter().filter(is_member).cloned().collect());
    }
    manifest.optional.extend(optional);
    let group = |table: Option<&Value>| -> Vec<String> {
        tables(table).flat_map(|(name, value)| poetry_requirements(name, value)).collect()
    };
    let dev = group(poetry.get("dev-dependencies"));
    manifest.group("dev", dev);
    for (name, value) in tables(poetry.get("group")) {
        manifest.group(name, group(value.get("dependencies")));
    }
}

/// A dependency in poetry's words as requirement lines.
fn poetry_requirements(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::String(version) => vec![format!("{name}{}", python::clauses(version))],
        Value::Array(choices) => {
            choices.iter().flat_map(|choice| poetry_requirements(name, choice)).collect()
        }
        Value::Table(table) => {
            let text = |key: &str| table.get(key).and_then(Value::as_str);
            let mut line = name.to_owned();
            let extras = strings(table.get("extras"));
            if !extras.is_empty() {
                line = format!("{line}[{}]", extras.join(","));
            }
            if text("path").is_some() {
                return Vec::new();
            }
            if let Some(git) = text("git") {
                let at = text("rev").or(text("tag")).or(text("branch"));
                line =
                    format!("{line} @ git+{git}{}", at.map_or(String::new(), |a| format!("@{a}")));
            } else if let Some(url) = text("url") {
                line = format!("{line} @ {url}");
            } else {
                line.push_str(&python::clauses(text("version").unwrap_or_default()));
            }
            let mut markers: Vec<String> =
                text("markers").map(|m| format!("({m})")).into_iter().collect();
            let clauses = text("python").map(python::clauses).unwrap_or_default();
            for clause in clauses.split(',').filter(|c| !c.is_empty()) {
                let at = clause.find(|c: char| c.is_ascii_digit()).unwrap_or(clause.len());
                let (operator, version) = clause.split_at(at);
                markers.push(format!("python_version {operator} '{version}'"));
            }
            if !markers.is_empty() {
                line = format!("{line} ; {}", markers.join(" and "));
            }
            vec![line]
        }
        _ => Vec::new(),
    }
}

/// The strings of an array, or of a single string.
fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => {
            items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn tables(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let table = value.and_then(Value::as_table);
    table.into_iter().flat_map(|t| t.iter().map(|(k, v)| (k.as_str(), v)))
}

/// Every string of a document: some of them name files that installing reads.
fn all_strings(value: &Value, out: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() < 200 && !text.contains('\n') => {
            out.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|i| all_strings(i, out)),
        Value::Table(table) => table.values().for_each(|v| all_strings(v, out)),
        _ => {}
    }
}
