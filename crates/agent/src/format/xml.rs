//! Calls written out in the text of a reply:
//!
//! ```text
//! <function=NAME>
//! <parameter=KEY>value</parameter>
//! <parameter=KEY>
//! value of
//! several lines
//! </parameter>
//! </function>
//! ```
//!
//! It looks like XML and is not: values are not escaped, and are kept byte for byte. These are the
//! rules.
//!
//! * **Newlines.** If a value begins with `\n` right after its opening tag, that one is formatting,
//!   and so is one `\n` right before the closing tag. Otherwise every byte belongs to the value.
//! * **Closing.** A value ends at the first `</parameter>` that is followed, after white space, by
//!   `<parameter=`, `</function` or the end of the text, not counting those that close a
//!   `<parameter=…>` within the value. Where there is none, those are counted too.
//! * **Marks.** `<parameter=KEY#MARK>` ends at the first `</parameter#MARK>` and nowhere else, so
//!   that a value can hold anything. [`write()`] uses marks where it must.
//! * Text between the parts of a call is passed over. A reply may hold several calls.

use std::borrow::Cow;

/// A call as it stands in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<'a> {
    /// The tool.
    pub name: &'a str,
    /// Parameters, in order.
    pub parameters: Vec<(&'a str, &'a str)>,
    /// Whether each of its tags is closed. `</function>` may be missing at the end of the text,
    /// since some servers stop there.
    pub whole: bool,
    /// Whether `</function>` is there.
    pub closed: bool,
}

/// No reply has more calls.
const CALLS: usize = 100;
/// No reply has more parameters.
const PARAMETERS: usize = 500;

/// All calls of a text, the first hundred at most.
pub fn parse(text: &str) -> Vec<Written<'_>> {
    let mut calls = Vec::new();
    let (mut at, mut parameters) = (0, 0);
    while let Some(tag) = next_tag(text, at) {
        at = tag.end;
        if let Kind::Function(name) = tag.kind {
            let (call, after) = call(text, name, at);
            at = after;
            calls.extend(call);
            parameters += calls.last().map_or(0, |call: &Written<'_>| call.parameters.len());
            if calls.len() >= CALLS || parameters >= PARAMETERS {
                break;
            }
        }
    }
    calls
}

/// Reads a call whose head ends at `at`. `None` if it was only mentioned: another head follows
/// before any parameter, or nothing does.
fn call<'a>(text: &'a str, name: &'a str, mut at: usize) -> (Option<Written<'a>>, usize) {
    let mut call = Written { name, parameters: Vec::new(), whole: true, closed: false };
    loop {
        let Some(tag) = next_tag(text, at) else {
            let kept = !call.parameters.is_empty();
            return (kept.then_some(call), text.len());
        };
        let key = match tag.kind {
            Kind::Parameter(key) if call.parameters.len() < PARAMETERS => key,
            Kind::Close | Kind::Parameter(_) => {
                call.closed = text[..tag.end].ends_with('>');
                return (Some(call), tag.end);
            }
            Kind::Function(_) => {
                let kept = !call.parameters.is_empty();
                call.whole = false;
                return (kept.then_some(call), tag.start);
            }
        };
        let body = tag.end;
        let (key, end, close) = match key.split_once('#') {
            Some((key, mark)) => {
                let close = format!("</parameter#{mark}>");
                (key, text[body..].find(&close).map(|end| body + end), close.len())
            }
            None => (key, closing(text, body), CLOSE.len()),
        };
        let value = &text[body..end.unwrap_or(text.len())];
        call.parameters.push((key.trim(), unwrapped(value)));
        let Some(end) = end else {
            call.whole = false;
            return (Some(call), text.len());
        };
        at = end + close;
    }
}

/// A tag of the outer structure.
struct Tag<'a> {
    kind: Kind<'a>,
    start: usize,
    end: usize,
}

enum Kind<'a> {
    /// `<function=NAME>`
    Function(&'a str),
    /// `<parameter=KEY>`
    Parameter(&'a str),
    /// `</function>`, or what is left of it where a server stopped at it.
    Close,
}

/// The next tag at or after `from`.
fn next_tag(text: &str, from: usize) -> Option<Tag<'_>> {
    for found in memchr::memchr_iter(b'<', &text.as_bytes()[from..]) {
        let start = from + found;
        let rest = &text[start + 1..];
        let tag = |kind, end| Some(Tag { kind, start, end });
        if let Some(after) = rest.strip_prefix("/function") {
            return tag(Kind::Close, text.len() - after.strip_prefix('>').unwrap_or(after).len());
        }
        for (word, is_function) in [("function", true), ("parameter", false)] {
            if rest.starts_with(word)
                && let Some((name, end)) = head(text, start + 1 + word.len())
            {
                let kind = if is_function { Kind::Function(name) } else { Kind::Parameter(name) };
                return tag(kind, end);
            }
        }
    }
    None
}

const CLOSE: &str = "</parameter>";

/// Reads ` = NAME>` at `start`.
fn head(text: &str, start: usize) -> Option<(&str, usize)> {
    let rest = text[start..].trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix('=')?;
    let length = rest.find(['>', '<', '\n'])?;
    if !rest[length..].starts_with('>') || rest[..length].trim().is_empty() {
        return None;
    }
    let end = text.len() - rest.len() + length + 1;
    Some((rest[..length].trim(), end))
}

/// Where the value that begins at `from` ends.
fn closing(text: &str, from: usize) -> Option<usize> {
    let structural = |end: usize| {
        let rest = text[end + CLOSE.len()..].trim_start();
        rest.is_empty()
            || rest.starts_with("</function")
            || rest.strip_prefix("<parameter").is_some_and(|rest| head(rest, 0).is_some())
    };
    let mut depth = 0usize;
    let mut at = from;
    let mut first = None;
    let mut last = None;
    while let Some(found) = text[at..].find("parameter") {
        let found = at + found;
        at = found + "parameter".len();
        if text[..found].ends_with("</") && text[at..].starts_with('>') && found >= from + 2 {
            let end = found - 2;
            last = Some(end);
            let fits = structural(end);
            if fits {
                first = first.or(Some(end));
            }
            match depth {
                0 if fits => return Some(end),
                0 => {}
                _ => depth -= 1,
            }
        } else if text[..found].ends_with('<') && found > from && head(text, at).is_some() {
            depth += 1;
        }
    }
    first.or(last)
}

/// Without the newlines that are formatting.
fn unwrapped(value: &str) -> &str {
    match value.strip_prefix('\n') {
        Some(value) => value.strip_suffix('\n').unwrap_or(value),
        None => value,
    }
}

fn wrapped(value: &str) -> Cow<'_, str> {
    if value.contains('\n') { format!("\n{value}\n").into() } else { value.into() }
}

/// Writes a call such that [`parse`] reads back just this.
pub fn write(name: &str, parameters: &[(&str, &str)]) -> String {
    let plain = write_with(name, parameters, |_| None);
    let back = parse(&plain);
    if let [call] = &*back
        && call.whole
        && call.closed
        && call.name == name
        && call.parameters == parameters
    {
        return plain;
    }
    write_with(name, parameters, |value| {
        (1u32..).find(|mark| !value.contains(&format!("</parameter#{mark}>")))
    })
}

fn write_with(
    name: &str,
    parameters: &[(&str, &str)],
    mark: impl Fn(&str) -> Option<u32>,
) -> String {
    let mut out = format!("<function={name}>\n");
    for (key, value) in parameters {
        let mark = mark(value).map(|mark| format!("#{mark}")).unwrap_or_default();
        out.push_str(&format!("<parameter={key}{mark}>{}</parameter{mark}>\n", wrapped(value)));
    }
    out.push_str("</function>");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Vec<(&str, &str)> {
        let calls = parse(text);
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert!(calls[0].whole);
        calls.into_iter().next().unwrap().parameters
    }

    #[test]
    fn both_ways_of_writing_are_read() {
        let text = "I look.\n\n<function=file_editor>\n  <parameter=command>view</parameter>\n  <parameter=path>/testbed/a.py</parameter>\n</function>\n";
        assert_eq!(one(text), [("command", "view"), ("path", "/testbed/a.py")]);
        let text = "<function = bash >\n<parameter = command>\n  ls\n\n</parameter>\n</function>";
        assert_eq!(one(text), [("command", "  ls\n")]);
        assert_eq!(parse(text)[0].name, "bash");
        let text = "<function=f><parameter=a>    x = 1\n    y = 2\n</parameter></function>";
        assert_eq!(one(text), [("a", "    x = 1\n    y = 2\n")]);
        assert_eq!(one("<function=f>\n<parameter=a>\n</parameter>\n</function>"), [("a", "")]);
        assert_eq!(one("<function=submit>\n</function>"), []);
        assert_eq!(one("<function=submit></function> bye"), []);
    }

    #[test]
    fn a_server_may_stop_at_the_closing_tag() {
        for end in ["", "\n", "\n</function", "\n</function>"] {
            let text = format!("<function=f>\n<parameter=a>1</parameter>{end}");
            assert_eq!(one(&text), [("a", "1")]);
        }
        let cut = parse("<function=f>\n<parameter=a>1");
        assert!(!cut[0].whole);
        assert!(parse("<function=f>\n<parameter=").is_empty());
    }

    #[test]
    fn several_calls_and_mentions() {
        let text = "Use <function=bash> or <function=x> so:\n<function=a>\n<parameter=k>1</parameter>\n</function>\nand\n<function=b>\n</function>\n<function=c>\n<parameter=k>2</parameter>";
        let names: Vec<_> = parse(text).into_iter().map(|call| call.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(parse("no call, 1 < 2, <function>, <function=>").is_empty());
    }

    #[test]
    fn tags_within_values() {
        for value in [
            "a</parameter>b",
            "</parameter>",
            "x <parameter=a> y",
            "<function=f>\n<parameter=a>x</parameter>\n</function>",
            "</function>",
            "<parameter=a>x</parameter></parameter> z",
        ] {
            let text = format!(
                "<function=edit>\n<parameter=old>{value}</parameter>\n<parameter=new>z</parameter>\n</function>"
            );
            assert_eq!(one(&text), [("old", value), ("new", "z")], "{value}");
        }
        let text = "<function=edit>\n<parameter=old#1>\n</parameter>\n</function>\n</parameter#1>\n</function>";
        assert_eq!(one(text), [("old", "</parameter>\n</function>")]);
    }

    #[test]
    fn long_texts_take_no_longer_than_they_must() {
        for piece in [
            "<function=a>",
            "<parameter=a>",
            "<function=f><parameter=a></function>",
            "<function=f><parameter=a><parameter=b></parameter></function>",
            "</parameter>",
            "<",
        ] {
            assert!(parse(&piece.repeat((256 << 10) / piece.len())).len() <= CALLS);
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("</parameter>".to_owned()),
            Just("<parameter=a>".to_owned()),
            Just("<parameter=b#1>".to_owned()),
            Just("</parameter#1>".to_owned()),
            Just("<function=f>".to_owned()),
            Just("</function>".to_owned()),
            Just("\n".to_owned()),
            Just("\r\n".to_owned()),
            Just("    ".to_owned()),
            Just("\0".to_owned()),
            "\\PC{0,6}",
            any::<String>(),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_text_comes_back(values in proptest::collection::vec(pieces(), 0..4)) {
            let keys = ["a", "b", "c", "d"];
            let parameters: Vec<(&str, &str)> =
                keys.iter().copied().zip(values.iter().map(String::as_str)).collect();
            let text = write("edit", &parameters);
            let calls = parse(&text);
            prop_assert_eq!(calls.len(), 1);
            prop_assert!(calls[0].whole && calls[0].closed);
            prop_assert_eq!(&calls[0].parameters, &parameters);
        }

        #[test]
        fn no_text_is_too_strange(text in pieces()) {
            let _ = parse(&text);
        }
    }
}
