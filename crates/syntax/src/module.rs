//! A parsed module and the entities of its top level.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use palestra_core::{Entity, EntityKind};
use tree_sitter::{Node, Tree};

use crate::Problem;
use crate::python2;
use crate::split::split;

/// Sources above this size are not parsed: 4 MiB. They are tables, not programs.
pub const MAX_SOURCE_BYTES: usize = 4 << 20;

/// At most this many problems are reported for a file.
const MAX_PROBLEMS: usize = 20;

/// Bytes of statements that are remembered in each of two generations.
const REMEMBERED_BYTES: usize = 16 << 20;

/// Parses Python. It remembers the statements that it parsed, so that another version of the
/// same file costs little.
pub struct Parser {
    inner: tree_sitter::Parser,
    memory: Arc<RwLock<Memory>>,
}

/// Statements by their text.
#[derive(Default)]
struct Memory {
    young: HashMap<Arc<[u8]>, Arc<Piece>>,
    old: HashMap<Arc<[u8]>, Arc<Piece>>,
    young_bytes: usize,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser for Python 2 and 3.
    pub fn new() -> Self {
        Self { inner: new_parser(), memory: Arc::default() }
    }

    /// Another parser, for another thread, with the same memory.
    pub fn another(&self) -> Self {
        Self { inner: new_parser(), memory: Arc::clone(&self.memory) }
    }

    /// Parses `source`; every kind of line end counts as one.
    pub fn parse(&mut self, source: &[u8]) -> Module {
        let source = universal_newlines(source).into_owned();
        if source.len() > MAX_SOURCE_BYTES {
            let what = format!("the file has more than {} MiB", MAX_SOURCE_BYTES >> 20);
            return Module::unread(source, what);
        }
        let mut module = Module { source, items: Vec::new(), parts: Vec::new(), unread: None };
        for part in split(&module.source) {
            let piece = self.piece(&module.source[part.bytes.clone()]);
            if !piece.problems.is_empty() {
                // Either there is an error, or the statements were cut apart in a wrong place.
                let whole = Piece::parse(&mut self.inner, &module.source);
                module.parts.clear();
                module.items.clear();
                module.add(0, 0, Arc::new(whole));
                break;
            }
            module.add(part.bytes.start, part.line, piece);
        }
        module
    }

    /// A statement, parsed or remembered.
    fn piece(&mut self, source: &[u8]) -> Arc<Piece> {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = memory.young.get(source) {
            return Arc::clone(piece);
        }
        drop(memory);
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        let known = memory.old.remove_entry(source);
        let (key, piece) = match known {
            Some(known) => known,
            None => {
                drop(memory);
                let key: Arc<[u8]> = Arc::from(source);
                let piece = Arc::new(Piece::parse(&mut self.inner, &key));
                memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
                (key, piece)
            }
        };
        if memory.young_bytes > REMEMBERED_BYTES {
            memory.old = std::mem::take(&mut memory.young);
            memory.young_bytes = 0;
        }
        memory.young_bytes += source.len();
        memory.young.insert(key, Arc::clone(&piece));
        piece
    }
}

fn new_parser() -> tree_sitter::Parser {
    let mut parser = tree_sitter::Parser::new();
    // Cannot fail with the grammar we are built with; were it to, every parse would report it
    // as a problem.
    let _ = parser.set_language(&tree_sitter_python::LANGUAGE.into());
    parser
}

/// The tree of a statement or a file, and whether it has backticks, which only Python 2 has.
fn tree_of(parser: &mut tree_sitter::Parser, source: &[u8]) -> (Option<Tree>, bool) {
    // The grammar does not know backticks, and passes over some of them.
    let masked = python2::mask_backticks(source);
    (parser.parse(masked.as_deref().unwrap_or(source), None), masked.is_some())
}

/// What is known of a statement, or of a whole file. Positions count from its own beginning.
/// The syntax tree is not kept: it takes twenty times the space of the text.
#[derive(Debug)]
struct Piece {
    length: usize,
    items: Vec<Item>,
    problems: Vec<Problem>,
    python2: bool,
}

impl Piece {
    fn parse(parser: &mut tree_sitter::Parser, source: &[u8]) -> Self {
        let (tree, mut python2) = tree_of(parser, source);
        let mut items = Vec::new();
        let mut problems = Vec::new();
        match &tree {
            Some(tree) => {
                let root = tree.root_node();
                let mut cursor = root.walk();
                for node in root.children(&mut cursor) {
                    add_items(node, source, &mut items);
                }
                problems = self::problems(root);
                python2 = python2 || problems.is_empty() && python2::is_python2(root, source);
            }
            None => problems.push(Problem { line: 1, what: "the parser gave up".into() }),
        }
        Self { length: source.len(), items, problems, python2 }
    }
}

/// The source with `\r\n` and `\r` turned into `\n`, as Python reads text.
pub fn universal_newlines(source: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\r', source).is_none() {
        return Cow::Borrowed(source);
    }
    let mut out = Vec::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\n');
        rest = &rest[at + 1..];
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// A top-level entity of a module, or a method of a top-level class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: EntityKind,
    /// Its name: `Class.method` for methods, the module for imports, empty for statements.
    pub name: String,
    /// First line, from 1; decorators do not count.
    pub start_line: usize,
    /// Last line, inclusive; comments behind it do not count.
    pub end_line: usize,
    /// Its text; for a method, the text of the class.
    pub(crate) content: Range<usize>,
}

impl Item {
    /// The item as an entity of the file at `path`.
    pub fn entity(&self, path: &str) -> Entity {
        Entity {
            path: path.to_owned(),
            kind: self.kind,
            name: self.name.clone(),
            start_line: self.start_line,
            end_line: self.end_line,
        }
    }
}

/// A parsed module.
#[derive(Debug)]
pub struct Module {
    source: Vec<u8>,
    items: Vec<Item>,
    parts: Vec<(usize, Arc<Piece>)>,
    unread: Option<Problem>,
}

impl Module {
    fn unread(source: Vec<u8>, what: String) -> Self {
        let unread = Some(Problem { line: 1, what });
        Self { source, items: Vec::new(), parts: Vec::new(), unread }
    }

    /// Adds a piece that begins at that byte and line (from 0).
    fn add(&mut self, byte: usize, line: usize, piece: Arc<Piece>) {
        self.items.extend(piece.items.iter().map(|item| Item {
            start_line: item.start_line + line,
            end_line: item.end_line + line,
            content: item.content.start + byte..item.content.end + byte,
            ..item.clone()
        }));
        self.parts.push((byte, piece));
    }

    /// The text of the piece that holds an item, its tree, and where it begins.
    pub(crate) fn piece_of(&self, item: &Item) -> Option<(&[u8], Tree, usize)> {
        let after = self.parts.partition_point(|(start, _)| *start <= item.content.start);
        let (start, piece) = self.parts.get(after.checked_sub(1)?)?;
        let source = self.source.get(*start..start + piece.length)?;
        let (tree, _) = tree_of(&mut new_parser(), source);
        Some((source, tree?, *start))
    }

    /// The entities.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What could not be read.
    pub fn problems(&self) -> &[Problem] {
        match (&self.unread, self.parts.as_slice()) {
            (Some(problem), _) => std::slice::from_ref(problem),
            // A file with errors is one piece.
            (None, [(_, whole)]) => &whole.problems,
            (None, _) => &[],
        }
    }

    /// The texts of the statements at the top level, in order. A module with problems is one
    /// piece, or none.
    pub fn statements(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter_map(|(start, p)| self.source.get(*start..start + p.length))
    }

    /// Whether the module is written in Python 2 in a way that Python 3 cannot read.
    pub fn is_python2(&self) -> bool {
        self.parts.iter().any(|(_, piece)| piece.python2)
    }

    /// Whether Python 3 can read the module, as far as the grammar tells.
    pub fn is_python3(&self) -> bool {
        self.problems().is_empty() && !self.is_python2()
    }

    /// The text of an item of this module.
    pub fn content(&self, item: &Item) -> &[u8] {
        self.source.get(item.content.clone()).unwrap_or_default()
    }

    /// The first item of that kind and name.
    pub fn find(&self, kind: EntityKind, name: &str) -> Option<&Item> {
        self.items.iter().find(|i| i.kind == kind && i.name == name)
    }
}

fn add_items(node: Node<'_>, source: &[u8], items: &mut Vec<Item>) {
    let node = match node.kind() {
        "decorated_definition" => node.child_by_field_name("definition").unwrap_or(node),
        _ => node,
    };
    if !node.is_named() || node.is_extra() {
        return;
    }
    let (content, end_line) = extent(node);
    let start_line = node.start_position().row + 1;
    let mut add = |kind, name: String| {
        items.push(Item { kind, name, start_line, end_line, content: content.clone() });
    };
    match node.kind() {
        "function_definition" => add(EntityKind::Function, name_of(node, source)),
        "import_statement" => {
            let mut cursor = node.walk();
            for name in node.children_by_field_name("name", &mut cursor) {
                let module = name.child_by_field_name("name").unwrap_or(name);
                add(EntityKind::Import, dotted(module, source));
            }
        }
        "class_definition" => {
            let class = name_of(node, source);
            add(EntityKind::Class, class.clone());
            let Some(body) = node.child_by_field_name("body") else { return };
            let mut cursor = body.walk();
            for child in body.children(&mut cursor) {
                let method = match child.kind() {
                    "decorated_definition" => child.child_by_field_name("definition"),
                    _ => Some(child),
                };
                if let Some(method) = method.filter(|m| m.kind() == "function_definition") {
                    items.push(Item {
                        kind: EntityKind::Method,
                        name: format!("{class}.{}", name_of(method, source)),
                        start_line: method.start_position().row + 1,
                        end_line: extent(method).1,
                        content: content.clone(),
                    });
                }
            }
        }
        _ => add(EntityKind::Statement, String::new()),
    }
}

/// The bytes of a node and its last line, without what the parser counts to a block's end but
/// Python does not: comments, blank lines and semicolons.
pub(crate) fn extent(node: Node<'_>) -> (Range<usize>, usize) {
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
        break;
    }
    (node.start_byte()..last.end_byte(), last.end_position().row + 1)
}

fn name_of(node: Node<'_>, source: &[u8]) -> String {
    node.child_by_field_name("name").map(|n| text(n, source)).unwrap_or_default()
}

pub(crate) fn text(node: Node<'_>, source: &[u8]) -> String {
    String::from_utf8_lossy(source.get(node.byte_range()).unwrap_or_default()).into_owned()
}

/// A dotted name without the spaces that may stand around its dots.
fn dotted(node: Node<'_>, source: &[u8]) -> String {
    text(node, source).split_whitespace().collect()
}

fn problems(root: Node<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    if !root.has_error() {
        return found;
    }
    let mut pending = vec![root];
    while let Some(node) = pending.pop() {
        if found.len() == MAX_PROBLEMS {
            break;
        }
        if node.is_error() || node.is_missing() {
            let line = node.start_position().row + 1;
            let what = if node.is_missing() {
                format!("`{}` is missing", node.kind())
            } else {
                "not Python".to_owned()
            };
            found.push(Problem { line, what });
            continue;
        }
        let mut cursor = node.walk();
        let broken: Vec<_> = node.children(&mut cursor).filter(|c| c.has_error()).collect();
        pending.extend(broken.into_iter().rev());
    }
    found
}
