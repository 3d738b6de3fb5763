//! Requirements files.

use std::collections::BTreeSet;

use super::Source;

/// What a requirements file asks for, with all that it includes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    /// Requirement lines, without hashes and comments.
    pub(crate) requirements: Vec<String>,
    /// Lines of files included with `-c`.
    pub(crate) constraints: Vec<String>,
    /// Whether a line asks for the project itself (`-e .`, `.[test]`); its extras.
    pub(crate) own_extras: Vec<String>,
}

/// Reads `path` and what it includes; paths are relative to the file that names them.
pub(crate) fn read(source: &Source<'_>, path: &str) -> Listed {
    let mut listed = Listed::default();
    let mut seen = BTreeSet::new();
    read_into(source, path, false, &mut listed, &mut seen);
    listed
}

fn read_into(
    source: &Source<'_>,
    path: &str,
    constraint: bool,
    listed: &mut Listed,
    seen: &mut BTreeSet<String>,
) {
    if seen.len() > 32 || !seen.insert(path.to_owned()) {
        return;
    }
    let Some(text) = source.text(path) else { return };
    let directory = path.rsplit_once('/').map_or("", |(d, _)| d);
    for line in logical_lines(&text) {
        if let Some((option, value)) = inclusion(&line) {
            let target = join(directory, value);
            read_into(source, &target, constraint || option == 'c', listed, seen);
        } else if constraint {
            listed.constraints.push(line);
        } else {
            push(&line, listed);
        }
    }
}

/// Adds a line as it may stand in a requirements file or among a tox environment's deps.
pub(crate) fn push(line: &str, listed: &mut Listed) {
    let line = line.trim();
    let path = line.strip_prefix("-e").or_else(|| line.strip_prefix("--editable"));
    let path = path.map_or(line, |p| p.trim_start_matches('=').trim());
    if let Some(rest) = path.strip_prefix('.').filter(|r| r.is_empty() || r.starts_with(['[', '/']))
    {
        if let Some(extras) = rest.trim_start_matches('/').strip_prefix('[') {
            let extras = extras.split(']').next().unwrap_or_default();
            listed.own_extras.extend(extras.split(',').map(|e| e.trim().to_owned()));
        }
        return;
    }
    if let Some(named) = named_url(path) {
        listed.requirements.push(named);
        return;
    }
    if line.starts_with('-') {
        return;
    }
    if crate::requirement::parse(line).is_some() {
        listed.requirements.push(line.to_owned());
    }
}

/// `git+https://host/x.git#egg=name` as `name @ git+https://host/x.git`.
fn named_url(text: &str) -> Option<String> {
    if !text.contains("://") || crate::requirement::parse(text).is_some() {
        return None;
    }
    let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
    let egg = fragment.split('&').find_map(|f| f.strip_prefix("egg="));
    let name = match egg {
        Some(egg) => egg.split('[').next().unwrap_or(egg).to_owned(),
        None => {
            let last = url.trim_end_matches('/').rsplit('/').next()?;
            let last = last.split('@').next()?.trim_end_matches(".git");
            // An archive's name says nothing reliable about the project's.
            if last.contains(".zip") || last.contains(".tar") {
                return None;
            }
            last.to_owned()
        }
    };
    Some(format!("{name} @ {url}"))
}

/// `-r file`, `-rfile`, `--requirement=file` and the same for constraints.
pub(crate) fn inclusion(line: &str) -> Option<(char, &str)> {
    for (prefix, kind) in [("--requirement", 'r'), ("--constraint", 'c'), ("-r", 'r'), ("-c", 'c')]
    {
        if let Some(rest) = line.trim().strip_prefix(prefix) {
            let value = rest.trim_start_matches(['=', ' ', ':']).trim();
            return (!value.is_empty()).then_some((kind, value));
        }
    }
    None
}

/// Lines without comments, hashes and options, continued lines joined.
fn logical_lines(text: &str) -> Vec<String> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut out = Vec::new();
    for line in joined.lines() {
        let line = line.trim();
        let line = if line.starts_with('#') { "" } else { line };
        let line = line.split(" #").next().unwrap_or_default();
        let line = line.split(" --hash").next().unwrap_or_default().trim();
        if !line.is_empty() {
            out.push(line.to_owned());
        }
    }
    out
}

/// `value` seen from `directory`, with `.` and `..` worked out.
pub(crate) fn join(directory: &str, value: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|p| !p.is_empty()).collect();
    let value = value.trim_start_matches("{toxinidir}").trim_start_matches('/');
    for part in value.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
