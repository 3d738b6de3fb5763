//! Bases and methods of classes.

use std::collections::BTreeSet;

use tree_sitter::Node;

use crate::entity::Entity;
use crate::expression::names;
use crate::random::Dice;
use crate::splice::{Splice, disjoint};
use crate::statement::{permute, remove, runs};
use crate::tree::{File, children, field, named, visit};

pub(super) fn remove_base(file: &File<'_>, entity: &Entity<'_>, dice: &mut Dice) -> Vec<Splice> {
    let Some(list) = field(entity.node, "superclasses") else { return Vec::new() };
    let all = named(list);
    // Without `object` a class means the same; keywords are no bases.
    let is_base = |n: &Node<'_>| {
        !matches!(n.kind(), "keyword_argument" | "dictionary_splat") && file.text(*n) != b"object"
    };
    let bases: Vec<Node<'_>> = all.iter().copied().filter(is_base).collect();
    // One class, one decision.
    if dice.some(vec![()]).is_empty() {
        return Vec::new();
    }
    let Some(base) = dice.stream.pick(&bases).copied() else { return Vec::new() };
    if all.len() == 1 {
        return vec![Splice::delete(list.byte_range())];
    }
    vec![Splice::delete(with_comma(&all, base))]
}

/// The bytes of an item of a list, with the comma that goes with it.
pub(crate) fn with_comma(all: &[Node<'_>], item: Node<'_>) -> std::ops::Range<usize> {
    let at = all.iter().position(|n| *n == item).unwrap_or(0);
    match (all.get(at + 1), at.checked_sub(1).and_then(|before| all.get(before))) {
        (Some(next), _) => item.start_byte()..next.start_byte(),
        (None, Some(before)) => before.end_byte()..item.end_byte(),
        (None, None) => item.byte_range(),
    }
}

/// A function in the body of a class: the statement that holds it, and its name.
struct Method<'t, 'a> {
    statement: Node<'t>,
    name: &'a [u8],
}

fn method<'t, 'a>(file: &File<'a>, statement: Node<'t>) -> Option<Method<'t, 'a>> {
    let definition = match statement.kind() {
        "decorated_definition" => field(statement, "definition")?,
        _ => statement,
    };
    let name = field(definition, "name")?;
    (definition.kind() == "function_definition")
        .then(|| Method { statement, name: file.text(name) })
}

/// Names that the body of a class uses when it runs, outside the bodies of its functions.
fn used_by_body<'a>(file: &File<'a>, body: Node<'_>) -> BTreeSet<&'a [u8]> {
    let mut used = BTreeSet::new();
    for statement in named(body) {
        match method(file, statement) {
            None => used.extend(names(file, statement)),
            Some(_) => {
                let decorators =
                    children(statement).into_iter().filter(|c| c.kind() == "decorator");
                decorators.for_each(|d| used.extend(names(file, d)));
            }
        }
    }
    used
}

pub(super) fn remove_functions(
    file: &File<'_>,
    entity: &Entity<'_>,
    dice: &mut Dice,
) -> Vec<Splice> {
    let Some(body) = field(entity.node, "body") else { return Vec::new() };
    let used = used_by_body(file, body);
    let methods: Vec<Method<'_, '_>> =
        named(body).into_iter().filter_map(|s| method(file, s)).collect();
    // Without a method that the body itself uses, the class could not even be defined. All
    // functions of one name go together: a setter is nothing without its property.
    let removable: BTreeSet<&[u8]> =
        methods.iter().map(|m| m.name).filter(|n| !used.contains(n)).collect();
    let mut removed: BTreeSet<&[u8]> =
        dice.some(removable.into_iter().collect()).into_iter().collect();
    let names: BTreeSet<&[u8]> = methods.iter().map(|m| m.name).collect();
    if removed.len() == names.len() && removed.len() > 1 {
        removed.pop_first();
    }
    if removed.is_empty() {
        return Vec::new();
    }
    let mut statements: Vec<Node<'_>> =
        methods.iter().filter(|m| removed.contains(m.name)).map(|m| m.statement).collect();
    let mut splices = Vec::new();
    visit(body, |node| {
        let is_call = node.kind() == "call"
            && field(node, "function").is_some_and(|f| is_own_attribute(file, f, &removed));
        if !is_call {
            return node.kind() != "string";
        }
        let whole = node.parent().filter(|p| p.kind() == "await").unwrap_or(node);
        match whole.parent() {
            Some(statement) if statement.kind() == "expression_statement" => {
                statements.push(statement);
            }
            _ => splices.push(Splice::new(whole.byte_range(), "None")),
        }
        false
    });
    splices.extend(remove(file, &statements));
    disjoint(splices)
}

/// `self.name` or `cls.name`.
fn is_own_attribute(file: &File<'_>, node: Node<'_>, names: &BTreeSet<&[u8]>) -> bool {
    node.kind() == "attribute"
        && field(node, "object").is_some_and(|o| matches!(file.text(o), b"self" | b"cls"))
        && field(node, "attribute").is_some_and(|a| names.contains(file.text(a)))
}

pub(super) fn shuffle_functions(
    file: &File<'_>,
    entity: &Entity<'_>,
    dice: &mut Dice,
) -> Vec<Splice> {
    if dice.some(vec![()]).is_empty() {
        return Vec::new();
    }
    let Some(body) = field(entity.node, "body") else { return Vec::new() };
    let used = used_by_body(file, body);
    let Some(runs) = runs(file, body) else { return Vec::new() };
    let mut places = Vec::new();
    let mut methods: Vec<&[u8]> = Vec::new();
    for (range, statements) in runs {
        if let [only] = statements.as_slice()
            && let Some(method) = method(file, *only)
        {
            places.push(range);
            methods.push(method.name);
        }
    }
    let matters = |name: &[u8]| {
        used.contains(name) || methods.iter().filter(|other| **other == name).count() > 1
    };
    if !methods.iter().any(|name| matters(name)) {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..places.len()).collect();
    dice.stream.shuffle(&mut order);
    permute(file, &places, &order)
}
