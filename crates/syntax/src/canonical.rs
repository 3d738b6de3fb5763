//! The meaning of a piece of source, without its layout.
//!
//! Two pieces have the same canonical bytes if and only if Python's own `ast.unparse` prints
//! them alike after comments, docstrings and free-standing strings are taken out: parentheses
//! that change nothing, quotes, number bases, line breaks and trailing commas do not count.

use tree_sitter::Node;

use crate::literal::{self, Prefix};
use crate::module::{Item, Module};
use crate::split::word_sum;

/// Deeper nesting than this is compared by its text, which bounds the stack.
const MAX_DEPTH: usize = 400;

impl Module {
    /// Whether a function or class of this module and one of another module mean the same.
    pub fn same_meaning(&self, item: &Item, other: &Module, other_item: &Item) -> bool {
        let (one, two) = (self.content(item), other.content(other_item));
        if one == two {
            return true;
        }
        // Layout never changes which words there are, and counting them needs no parser.
        let differ = match (word_sum(one), word_sum(two)) {
            (Some(one), Some(two)) => one != two,
            _ => false,
        };
        !differ && self.canonical(item) == other.canonical(other_item)
    }

    /// The canonical bytes of a function or class of this module; `None` if it has none (a
    /// statement or import, or an item of another module).
    pub fn canonical(&self, item: &Item) -> Option<Vec<u8>> {
        let (source, tree, offset) = self.piece_of(item)?;
        let start = item.content.start.checked_sub(offset)?;
        let end = item.content.end.checked_sub(offset)?;
        let root = tree.root_node();
        let mut node = root.named_descendant_for_byte_range(start, end)?;
        while !matches!(node.kind(), "function_definition" | "class_definition") {
            node = node.parent()?;
        }
        if node.start_byte() != start {
            return None;
        }
        let mut writer = Writer { source, out: Vec::new() };
        writer.node(node, 0);
        Some(writer.out)
    }
}

/// The canonical bytes of `root`, the tree of a whole source without errors, such as one of
/// [`Module::statements`]. Two modules mean the same if their statements do, one by one, after
/// those are left out that mean nothing (free-standing strings).
pub fn canonical_tree(root: Node<'_>, source: &[u8]) -> Vec<u8> {
    let mut writer = Writer { source, out: Vec::new() };
    writer.node(root, 0);
    writer.out
}

struct Writer<'a> {
    source: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn text(&self, node: Node<'_>) -> &'a [u8] {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    fn open(&mut self, kind: &str) {
        self.out.extend(kind.bytes());
        self.out.push(1);
    }

    fn close(&mut self) {
        self.out.push(2);
    }

    fn leaf(&mut self, kind: &str, text: &[u8]) {
        self.open(kind);
        self.out.extend_from_slice(text);
        self.close();
    }

    fn all(&mut self, kind: &str, nodes: &[Node<'_>], depth: usize) {
        self.open(kind);
        for node in nodes {
            self.node(*node, depth + 1);
        }
        self.close();
    }

    fn node(&mut self, node: Node<'_>, depth: usize) {
        if depth > MAX_DEPTH {
            self.leaf("deep", self.text(node));
            return;
        }
        let children = children(node);
        match node.kind() {
            "parenthesized_expression" | "type" => self.through(node, &children, depth),
            "expression_statement" => match *children.as_slice() {
                [only] if only.is_named() => {
                    if !is_plain_string(only, self.source) {
                        self.all("expr", &[only], depth);
                    }
                }
                _ => {
                    self.open("expr");
                    self.all("tuple", &named(&children), depth + 1);
                    self.close();
                }
            },
            "string" | "concatenated_string" => self.string(node, &children, depth),
            "integer" | "float" => {
                let mut value = Vec::new();
                literal::number(self.text(node), &mut value);
                self.leaf("number", &value);
            }
            "tuple" | "tuple_pattern" | "pattern_list" => {
                self.all("tuple", &named(&children), depth);
            }
            "expression_list" => {
                let bare = node.parent().is_some_and(|p| p.kind() == "delete_statement");
                self.all(if bare { "names" } else { "tuple" }, &named(&children), depth);
            }
            "delete_statement" => {
                // `del a` has one name too.
                let names = named(&children);
                match names.as_slice() {
                    [only] if only.kind() != "expression_list" => {
                        self.open("delete_statement");
                        self.all("names", &names, depth + 1);
                        self.close();
                    }
                    _ => self.all("delete_statement", &names, depth),
                }
            }
            "list_pattern" | "list" => self.all("list", &named(&children), depth),
            "boolean_operator" => self.boolean(node, &children, depth),
            "if_statement" => self.conditional(&children, depth),
            "call" => self.call(node, &children, depth),
            "argument_list" => self.arguments(node, &children, depth),
            "subscript" => self.subscript(&children, depth),
            "slice" => {
                let short = children.len() > 2
                    && children.last().is_some_and(|c| c.kind() == ":")
                    && children.iter().filter(|c| c.kind() == ":").count() == 2;
                let kept = children.len() - usize::from(short);
                self.open("slice");
                for child in &children[..kept] {
                    if child.kind() == ":" {
                        self.out.push(b':');
                    } else {
                        self.node(*child, depth + 1);
                    }
                }
                self.close();
            }
            "import_prefix" => {
                let dots = self.text(node).iter().filter(|b| **b == b'.').count();
                self.leaf("import_prefix", dots.to_string().as_bytes());
            }
            kind if children.is_empty() => self.leaf(kind, self.text(node)),
            kind => {
                self.open(kind);
                for child in children {
                    if child.is_named() {
                        self.node(child, depth + 1);
                    } else if !PUNCTUATION.contains(&child.kind()) {
                        self.leaf("", child.kind().as_bytes());
                    }
                }
                self.close();
            }
        }
    }

    /// A node that only groups: parentheses, or a mark of the grammar.
    fn through(&mut self, node: Node<'_>, children: &[Node<'_>], depth: usize) {
        match named(children).as_slice() {
            [only] => self.node(*only, depth + 1),
            _ => self.leaf(node.kind(), self.text(node)),
        }
    }

    fn string(&mut self, node: Node<'_>, parts: &[Node<'_>], depth: usize) {
        let whole = [node];
        let strings = if node.kind() == "string" { &whole[..] } else { parts };
        let prefixes: Vec<Prefix> = strings.iter().map(|s| prefix_of(*s, self.source)).collect();
        // As Python prints them: the first part decides about `u`, any part about `f`.
        let unicode = prefixes.first().is_some_and(|p| p.unicode);
        let format = prefixes.iter().any(|p| p.format);
        let bytes = prefixes.iter().any(|p| p.bytes);
        self.open(match (bytes, format, unicode) {
            (true, ..) => "bytes",
            (_, true, _) => "format",
            (_, _, true) => "unicode",
            _ => "string",
        });
        for (string, prefix) in strings.iter().zip(prefixes) {
            for part in children(*string) {
                match part.kind() {
                    "string_content" => {
                        literal::string(self.text(part), prefix, &mut self.out);
                    }
                    "interpolation" => self.interpolation(part, depth),
                    _ => {}
                }
            }
        }
        self.close();
    }

    fn interpolation(&mut self, node: Node<'_>, depth: usize) {
        self.open("interpolation");
        for child in children(node) {
            match child.kind() {
                "{" | "}" => {}
                "=" | "type_conversion" => self.leaf(child.kind(), self.text(child)),
                "format_specifier" => {
                    // Its text is in no node of its own: it is what stands between the nodes.
                    self.open("format_specifier");
                    let mut at = child.start_byte();
                    for part in children(child) {
                        if matches!(part.kind(), "format_expression" | "interpolation") {
                            let between = self.source.get(at..part.start_byte());
                            self.out.extend_from_slice(between.unwrap_or_default());
                            self.interpolation(part, depth + 1);
                            at = part.end_byte();
                        }
                    }
                    let rest = self.source.get(at..child.end_byte());
                    self.out.extend_from_slice(rest.unwrap_or_default());
                    self.close();
                }
                _ if depth > MAX_DEPTH => self.leaf("deep", self.text(child)),
                _ => self.node(child, depth + 1),
            }
        }
        self.close();
    }

    /// `a and b and c` is one operation of three values; `(a and b) and c` is two.
    fn boolean(&mut self, node: Node<'_>, children: &[Node<'_>], depth: usize) {
        let operator = node.child_by_field_name("operator").map_or("", |o| o.kind());
        let mut values = Vec::new();
        let mut current = named(children);
        loop {
            let [left, right] = *current.as_slice() else {
                values.extend(current.into_iter().rev());
                break;
            };
            values.push(right);
            let same = left.kind() == "boolean_operator"
                && left.child_by_field_name("operator").is_some_and(|o| o.kind() == operator);
            if !same {
                values.push(left);
                break;
            }
            current = named(&self::children(left));
        }
        values.reverse();
        self.all(operator, &values, depth);
    }

    /// `elif` is an `if` alone in the block of an `else`.
    fn conditional(&mut self, children: &[Node<'_>], depth: usize) {
        let mut parts = named(children);
        let at = parts.iter().position(|p| matches!(p.kind(), "elif_clause" | "else_clause"));
        let rest = parts.split_off(at.unwrap_or(parts.len()));
        self.all("if", &parts, depth);
        let mut opened = 0;
        for clause in &rest {
            let inner = named(&self::children(*clause));
            self.open("else");
            opened += 1;
            if clause.kind() == "elif_clause" {
                self.all("if", &inner, depth + 1);
                continue;
            }
            for body in inner {
                for statement in self::children(body) {
                    if statement.is_named() {
                        self.node(statement, depth + 1);
                    }
                }
            }
        }
        for _ in 0..opened {
            self.close();
        }
    }

    fn call(&mut self, node: Node<'_>, children: &[Node<'_>], depth: usize) {
        self.open("call");
        for child in named(children) {
            // `f(x for x in y)` has the parentheses of the call for its own.
            let generator = child.kind() == "generator_expression"
                && node.child_by_field_name("arguments") == Some(child);
            if generator {
                self.all("argument_list", &[child], depth + 1);
            } else {
                self.node(child, depth + 1);
            }
        }
        self.close();
    }

    fn arguments(&mut self, node: Node<'_>, children: &[Node<'_>], depth: usize) {
        let all = named(children);
        if all.is_empty() && node.parent().is_some_and(|p| p.kind() == "class_definition") {
            return;
        }
        let keyword = |n: &Node<'_>| matches!(n.kind(), "keyword_argument" | "dictionary_splat");
        let (keywords, positional): (Vec<_>, Vec<_>) = all.into_iter().partition(keyword);
        self.all("argument_list", &[positional, keywords].concat(), depth);
    }

    fn subscript(&mut self, children: &[Node<'_>], depth: usize) {
        let all = named(children);
        let comma = children.iter().any(|c| c.kind() == ",");
        let Some((value, indices)) = all.split_first() else { return };
        self.open("subscript");
        self.node(*value, depth + 1);
        if comma {
            self.all("tuple", indices, depth + 1);
        } else {
            indices.iter().for_each(|i| self.node(*i, depth + 1));
        }
        self.close();
    }
}

/// Tokens that say nothing which the shape of the tree does not say.
const PUNCTUATION: &[&str] = &["(", ")", "[", "]", "{", "}", ",", ";", ":", "."];

/// Everything below a node but comments and broken lines.
fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.children(&mut cursor).filter(|c| !c.is_extra()).collect()
}

fn named<'t>(children: &[Node<'t>]) -> Vec<Node<'t>> {
    children.iter().copied().filter(Node::is_named).collect()
}

fn prefix_of(string: Node<'_>, source: &[u8]) -> Prefix {
    let start = string.child(0).and_then(|s| source.get(s.byte_range()));
    Prefix::of(start.unwrap_or_default())
}

/// Whether an expression is a string and nothing else; not bytes, not a format string.
fn is_plain_string(node: Node<'_>, source: &[u8]) -> bool {
    match node.kind() {
        "parenthesized_expression" => {
            matches!(named(&children(node)).as_slice(), [only] if is_plain_string(*only, source))
        }
        "string" => {
            let prefix = prefix_of(node, source);
            !prefix.bytes && !prefix.format
        }
        "concatenated_string" => children(node).iter().all(|s| is_plain_string(*s, source)),
        _ => false,
    }
}
