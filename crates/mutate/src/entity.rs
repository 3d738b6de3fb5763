//! Functions and classes that a bug can be put into.

use std::collections::HashMap;

use palestra_core::EntityKind;
use tree_sitter::Node;

use crate::tree::{File, children, field, is_for_type_checkers, is_main, named, visit};

/// A function, method or class of a file, at any depth.
pub(crate) struct Entity<'t> {
    pub(crate) kind: EntityKind,
    /// Dotted: `Class.method`, `function.inner`.
    pub(crate) name: String,
    /// Which entity of that name in this file, from 0.
    pub(crate) ordinal: usize,
    /// The definition, without decorators.
    pub(crate) node: Node<'t>,
    /// 1, and 1 for each decision.
    pub(crate) complexity: usize,
}

impl Entity<'_> {
    pub(crate) fn is_class(&self) -> bool {
        self.kind == EntityKind::Class
    }
}

/// The entities of a file in order. Left out is what never runs: blocks for type checkers,
/// overloads; and what runs only as a script.
pub(crate) fn entities<'t>(file: &'t File<'_>) -> Vec<Entity<'t>> {
    let mut found: Vec<Entity<'t>> = Vec::new();
    let mut count: HashMap<String, usize> = HashMap::new();
    // Definitions around the current node, the innermost last.
    let mut around: Vec<(usize, String, bool)> = Vec::new();
    visit(file.root(), |node| {
        let kind = node.kind();
        if kind == "if_statement" {
            return !is_for_type_checkers(file, node) && !is_main(file, node);
        }
        if kind == "decorated_definition" {
            return !is_overload(file, node);
        }
        if !matches!(kind, "function_definition" | "class_definition") {
            return true;
        }
        while around.last().is_some_and(|(end, ..)| *end <= node.start_byte()) {
            around.pop();
        }
        let own = field(node, "name").map(|n| file.text(n)).unwrap_or_default();
        let own = String::from_utf8_lossy(own);
        let (outer, in_class) =
            around.last().map_or((None, false), |(_, name, is_class)| (Some(name), *is_class));
        let name = outer.map_or(own.to_string(), |outer| format!("{outer}.{own}"));
        let is_class = kind == "class_definition";
        let kind = match (is_class, in_class) {
            (true, _) => EntityKind::Class,
            (false, true) => EntityKind::Method,
            (false, false) => EntityKind::Function,
        };
        let ordinal = count.entry(name.clone()).or_default();
        let entity = Entity { kind, name: name.clone(), ordinal: *ordinal, node, complexity: 1 };
        *ordinal += 1;
        found.push(entity);
        around.push((node.end_byte(), name, is_class));
        true
    });
    complexities(file, &mut found);
    found
}

/// Decisions are counted as SWE-smith counts them: `if`, `elif`, loops, each operator of a
/// boolean expression or a comparison, and each `except`.
fn complexities(file: &File<'_>, entities: &mut [Entity<'_>]) {
    let mut decisions: Vec<(usize, usize)> = Vec::new();
    visit(file.root(), |node| {
        let weight = match node.kind() {
            "if_statement" | "elif_clause" | "for_statement" | "while_statement"
            | "boolean_operator" | "except_clause" => 1,
            "comparison_operator" => {
                let mut cursor = node.walk();
                node.children_by_field_name("operators", &mut cursor).count()
            }
            _ => 0,
        };
        if weight > 0 {
            decisions.push((node.start_byte(), weight));
        }
        true
    });
    for entity in entities {
        let range = entity.node.byte_range();
        let first = decisions.partition_point(|(at, _)| *at < range.start);
        let inside = decisions[first..].iter().take_while(|(at, _)| *at < range.end);
        entity.complexity = 1 + inside.map(|(_, weight)| weight).sum::<usize>();
    }
}

fn is_overload(file: &File<'_>, decorated: Node<'_>) -> bool {
    children(decorated).into_iter().filter(|c| c.kind() == "decorator").any(|decorator| {
        named(decorator).first().is_some_and(|d| {
            let text = file.text(*d);
            text == b"overload" || text.ends_with(b".overload")
        })
    })
}

/// Whether bugs are never put into the file at `path`: it is no Python module, a test, or
/// vendored; documentation and build scripts count too.
pub(crate) fn is_left_alone(path: &str) -> bool {
    const DIRECTORIES: &[&str] = &[
        "_vendor",
        "_vendored",
        "vendor",
        "vendored",
        "vendors",
        "third_party",
        "thirdparty",
        "third-party",
        "extern",
        "externals",
        "node_modules",
        "site-packages",
        "_vendored_packages",
    ];
    const NAMES: &[&str] =
        &["versioneer.py", "_version.py", "version.py", "parsetab.py", "lextab.py", "conftest.py"];
    let bytes = path.as_bytes();
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    !name.ends_with(".py")
        || name.ends_with("_pb2.py")
        || name.ends_with("_pb2_grpc.py")
        || NAMES.contains(&name)
        || directory.split('/').any(|part| DIRECTORIES.contains(&part))
        || palestra_syntax::is_test_path(bytes)
        || !palestra_syntax::is_source_code_path(bytes)
}

/// Whether a file says in its first lines that a program wrote it.
pub(crate) fn is_generated(source: &[u8]) -> bool {
    let head: Vec<&[u8]> = source.split(|b| *b == b'\n').take(12).collect();
    head.iter().filter(|line| line.starts_with(b"#") || line.starts_with(b"\"\"\"")).any(|line| {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        ["@generated", "do not edit", "autogenerated", "auto-generated", "automatically generated"]
            .iter()
            .any(|mark| line.contains(mark))
    })
}
