//! Text as Python's `str` and `re` see it, where that differs from Rust.
//!
//! Python counts the separators `\x1c`–`\x1f` as white space; its `\w` is letters, numbers and the
//! underscore, without marks; and files opened as text know three ends of line.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::{memchr, memmem, memrchr};
use regex::Regex;

use crate::registry::Raised;

/// The text of a log file as the harnesses read it.
///
/// They open it in text mode: `\r\n` and a lone `\r` become `\n`. The field's containers hand over
/// bytes that SWE-bench 5 decodes with replacement characters, so that is what becomes of invalid
/// UTF-8 here; SWE-bench 4 and SWE-Gym fail on such output and have no verdict at all.
pub fn read_log(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    match memchr(b'\r', text.as_bytes()) {
        None => text,
        Some(first) => Cow::Owned(universal_newlines(&text, first)),
    }
}

fn universal_newlines(text: &str, first: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    let bytes = text.as_bytes();
    for at in memchr::memchr_iter(b'\r', &bytes[first..]).map(|at| at + first) {
        out.push_str(&text[rest..at]);
        if bytes.get(at + 1) != Some(&b'\n') {
            out.push('\n');
        }
        rest = at + 1;
    }
    out.push_str(&text[rest..]);
    out
}

/// `str.isspace` of one character.
pub fn is_space(c: char) -> bool {
    matches!(c, '\x1c'..='\x1f') || c.is_whitespace()
}

/// Whether `\w` matches.
pub fn is_word(c: char) -> bool {
    static WORD: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"[\p{L}\p{N}]"));
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { within(&WORD, c) }
}

/// Whether `\d` matches.
pub fn is_digit(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { within(&DIGIT, c) }
}

/// The decimal digits of every script; each range begins with a zero.
static DIGIT: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\p{Nd}"));

/// The value of a digit of any script.
pub fn digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.to_digit(10).map(|value| value as u8);
    }
    let after = DIGIT.partition_point(|range| range.0 <= c);
    let (first, last) = *DIGIT.get(after.checked_sub(1)?)?;
    (c <= last).then_some(((c as u32 - first as u32) % 10) as u8)
}

/// `str.isdigit` of one character: beside decimal digits those in circles, superscripts and such,
/// of which `int` makes no number.
pub fn is_any_digit(c: char) -> bool {
    is_digit(c)
        || matches!(c, '²' | '³' | '¹' | '\u{1369}'..='\u{1371}' | '\u{19da}' | '⁰' | '⁴'..='⁹'
            | '₀'..='₉' | '①'..='⑨' | '⑴'..='⑼' | '⒈'..='⒐' | '⓪' | '⓵'..='⓽' | '⓿' | '❶'..='❾'
            | '➀'..='➈' | '➊'..='➒' | '\u{10a40}'..='\u{10a43}' | '\u{10e60}'..='\u{10e68}'
            | '\u{11052}'..='\u{1105a}' | '\u{1f100}'..='\u{1f10a}')
}

/// `int(text)` of digits; what is too large for the type is its largest value.
pub(crate) fn int(text: &str) -> Result<u64, Raised> {
    /// Python refuses longer numbers.
    const DIGITS: usize = 4300;
    let mut value = 0_u64;
    for (count, c) in text.chars().enumerate() {
        let digit = digit(c).filter(|_| count < DIGITS);
        let digit = digit.ok_or_else(|| Raised::new("ValueError: invalid literal for int()"))?;
        value = value.saturating_mul(10).saturating_add(digit.into());
    }
    Ok(value)
}

fn ranges(class: &str) -> Vec<(char, char)> {
    use regex_syntax::hir::{Class, Hir, HirKind};
    match regex_syntax::Parser::new().parse(class).map(Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => {
            class.iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => Vec::new(),
    }
}

fn within(class: &[(char, char)], c: char) -> bool {
    let after = class.partition_point(|range| range.0 <= c);
    after > 0 && c <= class[after - 1].1
}

/// `str.strip()`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.lstrip()`.
pub fn lstrip(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// `str.rstrip()`.
pub fn rstrip(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `str.split()`.
pub fn split_whitespace(text: &str) -> Words<'_> {
    Words { rest: text }
}

/// Iterator of [`split_whitespace`].
#[derive(Debug, Clone)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = lstrip(self.rest);
        let (word, rest) = text.split_at(word_end(text));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

impl DoubleEndedIterator for Words<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let text = rstrip(self.rest);
        let start = text.trim_end_matches(|c| !is_space(c)).len();
        self.rest = &text[..start];
        (start < text.len()).then(|| &text[start..])
    }
}

/// Where the first white space is, or the end.
pub(crate) fn word_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    // Most often a space ends a word of ASCII, which is seen without looking at each character.
    let end = memchr(b' ', bytes).unwrap_or(bytes.len());
    let plain = |b: &u8| (b'!'..=b'\x7f').contains(b);
    if bytes[..end].chunks(64).all(|chunk| chunk.iter().fold(true, |all, b| all & plain(b))) {
        return end;
    }
    text[..end].find(is_space).unwrap_or(end)
}

/// How many characters of white space a line begins with.
pub fn indent(line: &str) -> usize {
    line.chars().take_while(|c| is_space(*c)).count()
}

/// `str.split("\n")`.
pub fn lines(text: &str) -> Lines<'_> {
    Lines { rest: Some(text) }
}

/// Iterator of [`lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        match memchr(b'\n', text.as_bytes()) {
            Some(at) => {
                self.rest = Some(&text[at + 1..]);
                Some(&text[..at])
            }
            None => self.rest.take(),
        }
    }
}

/// The lines of [`lines`] that hold a word, found without looking at the others.
pub(crate) fn lines_with<'a>(
    text: &'a str,
    word: &'static str,
) -> impl Iterator<Item = &'a str> + 'a {
    let finder = memmem::Finder::new(word.as_bytes());
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(bytes.get(from..)?)?;
        let start = memrchr(b'\n', &bytes[from..at]).map_or(from, |end| from + end + 1);
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |end| at + end);
        from = end + 1;
        Some(&text[start..end])
    })
}

/// Tells which lines of a text hold a word, and looks at the text only once.
pub(crate) struct Ahead<'a> {
    finder: memmem::Finder<'static>,
    text: &'a str,
    /// Where the word stands next.
    next: usize,
}

impl<'a> Ahead<'a> {
    pub(crate) fn new(text: &'a str, word: &'static str) -> Self {
        let finder = memmem::Finder::new(word.as_bytes());
        let next = finder.find(text.as_bytes()).unwrap_or(usize::MAX);
        Self { finder, text, next }
    }

    /// Whether a line of the text holds the word. Lines are asked about in their order.
    pub(crate) fn is_in(&mut self, line: &str) -> bool {
        let start = (line.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        if self.next < start {
            let rest = self.text.as_bytes().get(start..).unwrap_or_default();
            self.next = self.finder.find(rest).map_or(usize::MAX, |at| start + at);
        }
        self.next < start + line.len()
    }
}

/// `str.splitlines()`.
pub fn splitlines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(is_line_end).unwrap_or(rest.len());
        let line = &rest[..end];
        let mut after = rest[end..].chars();
        if after.next() == Some('\r') && after.as_str().starts_with('\n') {
            after.next();
        }
        rest = after.as_str();
        Some(line)
    })
}

fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// The part before the first `separator`, or all.
pub fn before<'a>(text: &'a str, separator: &str) -> &'a str {
    text.split_once(separator).map_or(text, |(before, _)| before)
}

/// The part behind the last `separator`, or all.
pub fn after_last<'a>(text: &'a str, separator: &str) -> &'a str {
    text.rsplit_once(separator).map_or(text, |(_, after)| after)
}

/// What stands behind one character of white space (`\s(.*)`).
pub(crate) fn after_space(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    if chars.next().is_some_and(is_space) { Some(chars.as_str()) } else { None }
}

/// What stands behind digits (`\d+`), of which there must be one.
pub(crate) fn after_digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(is_digit);
    (rest.len() < text.len()).then_some(rest)
}

/// What stands before digits at the end, of which there must be one.
pub(crate) fn before_digits(text: &str) -> Option<&str> {
    let rest = text.trim_end_matches(is_digit);
    (rest.len() < text.len()).then_some(rest)
}

/// What stands before one character of white space at the end.
pub(crate) fn before_space(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    if chars.next_back().is_some_and(is_space) { Some(chars.as_str()) } else { None }
}

/// `re.sub(r"\s+", " ", text).strip()`.
pub fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in split_whitespace(text) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// A place in a text whose characters were counted on the way.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) at: usize,
    pub(crate) chars: usize,
}

impl Counted {
    /// Moves on to a later place.
    pub(crate) fn advance(&mut self, text: &str, to: usize) {
        self.chars += text[self.at..to].chars().count();
        self.at = to;
    }
}

/// Without the escape sequences of terminals: `\x1B(?:[@-Z\\-_]|\[[0-?]*[ -/]*[@-~])` of the field.
pub fn without_ansi(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut kept = 0;
    for at in memchr::memchr_iter(0x1b, bytes) {
        if at < kept {
            continue;
        }
        if let Some(length) = escape_length(&bytes[at..]) {
            out.push_str(&text[kept..at]);
            kept = at + length;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// Bytes of the escape sequence that `bytes` begins with.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match *bytes.get(1)? {
        b'[' => {
            let rest = &bytes[2..];
            let parameters = rest.iter().take_while(|b| (b'0'..=b'?').contains(b)).count();
            let rest = &rest[parameters..];
            let between = rest.iter().take_while(|b| (b' '..=b'/').contains(b)).count();
            let last = rest.get(between)?;
            (b'@'..=b'~').contains(last).then_some(3 + parameters + between)
        }
        // `[@-Z\-_]`: a `[` without a sequence behind it is none of these.
        b'@'..=b'Z' | b'\\'..=b'_' => Some(2),
        _ => None,
    }
}

/// A regular expression that was written for Python's `re`, with what `\s` and `\w` mean there.
/// `$` is only right where the text has no end of line, and `\b` only beside ASCII.
///
/// # Panics
///
/// When the expression is invalid; it is a constant.
pub(crate) fn regex(pattern: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "constants, each compiled by a test")]
    Regex::new(&translate(pattern)).expect("a valid regular expression")
}

/// A constant regular expression; see [`regex`].
macro_rules! pattern {
    ($pattern:expr) => {{
        static PATTERN: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| $crate::py::regex($pattern));
        &*PATTERN
    }};
}
pub(crate) use pattern;

/// The groups of the first match; those that did not take part are empty. Asks first whether
/// there is one, which is much cheaper.
pub(crate) fn groups<'a, const N: usize>(pattern: &Regex, text: &'a str) -> Option<[&'a str; N]> {
    if !pattern.is_match(text) {
        return None;
    }
    let found = pattern.captures(text)?;
    let mut groups = found.iter().skip(1).map(|group| group.map_or("", |group| group.as_str()));
    Some(std::array::from_fn(|_| groups.next().unwrap_or_default()))
}

/// The first group of the first match.
pub(crate) fn group<'a>(pattern: &Regex, text: &'a str) -> Option<&'a str> {
    groups(pattern, text).map(|[group]| group)
}

/// Rewrites the classes of Python in a pattern.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 32);
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            // White space within a line, which the field writes as a double negation.
            '[' if !in_class && chars.as_str().starts_with(r"^\S\r\n]") => {
                out.push_str(r"[\s\x1c-\x1f--\r\n]");
                chars.nth(r"^\S\r\n]".len() - 1);
            }
            '\\' => match chars.next() {
                Some('s') if in_class => out.push_str(r"\s\x1c-\x1f"),
                Some('s') => out.push_str(r"[\s\x1c-\x1f]"),
                Some('S') => out.push_str(r"[^\s\x1c-\x1f]"),
                Some('w') if in_class => out.push_str(r"\p{L}\p{N}_"),
                Some('w') => out.push_str(r"[\p{L}\p{N}_]"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '[' => out.push_str(r"\["),
            _ => out.push(c),
        }
    }
    out
}
