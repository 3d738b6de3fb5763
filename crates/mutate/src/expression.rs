//! Operators: how tightly they bind, and what is put in their place.

use tree_sitter::Node;

use crate::tree::{File, field};

/// How tightly an expression binds; more is tighter.
pub(crate) fn precedence(node: Node<'_>) -> u8 {
    let operator = || field(node, "operator").map_or("", |o| o.kind());
    match node.kind() {
        "named_expression" | "yield" | "expression_list" => 0,
        "lambda" => 1,
        "conditional_expression" => 2,
        "boolean_operator" if operator() == "or" => 3,
        "boolean_operator" => 4,
        "not_operator" => 5,
        "comparison_operator" => 6,
        "binary_operator" => binary(operator()),
        "unary_operator" => 13,
        "await" => 15,
        _ => 16,
    }
}

fn binary(operator: &str) -> u8 {
    match operator {
        "|" => 7,
        "^" => 8,
        "&" => 9,
        "<<" | ">>" => 10,
        "+" | "-" => 11,
        "**" => 14,
        _ => 12,
    }
}

/// The text of an expression, in parentheses if it binds less than `needed`.
pub(crate) fn wrapped(file: &File<'_>, node: Node<'_>, needed: u8) -> Vec<u8> {
    let text = file.text(node);
    if precedence(node) >= needed { text.to_vec() } else { [b"(", text, b")"].concat() }
}

/// Left and right of an operation with the sides exchanged.
pub(crate) fn swapped(file: &File<'_>, node: Node<'_>) -> Option<Vec<u8>> {
    let (left, right) = (field(node, "left")?, field(node, "right")?);
    let own = precedence(node);
    let operator = field(node, "operator")?.kind();
    let (needs_left, needs_right) = match (node.kind(), operator) {
        // `-a ** b` is `-(a ** b)`, and `a ** b ** c` is `a ** (b ** c)`.
        ("binary_operator", "**") => (15, 13),
        ("binary_operator", _) => (own, own + 1),
        _ => (own, own),
    };
    let between = file.slice(left.end_byte()..right.start_byte());
    // A line that ends behind a comment cannot be followed by anything else.
    let text = [&wrapped(file, right, needs_left)[..], between, &wrapped(file, left, needs_right)];
    Some(text.concat())
}

/// Other operators of the same family.
pub(crate) fn family(operator: &str) -> &'static [&'static str] {
    const FAMILIES: &[&[&str]] = &[
        &["+", "-"],
        &["*", "/", "//", "%"],
        &["&", "|", "^"],
        &["<<", ">>"],
        // A power becomes a product, which is never made a power: that would bind otherwise.
    ];
    match operator {
        "**" => &["*"],
        _ => FAMILIES.iter().find(|f| f.contains(&operator)).copied().unwrap_or_default(),
    }
}

/// Whether a side of an operation is spelled as text or as a collection, so that arithmetic on
/// it would only raise an error.
pub(crate) fn is_collection(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "string"
            | "concatenated_string"
            | "list"
            | "tuple"
            | "dictionary"
            | "set"
            | "list_comprehension"
            | "dictionary_comprehension"
            | "set_comprehension"
    )
}

/// An integer literal with `step` added, in its own base; `None` if it is too large, would be
/// negative, or is written in a way of Python 2.
pub(crate) fn stepped(text: &[u8], step: i8) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let clean: String = text.chars().filter(|c| *c != '_').collect();
    let (prefix, digits) =
        clean.split_at(if clean.starts_with('0') { clean.len().min(2) } else { 0 });
    let radix = match prefix.to_ascii_lowercase().as_str() {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => 10,
    };
    let digits = if radix == 10 { &clean } else { digits };
    let value = u64::from_str_radix(digits, radix).ok()?.checked_add_signed(step.into())?;
    Some(match radix {
        16 if digits.chars().any(|c| c.is_ascii_uppercase()) => format!("{prefix}{value:X}"),
        16 => format!("{prefix}{value:x}"),
        8 => format!("{prefix}{value:o}"),
        2 => format!("{prefix}{value:b}"),
        _ => value.to_string(),
    })
}

/// The names in an expression or a statement.
pub(crate) fn names<'a>(file: &File<'a>, node: Node<'_>) -> std::collections::BTreeSet<&'a [u8]> {
    let mut names = std::collections::BTreeSet::new();
    crate::tree::visit(node, |n| {
        if n.kind() == "identifier" {
            names.insert(file.text(n));
        }
        true
    });
    names
}

/// Whether an expression only decides: it stands where its truth matters and nothing else.
pub(crate) fn is_condition(node: Node<'_>) -> bool {
    let mut node = node;
    while let Some(parent) = node.parent() {
        match parent.kind() {
            "if_statement" | "elif_clause" | "while_statement" | "assert_statement" => {
                return field(parent, "condition").is_none_or(|c| c == node);
            }
            "if_clause" | "not_operator" => return true,
            "boolean_operator" | "parenthesized_expression" => node = parent,
            _ => return false,
        }
    }
    false
}
