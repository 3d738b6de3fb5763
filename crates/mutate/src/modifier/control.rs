//! Branches and the order of statements.

use tree_sitter::Node;

use crate::entity::Entity;
use crate::expression::names;
use crate::random::Dice;
use crate::splice::{Splice, disjoint};
use crate::statement::{body, permute, runs};
use crate::tree::{File, field, is_bare_string, live, visit};

pub(super) fn invert_if(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let mut places = Vec::new();
    live(file, entity.node, |node| {
        if node.kind() == "if_statement" && inverted(file, node).is_some() {
            places.push(node);
        }
    });
    let chosen = dice.some(places);
    // Both bodies of a statement change or neither: what overlaps is left out as a whole.
    let mut splices: Vec<Splice> = Vec::new();
    for node in chosen {
        let Some(pair) = inverted(file, node) else { continue };
        if pair.iter().all(|s| splices.iter().all(|other| !other.overlaps(s))) {
            splices.extend(pair);
        }
    }
    disjoint(splices)
}

/// The body of an `if`, or of its last `elif`, exchanged with that of its `else`.
pub(crate) fn inverted(file: &File<'_>, node: Node<'_>) -> Option<[Splice; 2]> {
    let mut cursor = node.walk();
    let clauses: Vec<Node<'_>> = node.children_by_field_name("alternative", &mut cursor).collect();
    let (last, before) = clauses.split_last()?;
    if last.kind() != "else_clause" {
        return None;
    }
    let one = body(file, field(*before.last().unwrap_or(&node), "consequence")?)?;
    let two = body(file, field(*last, "body")?)?;
    (one.on_own_lines == two.on_own_lines).then(|| {
        let text = |range: &std::ops::Range<usize>| file.slice(range.clone()).to_vec();
        [
            Splice::new(one.range.clone(), text(&two.range)),
            Splice::new(two.range.clone(), text(&one.range)),
        ]
    })
}

pub(super) fn shuffle(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let mut has_loop = false;
    live(file, entity.node, |node| {
        has_loop |= matches!(node.kind(), "for_statement" | "while_statement");
    });
    if !has_loop || dice.some(vec![()]).is_empty() {
        return Vec::new();
    }
    let Some(block) = field(entity.node, "body") else { return Vec::new() };
    let Some(mut runs) = runs(file, block) else { return Vec::new() };
    // The docstring stays, and what is declared `global` stays before its use.
    let fixed = runs.iter().rposition(|(_, nodes)| nodes.iter().any(|n| declares(*n)));
    let first = fixed.map_or(0, |at| at + 1);
    let docstring =
        runs.first().is_some_and(|(_, n)| n.first().is_some_and(|n| is_bare_string(*n)));
    runs.drain(..first.max(usize::from(docstring)));
    if runs.len() < 2 {
        return Vec::new();
    }
    let places: Vec<_> = runs.iter().map(|(range, _)| range.clone()).collect();
    let mut order: Vec<usize> = (0..runs.len()).collect();
    // A single exchange of neighbours is a more natural mistake than a shuffle. Only those
    // that speak of the same things are exchanged; the others hardly notice.
    let related: Vec<usize> = (1..runs.len())
        .filter(|at| {
            let of = |at: usize| -> std::collections::BTreeSet<&[u8]> {
                runs[at].1.iter().flat_map(|n| names(file, *n)).collect()
            };
            !of(at - 1).is_disjoint(&of(*at))
        })
        .collect();
    if dice.stream.chance(0.5)
        && let Some(at) = dice.stream.pick(&related)
    {
        order.swap(at - 1, *at);
    } else {
        dice.stream.shuffle(&mut order);
    }
    permute(file, &places, &order)
}

/// Whether a statement declares names, outside the functions in it.
fn declares(statement: Node<'_>) -> bool {
    let mut found = false;
    visit(statement, |node| {
        found |= matches!(node.kind(), "global_statement" | "nonlocal_statement");
        !matches!(node.kind(), "function_definition" | "lambda")
    });
    found
}
