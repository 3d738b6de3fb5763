//! Operators, constants, arguments and names of gold.

use tree_sitter::Node;

use super::statements::function_of;
use crate::expression::{family, is_collection, stepped, wrapped};
use crate::modifier::with_comma;
use crate::mutants::{MutantKind, Place};
use crate::random::Stream;
use crate::splice::Splice;
use crate::tree::{child_of_kind, field, live, named, visit};

pub(crate) fn ideas(place: &mut Place<'_, '_>) {
    let file = place.file;
    let mut nodes = Vec::new();
    live(file, file.root(), |node| nodes.push(node));
    for node in nodes {
        if place.touched.hunk_at(&node.byte_range()).is_none() {
            continue;
        }
        match node.kind() {
            "binary_operator" => arithmetic(place, node),
            "augmented_assignment" => augmented(place, node),
            "comparison_operator" => comparison(place, node),
            "integer" | "true" | "false" | "none" => constant(place, node),
            "string" => string(place, node),
            "slice" => slice(place, node),
            "call" => call(place, node),
            "default_parameter" | "typed_default_parameter" | "keyword_argument" => {
                default(place, node);
            }
            "identifier" => name(place, node),
            _ => {}
        }
    }
}

fn arithmetic(place: &mut Place<'_, '_>, node: Node<'_>) {
    let Some(operator) = field(node, "operator") else { return };
    let sides = [field(node, "left"), field(node, "right")];
    let text = sides.into_iter().flatten().any(is_collection);
    let others = family(operator.kind()).iter().filter(|o| **o != operator.kind() && !text);
    for other in others.take(2) {
        place.replace(MutantKind::Operator, operator, *other);
    }
    if let Some(splice) = crate::modifier::broken(place.file, node) {
        let what = format!("`{}` lacks an operand", place.file.shown(node));
        place.add(MutantKind::Operator, &what, node.start_byte(), vec![splice]);
    }
}

fn augmented(place: &mut Place<'_, '_>, node: Node<'_>) {
    let Some(operator) = field(node, "operator") else { return };
    let right = field(node, "right");
    let plain = operator.kind().trim_end_matches('=');
    let other = family(plain).iter().find(|o| **o != plain);
    if let Some(other) = other.filter(|_| !right.is_some_and(is_collection)) {
        place.replace(MutantKind::Operator, operator, format!("{other}="));
    }
    place.replace(MutantKind::Operator, operator, "=");
}

fn comparison(place: &mut Place<'_, '_>, node: Node<'_>) {
    let mut cursor = node.walk();
    let operators: Vec<_> = node.children_by_field_name("operators", &mut cursor).collect();
    for operator in operators {
        let (boundary, others): (Option<&str>, &[&str]) = match operator.kind() {
            "<" => (Some("<="), &[">"]),
            "<=" => (Some("<"), &[">="]),
            ">" => (Some(">="), &["<"]),
            ">=" => (Some(">"), &["<="]),
            "==" => (None, &["!="]),
            "!=" => (None, &["=="]),
            "in" => (None, &["not in", "=="]),
            "not in" => (None, &["in"]),
            "is" => (None, &["is not"]),
            "is not" => (None, &["is"]),
            _ => (None, &[]),
        };
        if let Some(boundary) = boundary {
            place.replace(MutantKind::OffByOne, operator, boundary);
        }
        for other in others {
            place.replace(MutantKind::Operator, operator, *other);
        }
    }
}

/// Whether a number counts something: an index, a bound, a length.
fn counts(place: &Place<'_, '_>, node: Node<'_>) -> bool {
    let Some(parent) = node.parent() else { return false };
    match parent.kind() {
        "subscript" | "slice" | "comparison_operator" => true,
        "unary_operator" | "binary_operator" => counts(place, parent),
        "argument_list" => parent
            .parent()
            .and_then(|call| field(call, "function"))
            .is_some_and(|f| matches!(place.file.text(f), b"range" | b"enumerate")),
        _ => false,
    }
}

/// Whether a value is what is taken when nothing is said.
fn is_default(node: Node<'_>) -> bool {
    node.parent().is_some_and(|p| {
        matches!(p.kind(), "default_parameter" | "typed_default_parameter" | "keyword_argument")
    })
}

fn constant(place: &mut Place<'_, '_>, node: Node<'_>) {
    let kind = if is_default(node) {
        MutantKind::WrongDefault
    } else if node.kind() == "integer" && counts(place, node) {
        MutantKind::OffByOne
    } else {
        MutantKind::Constant
    };
    match node.kind() {
        "true" => place.replace(kind, node, "False"),
        "false" => place.replace(kind, node, "True"),
        "integer" => {
            for step in [1, -1] {
                if let Some(other) = stepped(place.file.text(node), step) {
                    place.replace(kind, node, other);
                }
            }
        }
        // Elsewhere `None` is compared with or returned; others see to that.
        _ => {}
    }
}

fn default(place: &mut Place<'_, '_>, node: Node<'_>) {
    let Some(value) = field(node, "value") else { return };
    let other = if value.kind() == "none" { "False" } else { "None" };
    place.replace(MutantKind::WrongDefault, value, other);
}

/// An empty text in place of another; not where it is only a message.
fn string(place: &mut Place<'_, '_>, node: Node<'_>) {
    let mut at = node;
    while let Some(parent) = at.parent() {
        let kind = parent.kind();
        if matches!(kind, "raise_statement" | "assert_statement" | "interpolation")
            || kind == "concatenated_string"
            || kind == "expression_statement" && parent.named_child(0) == Some(node)
        {
            return;
        }
        if kind.ends_with("_statement") || kind == "block" {
            break;
        }
        at = parent;
    }
    let Some(content) = child_of_kind(node, "string_content") else { return };
    let kind = if is_default(node) { MutantKind::WrongDefault } else { MutantKind::Constant };
    let what = format!("`{}` became empty", place.file.shown(node));
    let (start, end) = (content.start_byte(), node.end_byte());
    let Some(close) = child_of_kind(node, "string_end") else { return };
    let splice = Splice::delete(start..close.start_byte().min(end));
    place.add(kind, &what, node.start_byte(), vec![splice]);
}

fn slice(place: &mut Place<'_, '_>, node: Node<'_>) {
    for bound in named(node).into_iter().filter(|b| b.kind() != "integer") {
        let text = wrapped(place.file, bound, 11);
        for step in [&b" + 1"[..], b" - 1"] {
            place.replace(MutantKind::OffByOne, bound, [&text, step].concat());
        }
    }
}

fn call(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    let (Some(function), Some(list)) = (field(node, "function"), field(node, "arguments")) else {
        return;
    };
    if list.kind() != "argument_list" {
        return;
    }
    let all = named(list);
    let positional: Vec<Node<'_>> = all
        .iter()
        .copied()
        .filter(|a| !matches!(a.kind(), "keyword_argument" | "dictionary_splat" | "list_splat"))
        .collect();
    for pair in positional.windows(2) {
        let [one, two] = *pair else { continue };
        let (first, second) = (file.text(one), file.text(two));
        let between = file.slice(one.end_byte()..two.start_byte());
        let text = [second, between, first].concat();
        let splice = Splice::new(one.start_byte()..two.end_byte(), text);
        let what = format!("`{}` and `{}` exchanged", file.shown(one), file.shown(two));
        place.add(MutantKind::ArgumentSwap, &what, one.start_byte(), vec![splice]);
    }
    let last = positional.last().copied().filter(|_| positional.len() > 1);
    let optional =
        all.iter().copied().filter(|a| a.kind() != "identifier" && !positional.contains(a));
    for argument in last.into_iter().chain(optional) {
        let what = format!("argument `{}` missing", file.shown(argument));
        let splice = Splice::delete(with_comma(&all, argument));
        place.add(MutantKind::ArgumentDrop, &what, argument.start_byte(), vec![splice]);
    }
    if file.text(function) == b"len" {
        place.replace(MutantKind::OffByOne, node, [b"(", file.text(node), b" - 1)"].concat());
    }
    let is_statement = node.parent().is_some_and(|p| p.kind() == "expression_statement");
    let constant =
        |n: &Node<'_>| matches!(n.kind(), "string" | "integer" | "none" | "true" | "false");
    match function.kind() {
        _ if is_statement => {}
        // `str(x)` becomes `x`.
        "identifier" => {
            if let ([only], 1) = (positional.as_slice(), all.len()) {
                place.replace(MutantKind::CallDropped, node, wrapped(file, *only, 16));
            }
        }
        // `x.strip()` becomes `x`.
        "attribute" if all.iter().all(constant) => {
            let object = field(function, "object");
            let object = object.filter(|o| !matches!(file.text(*o), b"self" | b"cls" | b"super()"));
            if let Some(object) = object {
                place.replace(MutantKind::CallDropped, node, file.text(object));
            }
        }
        _ => {}
    }
}

/// A name of the function that is read, in place of another one.
fn name(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    let Some(parent) = node.parent() else { return };
    let is = |name: &str| field(parent, name) == Some(node);
    let is_read = match parent.kind() {
        "argument_list"
        | "comparison_operator"
        | "binary_operator"
        | "boolean_operator"
        | "return_statement"
        | "subscript"
        | "not_operator" => true,
        "assignment" | "augmented_assignment" => is("right"),
        "keyword_argument" => is("value"),
        "if_statement" | "elif_clause" => is("condition"),
        "for_statement" | "for_in_clause" => is("right"),
        "attribute" => is("object"),
        _ => false,
    };
    let Some(function) = function_of(node).filter(|_| is_read) else { return };
    if function.kind() != "function_definition" {
        return;
    }
    let own = file.text(node);
    let mut locals = super::statements::parameters(file, function);
    visit(function, |n| {
        let target = matches!(n.kind(), "assignment" | "for_statement")
            .then(|| field(n, "left"))
            .flatten()
            .filter(|t| t.kind() == "identifier" && t.start_byte() < node.start_byte());
        locals.extend(target.map(|t| file.text(t)));
        true
    });
    locals.sort_unstable();
    locals.dedup();
    if !locals.contains(&own) {
        return;
    }
    locals.retain(|name| *name != own);
    let context = file.slice(file.line(file.line_of(node.start_byte())));
    let path = place.touched.path.as_bytes();
    let mut stream = Stream::new(place.seed, &[b"name", path, context, own]);
    if let Some(other) = stream.pick(&locals) {
        place.replace(MutantKind::WrongName, node, *other);
    }
}
