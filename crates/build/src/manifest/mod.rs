//! What a repository says about itself, read without running any of it.

mod ini;
mod pyproject;
mod python;
mod requirements;
mod setup_cfg;
mod setup_py;
pub(crate) mod tools;
mod tox;

use std::collections::{BTreeMap, BTreeSet};

use palestra_core::Hash;
use serde::{Deserialize, Serialize};

use crate::python::{Minor, PythonWish};
use crate::requirement;
use ini::Ini;
use tools::Group;

/// The files of a tree: which there are, and what they hold.
pub(crate) struct Source<'a> {
    read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    paths: &'a BTreeSet<&'a str>,
}

impl Source<'_> {
    fn text(&self, path: &str) -> Option<String> {
        if !self.exists(path) {
            return None;
        }
        let bytes = (self.read)(path)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    fn exists(&self, path: &str) -> bool {
        self.paths.contains(path)
    }
}

/// What a repository says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The distribution's name.
    pub name: Option<String>,
    /// The Pythons it runs on.
    pub python: PythonWish,
    /// What it needs to run.
    pub runtime: Vec<String>,
    /// What its tests need besides, tools for other chores left out.
    pub test: Vec<String>,
    /// What tox's general test environment needs.
    pub tox_test: Vec<String>,
    /// What tox's test environments for single Pythons need, in place of the general one's.
    pub per_python: BTreeMap<Minor, Vec<String>>,
    /// Test requirements under tox factors, as factors and requirement.
    pub conditional: Vec<(Vec<String>, String)>,
    /// What its optional features need. Tests of such a feature need it too.
    pub optional: Vec<String>,
    /// What its build needs.
    pub build: Vec<String>,
    /// Version limits it gives.
    pub constraints: Vec<String>,
    /// The extras and groups that the test requirements were taken from.
    pub extras: Vec<String>,
    /// The build backend of `pyproject.toml`.
    pub backend: Option<String>,
    /// Whether there is a `setup.py`.
    pub has_setup_py: bool,
    /// Whether there is a `pyproject.toml` or a `setup.cfg` that installing can start from.
    pub has_project: bool,
    /// Whether its version comes from tags, by setuptools_scm or hatch-vcs.
    pub uses_scm: bool,
    /// Whether its version comes from tags, by pbr.
    pub uses_pbr: bool,
    /// Variables that its test runs set.
    pub env: BTreeMap<String, String>,
    /// What could not be read.
    pub problems: Vec<String>,

    // What follows is only used while reading, or is for the install key.
    /// Strings of the build files; those that name files of the tree are what installing reads.
    #[serde(skip)]
    pub(crate) reads_files: BTreeSet<String>,
    /// Modules that `setup.py` imports.
    #[serde(skip)]
    pub(crate) imports: BTreeSet<String>,
    #[serde(skip)]
    pub(crate) any_python3: bool,
    #[serde(skip)]
    pub(crate) ci_pythons: BTreeSet<Minor>,
    #[serde(skip)]
    pub(crate) declares_runtime: bool,
    #[serde(skip)]
    pub(crate) has_test_environment: bool,
    #[serde(skip)]
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    #[serde(skip)]
    pub(crate) includes: Vec<(String, String)>,
    #[serde(skip)]
    pub(crate) wanted_groups: Vec<String>,
    #[serde(skip)]
    pub(crate) plugins: BTreeSet<String>,
    #[serde(skip)]
    pub(crate) tox_text: Option<String>,
}

/// Whether a manifest is read from this path.
pub fn is_manifest(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let depth = path.matches('/').count();
    let root = matches!(
        path,
        "pyproject.toml"
            | "setup.cfg"
            | "setup.py"
            | "tox.ini"
            | "pytest.ini"
            | "Pipfile"
            | ".travis.yml"
            | "tox.toml"
            | "pytest.toml"
            | ".pytest.ini"
    );
    root || (depth <= 2 && is_requirements(path, name)) || path.starts_with(".github/workflows/")
}

fn is_requirements(path: &str, name: &str) -> bool {
    let kind = name.ends_with(".txt") || name.ends_with(".in") || name.ends_with(".pip");
    kind && (path.contains("require") || path.contains("deps") || path.contains("constraint"))
}

/// Reads the manifest of a tree with these `paths`; `read` gives the content of a path.
pub fn read(read: &dyn Fn(&str) -> Option<Vec<u8>>, paths: &[&str]) -> Manifest {
    let paths: BTreeSet<&str> = paths.iter().copied().collect();
    let source = Source { read, paths: &paths };
    let mut manifest = Manifest::default();
    if let Some(text) = source.text("pyproject.toml") {
        manifest.has_project = text.contains("[build-system]") || text.contains("[project]");
        pyproject::read(&text, &mut manifest);
    }
    if let Some(text) = source.text("setup.cfg") {
        let ini = Ini::parse(&text);
        setup_cfg::read(&ini, &mut manifest);
        manifest.pytest_section(&ini, &["tool:pytest", "pytest"]);
        let values = ini.names().filter(|n| n.starts_with("options") || *n == "metadata");
        let values: Vec<String> = values.map(str::to_owned).collect();
        for (_, value) in values.iter().flat_map(|n| ini.section(n)) {
            let words = value.split([':', ',', '\n', ' ']).map(|w| w.trim().to_owned());
            manifest.reads_files.extend(words.filter(|w| !w.is_empty()));
        }
    }
    if let Some(text) = source.text("setup.py") {
        manifest.has_setup_py = true;
        setup_py::read(&text, &source, &mut manifest);
    }
    let tox = source.text("tox.ini").or(manifest.tox_text.take());
    if let Some(text) = tox {
        let ini = Ini::parse(&text);
        tox::read(&ini, &source, &mut manifest);
        manifest.pytest_section(&ini, &["pytest"]);
    }
    for path in ["pytest.ini", ".pytest.ini"] {
        if let Some(text) = source.text(path) {
            manifest.pytest_section(&Ini::parse(&text), &["pytest"]);
        }
    }
    if let Some(text) = source.text("Pipfile") {
        pipfile(&text, &mut manifest);
    }
    requirement_files(&source, &mut manifest);
    for path in paths.iter().filter(|p| **p == ".travis.yml" || p.starts_with(".github/workflows/"))
    {
        if let Some(text) = source.text(path) {
            python::ci(&text, &mut manifest);
        }
    }
    manifest.finish();
    manifest
}

/// Requirements files at the root and in `requirements/`, by what their names say.
fn requirement_files(source: &Source<'_>, manifest: &mut Manifest) {
    let mut plain = Vec::new();
    for path in source.paths.iter().copied() {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some(stem) = name.rsplit_once('.').map(|(stem, _)| stem) else { continue };
        let directory = path.rsplit_once('/').map_or("", |(d, _)| d);
        let in_place = directory.is_empty()
            || matches!(directory, "requirements" | "reqs" | "test" | "tests" | "requires");
        if !in_place || !is_requirements(path, name) || path.contains("constraint") {
            continue;
        }
        // A file that pip-compile made of another says what that one says, and pins it.
        if name.ends_with(".txt") {
            let origin = format!("{}.in", path.trim_end_matches(".txt"));
            if source.exists(&origin) {
                continue;
            }
        }
        let words = format!("{directory}-{stem}").replace("requirements", "").replace("reqs", "");
        let words = words.replace(['_', '.'], "-");
        let words: Vec<&str> = words.split('-').filter(|w| !w.is_empty()).collect();
        let listed = || requirements::read(source, path);
        if words.is_empty()
            || matches!(words.as_slice(), ["base"] | ["common"] | ["install"] | ["main"])
        {
            plain.push(path);
        } else if let Some(minor) = words.iter().find_map(|w| python::factor(w)) {
            let _ = minor;
        } else if tools::group(&words.join("-")) == Group::Test {
            let listed = listed();
            manifest.wanted_groups.extend(listed.own_extras);
            manifest.constraints.extend(listed.constraints);
            if manifest.has_test_environment {
                manifest.optional.extend(listed.requirements);
            } else {
                manifest.test.extend(listed.requirements);
            }
        } else if tools::group(&words.join("-")) == Group::Feature {
            manifest.optional.extend(listed().requirements);
        }
    }
    for path in plain {
        let listed = requirements::read(source, path);
        manifest.wanted_groups.extend(listed.own_extras);
        if manifest.declares_runtime || manifest.reads_files.contains(path) {
            manifest.optional.extend(listed.requirements);
        } else {
            manifest.runtime.extend(listed.requirements);
        }
        manifest.constraints.extend(listed.constraints);
    }
}

fn pipfile(text: &str, manifest: &mut Manifest) {
    let Ok(table) = text.parse::<toml::Table>() else {
        manifest.problems.push("Pipfile: not readable".to_owned());
        return;
    };
    let section = |name: &str| -> Vec<String> {
        let entries = table.get(name).and_then(toml::Value::as_table).into_iter().flatten();
        let line = |(name, value): (&String, &toml::Value)| {
            let version = value.as_str().or_else(|| value.get("version")?.as_str()).unwrap_or("*");
            (value.get("path").is_none() && value.get("git").is_none())
                .then(|| format!("{name}{}", python::clauses(version)))
        };
        entries.filter_map(line).collect()
    };
    let packages = section("packages");
    if !manifest.declares_runtime {
        manifest.runtime.extend(packages);
    }
    if !manifest.has_test_environment {
        manifest.test.extend(section("dev-packages"));
    }
}

impl Manifest {
    /// A hash of all that decides the recipe: commits with the same one need the same packages.
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    fn group(&mut self, name: &str, requirements: Vec<String>) {
        self.groups.entry(requirement::normalise(name)).or_default().extend(requirements);
    }

    fn pytest_section(&mut self, ini: &Ini, names: &[&str]) {
        for name in names {
            let entries: Vec<(String, String)> =
                ini.section(name).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            for (key, value) in entries {
                self.pytest_setting(&key, &value);
            }
        }
    }

    fn pytest_setting(&mut self, key: &str, value: &str) {
        if key == "addopts" {
            self.plugins.extend(tools::for_options(value));
        }
        if key == "required_plugins" {
            let names = value.split_whitespace().filter(|w| requirement::parse(w).is_some());
            self.plugins.extend(names.map(str::to_owned));
        }
        self.plugins.extend(tools::for_setting(key).map(str::to_owned));
    }

    /// The requirements of a group with those that it includes.
    fn resolve_group(&self, name: &str, depth: usize) -> Vec<String> {
        let name = requirement::normalise(name);
        let mut all = self.groups.get(&name).cloned().unwrap_or_default();
        if depth > 8 {
            return all;
        }
        for (from, include) in &self.includes {
            if requirement::normalise(from) == name {
                all.extend(self.resolve_group(include, depth + 1));
            }
        }
        // `project[extra]` among an extra's requirements stands for that extra's.
        let own = self.name.as_deref().map(requirement::normalise);
        let mut out = Vec::new();
        for line in all {
            match requirement::parse(&line) {
                Some(r) if Some(&r.name) == own.as_ref() => {
                    for extra in r.extras.split(',').filter(|e| !e.trim().is_empty()) {
                        out.extend(self.resolve_group(extra, depth + 1));
                    }
                }
                _ => out.push(line),
            }
        }
        out
    }

    /// Sorts the groups into test and optional requirements, and leaves out the tools.
    fn finish(&mut self) {
        let wanted: BTreeSet<String> =
            self.wanted_groups.iter().map(|g| requirement::normalise(g)).collect();
        for name in self.groups.keys().cloned().collect::<Vec<_>>() {
            let requirements = self.resolve_group(&name, 0);
            match tools::group(&name) {
                _ if wanted.contains(&name) => {
                    self.extras.push(name);
                    self.test.extend(requirements);
                }
                Group::Test => {
                    self.extras.push(name);
                    self.test.extend(requirements);
                }
                Group::Feature => self.optional.extend(requirements),
                Group::Other => {}
            }
        }
        let own = self.name.as_deref().map(requirement::normalise);
        let plugins = std::mem::take(&mut self.plugins);
        let readable = |line: &String| requirement::parse(line).is_some();
        let keep = |line: &String| -> bool {
            let Some(name) = requirement::name_of(line) else { return false };
            let asked = plugins.contains(&name);
            Some(&name) != own.as_ref()
                && (asked || !(tools::is_tool(&name) || tools::is_on_request(&name)))
        };
        self.runtime.retain(readable);
        self.test.retain(keep);
        self.optional.retain(keep);
        self.tox_test.retain(keep);
        self.per_python.values_mut().for_each(|lines| lines.retain(keep));
        self.conditional.retain(|(_, line)| keep(line));
        self.constraints.retain(readable);
        self.build.retain(readable);
        if self.runtime.iter().any(|l| requirement::name_of(l).is_some_and(|n| tools::is_tool(&n)))
            && !self.declares_runtime
        {
            // A requirements file for all chores: what it lists beside tools may be needed.
            self.runtime.retain(keep);
        }
        self.test.extend(plugins);
        self.runtime = requirement::tidy(std::mem::take(&mut self.runtime));
        self.test = requirement::tidy(std::mem::take(&mut self.test));
        self.optional = requirement::tidy(std::mem::take(&mut self.optional));
        self.build = requirement::tidy(std::mem::take(&mut self.build));
        self.constraints = requirement::tidy(std::mem::take(&mut self.constraints));
        let scm = ["setuptools-scm", "hatch-vcs", "setuptools-git-versioning", "versioningit"];
        let builds = |names: &[&str]| {
            let name = |l: &String| requirement::name_of(l).unwrap_or_default();
            self.build.iter().any(|l| names.contains(&name(l).as_str()))
        };
        let (scm, pbr) = (builds(&scm), builds(&["pbr"]));
        self.uses_scm |= scm;
        self.uses_pbr |= pbr;
        self.pythons();
    }

    fn pythons(&mut self) {
        let has3 = |set: &BTreeSet<Minor>| set.iter().any(|m| m.0 == 3 && m.1 > 0);
        if !has3(&self.python.declared) {
            if has3(&self.ci_pythons) {
                self.python.declared.extend(self.ci_pythons.iter().copied());
            } else if self.any_python3 {
                self.python.declared.clear();
            }
        }
        self.python.declared.retain(|m| *m != Minor(3, 0) || self.any_python3);
    }
}

#[cfg(test)]
mod tests;
