//! Statements taken out, moved and indented, as lines.

use std::collections::HashMap;
use std::ops::Range;

use tree_sitter::Node;

use crate::splice::Splice;
use crate::tree::{File, end_of, extent, named, visit};

/// Takes out statements, with the comments directly above them. Where a block would be left
/// without a statement, `pass` stays.
pub(crate) fn remove(file: &File<'_>, statements: &[Node<'_>]) -> Vec<Splice> {
    let mut outer: Vec<Node<'_>> = Vec::new();
    let mut sorted = statements.to_vec();
    sorted.sort_by_key(|n| (n.start_byte(), std::cmp::Reverse(n.end_byte())));
    for node in sorted {
        if outer.last().is_none_or(|last| last.end_byte() <= node.start_byte()) {
            outer.push(node);
        }
    }
    let mut blocks: HashMap<usize, usize> = HashMap::new();
    for node in &outer {
        if let Some(block) = node.parent() {
            *blocks.entry(block.id()).or_default() += 1;
        }
    }
    let mut emptied: Vec<usize> = Vec::new();
    let mut splices = Vec::new();
    for node in outer {
        let block = node.parent().filter(|p| p.kind() == "block");
        let empties = block.is_some_and(|b| blocks.get(&b.id()) == Some(&named(b).len()));
        let first = block.is_some_and(|b| !emptied.contains(&b.id()));
        if empties && first {
            emptied.extend(block.map(|b| b.id()));
            splices.push(Splice::new(extent(node), "pass"));
        } else if file.is_alone(node) {
            splices.push(Splice::delete(whole_lines(file, node)));
        } else {
            splices.push(Splice::new(extent(node), "pass"));
        }
    }
    splices
}

/// The lines of a statement with the comments directly above.
fn whole_lines(file: &File<'_>, node: Node<'_>) -> Range<usize> {
    let (first, last) = file.lines_of(node);
    file.full_line(file.with_comment(first)).start..file.full_line(last).end
}

/// What a block is written in: its lines, with the comments at its head, without what ends the
/// last of them; for a block behind a colon only its statements.
pub(crate) struct Body {
    pub(crate) range: Range<usize>,
    pub(crate) on_own_lines: bool,
}

/// The body of a clause that begins at the line of `owner`; `None` for an empty one.
pub(crate) fn body(file: &File<'_>, block: Node<'_>) -> Option<Body> {
    let statements = named(block);
    let (first, last) = (*statements.first()?, *statements.last()?);
    let end = end_of(last);
    let first_line = file.line_of(first.start_byte());
    let own = file.line(first_line).start + file.indent(first_line).len() == first.start_byte();
    if !own {
        let start = first.start_byte();
        return Some(Body { range: start..end, on_own_lines: false });
    }
    let last_line = file.line(file.line_of(end.max(1) - 1));
    let start = file.line(file.with_comment(first_line)).start;
    Some(Body { range: start..last_line.end, on_own_lines: true })
}

/// A statement replaced by the statements of a block inside it, at its own indentation.
pub(crate) fn unwrap(file: &File<'_>, statement: Node<'_>, block: Node<'_>) -> Option<Splice> {
    if !file.is_alone(statement) {
        return None;
    }
    let body = body(file, block)?;
    let (first, last) = file.lines_of(statement);
    let start = file.line(first).start;
    let end = file.line(last).end.max(body.range.end);
    if !body.on_own_lines {
        let start = start + file.indent(first).len();
        return Some(Splice::new(start..end, file.slice(body.range).to_vec()));
    }
    let block_line = file.line_of(named(block).first()?.start_byte());
    let text = reindent(file, body.range, file.indent(block_line), file.indent(first))?;
    Some(Splice::new(start..end, text))
}

/// Lines with another indentation. Lines inside strings stay; so do lines inside brackets that
/// are indented less. `None` if a statement is not indented by `from`.
pub(crate) fn reindent(
    file: &File<'_>,
    range: Range<usize>,
    from: &[u8],
    to: &[u8],
) -> Option<Vec<u8>> {
    let mut strings: Vec<Range<usize>> = Vec::new();
    let mut starts: Vec<usize> = Vec::new();
    let node = file.root().descendant_for_byte_range(range.start, range.end)?;
    visit(node, |n| {
        if n.parent().is_some_and(|p| p.kind() == "block") && n.is_named() && !n.is_extra() {
            starts.push(n.start_byte());
        }
        if n.kind() == "string" {
            strings.push(n.byte_range());
        }
        n.kind() != "string"
    });
    let mut out = Vec::with_capacity(range.len());
    let (first, last) = (file.line_of(range.start), file.line_of(range.end.max(1) - 1));
    for line in first..=last {
        let full = file.full_line(line);
        let text = file.slice(full.start..full.end.min(range.end));
        let inside = strings.iter().any(|s| s.start < full.start && full.start < s.end);
        match text.strip_prefix(from) {
            _ if inside => out.extend_from_slice(text),
            Some(rest) => {
                out.extend_from_slice(to);
                out.extend_from_slice(rest);
            }
            None => {
                let begins = starts.iter().any(|s| full.contains(s) && range.contains(s));
                if begins {
                    return None;
                }
                out.extend_from_slice(text);
            }
        }
    }
    Some(out)
}

/// The statements of a block as runs of whole lines that can change places: comments directly
/// above belong to a statement, and statements that share a line are one run. The ranges are
/// without what ends the last line. `None` if the block shares a line with its colon.
pub(crate) fn runs<'t>(
    file: &File<'_>,
    block: Node<'t>,
) -> Option<Vec<(Range<usize>, Vec<Node<'t>>)>> {
    let mut runs: Vec<(Range<usize>, Vec<Node<'t>>)> = Vec::new();
    let mut last_line = None;
    for statement in named(block) {
        let (first, last) = file.lines_of(statement);
        let lead = file.line(first).start + file.indent(first).len();
        if last_line == Some(first) {
            let run = runs.last_mut()?;
            run.0.end = file.line(last).end;
            run.1.push(statement);
        } else if lead == statement.start_byte() {
            let start = file.line(file.with_comment(first)).start;
            runs.push((start..file.line(last).end, vec![statement]));
        } else {
            return None;
        }
        last_line = Some(last);
    }
    Some(runs)
}

/// Splices that put the runs `order[i]` in the places `places[i]`.
pub(crate) fn permute(file: &File<'_>, places: &[Range<usize>], order: &[usize]) -> Vec<Splice> {
    let moved = places.iter().zip(order).enumerate().filter(|(at, (_, from))| at != *from);
    moved
        .filter_map(|(_, (place, from))| {
            Some(Splice::new(place.clone(), file.slice(places.get(*from)?.clone())))
        })
        .collect()
}
