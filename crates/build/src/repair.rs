//! What to change when a recipe fails. The rules are data: `data/rules.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

use crate::builder::Step;
use crate::imports;
use crate::manifest::tools;
use crate::python::Minor;
use crate::recipe::{Action, InstallMode, Recipe, Repair};
use crate::requirement;

#[derive(Debug, Default, Deserialize)]
struct Rules {
    rule: Vec<Rule>,
    headers: BTreeMap<String, String>,
}

/// One rule; the head of `data/rules.toml` says what the fields mean.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    name: String,
    pattern: String,
    step: Option<String>,
    all: bool,
    module: Option<String>,
    fixture: Option<String>,
    option: Option<String>,
    mark: Option<String>,
    require: Vec<String>,
    require_words: Option<String>,
    try_named: Option<String>,
    constrain: Vec<String>,
    drop_optional_named: Option<String>,
    drop_named: Option<String>,
    unpin_pinned: Option<String>,
    unpin_all: bool,
    unpin_urls: bool,
    drop_optional: bool,
    later: Option<i64>,
    later_package: Option<String>,
    python_at_most: Option<String>,
    python_at_least: Option<String>,
    path_only: bool,
    headers: Option<String>,
    env: BTreeMap<String, String>,
}

struct Compiled {
    rules: Vec<(Rule, Regex)>,
    headers: BTreeMap<String, String>,
}

static RULES: LazyLock<Compiled> = LazyLock::new(|| {
    let rules: Rules = toml::from_str(include_str!("../data/rules.toml")).unwrap_or_default();
    let compile = |rule: Rule| {
        let regex = RegexBuilder::new(&rule.pattern).size_limit(4 << 20).build().ok()?;
        Some((rule, regex))
    };
    Compiled { rules: rules.rule.into_iter().filter_map(compile).collect(), headers: rules.headers }
});

/// The steps by which one package is taken later than the rest, in days.
const LATER_PACKAGE: &[i64] = &[400, 1000, 2000];

/// So many characters of a log are looked at, from its end: what decides is said last.
const LOOKED_AT: usize = 400_000;

/// The recipe that the first helpful rule makes, with a line that says which and what.
/// `minors` are the interpreters at hand, ascending.
pub(crate) fn repair(
    recipe: &Recipe,
    step: Step,
    evidence: &str,
    tried: &[Recipe],
    minors: &[Minor],
) -> Option<(Recipe, String)> {
    if step == Step::Machine {
        return None;
    }
    let mut from = evidence.len().saturating_sub(LOOKED_AT);
    while !evidence.is_char_boundary(from) {
        from += 1;
    }
    let evidence = &evidence[from..];
    for (rule, regex) in &RULES.rules {
        if rule.step.as_deref().is_some_and(|s| s != step.to_string()) {
            continue;
        }
        // Going forward in time is bounded: once for each rule.
        if rule.later.is_some() && recipe.repairs.iter().any(|r| r.rule == rule.name) {
            continue;
        }
        let mut actions: Vec<Action> = Vec::new();
        for captures in regex.captures_iter(evidence).take(if rule.all { 200 } else { 1 }) {
            for action in actions_of(rule, &captures, recipe, minors) {
                if !actions.contains(&action) {
                    actions.push(action);
                }
            }
        }
        if actions.is_empty() {
            continue;
        }
        let why = format!("{}: {}", rule.name, describe(&actions));
        let next = recipe.with(Repair { rule: rule.name.clone(), actions });
        let known = tried.iter().chain([recipe]).any(|t| t.same_result(&next));
        if !known {
            return Some((next, why));
        }
    }
    None
}

fn describe(actions: &[Action]) -> String {
    let one = |action: &Action| match action {
        Action::Require(line) => format!("require {line}"),
        Action::Try(line) => format!("try {line}"),
        Action::Constrain(line) => format!("limit {line}"),
        Action::Drop(name) => format!("leave out {name}"),
        Action::Unpin(name) => format!("any version of {name}"),
        Action::UnpinAll => "any version of what is pinned".to_owned(),
        Action::DropOptional => "leave out everything optional".to_owned(),
        Action::Later(days) => format!("packages of {days} days later"),
        Action::LaterPackage(name, days) => format!("{name} of {days} days later"),
        Action::Python(minor) => format!("Python {minor}"),
        Action::Install(InstallMode::PathOnly) => "put it on PYTHONPATH".to_owned(),
        Action::Install(InstallMode::Editable) => "install it".to_owned(),
        Action::Runner(runner) => format!("run the tests with {runner:?}").to_lowercase(),
        Action::Env(name, value) => format!("{name}={value}"),
        Action::Note(text) => text.clone(),
    };
    actions.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What one match of a rule asks for; nothing where the rule does not apply to this recipe.
fn actions_of(
    rule: &Rule,
    captures: &Captures<'_>,
    recipe: &Recipe,
    minors: &[Minor],
) -> Vec<Action> {
    let fill = |template: &str| {
        let mut text = String::new();
        captures.expand(template, &mut text);
        text
    };
    let mut out = Vec::new();
    if let Some(most) = rule.python_at_most.as_deref().and_then(|m| fill(m).parse().ok()) {
        let below = minors.iter().rfind(|m| **m <= most && **m < recipe.python);
        out.extend(below.filter(|_| recipe.python > most).map(|m| Action::Python(*m)));
    }
    if let Some(least) = rule.python_at_least.as_deref().and_then(|m| fill(m).parse().ok()) {
        let above = minors.iter().find(|m| **m >= least && **m > recipe.python);
        out.extend(above.filter(|_| recipe.python < least).map(|m| Action::Python(*m)));
    }
    for line in rule.require.iter().map(|t| fill(t)) {
        let line = line.trim().trim_end_matches(['.', ')', ',']).to_owned();
        if requirement::parse(&line).is_some() {
            out.push(Action::Require(line));
        }
    }
    if let Some(words) = &rule.require_words {
        for word in fill(words).split([',', ' ']).filter(|w| requirement::parse(w).is_some()) {
            out.push(Action::Require(word.to_owned()));
        }
    }
    out.extend(rule.constrain.iter().map(|t| Action::Constrain(fill(t))));
    if let Some(name) = &rule.try_named {
        let name = fill(name);
        if !has(recipe, &requirement::normalise(&name)) && known_distribution(&name) {
            out.push(Action::Try(name));
        }
    }
    if let Some(module) = &rule.module {
        out.extend(for_module(&fill(module), recipe));
    }
    if let Some(fixture) = &rule.fixture {
        out.extend(imports::for_fixture(&fill(fixture)).and_then(|p| missing(p, recipe)));
    }
    if let Some(mark) = &rule.mark {
        out.extend(imports::for_mark(&fill(mark)).and_then(|p| missing(p, recipe)));
    }
    if let Some(option) = &rule.option {
        let plugins = tools::for_options(&fill(option));
        out.extend(plugins.iter().filter_map(|p| missing(p, recipe)));
    }
    if let Some(name) = &rule.drop_optional_named {
        let name = requirement::normalise(&fill(name));
        let is_it = |l: &String| requirement::name_of(l).as_ref() == Some(&name);
        if recipe.optional.iter().any(is_it) {
            out.push(Action::Drop(name));
        }
    }
    if let Some(name) = &rule.drop_named {
        let name = requirement::normalise(&fill(name));
        out.extend(has(recipe, &name).then_some(Action::Drop(name)));
    }
    if let Some(name) = &rule.unpin_pinned {
        let name = requirement::normalise(&fill(name));
        let all = recipe.requirements.iter().chain(&recipe.optional).chain(&recipe.build);
        let pinned =
            |l: &String| l.contains("==") && requirement::name_of(l).as_ref() == Some(&name);
        if all.clone().any(pinned) {
            out.push(Action::Unpin(name));
        }
    }
    if rule.unpin_all {
        out.push(Action::UnpinAll);
    }
    if rule.unpin_urls {
        let all = recipe.requirements.iter().chain(&recipe.optional).chain(&recipe.build);
        let urls = all.filter_map(|l| requirement::parse(l)).filter(|r| r.url.is_some());
        out.extend(urls.map(|r| Action::Unpin(r.name)).collect::<Vec<_>>());
    }
    if rule.drop_optional {
        out.push(Action::DropOptional);
    }
    out.extend(rule.later.map(Action::Later));
    if let Some(name) = &rule.later_package {
        let name = requirement::normalise(&fill(name));
        let now = recipe.later.get(&name).copied().unwrap_or(0);
        let next = LATER_PACKAGE.iter().find(|days| **days > now);
        out.extend(next.map(|days| Action::LaterPackage(name, *days)));
    }
    out.extend(rule.env.iter().map(|(k, v)| Action::Env(k.clone(), fill(v))));
    if rule.path_only {
        out.push(Action::Install(InstallMode::PathOnly));
        let value = crate::plan::python_path(true);
        if !recipe.env.contains_key("PYTHONPATH") {
            out.push(Action::Env("PYTHONPATH".to_owned(), value));
        }
    }
    if let Some(header) = &rule.headers {
        let header = fill(header);
        let package = RULES.headers.get(&header).cloned();
        let package = package.unwrap_or_else(|| "an unknown package".to_owned());
        let note = format!("the header {header} is missing; Debian has it in {package}");
        if !recipe.notes.contains(&note) && rule.drop_named.is_none() {
            // A note alone changes nothing that is built; optional requirements may go with it.
            out.push(Action::Note(note));
            if !recipe.optional.is_empty() {
                out.push(Action::DropOptional);
            }
        } else {
            out.push(Action::Note(note));
        }
    }
    out
}

/// The distribution of a missing module, or the path to one of the tree's own.
fn for_module(module: &str, recipe: &Recipe) -> Option<Action> {
    let module = module.trim_end_matches('.');
    let top = module.split('.').next().unwrap_or(module);
    if top.is_empty() || matches!(top, "__main__" | "tests" | "test" | "conftest") {
        return own_path(recipe);
    }
    if recipe.own_modules.contains(top) {
        return own_path(recipe);
    }
    let line = imports::distribution(module);
    let name = requirement::name_of(&line)?;
    let have = recipe.requirements.iter().find(|l| requirement::name_of(l).as_ref() == Some(&name));
    match have {
        Some(have) if *have == line || line == name => None,
        _ => Some(Action::Require(line)),
    }
}

fn own_path(recipe: &Recipe) -> Option<Action> {
    let value = crate::plan::python_path(true);
    let known = recipe.env.get("PYTHONPATH").is_some_and(|v| *v == value);
    (!known).then(|| Action::Env("PYTHONPATH".to_owned(), value))
}

fn missing(line: &str, recipe: &Recipe) -> Option<Action> {
    let name = requirement::name_of(line)?;
    (!has(recipe, &name)).then(|| Action::Require(line.to_owned()))
}

fn has(recipe: &Recipe, name: &str) -> bool {
    let all = recipe.requirements.iter().chain(&recipe.optional).chain(&recipe.build);
    let names: BTreeSet<String> = all.filter_map(|l| requirement::name_of(l)).collect();
    names.contains(name)
}

/// Words after "pip install" are not always names; those of the table are.
fn known_distribution(name: &str) -> bool {
    let flags = ["requirements", "the", "a", "it", "this", "with", "package", "packages"];
    name.len() > 2 && !flags.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
