//! `tox.ini`, the best witness of what tests need.

use super::ini::{Ini, lines};
use super::requirements::{self, Listed};
use super::tools::{self, Group};
use super::{Manifest, Source, python};
use crate::python::Minor;

/// Substitutions nest; this bounds cycles.
const DEPTH: usize = 6;

pub(crate) fn read(ini: &Ini, source: &Source<'_>, manifest: &mut Manifest) {
    let envlist = ini.get("tox", "envlist").or_else(|| ini.get("tox", "env_list"));
    for word in expand_braces(envlist.unwrap_or_default()) {
        for factor in word.split('-') {
            manifest.python.declared.extend(python::factor(factor));
        }
    }
    let names: Vec<String> = ini.names().map(str::to_owned).collect();
    for section in &names {
        let name = match section.strip_prefix("testenv") {
            Some("") => "",
            Some(rest) => rest.trim_start_matches(':'),
            None => continue,
        };
        manifest.python.declared.extend(name.split('-').filter_map(python::factor));
        let group = if name.is_empty() || name.split('-').all(is_python) {
            Group::Test
        } else {
            tools::group(name)
        };
        let minors: Vec<Minor> = name.split('-').filter_map(python::factor).collect();
        environment(ini, source, section, (group, &minors), manifest);
    }
}

fn is_python(factor: &str) -> bool {
    matches!(factor, "py" | "py3" | "py2") || python::factor(factor).is_some()
}

fn environment(
    ini: &Ini,
    source: &Source<'_>,
    section: &str,
    (group, minors): (Group, &[Minor]),
    manifest: &mut Manifest,
) {
    if group == Group::Other {
        return;
    }
    let mut listed = Listed::default();
    let deps = substitute(ini, ini.get(section, "deps").unwrap_or_default(), DEPTH);
    for line in lines(&deps) {
        let (factors, line) = split_factors(line);
        let mut own = Listed::default();
        match requirements::inclusion(line) {
            Some((kind, path)) if !path.contains("://") => {
                let path = requirements::join("", path);
                manifest.reads_files.insert(path.clone());
                let included = requirements::read(source, &path);
                if kind == 'c' {
                    own.constraints.extend(included.requirements);
                } else {
                    own = included;
                }
            }
            Some(_) => {}
            None => requirements::push(line, &mut own),
        }
        if factors.is_empty() {
            listed.requirements.extend(own.requirements);
            listed.constraints.extend(own.constraints);
            listed.own_extras.extend(own.own_extras);
        } else if group == Group::Test {
            for requirement in own.requirements {
                manifest.conditional.push((factors.clone(), requirement));
            }
        } else {
            manifest.optional.extend(own.requirements.into_iter().map(any_version));
        }
    }
    for key in ["extras", "dependency_groups"] {
        let value = substitute(ini, ini.get(section, key).unwrap_or_default(), DEPTH);
        for line in lines(&value) {
            let (factors, line) = split_factors(line);
            if factors.is_empty() {
                listed.own_extras.extend(line.split(',').map(|e| e.trim().to_owned()));
            }
        }
    }
    if group == Group::Test {
        manifest.has_test_environment |= !deps.is_empty() || !listed.own_extras.is_empty();
        // The deps of an environment for one Python stand in place of the general ones.
        if minors.is_empty() {
            manifest.tox_test.extend(listed.requirements);
        } else if ini.get(section, "deps").is_some() {
            for minor in minors {
                let own = manifest.per_python.entry(*minor).or_default();
                own.extend(listed.requirements.iter().cloned());
            }
        }
        manifest.constraints.extend(listed.constraints);
        manifest.wanted_groups.extend(listed.own_extras);
        for line in lines(ini.get(section, "setenv").unwrap_or_default()) {
            variable(line, manifest);
        }
    } else {
        manifest.optional.extend(listed.requirements.into_iter().map(any_version));
    }
}

/// Environments of features pin what they combine; what a feature needs is the package.
fn any_version(line: String) -> String {
    let pinned = line.contains("==");
    if pinned { crate::requirement::unpinned(&line).unwrap_or(line) } else { line }
}

/// Keeps plain variables. What changes the interpreter itself is left alone: it can turn
/// warnings of a newer Python into errors.
fn variable(line: &str, manifest: &mut Manifest) {
    let (factors, line) = split_factors(line);
    let Some((name, value)) = line.split_once('=') else { return };
    let (name, value) = (name.trim(), value.trim());
    let unwanted = ["PYTHON", "COV", "PATH", "PIP", "TOX", "VIRTUALENV", "LD_", "UV_"];
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let wanted = factors.is_empty() && plain && !name.is_empty();
    if wanted && !value.contains('{') && !unwanted.iter().any(|u| name.starts_with(u)) {
        manifest.env.insert(name.to_owned(), value.to_owned());
    }
}

/// `py38,py39: dep` as the factors and the rest. A `!` stays with its factor.
fn split_factors(line: &str) -> (Vec<String>, &str) {
    let Some((head, rest)) = line.split_once(':') else { return (Vec::new(), line) };
    let is_factor = |c: char| c.is_ascii_alphanumeric() || "_-,!{}.".contains(c);
    let head = head.trim();
    if head.is_empty() || head.starts_with('-') || !head.replace(' ', "").chars().all(is_factor) {
        return (Vec::new(), line);
    }
    if rest.starts_with("//") || rest.starts_with(':') {
        return (Vec::new(), line);
    }
    (expand_braces(head), rest.trim())
}

/// `py{36,37}-x, docs` as `py36-x`, `py37-x`, `docs`. Separators are commas and white space.
pub(crate) fn expand_braces(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if depth == 0 && (c == ',' || c.is_whitespace()) => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let mut out = Vec::new();
    let mut pending: Vec<String> = words.into_iter().filter(|w| !w.is_empty()).rev().collect();
    while let Some(word) = pending.pop() {
        let open = word.find('{');
        let close = open.and_then(|o| word[o..].find('}').map(|c| o + c));
        match (open, close) {
            (Some(open), Some(close)) if out.len() + pending.len() < 512 => {
                let choices: Vec<&str> = word[open + 1..close].split(',').collect();
                for choice in choices.into_iter().rev() {
                    let choice = choice.trim();
                    pending.push(format!("{}{choice}{}", &word[..open], &word[close + 1..]));
                }
            }
            _ => out.push(word),
        }
    }
    out
}

/// Replaces `{[section]key}`.
fn substitute(ini: &Ini, value: &str, depth: usize) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find("{[") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find('}') else { break };
        if let Some((section, key)) = rest[2..end].split_once(']')
            && depth > 0
        {
            let inner = ini.get(section.trim(), key.trim()).unwrap_or_default();
            out.push_str(&substitute(ini, inner, depth - 1));
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_expand() {
        let words = expand_braces("py{36,37}-{a,b}, docs\n lint");
        assert_eq!(words, ["py36-a", "py36-b", "py37-a", "py37-b", "docs", "lint"]);
    }

    #[test]
    fn features_lose_their_pins() {
        assert_eq!(any_version("h2==3.0".to_owned()), "h2");
        assert_eq!(any_version("h2>=3.0".to_owned()), "h2>=3.0");
    }

    #[test]
    fn factors_split_off() {
        assert_eq!(split_factors("py36,py37: x>=1").1, "x>=1");
        assert_eq!(split_factors("py36,py37: x>=1").0, ["py36", "py37"]);
        assert_eq!(split_factors("full: -r{toxinidir}/r.txt").1, "-r{toxinidir}/r.txt");
        let url = "git+https://example.org/x";
        assert_eq!(split_factors(url), (vec![], url));
        assert_eq!(split_factors("x>=1"), (vec![], "x>=1"));
    }
}
