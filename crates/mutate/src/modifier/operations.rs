//! Operators, operands and constants.

use tree_sitter::Node;

use crate::entity::Entity;
use crate::expression::{family, is_collection, is_condition, names, precedence, stepped, swapped};
use crate::random::Dice;
use crate::splice::{Splice, disjoint};
use crate::tree::{File, field, live, named};

fn operations<'t>(file: &File<'_>, entity: &Entity<'t>, kinds: &[&str]) -> Vec<Node<'t>> {
    let mut found = Vec::new();
    live(file, entity.node, |node| {
        if kinds.contains(&node.kind()) {
            found.push(node);
        }
    });
    found
}

fn sides<'t>(node: Node<'t>) -> Option<(Node<'t>, Node<'t>, &'t str)> {
    Some((field(node, "left")?, field(node, "right")?, field(node, "operator")?.kind()))
}

pub(super) fn change(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let mut places = operations(file, entity, &["binary_operator"]);
    places.retain(|node| {
        sides(*node).is_some_and(|(left, right, operator)| {
            !family(operator).is_empty() && !is_collection(left) && !is_collection(right)
        })
    });
    let chosen = dice.some(places);
    let splices = chosen.into_iter().filter_map(|node| {
        let operator = field(node, "operator")?;
        let others: Vec<&&str> =
            family(operator.kind()).iter().filter(|o| **o != operator.kind()).collect();
        let other = dice.stream.pick(&others)?;
        Some(Splice::new(operator.byte_range(), **other))
    });
    disjoint(splices.collect())
}

pub(super) fn swap(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let mut places = operations(file, entity, &["binary_operator", "boolean_operator"]);
    places.retain(|node| order_matters(file, *node));
    // In random order, so that the outermost operation is not always the one.
    let mut chosen = dice.some(places);
    dice.stream.shuffle(&mut chosen);
    let mut splices: Vec<Splice> = Vec::new();
    for node in chosen {
        let Some(text) = swapped(file, node) else { continue };
        let splice = Splice::new(node.byte_range(), text);
        if splices.iter().all(|other| !other.overlaps(&splice)) {
            splices.push(splice);
        }
    }
    disjoint(splices)
}

/// Whether the sides of an operation can be told apart by what comes out.
fn order_matters(file: &File<'_>, node: Node<'_>) -> bool {
    let Some((left, right, operator)) = sides(node) else { return false };
    match operator {
        // The right side counts on what the left one found out, or is what comes out.
        "and" | "or" => !is_condition(node) || !names(file, left).is_disjoint(&names(file, right)),
        // Text is formatted from the left only.
        "%" => !is_collection(left),
        "+" => left.kind() != "integer" && right.kind() != "integer",
        "*" | "&" | "|" | "^" => false,
        _ => true,
    }
}

pub(super) fn break_chains(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let mut places = operations(file, entity, &["binary_operator"]);
    places.retain(|node| broken(file, *node).is_some());
    let chosen = dice.some(places);
    disjoint(chosen.into_iter().filter_map(|node| broken(file, node)).collect())
}

/// An operation without the operand in its middle: `a + b + c` becomes `a + c`, `a * (b + c)`
/// becomes `a * c`.
pub(crate) fn broken(file: &File<'_>, node: Node<'_>) -> Option<Splice> {
    let (left, right, _) = sides(node)?;
    let (side, inner) = match (bare(left), bare(right)) {
        (inner, _) if inner.kind() == "binary_operator" => (left, inner),
        (_, inner) if inner.kind() == "binary_operator" => (right, inner),
        _ => return None,
    };
    let kept = field(inner, if side == left { "left" } else { "right" })?;
    // Parentheses stay where what is left still needs them.
    if side != inner && precedence(kept) >= 15 {
        return Some(Splice::new(side.byte_range(), file.text(kept)));
    }
    let dropped = if side == left {
        kept.end_byte()..inner.end_byte()
    } else {
        inner.start_byte()..kept.start_byte()
    };
    Some(Splice::delete(dropped))
}

/// What is inside parentheses.
fn bare(node: Node<'_>) -> Node<'_> {
    let mut node = node;
    while node.kind() == "parenthesized_expression" {
        match named(node).as_slice() {
            [only] => node = *only,
            _ => break,
        }
    }
    node
}

pub(super) fn constants(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let mut places = Vec::new();
    for node in operations(file, entity, &["binary_operator", "comparison_operator"]) {
        let divides = sides(node).is_some_and(|(.., o)| matches!(o, "/" | "//" | "%"));
        for operand in named(node).into_iter().filter(|o| o.kind() == "integer") {
            let is_divisor = divides && field(node, "right") == Some(operand);
            places.push((operand, is_divisor));
        }
    }
    places.sort_by_key(|(node, _)| node.start_byte());
    let chosen = dice.some(places);
    let splices = chosen.into_iter().filter_map(|(node, is_divisor)| {
        let text = file.text(node);
        let up = dice.stream.chance(0.5);
        let down = stepped(text, -1).filter(|t| !(is_divisor && t == "0"));
        let other = if up { None } else { down }.or_else(|| stepped(text, 1))?;
        Some(Splice::new(node.byte_range(), other))
    });
    disjoint(splices.collect())
}
