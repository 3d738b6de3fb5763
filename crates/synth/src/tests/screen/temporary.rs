//! Which expressions of a file are paths in temporary directories.

use std::collections::HashSet;

use tree_sitter::Node;

use crate::python::{Source, named, walk};

/// Names that hold what comes from a temporary directory: fixtures of pytest, what `tempfile`
/// gives, files in memory, and whatever is made of them. The order of statements does not count.
pub(super) struct Temporary {
    names: HashSet<String>,
}

const GIVEN: &[&str] =
    &["tmp_path", "tmp_path_factory", "tmpdir", "tmpdir_factory", "testdir", "pytester"];
const MAKERS: &[&str] =
    &["tempfile.", "io.StringIO", "io.BytesIO", "mock_open", "isolated_filesystem"];

impl Temporary {
    pub(super) fn of(source: &Source<'_>, resolve: &impl Fn(Node<'_>) -> Option<String>) -> Self {
        let mut temporary = Self { names: GIVEN.iter().map(|name| (*name).to_owned()).collect() };
        for _ in 0..6 {
            let before = temporary.names.len();
            let mut found = Vec::new();
            walk(source.root(), &mut |node| {
                temporary.bindings(source, resolve, node, &mut found);
                true
            });
            temporary.names.extend(found);
            if temporary.names.len() == before {
                break;
            }
        }
        temporary
    }

    fn bindings(
        &self,
        source: &Source<'_>,
        resolve: &impl Fn(Node<'_>) -> Option<String>,
        node: Node<'_>,
        found: &mut Vec<String>,
    ) {
        let (target, value) = match node.kind() {
            "assignment" | "for_statement" | "for_in_clause" => {
                (node.child_by_field_name("left"), node.child_by_field_name("right"))
            }
            "named_expression" => {
                (node.child_by_field_name("name"), node.child_by_field_name("value"))
            }
            "as_pattern" => (node.child_by_field_name("alias"), named(node).into_iter().next()),
            // A fixture, or a helper, that gives one.
            "return_statement" | "yield" => {
                let value = named(node).into_iter().next();
                let mut function = node.parent();
                while function.is_some_and(|f| f.kind() != "function_definition") {
                    function = function.and_then(|f| f.parent());
                }
                (function.and_then(|f| f.child_by_field_name("name")), value)
            }
            _ => return,
        };
        let (Some(target), Some(value)) = (target, value) else { return };
        if !self.holds(source, resolve, value) {
            return;
        }
        match target.kind() {
            "pattern_list" | "tuple_pattern" => {
                found.extend(named(target).iter().map(|t| source.text_of(*t).to_owned()));
            }
            _ => found.push(source.text_of(target).to_owned()),
        }
    }

    /// Whether an expression is made of what is temporary, and leaves it by no absolute path and
    /// no `..`.
    pub(super) fn holds(
        &self,
        source: &Source<'_>,
        resolve: &impl Fn(Node<'_>) -> Option<String>,
        node: Node<'_>,
    ) -> bool {
        let (mut inside, mut leaves) = (false, false);
        walk(node, &mut |node| {
            match node.kind() {
                "identifier" => inside |= self.names.contains(source.text_of(node)),
                "attribute" => {
                    inside |= self.names.contains(source.text_of(node));
                }
                "call" => {
                    let callee = node.child_by_field_name("function").and_then(resolve);
                    let callee = callee.unwrap_or_default();
                    inside |= MAKERS.iter().any(|maker| {
                        callee.starts_with(maker) || callee.rsplit('.').next() == Some(maker)
                    });
                }
                "string_content" => leaves |= is_elsewhere(source.text_of(node)),
                _ => {}
            }
            true
        });
        inside && !leaves
    }

    /// Whether a function goes to a temporary directory before it does anything: then relative
    /// paths are fine.
    pub(super) fn is_entered(
        &self,
        source: &Source<'_>,
        resolve: &impl Fn(Node<'_>) -> Option<String>,
        node: Node<'_>,
    ) -> bool {
        let mut scope = node;
        while let Some(parent) = scope.parent() {
            scope = parent;
            if scope.kind() == "function_definition" {
                break;
            }
        }
        let mut entered = false;
        walk(scope, &mut |node| {
            if node.kind() == "call" {
                let callee = node.child_by_field_name("function").and_then(resolve);
                let callee = callee.unwrap_or_default();
                let last = callee.rsplit('.').next().unwrap_or_default();
                let arguments = node.child_by_field_name("arguments");
                entered |= last == "isolated_filesystem"
                    || last == "chdir"
                        && arguments
                            .is_some_and(|arguments| self.holds(source, resolve, arguments));
            }
            !entered
        });
        entered
    }
}

/// Whether a piece of a path leads away from where it is put.
pub(super) fn is_elsewhere(text: &str) -> bool {
    text.starts_with(['/', '~']) && text.len() > 1
        || text.split(['/', '\\']).any(|part| part == "..")
}
