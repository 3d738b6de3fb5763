//! What a fix adds and its tests use: names that nobody can guess.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tree_sitter::Node;

use crate::python::{Source, named, undecorated, walk};
use crate::tests::SourcePair;

/// What kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceKind {
    /// A new file that is imported.
    Module,
    /// A new function.
    Function,
    /// A new class.
    Class,
    /// A new method.
    Method,
    /// A new variable of a module or a class.
    Variable,
    /// A new parameter of something that was there.
    Parameter,
}

/// A name that a fix adds and the tests use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interface {
    /// What it is.
    pub kind: InterfaceKind,
    /// What a statement has to say: the last part of the name.
    pub name: String,
    /// The whole name: `pkg.module.Class.method`, for parameters that of their function.
    pub full: String,
    /// The first line of the definition, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
}

impl Interface {
    /// One line about it.
    pub fn describe(&self) -> String {
        let kind = match self.kind {
            InterfaceKind::Module => "module",
            InterfaceKind::Function => "function",
            InterfaceKind::Class => "class",
            InterfaceKind::Method => "method",
            InterfaceKind::Variable => "variable",
            InterfaceKind::Parameter => "parameter",
        };
        let signature = match self.signature.is_empty() {
            true => String::new(),
            false => format!(": `{}`", self.signature),
        };
        match self.kind {
            InterfaceKind::Parameter => {
                format!("{kind} `{}` of `{}`{signature}", self.name, self.full)
            }
            _ => format!("{kind} `{}` (`{}`){signature}", self.name, self.full),
        }
    }
}

/// The names that some files have after the fix and not before, and that the tests use: import,
/// call, read or pass by keyword. `tests` are the contents of the hidden test files.
pub fn interfaces(pairs: &[SourcePair<'_>], tests: &[&str]) -> Vec<Interface> {
    let mut used = Used::default();
    for test in tests {
        if let Some(source) = Source::parse(test) {
            used.add(&source);
        }
    }
    let mut out = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.path.ends_with(".py")) {
        let Some(after) = pair.after else { continue };
        let module = module_name(pair.path);
        if pair.before.is_none() && used.modules.contains(&module) {
            let name = module.rsplit('.').next().unwrap_or_default().to_owned();
            let signature = String::new();
            out.push(Interface {
                kind: InterfaceKind::Module,
                name,
                full: module.clone(),
                signature,
            });
        }
        let before = Side::of(pair.before.unwrap_or_default());
        let after = Side::of(after);
        after.added(&before, &module, &used, &mut out);
    }
    out.sort();
    out.dedup();
    out
}

/// `pkg.module` of a path.
fn module_name(path: &str) -> String {
    let path = path.strip_prefix("src/").or(path.strip_prefix("lib/")).unwrap_or(path);
    let path = path.strip_suffix(".py").unwrap_or(path);
    path.strip_suffix("/__init__").unwrap_or(path).replace('/', ".")
}

/// Names in tests.
#[derive(Default)]
struct Used {
    names: HashSet<String>,
    keywords: HashSet<String>,
    modules: HashSet<String>,
}

impl Used {
    fn add(&mut self, source: &Source<'_>) {
        // What the tests define themselves is nobody else's.
        let mut own = HashSet::new();
        let mut names = HashSet::new();
        walk(source.root(), &mut |node| {
            let text = || source.text_of(node).to_owned();
            match node.kind() {
                "identifier" => {
                    let parent = node.parent();
                    let defines = parent.is_some_and(|p| {
                        matches!(p.kind(), "function_definition" | "class_definition")
                            && p.child_by_field_name("name") == Some(node)
                    });
                    let keyword = parent.is_some_and(|p| {
                        p.kind() == "keyword_argument"
                            && p.child_by_field_name("name") == Some(node)
                    });
                    match (defines, keyword) {
                        (true, _) => own.insert(text()),
                        (_, true) => self.keywords.insert(text()),
                        _ => names.insert(text()),
                    };
                }
                "dotted_name" => {
                    let whole: String = text().split_whitespace().collect();
                    // `import a.b` and `from a import b` may both mean a module.
                    let from = node.parent().filter(|p| p.kind() == "import_from_statement");
                    let from = from.and_then(|p| p.child_by_field_name("module_name"));
                    if let Some(from) = from.filter(|from| *from != node) {
                        self.modules.insert(format!("{}.{whole}", source.text_of(from)));
                    }
                    self.modules.insert(whole);
                }
                _ => {}
            }
            true
        });
        names.retain(|name| !own.contains(name));
        self.names.extend(names);
    }
}

/// One side of a file.
struct Side {
    source: Vec<u8>,
}

impl Side {
    fn of(bytes: &[u8]) -> Self {
        Self { source: palestra_syntax::universal_newlines(bytes).into_owned() }
    }

    fn added(&self, before: &Self, module: &str, used: &Used, out: &mut Vec<Interface>) {
        let text = String::from_utf8_lossy(&self.source);
        let old = String::from_utf8_lossy(&before.source);
        let (Some(new_tree), Some(old_tree)) = (Source::parse(&text), Source::parse(&old)) else {
            return;
        };
        let (new, old) = (definitions(&new_tree), definitions(&old_tree));
        for definition in &new {
            let last = definition.name.rsplit('.').next().unwrap_or_default();
            let full = format!("{module}.{}", definition.name);
            let known = old.iter().find(|old| old.name == definition.name);
            let Some(known) = known else {
                // Special methods are used without being named, and known to everybody.
                if used.names.contains(last) && !last.starts_with("__") {
                    let kind = definition.kind;
                    let (name, signature) = (last.to_owned(), definition.signature.clone());
                    out.push(Interface { kind, name, full, signature });
                }
                continue;
            };
            // A class is called by the name of the class.
            let class = definition.name.strip_suffix(".__init__");
            let called = class.unwrap_or(last).rsplit('.').next().unwrap_or_default();
            let parameters = definition.parameters.iter();
            for parameter in parameters.filter(|name| !known.parameters.contains(name)) {
                if used.names.contains(called) && used.keywords.contains(parameter) {
                    let (name, signature) = (parameter.clone(), definition.signature.clone());
                    let kind = InterfaceKind::Parameter;
                    out.push(Interface { kind, name, full: full.clone(), signature });
                }
            }
        }
    }
}

/// A definition of a module or of a class at its top.
struct Definition {
    name: String,
    parameters: Vec<String>,
    signature: String,
    kind: InterfaceKind,
}

fn definitions(source: &Source<'_>) -> Vec<Definition> {
    let mut out = Vec::new();
    add_definitions(source, source.root(), "", &mut out);
    out
}

fn add_definitions(source: &Source<'_>, block: Node<'_>, within: &str, out: &mut Vec<Definition>) {
    for node in named(block) {
        let node = undecorated(node);
        match node.kind() {
            "function_definition" | "class_definition" => {
                let Some(name) = node.child_by_field_name("name") else { continue };
                let name = format!("{within}{}", source.text_of(name));
                let body = node.child_by_field_name("body");
                let end = body.map_or(node.end_byte(), |body| body.start_byte());
                let head = source.text.get(node.start_byte()..end).unwrap_or_default();
                let signature = head.split_whitespace().collect::<Vec<_>>().join(" ");
                let signature = signature.trim_end_matches(':').chars().take(300).collect();
                let parameters = node.child_by_field_name("parameters").map(|list| {
                    let name = |node: Node<'_>| source.text_of(first_identifier(node)).to_owned();
                    named(list).into_iter().map(name).collect()
                });
                let class = node.kind() == "class_definition";
                let kind = match class {
                    true => InterfaceKind::Class,
                    false if name.contains('.') => InterfaceKind::Method,
                    false => InterfaceKind::Function,
                };
                let within = format!("{name}.");
                let parameters = parameters.unwrap_or_default();
                out.push(Definition { name, parameters, signature, kind });
                if let Some(body) = body.filter(|_| class) {
                    add_definitions(source, body, &within, out);
                }
            }
            "expression_statement" => {
                let assignment = named(node).into_iter().find(|n| n.kind() == "assignment");
                let left = assignment.and_then(|node| node.child_by_field_name("left"));
                if let Some(left) = left.filter(|left| left.kind() == "identifier") {
                    let name = format!("{within}{}", source.text_of(left));
                    let (parameters, signature) = (Vec::new(), String::new());
                    let kind = InterfaceKind::Variable;
                    out.push(Definition { name, parameters, signature, kind });
                }
            }
            // What is defined under a condition is defined.
            "if_statement" | "try_statement" | "block" | "else_clause" | "except_clause"
            | "finally_clause" | "elif_clause" | "with_statement" => {
                add_definitions(source, node, within, out);
            }
            _ => {}
        }
    }
}

/// The name of a parameter: `a`, `a=1`, `a: int = 1`, `*a`.
fn first_identifier(node: Node<'_>) -> Node<'_> {
    let mut found = None;
    walk(node, &mut |node| {
        if found.is_none() && node.kind() == "identifier" {
            found = Some(node);
        }
        found.is_none()
    });
    found.unwrap_or(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_use_of_what_is_new() {
        let before = b"X = 1\ndef old(a): pass\nclass C:\n    def m(self): pass\n";
        let after = b"X = 1\nLIMIT = 2\ndef old(a, strict=False): pass\ndef fresh(\n    b: int,\n) -> int: pass\ndef unused(): pass\ndef own(): pass\nclass C:\n    def __init__(self, depth=1): pass\n    def m(self, k=1): pass\n    def n(self): pass\n    def __len__(self): pass\nif X:\n    class D(C): pass\n";
        let pair = SourcePair { path: "src/p/a.py", before: Some(before), after: Some(after) };
        let new = SourcePair { path: "p/b.py", before: None, after: Some(b"def deep(): pass\n") };
        let test = "from p.a import fresh, LIMIT, C, D, old\nfrom p import b\n\ndef own(): pass\n\ndef test_x():\n    assert fresh(1) == LIMIT\n    assert old(1, strict=True)\n    assert len(C().n()) == 0\n    C().m(j=1)\n    own()\n    D\n";
        let found = interfaces(&[pair, new], &[test]);
        let found: Vec<String> = found.iter().map(Interface::describe).collect();
        assert_eq!(
            found,
            [
                "module `b` (`p.b`)",
                "function `fresh` (`p.a.fresh`): `def fresh( b: int, ) -> int`",
                "class `D` (`p.a.D`): `class D(C)`",
                "method `n` (`p.a.C.n`): `def n(self)`",
                "variable `LIMIT` (`p.a.LIMIT`)",
                "parameter `strict` of `p.a.old`: `def old(a, strict=False)`",
            ]
        );
        assert!(interfaces(&[pair], &["def test(: broken"]).is_empty());
    }
}
