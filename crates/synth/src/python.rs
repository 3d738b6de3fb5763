//! Python's syntax trees, as the checks here need them.

use std::collections::HashMap;

use tree_sitter::{Node, Parser, Tree};

/// A text with its tree.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    tree: Tree,
}

/// Deeper trees than this are not looked at. Python refuses less, and looking for the parent of a
/// node takes longer the deeper it is.
const MAX_DEPTH: usize = 1_000;

impl<'a> Source<'a> {
    /// `None` where the text is nested too deeply for anybody.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
        let tree = parser.parse(text, None)?;
        (!is_deep(&tree)).then_some(Self { text, tree })
    }

    pub(crate) fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }

    pub(crate) fn text_of(&self, node: Node<'_>) -> &'a str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// The first line that cannot be read, from 1, as [`palestra_syntax`] sees it (which knows
    /// Python 2 too).
    pub(crate) fn broken_line(text: &str) -> Option<(usize, String)> {
        let module = palestra_syntax::Parser::new().parse(text.as_bytes());
        if let Some(problem) = module.problems().first() {
            return Some((problem.line, problem.what.clone()));
        }
        module.is_python2().then(|| (1, "this is Python 2".to_owned()))
    }

    /// `a.b.c` of a chain of names; `None` for anything else.
    pub(crate) fn dotted(&self, node: Node<'_>) -> Option<String> {
        let mut names = Vec::new();
        let mut node = node;
        while node.kind() == "attribute" {
            names.push(self.text_of(node.child_by_field_name("attribute")?));
            node = node.child_by_field_name("object")?;
        }
        let first: String = match node.kind() {
            "identifier" => self.text_of(node).to_owned(),
            "dotted_name" => self.text_of(node).split_whitespace().collect(),
            _ => return None,
        };
        names.push(&first);
        names.reverse();
        Some(names.join("."))
    }

    /// What names of the file stand for: `np` for `numpy`, `rm` for `os.remove`.
    pub(crate) fn aliases(&self) -> HashMap<String, String> {
        let mut aliases = HashMap::new();
        walk(self.root(), &mut |node| {
            match node.kind() {
                "import_statement" => {
                    for name in fields(node, "name") {
                        if name.kind() == "aliased_import" {
                            self.alias(name, "", &mut aliases);
                        } else {
                            let first = self.text_of(name).split('.').next().unwrap_or_default();
                            aliases.insert(first.to_owned(), first.to_owned());
                        }
                    }
                }
                "import_from_statement" => {
                    let module = node.child_by_field_name("module_name");
                    let module = module.map(|m| self.text_of(m)).unwrap_or_default().to_owned();
                    for name in fields(node, "name") {
                        if name.kind() == "aliased_import" {
                            self.alias(name, &module, &mut aliases);
                        } else {
                            let name = self.text_of(name).to_owned();
                            let full = format!("{module}.{name}");
                            aliases.insert(name, full);
                        }
                    }
                }
                _ => {}
            }
            true
        });
        aliases
    }

    fn alias(&self, node: Node<'_>, module: &str, aliases: &mut HashMap<String, String>) {
        let part = |field| node.child_by_field_name(field).map(|n| self.text_of(n));
        if let (Some(name), Some(alias)) = (part("name"), part("alias")) {
            let dot = if module.is_empty() { "" } else { "." };
            aliases.insert(alias.to_owned(), format!("{module}{dot}{name}"));
        }
    }
}

fn is_deep(tree: &Tree) -> bool {
    let mut cursor = tree.walk();
    loop {
        if cursor.depth() as usize > MAX_DEPTH {
            return true;
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return false;
            }
        }
    }
}

/// What a decorated definition decorates; other nodes are themselves.
pub(crate) fn undecorated(node: Node<'_>) -> Node<'_> {
    match node.kind() {
        "decorated_definition" => node.child_by_field_name("definition").unwrap_or(node),
        _ => node,
    }
}

/// Children in a field.
pub(crate) fn fields<'t>(node: Node<'t>, field: &str) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.children_by_field_name(field, &mut cursor).collect()
}

/// Named children without comments.
pub(crate) fn named(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|child| child.kind() != "comment").collect()
}

/// Visits a node and all below it, before what is below; not below where `visit` says no. The
/// depth of the tree is no depth of the stack.
pub(crate) fn walk<'t>(node: Node<'t>, visit: &mut impl FnMut(Node<'t>) -> bool) {
    let mut pending = vec![node];
    while let Some(node) = pending.pop() {
        if visit(node) {
            let from = pending.len();
            let mut cursor = node.walk();
            pending.extend(node.named_children(&mut cursor));
            pending[from..].reverse();
        }
    }
}

/// Line of a node, from 1.
pub(crate) fn line(node: Node<'_>) -> usize {
    node.start_position().row + 1
}
