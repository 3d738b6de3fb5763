//! Statements of gold: missing, swallowed, cut short, returning something else.

use tree_sitter::Node;

use crate::expression::precedence;
use crate::gold::branches::negated;
use crate::mutants::{MutantKind, Place};
use crate::splice::Splice;
use crate::statement::{remove, unwrap};
use crate::tree::{
    File, child_of_kind, children, extent, field, is_bare_string, live, named, visit,
};

pub(crate) fn ideas(place: &mut Place<'_, '_>) {
    let file = place.file;
    let mut nodes = Vec::new();
    live(file, file.root(), |node| nodes.push(node));
    for node in nodes {
        if node.parent().is_some_and(|p| matches!(p.kind(), "block" | "module")) {
            dropped(place, node);
        }
        match node.kind() {
            "return_statement" => returned(place, node),
            "except_clause" => handler(place, node),
            "raise_statement" => raised(place, node),
            "try_statement" | "with_statement" => wrapper(place, node),
            "assignment" => assigned(place, node),
            _ => {}
        }
    }
    decorators(place);
    early(place);
}

/// A statement that gold wrote is missing.
fn dropped(place: &mut Place<'_, '_>, node: Node<'_>) {
    let left_alone = matches!(
        node.kind(),
        "import_statement"
            | "import_from_statement"
            | "future_import_statement"
            | "pass_statement"
            | "global_statement"
            | "nonlocal_statement"
    );
    // Who drops a whole new function gets an error of a name at best.
    let defines = |n: Node<'_>| matches!(n.kind(), "function_definition" | "class_definition");
    let definition = field(node, "definition").is_some_and(defines) || defines(node);
    let in_module = node.parent().is_some_and(|p| p.kind() == "module");
    if left_alone
        || definition && in_module
        || is_bare_string(node)
        || !place.touched.covers(&extent(node))
    {
        return;
    }
    let (kind, what) = match node.kind() {
        "raise_statement" => (MutantKind::ExceptionSwallowed, "not raised"),
        "return_statement" => (MutantKind::ReturnValue, "missing"),
        _ => (MutantKind::StatementDropped, "missing"),
    };
    let what = format!("`{}` {what}", place.file.shown(node));
    let splices = remove(place.file, &[node]);
    place.add(kind, &what, node.start_byte(), splices);
}

/// The function around a node.
pub(crate) fn function_of(node: Node<'_>) -> Option<Node<'_>> {
    let mut node = node.parent()?;
    while !matches!(node.kind(), "function_definition" | "lambda") {
        if node.kind() == "class_definition" {
            return None;
        }
        node = node.parent()?;
    }
    Some(node)
}

/// Whether a function yields.
fn is_generator(function: Node<'_>) -> bool {
    let mut found = false;
    visit(function, |node| {
        found |= node.kind() == "yield";
        node == function || !matches!(node.kind(), "function_definition" | "lambda")
    });
    found
}

/// Names of the parameters of a function but `self` and `cls`.
pub(crate) fn parameters<'a>(file: &File<'a>, function: Node<'_>) -> Vec<&'a [u8]> {
    let Some(parameters) = field(function, "parameters") else { return Vec::new() };
    let names = named(parameters).into_iter().filter_map(|parameter| {
        let name = field(parameter, "name").unwrap_or(parameter);
        let name = if name.kind() == "typed_parameter" { name.named_child(0)? } else { name };
        (name.kind() == "identifier").then(|| file.text(name))
    });
    names.filter(|name| !matches!(*name, b"self" | b"cls")).collect()
}

fn returned(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    let Some(value) = node.named_child(0) else { return };
    let all = extent(node);
    if place.touched.hunk_at(&all).is_none() {
        return;
    }
    let mut add = |kind, text: Vec<u8>| {
        let what = format!("`{}` became `{}`", file.shown(node), crate::tree::shown(&text));
        place.add(kind, &what, node.start_byte(), vec![Splice::new(all.clone(), text)]);
    };
    let is_decision = matches!(
        value.kind(),
        "comparison_operator" | "boolean_operator" | "not_operator" | "true" | "false"
    );
    let ways = |text: &str| [b"return ", text.as_bytes()].concat();
    if value.kind() != "none" {
        add(MutantKind::ReturnValue, ways("None"));
    }
    if is_decision {
        add(MutantKind::ReturnValue, [&b"return "[..], &negated(file, value)].concat());
        add(MutantKind::HardCoded, ways("True"));
        add(MutantKind::HardCoded, ways("False"));
    }
    match value.kind() {
        "expression_list" | "tuple" => {
            let parts = named(value);
            if let [one, two, ..] = parts.as_slice() {
                let swapped = [file.text(*two), b", ", file.text(*one)].concat();
                let splice = Splice::new(one.start_byte()..two.end_byte(), swapped);
                let what = format!("the first two values of `{}` exchanged", file.shown(node));
                place.add(MutantKind::ReturnValue, &what, node.start_byte(), vec![splice]);
            }
        }
        "list" | "list_comprehension" => add(MutantKind::HardCoded, ways("[]")),
        "dictionary" | "dictionary_comprehension" => add(MutantKind::HardCoded, ways("{}")),
        "string" | "concatenated_string" => add(MutantKind::HardCoded, ways("''")),
        "call" | "subscript" | "attribute" | "binary_operator" | "conditional_expression" => {
            // What came in goes out as it was.
            let function = function_of(node);
            if let Some(first) = function.and_then(|f| parameters(file, f).into_iter().next()) {
                add(MutantKind::ReturnValue, [&b"return "[..], first].concat());
            }
        }
        _ => {}
    }
}

fn handler(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    if let Some(block) = child_of_kind(node, "block") {
        let statements = named(block);
        let only_pass = matches!(statements.as_slice(), [only] if only.kind() == "pass_statement");
        if let (Some(first), Some(last), false) = (statements.first(), statements.last(), only_pass)
        {
            let range = first.start_byte()..crate::tree::end_of(*last);
            let what = format!("`{}` does nothing", head(file, node));
            let splice = Splice::new(range, "pass");
            place.add(MutantKind::ExceptionSwallowed, &what, node.start_byte(), vec![splice]);
        }
    }
    let Some(value) = field(node, "value") else { return };
    let caught = match value.kind() {
        "as_pattern" => value.named_child(0).unwrap_or(value),
        _ => value,
    };
    if file.text(caught) != b"Exception" {
        place.replace(MutantKind::ExceptionType, caught, "Exception");
    }
    if caught.kind() == "tuple" {
        for one in named(caught) {
            place.replace(MutantKind::ExceptionType, caught, file.text(one));
        }
    }
}

/// The first line of a clause.
fn head(file: &File<'_>, node: Node<'_>) -> String {
    crate::tree::shown(file.slice(file.line(file.line_of(node.start_byte()))))
}

fn raised(place: &mut Place<'_, '_>, node: Node<'_>) {
    let Some(value) = node.named_child(0) else { return };
    let class = if value.kind() == "call" { field(value, "function") } else { Some(value) };
    let Some(class) = class.filter(|c| matches!(c.kind(), "identifier" | "attribute")) else {
        return;
    };
    let other = match place.file.text(class) {
        b"ValueError" => "TypeError",
        b"TypeError" => "ValueError",
        b"KeyError" => "IndexError",
        b"AttributeError" => "TypeError",
        _ => "ValueError",
    };
    place.replace(MutantKind::ExceptionType, class, other);
}

/// A `try` or `with` that gold put around something is missing; what it holds stays.
fn wrapper(place: &mut Place<'_, '_>, node: Node<'_>) {
    let file = place.file;
    let first = file.line(file.line_of(node.start_byte()));
    if !place.touched.covers(&first) {
        return;
    }
    let Some(splice) = field(node, "body").and_then(|body| unwrap(file, node, body)) else {
        return;
    };
    let what = format!("`{}` missing around its body", head(file, node));
    place.add(MutantKind::StatementDropped, &what, node.start_byte(), vec![splice]);
}

fn assigned(place: &mut Place<'_, '_>, node: Node<'_>) {
    let Some(value) = field(node, "right") else { return };
    let is_chain = value.kind() == "assignment";
    if !is_chain && value.kind() != "none" && precedence(value) > 0 {
        place.replace(MutantKind::HardCoded, value, "None");
    }
    if matches!(value.kind(), "comparison_operator" | "boolean_operator" | "not_operator") {
        place.replace(MutantKind::HardCoded, value, "True");
        place.replace(MutantKind::HardCoded, value, "False");
        place.replace(MutantKind::Condition, value, negated(place.file, value));
    }
}

fn decorators(place: &mut Place<'_, '_>) {
    let file = place.file;
    let mut found = Vec::new();
    visit(file.root(), |node| {
        if node.kind() == "decorator" {
            found.push(node);
        }
        true
    });
    for node in found {
        let (first, last) = file.lines_of(node);
        let range = file.full_line(first).start..file.full_line(last).end;
        if place.touched.covers(&range) {
            let what = format!("`{}` missing", file.shown(node));
            let splice = Splice::delete(range);
            place.add(MutantKind::StatementDropped, &what, node.start_byte(), vec![splice]);
        }
    }
}

/// The function returns before the first statement of each run of gold.
fn early(place: &mut Place<'_, '_>) {
    let file = place.file;
    let mut found: Vec<(usize, Node<'_>)> = Vec::new();
    live(file, file.root(), |node| {
        let in_block = node.parent().is_some_and(|p| p.kind() == "block");
        let Some(function) = function_of(node).filter(|_| in_block && node.is_named()) else {
            return;
        };
        let runs = place.touched.runs.iter().enumerate();
        let mut around = runs.filter(|(_, run)| run.new.contains(&node.start_byte()));
        if let Some((number, _)) = around.next()
            && function.kind() == "function_definition"
            && !found.iter().any(|(other, _)| *other == number)
            && node.kind() != "return_statement"
            && !is_bare_string(node)
            && file.is_alone(node)
        {
            found.push((number, node));
        }
    });
    for (_, node) in found {
        let line = file.line_of(node.start_byte());
        let is_async = function_of(node)
            .is_some_and(|f| is_generator(f) && children(f).iter().any(|c| c.kind() == "async"));
        let word: &[u8] = if is_async { b"return" } else { b"return None" };
        let text = [word, file.newline(), file.indent(line)].concat();
        let what = format!("a return before `{}`", file.shown(node));
        let at = node.start_byte();
        place.add(MutantKind::EarlyReturn, &what, at, vec![Splice::new(at..at, text)]);
    }
}
