//! Requirement lines, read just as far as choosing among them needs. uv reads them in full.

use std::collections::BTreeMap;

/// A requirement: its name, and the whole line as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement<'a> {
    /// The normalised name: lower case, `-` for runs of `-`, `_` and `.`.
    pub(crate) name: String,
    /// What stands between the brackets, as written.
    pub(crate) extras: &'a str,
    /// Version clauses, without the marker; empty when there is a URL.
    pub(crate) specifier: &'a str,
    /// Where it is downloaded from instead of the index.
    pub(crate) url: Option<&'a str>,
    /// The condition after `;`.
    pub(crate) marker: Option<&'a str>,
}

/// The name as indexes compare it.
pub(crate) fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if matches!(c, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

/// Reads `name[extras] specifier ; marker` or `name @ url`. `None` for what is neither, such as
/// options and paths.
pub(crate) fn parse(line: &str) -> Option<Requirement<'_>> {
    let line = line.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = line.find(|c| !is_name(c)).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    let edges = |c: char| c.is_ascii_alphanumeric();
    if !name.starts_with(edges) || !name.ends_with(edges) {
        return None;
    }
    rest = rest.trim_start();
    let mut extras = "";
    if let Some(inner) = rest.strip_prefix('[') {
        let close = inner.find(']')?;
        extras = inner[..close].trim();
        rest = inner[close + 1..].trim_start();
    }
    if let Some(url) = rest.strip_prefix('@') {
        let (url, marker) = match url.split_once(" ;") {
            Some((url, marker)) => (url, Some(marker.trim())),
            None => (url, None),
        };
        let url = Some(url.trim());
        return Some(Requirement { name: normalise(name), extras, specifier: "", url, marker });
    }
    let (specifier, marker) = match rest.split_once(';') {
        Some((specifier, marker)) => (specifier, Some(marker.trim())),
        None => (rest, None),
    };
    let specifier = specifier.trim().trim_start_matches('(').trim_end_matches(')').trim();
    let starts = |c: char| matches!(c, '=' | '<' | '>' | '!' | '~');
    if !specifier.is_empty() && !specifier.starts_with(starts) {
        return None;
    }
    Some(Requirement { name: normalise(name), extras, specifier, url: None, marker })
}

/// The normalised name of a requirement line.
pub(crate) fn name_of(line: &str) -> Option<String> {
    parse(line).map(|r| r.name)
}

/// The line without its version clauses and its URL; what remains is the name, the extras and
/// the marker.
pub(crate) fn unpinned(line: &str) -> Option<String> {
    let r = parse(line)?;
    let mut out = r.name;
    if !r.extras.is_empty() {
        out = format!("{out}[{}]", r.extras);
    }
    if let Some(marker) = r.marker {
        out = format!("{out} ; {marker}");
    }
    Some(out)
}

/// Sorts, and drops lines that say no more than another one. Of requirements of one name with
/// the same marker, a bare one is dropped where there is one with versions or extras.
pub(crate) fn tidy(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut by_key: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in lines {
        let line = line.trim().to_owned();
        let key = match parse(&line) {
            Some(r) => (r.name.clone(), r.marker.unwrap_or_default().to_owned()),
            None => (line.clone(), String::new()),
        };
        by_key.entry(key).or_default().push(line);
    }
    let mut out = Vec::new();
    for mut group in by_key.into_values() {
        group.sort();
        group.dedup();
        let says_more = |line: &String| {
            parse(line)
                .is_some_and(|r| !r.specifier.is_empty() || !r.extras.is_empty() || r.url.is_some())
        };
        if group.iter().any(says_more) {
            group.retain(says_more);
        } else {
            group.truncate(1);
        }
        out.extend(group);
    }
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_apart() {
        let r = parse("Foo.Bar[a, b] >=1.0,<2 ; python_version < '3'").unwrap();
        assert_eq!((r.name.as_str(), r.extras, r.specifier), ("foo-bar", "a, b", ">=1.0,<2"));
        assert_eq!(r.marker, Some("python_version < '3'"));
        let r = parse("x @ git+https://example.org/x.git ; os_name == 'nt'").unwrap();
        assert_eq!(r.url, Some("git+https://example.org/x.git"));
        assert_eq!(parse("x (>=1)").unwrap().specifier, ">=1");
        for odd in ["-r x.txt", "./local", "a b", "", "git+https://example.org/x"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
        assert_eq!(unpinned("a[x]==1;os_name=='nt'").as_deref(), Some("a[x] ; os_name=='nt'"));
    }

    #[test]
    fn tidy_keeps_what_says_more() {
        let lines = ["pytest", "b", "pytest>=4", "b", "pytest ; os_name == 'nt'"];
        let out = tidy(lines.map(String::from));
        assert_eq!(out, ["b", "pytest ; os_name == 'nt'", "pytest>=4"]);
    }
}
