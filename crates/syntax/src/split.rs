//! Cutting a module into its top-level statements, without parsing.
//!
//! Successive versions of a file share nearly all of their statements. Cut apart, each of them
//! needs to be parsed only once. The cutting follows Python's rules for lines: brackets,
//! strings and backslashes join them. Where it is fooled, a part does not parse, and the whole
//! file is parsed at once instead.

use std::ops::Range;

/// A top-level statement: its bytes up to the end of its last line, and the line it begins on,
/// from 0.
pub(crate) struct Part {
    pub(crate) bytes: Range<usize>,
    pub(crate) line: usize,
}

/// The top-level statements of `source`, in order. Blank lines and comments between them belong
/// to none.
pub(crate) fn split(source: &[u8]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut decorated = false;
    let (mut at, mut line) = (0, 0);
    while at < source.len() {
        let start = at + source[at..].iter().take_while(|b| is_mark(**b)).count();
        let end = logical_line(source, start);
        let first = source.get(start).copied().unwrap_or(b'\n');
        if !is_blank(source, start, end) {
            let joins = decorated
                || matches!(first, b' ' | b'\t')
                || CLAUSES.iter().any(|c| is_word(&source[start..], c));
            match parts.last_mut() {
                Some(part) if joins => part.bytes.end = end,
                _ => parts.push(Part { bytes: start..end, line }),
            }
            // The lines of a decorator and of what it decorates belong together.
            decorated = first == b'@';
        }
        line += memchr::memchr_iter(b'\n', &source[at..end]).count();
        at = end;
    }
    parts
}

/// Clauses that go on with a statement at the level of its first line.
const CLAUSES: &[&[u8]] = &[b"else", b"elif", b"except", b"finally"];

fn is_word(text: &[u8], word: &[u8]) -> bool {
    let after = text.strip_prefix(word);
    after.is_some_and(|rest| {
        rest.first().is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'_' && *b < 0x80)
    })
}

/// Form feeds, and the bytes of a byte order mark, do not indent.
fn is_mark(byte: u8) -> bool {
    matches!(byte, 0x0c | 0xef | 0xbb | 0xbf)
}

fn is_blank(source: &[u8], start: usize, end: usize) -> bool {
    let content = source[start..end].iter().find(|b| !matches!(b, b' ' | b'\t' | 0x0c | b'\n'));
    content.is_none_or(|b| *b == b'#')
}

/// The position after the line feed that ends the logical line at `at`.
fn logical_line(source: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(&byte) = source.get(at) {
        match byte {
            b'\n' if depth == 0 => return at + 1,
            b'\\' => at += 1,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'#' => {
                let rest = &source[at..];
                at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                continue;
            }
            b'"' | b'\'' => {
                at = after_string(source, at, byte);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    source.len()
}

/// The position after the string that begins at `at`; at the end of the line if it is not ended.
pub(crate) fn after_string(source: &[u8], at: usize, quote: u8) -> usize {
    let triple = [quote; 3];
    let long = source[at..].starts_with(&triple);
    let mut at = at + if long { 3 } else { 1 };
    while let Some(found) =
        source.get(at..).and_then(|rest| memchr::memchr3(quote, b'\\', b'\n', rest))
    {
        at += found;
        match source[at] {
            b'\\' => at += 2,
            b'\n' if !long => return at,
            b'\n' => at += 1,
            _ if !long => return at + 1,
            _ if source[at..].starts_with(&triple) => return at + 3,
            _ => at += 1,
        }
    }
    source.len()
}

/// A sum over the words (names and keywords) outside strings and comments, whatever their
/// order. `elif` is two words. Different sums mean different words. `None` for source with
/// format strings, in which strings and code cannot be told apart without parsing.
pub(crate) fn word_sum(source: &[u8]) -> Option<u64> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let word_end = |at: usize| at + source[at..].iter().take_while(|b| is_word(**b)).count();
    let mut sum = 0_u64;
    let mut add = |word: &[u8]| {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        sum = sum.wrapping_add(word.iter().fold(0xcbf2_9ce4_8422_2325, step));
    };
    let mut at = 0;
    while let Some(&byte) = source.get(at) {
        let point = byte == b'.' && source.get(at + 1).is_some_and(u8::is_ascii_digit);
        match byte {
            b'#' => {
                let rest = &source[at..];
                at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            }
            b'"' | b'\'' => at = after_string(source, at, byte),
            // Numbers have many spellings: `1000.0`, `1.e3`, `.1E4`.
            _ if byte.is_ascii_digit() || point => {
                at = word_end(at + usize::from(point));
                if source.get(at) == Some(&b'.') {
                    at = word_end(at + 1);
                }
            }
            _ if is_word(byte) => {
                let word = &source[at..word_end(at)];
                at += word.len();
                let prefix = matches!(source.get(at), Some(b'"' | b'\''));
                match word {
                    // Letters before quotes belong to a string.
                    _ if prefix && word.iter().any(|b| b"fFtT".contains(b)) => return None,
                    _ if prefix => {}
                    b"elif" => [&b"else"[..], b"if"].into_iter().for_each(&mut add),
                    _ => add(word),
                }
            }
            _ => at += 1,
        }
    }
    Some(sum)
}
