//! Dropping from a test file what the kept tests do not need.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use tree_sitter::Node;

use super::screen::without_parameters;
use crate::python::{Source, fields, named, undecorated, walk};

/// Fixtures and hooks of a file or a class that run without being named.
const IMPLICIT: &[&str] = &[
    "setUp",
    "tearDown",
    "setUpClass",
    "tearDownClass",
    "setUpModule",
    "tearDownModule",
    "asyncSetUp",
    "asyncTearDown",
    "setup_module",
    "teardown_module",
    "setup_function",
    "teardown_function",
    "setup_class",
    "teardown_class",
    "setup_method",
    "teardown_method",
    "setup",
    "teardown",
    "pytestmark",
    "__init__",
    "__test__",
];

/// The file with only those tests, and with the helpers, classes and imports that they need. Ids
/// may have parameters: a test function stays as a whole. Where the result could not be read, or
/// no test would be left, the content stays as it is. Whoever uses the result runs it again.
pub fn minimise(content: &str, keep: &BTreeSet<String>) -> String {
    let shorter = shorten(content, keep);
    match shorter {
        Some(shorter) if Source::broken_line(&shorter).is_none() => shorter,
        _ => content.to_owned(),
    }
}

/// A statement of the file or of a class.
struct Unit<'t> {
    node: Node<'t>,
    /// What it defines; empty for statements that only do something.
    names: Vec<String>,
    test: bool,
    import: bool,
    wanted: bool,
}

fn shorten(content: &str, keep: &BTreeSet<String>) -> Option<String> {
    let source = Source::parse(content)?;
    // `Class::name` or `name`, without path and parameters.
    let ids: HashSet<&str> = keep
        .iter()
        .filter_map(|id| without_parameters(id).split_once("::").map(|(_, name)| name))
        .collect();
    let root = source.root();
    let mut units = units(&source, root, "");
    for unit in &mut units {
        let node = undecorated(unit.node);
        let class = node.kind() == "class_definition";
        let own = unit.names.first().cloned().unwrap_or_default();
        unit.wanted = match () {
            () if class => ids.iter().any(|id| id.starts_with(&format!("{own}::"))),
            () if unit.test => ids.contains(own.as_str()),
            () if unit.import => is_kept_import(&source, unit.node),
            () if unit.names.is_empty() => true,
            () => is_implicit(&source, unit),
        };
    }
    if !units.iter().any(|unit| unit.wanted && (unit.test || is_class(unit))) {
        return None;
    }
    let mut cut: Vec<Range<usize>> = Vec::new();
    let (mut used, mut scanned) = (HashSet::new(), HashSet::new());
    // What is wanted wants others, until nothing new is.
    loop {
        let before = (used.len(), units.iter().filter(|unit| unit.wanted).count());
        cut.clear();
        for unit in units.iter().filter(|unit| unit.wanted && !unit.import) {
            match is_class(unit) {
                true => use_class(&source, unit.node, &ids, &mut used, &mut cut),
                false if scanned.insert(unit.node.id()) => {
                    use_names(&source, unit.node, &mut used);
                }
                false => {}
            }
        }
        for unit in units.iter_mut().filter(|unit| !unit.wanted && !unit.test) {
            unit.wanted = unit.names.iter().any(|name| used.contains(name));
        }
        if before == (used.len(), units.iter().filter(|unit| unit.wanted).count()) {
            break;
        }
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for unit in &units {
        if !unit.wanted {
            cut.push(unit.node.byte_range());
        } else if unit.import
            && !is_kept_import(&source, unit.node)
            && let Some(text) = fewer_names(&source, unit.node, &used)
        {
            edits.push((unit.node.byte_range(), text));
        }
    }
    let cut = cut.into_iter().map(|range| with_comments(content, range)).collect();
    edits.extend(merged(content, cut).into_iter().map(|range| (range, String::new())));
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut text, mut at) = (String::with_capacity(content.len()), 0);
    for (range, by) in edits {
        text.push_str(content.get(at..range.start.max(at))?);
        text.push_str(&by);
        at = at.max(range.end);
    }
    text.push_str(content.get(at..)?);
    Some(format!("{}\n", text.trim()))
}

fn units<'t>(source: &'t Source<'_>, parent: Node<'t>, class: &str) -> Vec<Unit<'t>> {
    let unit = |node: Node<'t>| {
        let definition = undecorated(node);
        let mut names = Vec::new();
        let import = matches!(node.kind(), "import_statement" | "import_from_statement");
        match definition.kind() {
            "function_definition" | "class_definition" => {
                let name = definition.child_by_field_name("name");
                names.extend(name.map(|name| source.text_of(name).to_owned()));
                names.extend(fixture_name(source, node));
            }
            "import_statement" | "import_from_statement" => {
                names.extend(fields(node, "name").into_iter().map(|name| bound(source, name)));
            }
            "expression_statement" => {
                let assignment =
                    named(node).into_iter().next().filter(|n| n.kind() == "assignment");
                let left = assignment.and_then(|node| node.child_by_field_name("left"));
                if let Some(left) = left {
                    walk(left, &mut |node| {
                        if node.kind() == "identifier" {
                            names.push(source.text_of(node).to_owned());
                        }
                        // `a.b = 1` does something to `a`, and defines nothing.
                        !matches!(node.kind(), "attribute" | "subscript")
                    });
                }
            }
            _ => {}
        }
        let test = definition.kind() == "function_definition"
            && names.first().is_some_and(|name| name.starts_with("test"));
        Unit { node, names, test, import: import && class.is_empty(), wanted: false }
    };
    named(parent).into_iter().map(unit).collect()
}

fn is_class(unit: &Unit<'_>) -> bool {
    undecorated(unit.node).kind() == "class_definition"
}

/// `@pytest.fixture(name="x")` is used as `x`.
fn fixture_name(source: &Source<'_>, node: Node<'_>) -> Option<String> {
    let mut found = None;
    for decorator in named(node).into_iter().filter(|node| node.kind() == "decorator") {
        walk(decorator, &mut |node| {
            let part = |field| node.child_by_field_name(field).map(|n| source.text_of(n));
            if node.kind() == "keyword_argument" && part("name") == Some("name") {
                found = part("value").map(|value| value.trim_matches(['"', '\'']).to_owned());
            }
            true
        });
    }
    found
}

/// The name that an import binds.
fn bound(source: &Source<'_>, name: Node<'_>) -> String {
    let alias = name.child_by_field_name("alias").map(|alias| source.text_of(alias));
    let first = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    alias.map_or_else(|| first(source.text_of(name)), str::to_owned)
}

/// `from __future__` and `import *` say nothing about what uses them.
fn is_kept_import(source: &Source<'_>, node: Node<'_>) -> bool {
    let text = source.text_of(node);
    node.kind() == "future_import_statement" || text.contains('*') || text.contains("__future__")
}

fn is_implicit(source: &Source<'_>, unit: &Unit<'_>) -> bool {
    unit.names.iter().any(|name| IMPLICIT.contains(&name.as_str()))
        || unit.node.kind() == "decorated_definition"
            && source.text_of(unit.node).contains("autouse=True")
}

/// Every name in a node: identifiers, attributes, and words in strings, since fixtures are
/// named by strings too (`usefixtures("a")`).
fn use_names(source: &Source<'_>, node: Node<'_>, used: &mut HashSet<String>) {
    walk(node, &mut |node| {
        match node.kind() {
            "identifier" => drop(used.insert(source.text_of(node).to_owned())),
            "string_content" => {
                let words = source.text_of(node).split(|c: char| !c.is_alphanumeric() && c != '_');
                used.extend(
                    words.filter(|word| !word.is_empty() && word.len() < 60).map(str::to_owned),
                );
            }
            _ => {}
        }
        true
    });
}

/// What a class uses without its tests that are not kept; where those and its unused helpers are.
fn use_class(
    source: &Source<'_>,
    node: Node<'_>,
    ids: &HashSet<&str>,
    used: &mut HashSet<String>,
    cut: &mut Vec<Range<usize>>,
) {
    let class = undecorated(node);
    let name = class.child_by_field_name("name").map(|n| source.text_of(n)).unwrap_or_default();
    let Some(body) = class.child_by_field_name("body") else { return };
    for other in named(node).into_iter().chain(named(class)) {
        if other.id() != class.id() && other.id() != body.id() {
            use_names(source, other, used);
        }
    }
    // A class without kept tests is there for others, and stays whole.
    let tests = ids.iter().any(|id| id.starts_with(&format!("{name}::")));
    for unit in units(source, body, name) {
        let own = unit.names.first().map(String::as_str).unwrap_or_default();
        let wanted = !tests
            || match unit.test {
                true => ids.contains(format!("{name}::{own}").as_str()),
                false => {
                    unit.names.is_empty()
                        || is_implicit(source, &unit)
                        || unit.names.iter().any(|name| used.contains(name))
                        || undecorated(unit.node).kind() != "function_definition"
                }
            };
        match wanted {
            true => use_names(source, unit.node, used),
            false => cut.push(unit.node.byte_range()),
        }
    }
}

/// An import with only the names that are used; `None` where all of them are.
fn fewer_names(source: &Source<'_>, node: Node<'_>, used: &HashSet<String>) -> Option<String> {
    let names = fields(node, "name");
    let kept: Vec<&str> = names
        .iter()
        .filter(|name| used.contains(&bound(source, **name)))
        .map(|name| source.text_of(*name))
        .collect();
    if kept.len() == names.len() || kept.is_empty() {
        return None;
    }
    let list = kept.join(", ");
    Some(match node.child_by_field_name("module_name") {
        Some(module) => format!("from {} import {list}", source.text_of(module)),
        None => format!("import {list}"),
    })
}

/// The whole lines of a statement, and the comments right above it.
fn with_comments(content: &str, range: Range<usize>) -> Range<usize> {
    let mut start = line_start(content, range.start);
    // Another statement may stand on the same line.
    if !content[start..range.start].trim().is_empty() {
        return range;
    }
    let above = |start: usize| line_start(content, start - 1);
    while start > 0 && content[above(start)..start].trim_start().starts_with('#') {
        start = above(start);
    }
    start..line_end(content, range.end)
}

fn line_start(content: &str, at: usize) -> usize {
    content[..at].rfind('\n').map_or(0, |at| at + 1)
}

fn line_end(content: &str, at: usize) -> usize {
    content[at..].find('\n').map_or(content.len(), |n| at + n + 1)
}

/// Ranges with nothing but blank lines between them as one, each with the fewer of the blank lines
/// around it: what stays keeps the greater distance.
fn merged(content: &str, mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut out: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last)
                if content
                    .get(last.end..range.start)
                    .is_none_or(|between| between.trim().is_empty()) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => out.push(range),
        }
    }
    for range in &mut out {
        let (mut start, mut end) = (range.start, range.end);
        if start != line_start(content, start) || end != line_start(content, end) {
            continue;
        }
        while start > 0 && content[line_start(content, start - 1)..start].trim().is_empty() {
            start = line_start(content, start - 1);
        }
        while end < content.len() && content[end..line_end(content, end)].trim().is_empty() {
            end = line_end(content, end);
        }
        let blank = |range: Range<usize>| content[range].matches('\n').count();
        let first = content[..start].trim_end().ends_with(':');
        match first || blank(start..range.start) >= blank(range.end..end) {
            true => range.end = end,
            false => range.start = start,
        }
    }
    out
}
