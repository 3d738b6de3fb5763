//! Conditions of gold, and which branch it is in.

use tree_sitter::Node;

use crate::expression::wrapped;
use crate::modifier::inverted;
use crate::mutants::{MutantKind, Place};
use crate::statement::unwrap;
use crate::tree::{File, field, live, named};

pub(crate) fn ideas(place: &mut Place<'_, '_>) {
    let file = place.file;
    let mut nodes = Vec::new();
    live(file, file.root(), |node| nodes.push(node));
    for node in nodes {
        match node.kind() {
            "if_statement" | "elif_clause" => guard(place, node),
            // A loop whose condition is negated may never end.
            "while_statement" => {}
            "if_clause" => filter(place, node),
            "conditional_expression" => choice(place, node),
            "boolean_operator" => conjuncts(place, node),
            "not_operator" => {
                let inner = field(node, "argument");
                if let Some(inner) = inner {
                    place.replace(MutantKind::Condition, node, file.text(inner));
                }
            }
            _ => {}
        }
    }
}

fn guard(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    let Some(condition) = field(node, "condition") else { return };
    place.replace(MutantKind::Condition, condition, negated(file, condition));
    let touches = place.touched.hunk_at(&condition.byte_range()).is_some();
    if touches {
        let simple = node.kind() == "if_statement" && field(node, "alternative").is_none();
        let bare = if simple {
            field(node, "consequence").and_then(|body| unwrap(file, node, body))
        } else {
            None
        };
        match bare {
            Some(splice) => {
                let what = format!("`if {}` missing before its body", file.shown(condition));
                place.add(MutantKind::OverEager, &what, node.start_byte(), vec![splice]);
            }
            None => place.replace(MutantKind::OverEager, condition, "True"),
        }
        place.replace(MutantKind::HardCoded, condition, "False");
    }
    if node.kind() == "if_statement"
        && let Some(pair) = inverted(file, node)
    {
        let what = format!("the branches of `if {}` exchanged", file.shown(condition));
        place.add(MutantKind::OtherBranch, &what, node.start_byte(), pair.to_vec());
    }
}

/// The `if` of a comprehension, or of a `case`.
fn filter(place: &mut Place<'_, '_>, node: Node<'_>) {
    let Some(condition) = node.named_child(0) else { return };
    place.replace(MutantKind::Condition, condition, negated(place.file, condition));
    place.replace(MutantKind::OverEager, condition, "True");
}

fn choice(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    let [yes, condition, no] = named(node)[..] else { return };
    place.replace(MutantKind::Condition, condition, negated(file, condition));
    place.replace(MutantKind::OverEager, node, file.text(yes));
    place.replace(MutantKind::OtherBranch, node, file.text(no));
}

/// One side of `and` or `or` is missing.
fn conjuncts(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    let (Some(left), Some(right)) = (field(node, "left"), field(node, "right")) else { return };
    let operator = field(node, "operator").map_or("", |o| o.kind());
    for kept in [left, right] {
        let touches = place.touched.hunk_at(&kept.byte_range()).is_some();
        let other = if kept == left { right } else { left };
        let new = place.touched.hunk_at(&other.byte_range()).is_some();
        // What is dropped must be gold's; what stays, too, or the rest is as it was.
        if touches || new {
            let kind =
                if operator == "and" { MutantKind::OverEager } else { MutantKind::Condition };
            place.replace(kind, node, file.text(kept));
        }
    }
    let other = if operator == "and" { "or" } else { "and" };
    if let Some(operator) = field(node, "operator") {
        place.replace(MutantKind::Operator, operator, other);
    }
}

/// A condition that holds when this one does not.
pub(crate) fn negated(file: &File<'_>, condition: Node<'_>) -> Vec<u8> {
    if condition.kind() == "not_operator"
        && let Some(inner) = field(condition, "argument")
    {
        return file.text(inner).to_vec();
    }
    match condition.kind() {
        "true" => return b"False".to_vec(),
        "false" => return b"True".to_vec(),
        _ => {}
    }
    let mut cursor = condition.walk();
    let operators: Vec<_> = condition.children_by_field_name("operators", &mut cursor).collect();
    if condition.kind() == "comparison_operator"
        && let [operator] = operators.as_slice()
        && let Some(other) = opposite(operator.kind())
    {
        let before = file.slice(condition.start_byte()..operator.start_byte());
        let after = file.slice(operator.end_byte()..condition.end_byte());
        return [before, other.as_bytes(), after].concat();
    }
    [b"not ", &wrapped(file, condition, 5)[..]].concat()
}

/// The comparison that is true when this one is false. `<` and its like are left to `not`: they
/// say something else of sets and of numbers that are none.
fn opposite(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "==" => "!=",
        "!=" => "==",
        "in" => "not in",
        "not in" => "in",
        "is" => "is not",
        "is not" => "is",
        _ => return None,
    })
}
