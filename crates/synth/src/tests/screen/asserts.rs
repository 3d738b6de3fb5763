//! Whether a test looks at behaviour, or only at names.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use tree_sitter::Node;

use crate::python::{Source, fields, named, undecorated, walk};

/// Helpers that call helpers are followed so far.
const MAX_HELPERS: usize = 20;

/// What a test does.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// How many assertions it has.
    pub(super) asserts: usize,
    /// Whether one of them is about what something does.
    pub(super) strong: bool,
    /// Whether it calls something that was changed.
    pub(super) calls_changed: bool,
}

pub(super) struct Looker<'s, 'a> {
    source: &'s Source<'a>,
    changed: &'s BTreeSet<String>,
    aliases: HashMap<String, String>,
    /// Functions of the file by their names, for helpers.
    functions: HashMap<&'a str, Node<'s>>,
    /// What was seen of each function; of one that is being looked at, nothing yet.
    seen: RefCell<HashMap<usize, Seen>>,
}

impl<'s, 'a> Looker<'s, 'a> {
    pub(super) fn new(source: &'s Source<'a>, changed: &'s BTreeSet<String>) -> Self {
        let mut functions = HashMap::new();
        walk(source.root(), &mut |node| {
            if node.kind() == "function_definition"
                && let Some(name) = node.child_by_field_name("name")
            {
                functions.insert(source.text_of(name), node);
            }
            true
        });
        let seen = RefCell::default();
        Self { source, changed, aliases: source.aliases(), functions, seen }
    }

    /// Looks at a function, and at the helpers that it calls.
    pub(super) fn look(&self, function: Node<'s>) -> Seen {
        self.look_within(function, 0)
    }

    fn look_within(&self, function: Node<'s>, depth: usize) -> Seen {
        if let Some(seen) = self.seen.borrow().get(&function.id()) {
            return *seen;
        }
        let mut seen = Seen::default();
        // A helper of so many helpers is none.
        if depth > MAX_HELPERS {
            return seen;
        }
        self.seen.borrow_mut().insert(function.id(), seen);
        let locals = self.results(function);
        if let Some(body) = function.child_by_field_name("body") {
            walk(body, &mut |node| {
                self.visit(node, &locals, depth, &mut seen);
                true
            });
        }
        self.seen.borrow_mut().insert(function.id(), seen);
        seen
    }

    fn visit(&self, node: Node<'s>, locals: &HashSet<String>, depth: usize, seen: &mut Seen) {
        match node.kind() {
            "assert_statement" => {
                seen.asserts += 1;
                let tested = named(node).into_iter().next();
                seen.strong |= tested.is_some_and(|tested| self.is_strong(tested, locals));
            }
            "call" => {
                let Some(callee) = self.callee(node) else { return };
                let last = callee.rsplit('.').next().unwrap_or_default();
                seen.calls_changed |= self.changed.contains(last);
                if matches!(last, "raises" | "warns" | "deprecated_call")
                    || last.starts_with("assert")
                {
                    seen.asserts += 1;
                    seen.strong |= self.expects(node, last, locals);
                } else if last == "fail" {
                    seen.asserts += 1;
                } else if let Some(helper) = self.functions.get(last) {
                    let theirs = self.look_within(*helper, depth + 1);
                    seen.asserts += theirs.asserts;
                    seen.strong |= theirs.strong;
                    seen.calls_changed |= theirs.calls_changed;
                }
            }
            "raise_statement" if self.source.text_of(node).contains("AssertionError") => {
                seen.asserts += 1;
                seen.strong = true;
            }
            _ => {}
        }
    }

    /// Whether a call that asserts does so about what something does.
    fn expects(&self, call: Node<'s>, last: &str, locals: &HashSet<String>) -> bool {
        // `with raises(E): f()` tests what stands in its block.
        let mut above = call.parent();
        while let Some(node) = above {
            if node.kind() == "with_clause" {
                let body = node.parent().and_then(|with| with.child_by_field_name("body"));
                return body.is_some_and(|body| self.is_strong(body, locals));
            }
            if node.kind().ends_with("_statement") || node.kind() == "block" {
                break;
            }
            above = node.parent();
        }
        let arguments = call.child_by_field_name("arguments").map(named).unwrap_or_default();
        match last {
            // `raises(E, f, 1)`.
            "raises" | "warns" | "assertRaises" | "assertWarns" => arguments.len() > 1,
            // Mocks: `m.assert_called_once()`.
            _ if last.starts_with("assert_called") || last.starts_with("assert_any") => true,
            "assertIsInstance" | "assertTrue" | "assertFalse" | "assertIsNotNone"
            | "assertIsNone" => {
                arguments.first().is_some_and(|tested| self.is_strong(*tested, locals))
            }
            "assertHasAttr" => false,
            _ => arguments.iter().any(|argument| self.is_strong(*argument, locals)),
        }
    }

    /// Whether an expression has a value that something computed, and not only a name.
    fn is_strong(&self, node: Node<'s>, locals: &HashSet<String>) -> bool {
        let mut strong = false;
        walk(node, &mut |node| {
            if strong {
                return false;
            }
            match node.kind() {
                "call" => {
                    let callee = self.callee(node);
                    let callee = callee.as_deref().unwrap_or_default();
                    match callee {
                        _ if WEAK_ALWAYS.contains(&callee) || callee.starts_with("inspect.") => {
                            false
                        }
                        // Their arguments decide.
                        _ if WEAK_ALONE.contains(&callee) => true,
                        _ => {
                            strong = true;
                            false
                        }
                    }
                }
                "identifier" => {
                    strong |= locals.contains(self.source.text_of(node));
                    false
                }
                "attribute" => {
                    let text = self.source.text_of(node);
                    strong |= text.starts_with("self.") || text.starts_with("cls.");
                    true
                }
                "await" => {
                    strong = true;
                    false
                }
                // A value, and not only that it is there.
                "comparison_operator" => {
                    strong |= self.compares_value(node);
                    true
                }
                _ => true,
            }
        });
        strong
    }

    /// `module.limit == 5`: a name against a literal, apart from the names of names.
    fn compares_value(&self, comparison: Node<'s>) -> bool {
        let operands = named(comparison);
        let orders = fields(comparison, "operators")
            .iter()
            .all(|operator| matches!(operator.kind(), "==" | "!=" | "<" | "<=" | ">" | ">="));
        let literal = |node: &Node<'_>| {
            let kinds = ["integer", "float", "string", "list", "tuple", "dictionary", "set"];
            kinds.contains(&node.kind()) || node.kind() == "unary_operator"
        };
        let value = |node: &Node<'_>| {
            let text = self.source.text_of(*node);
            node.kind() == "attribute"
                && !text.rsplit('.').next().is_some_and(|n| n.starts_with("__"))
        };
        orders && operands.iter().any(literal) && operands.iter().any(value)
    }

    /// Names of a function that hold what something computed: parameters (fixtures, cases), what
    /// is assigned from a strong expression, and containers that what is called may fill.
    fn results(&self, function: Node<'s>) -> HashSet<String> {
        let mut locals = HashSet::new();
        if let Some(parameters) = function.child_by_field_name("parameters") {
            walk(parameters, &mut |node| {
                if node.kind() == "identifier" {
                    locals.insert(self.source.text_of(node).to_owned());
                }
                true
            });
        }
        locals.remove("self");
        let Some(body) = function.child_by_field_name("body") else { return locals };
        let calls = self.is_strong(body, &locals);
        // A value passes from name to name a few times at most.
        for _ in 0..4 {
            let before = locals.len();
            walk(body, &mut |node| {
                let (target, value) = match node.kind() {
                    "assignment" | "augmented_assignment" | "for_statement" => {
                        (node.child_by_field_name("left"), node.child_by_field_name("right"))
                    }
                    "for_in_clause" => {
                        (node.child_by_field_name("left"), node.child_by_field_name("right"))
                    }
                    "named_expression" => {
                        (node.child_by_field_name("name"), node.child_by_field_name("value"))
                    }
                    "as_pattern" => {
                        (node.child_by_field_name("alias"), named(node).into_iter().next())
                    }
                    _ => (None, None),
                };
                let fills =
                    |value: Node<'_>| calls && matches!(value.kind(), "list" | "dictionary");
                if let (Some(target), Some(value)) = (target, value)
                    && (fills(value) || self.is_strong(value, &locals))
                {
                    walk(target, &mut |node| {
                        if matches!(node.kind(), "identifier" | "as_pattern_target") {
                            locals.insert(self.source.text_of(node).to_owned());
                        }
                        true
                    });
                }
                true
            });
            if locals.len() == before {
                break;
            }
        }
        locals
    }

    /// The full name of what is called; for methods of what was computed, the name alone.
    fn callee(&self, call: Node<'s>) -> Option<String> {
        let function = undecorated(call.child_by_field_name("function")?);
        let Some(dotted) = self.source.dotted(function) else {
            let name = function.child_by_field_name("attribute")?;
            return Some(format!("().{}", self.source.text_of(name)));
        };
        let (first, rest) = dotted.split_once('.').unwrap_or((&dotted, ""));
        let Some(full) = self.aliases.get(first) else { return Some(dotted) };
        let dot = if rest.is_empty() { "" } else { "." };
        Some(format!("{full}{dot}{rest}"))
    }
}

/// They say that something is there.
const WEAK_ALWAYS: &[&str] = &[
    "hasattr",
    "callable",
    "dir",
    "vars",
    "globals",
    "locals",
    "importlib.import_module",
    "__import__",
    "importlib.util.find_spec",
    "importlib.reload",
];
/// They say nothing that their arguments do not say.
const WEAK_ALONE: &[&str] = &[
    "isinstance",
    "issubclass",
    "getattr",
    "type",
    "bool",
    "id",
    "str",
    "repr",
    "len",
    "list",
    "set",
    "tuple",
    "sorted",
    "any",
    "all",
];
