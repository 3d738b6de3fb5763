//! Statements that are missing.

use tree_sitter::Node;

use crate::entity::Entity;
use crate::expression::names;
use crate::random::Dice;
use crate::splice::{Splice, disjoint};
use crate::statement::{remove, unwrap};
use crate::tree::{File, child_of_kind, end_of, field, live, named, visit};

/// The nodes below an entity that `is` takes, some of them.
fn some<'t>(
    file: &File<'_>,
    entity: &Entity<'t>,
    dice: &mut Dice,
    is: impl Fn(Node<'t>) -> bool,
) -> Vec<Node<'t>> {
    let mut places = Vec::new();
    live(file, entity.node, |node| {
        if is(node) {
            places.push(node);
        }
    });
    dice.some(places)
}

pub(super) fn assign(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let chosen = some(file, entity, dice, |node| {
        node.kind() == "expression_statement"
            && node.named_child(0).is_some_and(|child| match child.kind() {
                "augmented_assignment" => true,
                // A mere annotation assigns nothing.
                "assignment" => field(child, "right").is_some(),
                _ => false,
            })
    });
    remove(file, &chosen)
}

pub(super) fn loops(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let is_loop = |n: Node<'_>| matches!(n.kind(), "for_statement" | "while_statement");
    let chosen = some(file, entity, dice, is_loop);
    remove(file, &chosen)
}

pub(super) fn condition(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let chosen = some(file, entity, dice, |n| matches!(n.kind(), "if_statement" | "elif_clause"));
    let mut statements = Vec::new();
    let mut splices = Vec::new();
    for node in chosen {
        if node.kind() == "elif_clause" {
            splices.extend(branch(file, node));
            continue;
        }
        // Half of the conditions without alternatives lose only the condition.
        let simple = field(node, "alternative").is_none();
        let bare = if simple && dice.stream.chance(0.5) {
            field(node, "consequence").and_then(|block| unwrap(file, node, block))
        } else {
            None
        };
        match bare {
            Some(splice) => splices.push(splice),
            None => statements.push(node),
        }
    }
    splices.extend(remove(file, &statements));
    disjoint(splices)
}

/// An `elif` with all that follows it, as it is one `if` in the block of an `else`.
fn branch(file: &File<'_>, clause: Node<'_>) -> Option<Splice> {
    let statement = clause.parent()?;
    let first = file.line_of(clause.start_byte());
    let last = file.line_of(end_of(statement).max(1) - 1);
    let above = file.line_of(clause.prev_sibling().map(|n| end_of(n))?.max(1) - 1);
    if above >= first {
        return None;
    }
    let start = file.line(file.with_comment(first)).start;
    Some(Splice::delete(start..file.full_line(last).end))
}

pub(super) fn wrapper(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let chosen =
        some(file, entity, dice, |n| matches!(n.kind(), "with_statement" | "try_statement"));
    let mut statements = Vec::new();
    let mut splices = Vec::new();
    for node in chosen {
        let bare = if can_go_alone(file, node) && dice.stream.chance(0.75) {
            field(node, "body").and_then(|block| unwrap(file, node, block))
        } else {
            None
        };
        match bare {
            Some(splice) => splices.push(splice),
            None => statements.push(node),
        }
    }
    splices.extend(remove(file, &statements));
    disjoint(splices)
}

/// Whether what a wrapper holds can stand without it: a `with` whose result has no name there,
/// a `try` that is all in its body and its handlers.
fn can_go_alone(file: &File<'_>, node: Node<'_>) -> bool {
    if node.kind() == "try_statement" {
        return child_of_kind(node, "else_clause").is_none()
            && child_of_kind(node, "finally_clause").is_none();
    }
    let mut bound = Vec::new();
    if let Some(clause) = child_of_kind(node, "with_clause") {
        visit(clause, |n| {
            if n.kind() == "as_pattern_target" {
                bound.push(n);
            }
            true
        });
    }
    let used = field(node, "body").map(|body| names(file, body)).unwrap_or_default();
    let is_used = |target: &Node<'_>| names(file, *target).iter().any(|n| used.contains(n));
    !named(node).is_empty() && !bound.iter().any(is_used)
}
