//! What only Python 2 reads.

use tree_sitter::Node;

use crate::split::after_string;

/// Whether a module without errors has syntax that Python 3 refuses.
pub(crate) fn is_python2(root: Node<'_>, source: &[u8]) -> bool {
    // Looking at every node costs a third of a parse, and modern files have none of these.
    const SIGNS: &[&[u8]] =
        &[b"print ", b"print\t", b"print>", b"print\"", b"print'", b"print\n", b"exec ", b"<>"];
    let suspicious = SIGNS.iter().any(|s| memchr::memmem::find(source, s).is_some())
        || has_comma_clause(source)
        || has_old_number(source)
        || has_old_string(source)
        || has_tuple_parameter(source);
    suspicious && visit(root, source)
}

/// `except A, b` and `raise A, b`: such a line with a comma.
fn has_comma_clause(source: &[u8]) -> bool {
    let line_has_comma = |at: usize| {
        let rest = &source[at..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        memchr::memchr(b',', &rest[..end]).is_some()
    };
    [&b"except"[..], b"raise"]
        .iter()
        .any(|word| memchr::memmem::find_iter(source, word).any(line_has_comma))
}

/// A digit before `L`, or a number with a zero in front.
fn has_old_number(source: &[u8]) -> bool {
    source.windows(3).any(|w| {
        let starts = !(w[0].is_ascii_alphanumeric() || b"_.".contains(&w[0]));
        starts && w[1] == b'0' && w[2].is_ascii_digit()
            || w[1].is_ascii_digit() && matches!(w[2], b'L' | b'l')
    })
}

/// A string that starts with `ur`.
fn has_old_string(source: &[u8]) -> bool {
    source.windows(3).any(|w| {
        w[0].eq_ignore_ascii_case(&b'u')
            && w[1].eq_ignore_ascii_case(&b'r')
            && matches!(w[2], b'"' | b'\'')
    })
}

/// A parenthesis inside the parentheses of a `def`, or right behind a `lambda`.
fn has_tuple_parameter(source: &[u8]) -> bool {
    [&b"lambda ("[..], b"lambda("].iter().any(|l| memchr::memmem::find(source, l).is_some())
        || memchr::memmem::find_iter(source, b"def ").any(|at| {
            let rest = &source[at..];
            let end = memchr::memchr(b':', rest).unwrap_or(rest.len());
            rest[..end].iter().filter(|b| **b == b'(').count() > 1
        })
}

fn visit(root: Node<'_>, source: &[u8]) -> bool {
    let mut cursor = root.walk();
    loop {
        if is_old(cursor.node(), source) {
            return true;
        }
        if cursor.goto_first_child() || cursor.goto_next_sibling() {
            continue;
        }
        loop {
            if !cursor.goto_parent() {
                return false;
            }
            if cursor.goto_next_sibling() {
                break;
            }
        }
    }
}

fn is_old(node: Node<'_>, source: &[u8]) -> bool {
    let text = || source.get(node.byte_range()).unwrap_or_default();
    match node.kind() {
        "print_statement" | "exec_statement" | "<>" => true,
        "except_clause" => {
            let mut cursor = node.walk();
            node.children_by_field_name("value", &mut cursor).count() > 1
        }
        "raise_statement" => node.named_child(0).is_some_and(|c| c.kind() == "expression_list"),
        "tuple_pattern" => node.parent().is_some_and(|p| {
            matches!(p.kind(), "parameters" | "lambda_parameters" | "default_parameter")
        }),
        "integer" => {
            let text = text();
            let zero = text.first() == Some(&b'0')
                && text.iter().all(u8::is_ascii_digit)
                && text.iter().any(|b| *b != b'0');
            zero || matches!(text.last(), Some(b'L' | b'l'))
        }
        "string_start" => {
            let text = text();
            text.len() > 2
                && text[0].eq_ignore_ascii_case(&b'u')
                && text[1].eq_ignore_ascii_case(&b'r')
        }
        _ => false,
    }
}

/// The source with the backticks of Python 2 (`` `x` `` is `repr(x)`) turned into parentheses;
/// `None` if there are none outside strings and comments. Positions stay the same.
pub(crate) fn mask_backticks(source: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'`', source)?;
    let mut masked = source.to_vec();
    let (mut at, mut open, mut found) = (0, false, false);
    while at < source.len() {
        match source[at] {
            b'#' => {
                let rest = &source[at..];
                at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                continue;
            }
            quote @ (b'"' | b'\'') => {
                at = after_string(source, at, quote);
                continue;
            }
            b'`' => {
                masked[at] = if open { b')' } else { b'(' };
                open = !open;
                found = true;
            }
            _ => {}
        }
        at += 1;
    }
    (found && !open).then_some(masked)
}
