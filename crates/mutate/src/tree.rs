//! A parsed file by bytes and by lines. Every walk is a loop: nesting costs no stack.

use std::ops::Range;

use tree_sitter::{Node, Tree};

/// Files in which something is nested deeper are left alone.
const MAX_DEPTH: usize = 500;

/// A file and its syntax tree. Positions are those of the bytes as they are on disk.
pub(crate) struct File<'a> {
    pub(crate) source: &'a [u8],
    tree: Tree,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'a> File<'a> {
    /// Parses Python 3; says why it cannot be changed otherwise.
    pub(crate) fn parse(source: &'a [u8]) -> Result<Self, String> {
        if source.len() > palestra_syntax::MAX_SOURCE_BYTES {
            return Err(format!("larger than {} MiB", palestra_syntax::MAX_SOURCE_BYTES >> 20));
        }
        if source.contains(&0) {
            return Err("has NUL bytes".to_owned());
        }
        if source.windows(2).any(|w| w[0] == b'\r' && w[1] != b'\n')
            || source.last() == Some(&b'\r')
        {
            return Err("has carriage returns that end no line".to_owned());
        }
        let mut parser = tree_sitter::Parser::new();
        // Cannot fail with the grammar we are built with; were it to, the parse would.
        let _ = parser.set_language(&tree_sitter_python::LANGUAGE.into());
        let tree = parser.parse(source, None).ok_or("the parser gave up")?;
        if tree.root_node().has_error() {
            return Err("has syntax errors".to_owned());
        }
        let mut starts = vec![0];
        starts.extend(source.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1));
        let file = Self { source, tree, starts };
        if file.depth() > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        Ok(file)
    }

    fn depth(&self) -> usize {
        let mut cursor = self.tree.walk();
        let mut deepest = 0;
        loop {
            if cursor.goto_first_child() {
                deepest = deepest.max(cursor.depth() as usize);
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return deepest;
                }
            }
        }
    }

    pub(crate) fn root(&self) -> Node<'_> {
        self.tree.root_node()
    }

    pub(crate) fn text(&self, node: Node<'_>) -> &'a [u8] {
        self.slice(node.byte_range())
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.source.get(range).unwrap_or_default()
    }

    /// The text of a node for a message: one line, not too long.
    pub(crate) fn shown(&self, node: Node<'_>) -> String {
        shown(self.text(node))
    }

    /// The line, from 0, that holds a byte.
    pub(crate) fn line_of(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// The bytes of a line with what ends it.
    pub(crate) fn full_line(&self, line: usize) -> Range<usize> {
        let start = self.starts.get(line).copied().unwrap_or(self.source.len());
        start..self.starts.get(line + 1).copied().unwrap_or(self.source.len())
    }

    /// The bytes of a line without what ends it.
    pub(crate) fn line(&self, line: usize) -> Range<usize> {
        let full = self.full_line(line);
        let text = self.slice(full.clone());
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        full.start..full.start + text.len()
    }

    /// The white space at the beginning of a line.
    pub(crate) fn indent(&self, line: usize) -> &'a [u8] {
        let text = self.slice(self.line(line));
        let length = text.iter().take_while(|b| matches!(b, b' ' | b'\t' | 0x0c)).count();
        &text[..length]
    }

    /// What ends the lines of this file.
    pub(crate) fn newline(&self) -> &'static [u8] {
        if self.source.windows(2).any(|w| w == b"\r\n") { b"\r\n" } else { b"\n" }
    }

    /// The lines of a node, inclusive.
    pub(crate) fn lines_of(&self, node: Node<'_>) -> (usize, usize) {
        (self.line_of(node.start_byte()), self.line_of(end_of(node).max(1) - 1))
    }

    /// Whether nothing but a comment shares lines with a node.
    pub(crate) fn is_alone(&self, node: Node<'_>) -> bool {
        let (first, last) = self.lines_of(node);
        let before = self.line(first).start + self.indent(first).len();
        let after = self.slice(end_of(node)..self.line(last).end.max(end_of(node)));
        let rest = after.iter().find(|b| !matches!(b, b' ' | b'\t'));
        before == node.start_byte() && rest.is_none_or(|b| *b == b'#')
    }

    /// The first line of the comment that stands directly above a line, or the line itself.
    pub(crate) fn with_comment(&self, line: usize) -> usize {
        let indent = self.indent(line);
        let mut first = line;
        while first > 0 {
            let above = first - 1;
            let at = self.line(above).start + self.indent(above).len();
            let is_comment = self.source.get(at) == Some(&b'#')
                && self.indent(above) == indent
                && self.root().descendant_for_byte_range(at, at).is_some_and(|n| n.is_extra());
            if !is_comment {
                break;
            }
            first = above;
        }
        first
    }
}

/// Bytes for a message: one line, not too long.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Where a node ends, without what the parser counts to the end of a block but Python does not:
/// comments, blank lines and semicolons.
pub(crate) fn end_of(node: Node<'_>) -> usize {
    let mut last = node;
    'deeper: loop {
        for n in (0..last.child_count()).rev() {
            let Some(child) = last.child(n) else { continue };
            let empty = child.start_byte() == child.end_byte();
            if !child.is_extra() && !empty && child.kind() != ";" {
                last = child;
                continue 'deeper;
            }
        }
        return last.end_byte();
    }
}

/// Where a node stands, by [`end_of`].
pub(crate) fn extent(node: Node<'_>) -> Range<usize> {
    node.start_byte()..end_of(node)
}

/// What is directly below a node, without comments.
pub(crate) fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.children(&mut cursor).filter(|c| !c.is_extra()).collect()
}

/// What is directly below a node, without comments and punctuation.
pub(crate) fn named(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|c| !c.is_extra()).collect()
}

/// The child of that kind.
pub(crate) fn child_of_kind<'t>(node: Node<'t>, kind: &str) -> Option<Node<'t>> {
    children(node).into_iter().find(|c| c.kind() == kind)
}

pub(crate) fn field<'t>(node: Node<'t>, name: &str) -> Option<Node<'t>> {
    node.child_by_field_name(name)
}

/// Visits everything below and including `root`, parents first. What lies below a node is left
/// out where `visit` says false.
pub(crate) fn visit<'t>(root: Node<'t>, mut visit: impl FnMut(Node<'t>) -> bool) {
    let mut cursor = root.walk();
    loop {
        if visit(cursor.node()) && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// Everything below `root` that a change of behaviour can be made in: not strings, annotations
/// and decorators, nor what only type checkers read or only runs as a script.
pub(crate) fn live<'t>(file: &File<'_>, root: Node<'t>, mut each: impl FnMut(Node<'t>)) {
    visit(root, |node| {
        let dead = match node.kind() {
            "string" | "concatenated_string" | "type" | "comment" | "decorator" => true,
            "if_statement" => is_for_type_checkers(file, node) || is_main(file, node),
            _ => false,
        };
        if !dead || matches!(node.kind(), "string" | "concatenated_string") {
            each(node);
        }
        !dead
    });
}

/// `if TYPE_CHECKING:`, however it is imported.
pub(crate) fn is_for_type_checkers(file: &File<'_>, node: Node<'_>) -> bool {
    let condition = field(node, "condition").map(|c| file.text(c)).unwrap_or_default();
    condition.ends_with(b"TYPE_CHECKING") && !condition.starts_with(b"not")
}

/// `if __name__ == "__main__":`.
pub(crate) fn is_main(file: &File<'_>, node: Node<'_>) -> bool {
    let condition = field(node, "condition").map(|c| file.text(c)).unwrap_or_default();
    condition.starts_with(b"__name__")
}

/// Whether a statement is a docstring or another free-standing string.
pub(crate) fn is_bare_string(node: Node<'_>) -> bool {
    node.kind() == "expression_statement"
        && matches!(named(node).as_slice(), [only] if matches!(only.kind(), "string" | "concatenated_string"))
}
