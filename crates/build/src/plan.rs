//! From what a repository says about itself to the first recipe.

use std::collections::BTreeSet;

use palestra_core::Runner;

use crate::dates;
use crate::imports;
use crate::manifest::Manifest;
use crate::python::{self, Minor};
use crate::recipe::{InstallMode, Recipe};
use crate::requirement;

/// After its release, an interpreter needs so many days until packages install on it.
const ADOPTION_DAYS: i64 = 180;

/// The earliest day as of which packages are taken for an interpreter released on `released`.
pub(crate) fn floor_for(released: i64) -> i64 {
    dates::quarter(released + ADOPTION_DAYS)
}

/// What a plan is made from, besides the manifest.
#[derive(Debug, Clone)]
pub struct Surroundings<'a> {
    /// Full versions of the interpreters at hand.
    pub pythons: &'a [(u8, u8, u8)],
    /// Day of the commit, days since 1970.
    pub day: i64,
    /// Dotted names that the tests import.
    pub test_imports: &'a BTreeSet<String>,
    /// Top-level modules of the tree.
    pub own_modules: BTreeSet<String>,
    /// Whether there is a directory `src` with modules in it.
    pub has_src: bool,
}

/// The recipe that the manifest asks for; the error says why no Python fits.
pub fn plan(manifest: &Manifest, around: &Surroundings<'_>) -> Result<Recipe, String> {
    let choice = python::choose(&manifest.python, around.pythons, around.day)?;
    let mut day = dates::quarter(around.day);
    if let Some(released) = python::released(choice.minor) {
        day = day.max(floor_for(released));
    }
    let mut requirements: Vec<String> = manifest.runtime.clone();
    requirements.extend(manifest.test.iter().cloned());
    requirements.extend(tox_requirements(manifest, choice.minor).iter().cloned());
    let mut features = manifest.optional.clone();
    for (factors, line) in &manifest.conditional {
        match applies(factors, choice.minor) {
            Some(true) => requirements.push(line.clone()),
            Some(false) => {}
            None => features.push(line.clone()),
        }
    }
    requirements.push("pytest".to_owned());
    let requirements = requirement::tidy(requirements);
    let named: BTreeSet<String> =
        requirements.iter().filter_map(|l| requirement::name_of(l)).collect();
    let mut optional: Vec<String> = Vec::new();
    for line in requirement::tidy(features) {
        let Some(parsed) = requirement::parse(&line) else { continue };
        // An extra of something that is there anyway is asked for by no import of its own.
        let more_of_it = named.contains(&parsed.name) && !parsed.extras.is_empty();
        let imported =
            !named.contains(&parsed.name) && imports::brings(&parsed.name, around.test_imports);
        if imported || (more_of_it && parsed.specifier.is_empty()) {
            optional.push(line);
        }
    }
    let install = match manifest.has_setup_py || manifest.has_project {
        true => InstallMode::Editable,
        false => InstallMode::PathOnly,
    };
    let mut env = manifest.env.clone();
    if install == InstallMode::PathOnly {
        env.insert("PYTHONPATH".to_owned(), python_path(around.has_src));
    }
    Ok(Recipe {
        python: choice.minor,
        exclude_newer: dates::midnight(day),
        requirements,
        optional: loosest(optional),
        build: build_requirements(manifest, install),
        constraints: manifest.constraints.clone(),
        extras: manifest.extras.clone(),
        later: Default::default(),
        dropped: Vec::new(),
        notes: choice.note.into_iter().collect(),
        env,
        install,
        runner: Runner::Pytest,
        repairs: Vec::new(),
        fingerprint: manifest.fingerprint().to_string(),
        own_modules: around.own_modules.clone(),
    })
}

/// What tox installs for a Python: the deps of its own environment; failing that, those of the
/// nearest older Python 3 with one, since an interpreter may be newer than the file.
fn tox_requirements(manifest: &Manifest, minor: Minor) -> &[String] {
    let own = manifest.per_python.range(Minor(3, 0)..=minor).next_back();
    let own = own.filter(|(m, _)| **m == minor || !manifest.python.declared.contains(&minor));
    own.map_or(&manifest.tox_test, |(_, lines)| lines)
}

/// Where modules are found when the project is not installed.
pub(crate) fn python_path(has_src: bool) -> String {
    let testbed = palestra_core::environment::TESTBED;
    if has_src { format!("{testbed}/src:{testbed}") } else { testbed.to_owned() }
}

/// Whether a tox line with these factors is for this Python; `None` where the factors speak of
/// something else.
fn applies(factors: &[String], minor: Minor) -> Option<bool> {
    let mut all = factors.iter().map(|factor| factor_applies(factor, minor)).peekable();
    all.peek()?;
    let answers: Vec<Option<bool>> = all.collect();
    if answers.contains(&Some(true)) {
        return Some(true);
    }
    if answers.contains(&None) { None } else { Some(false) }
}

/// The same for one alternative, `py38-full`, all of whose parts must hold.
fn factor_applies(factor: &str, minor: Minor) -> Option<bool> {
    let mut other = false;
    for part in factor.split('-') {
        let (part, wanted) = match part.strip_prefix('!') {
            Some(part) => (part, false),
            None => (part, true),
        };
        let digits = part.strip_prefix("py").map(|rest| rest.replace('.', ""));
        let is_python = digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
        if part.starts_with("pypy") && wanted {
            return Some(false);
        }
        if !is_python {
            other |= !part.starts_with("pypy");
            continue;
        }
        let number = format!("py{}{}", minor.0, minor.1);
        let this = part == number || part == format!("py{minor}") || part == "py3" || part == "py";
        if this != wanted {
            return Some(false);
        }
    }
    if other { None } else { Some(true) }
}

/// One line a name: the one without versions if there is one, else the last.
fn loosest(lines: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        let name = requirement::name_of(&line);
        let same = |l: &String| requirement::name_of(l) == name;
        match out.iter_mut().find(|l| same(l)) {
            Some(have) if have.contains("==") || !line.contains("==") => *have = line,
            Some(_) => {}
            None => out.push(line),
        }
    }
    out
}

fn build_requirements(manifest: &Manifest, install: InstallMode) -> Vec<String> {
    let mut build = manifest.build.clone();
    let backend = manifest.backend.as_deref().unwrap_or_default();
    if install == InstallMode::PathOnly {
        return Vec::new();
    }
    if backend.is_empty() || backend.starts_with("setuptools") {
        build.extend(["setuptools".to_owned(), "wheel".to_owned()]);
    }
    // What these backends ask for only when asked how to install in place.
    if backend.starts_with("hatchling") || backend.starts_with("pdm.") {
        build.push("editables".to_owned());
    }
    if backend.starts_with("mesonpy") {
        build.extend(["ninja".to_owned(), "meson".to_owned()]);
    }
    if backend.starts_with("scikit_build_core") {
        build.extend(["ninja".to_owned(), "cmake".to_owned()]);
    }
    requirement::tidy(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around<'a>(imports: &'a BTreeSet<String>, date: &str) -> Surroundings<'a> {
        Surroundings {
            pythons: &[(3, 6, 15), (3, 8, 18), (3, 12, 1)],
            day: dates::days(date).unwrap(),
            test_imports: imports,
            own_modules: BTreeSet::new(),
            has_src: false,
        }
    }

    #[test]
    fn what_tests_import_is_added() {
        let manifest = Manifest {
            optional: ["Pillow", "boto3", "twisted[http2]", "lxml==1"].map(str::to_owned).to_vec(),
            runtime: vec!["twisted".to_owned()],
            backend: Some("hatchling.build".to_owned()),
            has_project: true,
            conditional: vec![
                (vec!["py38".to_owned()], "for38".to_owned()),
                (vec!["py312".to_owned()], "for312".to_owned()),
                (vec!["full".to_owned()], "pycurl".to_owned()),
            ],
            ..Manifest::default()
        };
        let imports = imports::scan("from PIL import Image\nimport pycurl\n");
        let recipe = plan(&manifest, &around(&imports, "2022-05-20")).unwrap();
        assert_eq!(recipe.python, Minor(3, 8));
        assert_eq!(recipe.exclude_newer, "2022-04-01T00:00:00Z");
        assert_eq!(recipe.requirements, ["for38", "pytest", "twisted"]);
        assert_eq!(recipe.optional, ["Pillow", "pycurl", "twisted[http2]"]);
        assert_eq!(recipe.build, ["editables"]);
    }

    #[test]
    fn factors_are_for_a_python_or_for_something_else() {
        let check = |factors: &str| {
            let factors: Vec<String> = factors.split(' ').map(str::to_owned).collect();
            applies(&factors, Minor(3, 8))
        };
        assert_eq!(check("py38"), Some(true));
        assert_eq!(check("py36 py3.8"), Some(true));
        assert_eq!(check("py36 !py38"), Some(false));
        assert_eq!(check("!py36"), Some(true));
        assert_eq!(check("py38-full py36-full"), None);
        assert_eq!(check("py36-full pypy3"), Some(false));
        assert_eq!(check("full"), None);
    }

    #[test]
    fn packages_are_never_older_than_their_interpreter() {
        let imports = BTreeSet::new();
        let recipe = plan(&Manifest::default(), &around(&imports, "2015-02-01")).unwrap();
        assert_eq!(recipe.python, Minor(3, 6));
        assert_eq!(recipe.exclude_newer, "2017-04-01T00:00:00Z");
        assert_eq!(recipe.notes.len(), 1);
        assert_eq!(recipe.install, InstallMode::PathOnly);
        assert_eq!(recipe.env["PYTHONPATH"], "/testbed");
    }
}
