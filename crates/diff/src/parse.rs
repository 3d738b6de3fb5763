//! From the bytes of a patch to values.

use std::borrow::Cow;

use palestra_core::ChangeKind;

use crate::binary::{BinaryHunk, decode_line};
use crate::path::{check_path, unquote_prefix};
use crate::{Content, FilePatch, Hunk, Line, Patch, Problem, Side};

/// Parses a patch of any number of files, as `git diff` prints them. Mail headers before the
/// first file and a signature after the last are skipped. Plain unified diffs (`---`, `+++`)
/// without git's header lines are understood too.
pub fn parse(bytes: &[u8]) -> (Patch<'_>, Vec<Problem>) {
    let mut parser = Parser { bytes, at: 0, line: 0, problems: Vec::new() };
    let mut patch = Patch::default();
    while let Some(line) = parser.peek() {
        if line.starts_with(b"diff --git ") || parser.at_plain_header() {
            patch.files.push(parser.file());
        } else {
            let orphan = line.starts_with(b"@@ -");
            parser.next();
            if orphan {
                parser.problem("a hunk that belongs to no file");
            }
        }
    }
    (patch, parser.problems)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Lines read so far.
    line: usize,
    problems: Vec<Problem>,
}

/// The path before and the path after.
type Names<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// What the lines before the content said.
#[derive(Default)]
struct Header<'a> {
    git: Option<Names<'a>>,
    minus: Option<Option<Cow<'a, [u8]>>>,
    plus: Option<Option<Cow<'a, [u8]>>>,
    from: Option<Cow<'a, [u8]>>,
    to: Option<Cow<'a, [u8]>>,
    copied: bool,
    new_file: bool,
    deleted_file: bool,
    old_mode: Option<u32>,
    new_mode: Option<u32>,
    oids: (&'a [u8], &'a [u8]),
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..).filter(|r| !r.is_empty())?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        Some(&rest[..end])
    }

    /// The next line without its line feed.
    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.peek()?;
        self.at = (self.at + line.len() + 1).min(self.bytes.len());
        self.line += 1;
        Some(line)
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(Problem { line: self.line, what: what.into() });
    }

    /// Whether `--- `, `+++ ` and a hunk follow, without a git header.
    fn at_plain_header(&self) -> bool {
        let rest = &self.bytes[self.at..];
        if !rest.starts_with(b"--- ") {
            return false;
        }
        let mut lines = rest.splitn(4, |b| *b == b'\n').skip(1);
        lines.next().is_some_and(|l| l.starts_with(b"+++ "))
            && lines.next().is_some_and(|l| l.starts_with(b"@@ -"))
    }

    fn file(&mut self) -> FilePatch<'a> {
        let start = self.at;
        let first_line = self.line + 1;
        let found = self.problems.len();
        let mut header = Header::default();
        if let Some(names) = self.peek().and_then(|l| l.strip_prefix(b"diff --git ")) {
            self.next();
            header.git = split_names(names);
        }
        let mut content = Content::Same;
        while let Some(line) = self.peek() {
            if line.starts_with(b"@@ -") {
                content = Content::Text(self.hunks());
                break;
            }
            if line == b"GIT binary patch" {
                self.next();
                content = self.binary();
                break;
            }
            if line.starts_with(b"Binary files ") && line.ends_with(b" differ") {
                self.next();
                content = Content::Opaque;
                break;
            }
            match header.take(line) {
                Some(true) => drop(self.next()),
                Some(false) => {
                    self.next();
                    self.problem("a header line that cannot be read");
                }
                None => break,
            }
        }
        let bytes = &self.bytes[start..self.at];
        let paths = header.paths();
        let (old_path, new_path) = paths.unwrap_or_else(|| {
            self.problems.push(Problem { line: first_line, what: "no path can be read".into() });
            (Cow::Borrowed(&b""[..]), Cow::Borrowed(&b""[..]))
        });
        for path in [&old_path, &new_path] {
            if let Err(why) = check_path(path) {
                let what = format!("the path {:?} {why}", String::from_utf8_lossy(path));
                self.problems.push(Problem { line: first_line, what });
                break;
            }
        }
        FilePatch {
            kind: header.kind(),
            old_path,
            new_path,
            old_mode: header.old_mode,
            new_mode: header.new_mode,
            old_oid: header.oids.0,
            new_oid: header.oids.1,
            content,
            damaged: self.problems.len() > found,
            bytes,
        }
    }

    fn hunks(&mut self) -> Vec<Hunk<'a>> {
        let mut hunks = Vec::new();
        while let Some(line) = self.peek().filter(|l| l.starts_with(b"@@ -")) {
            self.next();
            match hunk_header(line) {
                Some(mut hunk) => {
                    self.hunk_lines(&mut hunk);
                    hunks.push(hunk);
                }
                None => self.problem("a hunk whose header cannot be read"),
            }
        }
        // What a hunk's header did not announce is not part of the patch, unless it looks like
        // content: then the header lied, and applying would lose lines.
        if self.peek().is_some_and(|l| {
            matches!(l.first(), Some(b'+' | b'\\'))
                || l.first() == Some(&b' ') && l.len() > 1
                || l.first() == Some(&b'-') && l != b"-- " && !self.at_plain_header()
        }) {
            self.next();
            self.problem("a line that no hunk announced");
        }
        hunks
    }

    fn hunk_lines(&mut self, hunk: &mut Hunk<'a>) {
        let (mut old, mut new) = (hunk.old_lines, hunk.new_lines);
        while old > 0 || new > 0 {
            let Some(line) = self.peek() else {
                self.problem("the patch ends inside a hunk");
                return;
            };
            let (side, text) = match line.split_first() {
                // Mail programs strip the space of an empty context line.
                None => (Side::Context, line),
                Some((b' ', text)) => (Side::Context, text),
                Some((b'-', text)) => (Side::Deleted, text),
                Some((b'+', text)) => (Side::Added, text),
                Some((b'\\', _)) => {
                    self.next();
                    self.cut_newline(hunk);
                    continue;
                }
                Some(_) => {
                    self.problem("a hunk has fewer lines than its header says");
                    return;
                }
            };
            let takes_old = usize::from(side != Side::Added);
            let takes_new = usize::from(side != Side::Deleted);
            if takes_old > old || takes_new > new {
                self.next();
                self.problem("a hunk has more lines than its header says");
                return;
            }
            old -= takes_old;
            new -= takes_new;
            self.next();
            hunk.lines.push(Line { side, text, newline: true });
        }
        if self.peek().is_some_and(|l| l.starts_with(b"\\ ")) {
            self.next();
            self.cut_newline(hunk);
        }
    }

    fn cut_newline(&mut self, hunk: &mut Hunk<'a>) {
        match hunk.lines.last_mut() {
            Some(line) => line.newline = false,
            None => self.problem("a note about a missing line feed without a line"),
        }
    }

    fn binary(&mut self) -> Content<'a> {
        let Some(forward) = self.binary_hunk() else {
            self.problem("a binary hunk that cannot be read");
            return Content::Opaque;
        };
        let more = |l: &[u8]| l.starts_with(b"literal ") || l.starts_with(b"delta ");
        let reverse = match self.peek() {
            Some(line) if more(line) => {
                let reverse = self.binary_hunk();
                if reverse.is_none() {
                    self.problem("a binary hunk that cannot be read");
                }
                reverse
            }
            _ => None,
        };
        Content::Binary { forward, reverse }
    }

    fn binary_hunk(&mut self) -> Option<BinaryHunk> {
        let line = self.next()?;
        let (delta, size) = match (line.strip_prefix(b"literal "), line.strip_prefix(b"delta ")) {
            (Some(size), _) => (false, size),
            (None, Some(size)) => (true, size),
            _ => return None,
        };
        let size = std::str::from_utf8(size).ok()?.parse().ok()?;
        let mut deflated = Vec::new();
        while let Some(line) = self.next() {
            if line.is_empty() {
                return Some(BinaryHunk { delta, size, deflated });
            }
            decode_line(line, &mut deflated)?;
        }
        // The empty line at the end may have been trimmed from the end of a text.
        Some(BinaryHunk { delta, size, deflated })
    }
}

impl<'a> Header<'a> {
    /// Reads a header line; `None` if it is none, `Some(false)` if it is broken.
    fn take(&mut self, line: &'a [u8]) -> Option<bool> {
        let strip = |prefix: &[u8]| line.strip_prefix(prefix);
        if let Some(mode) = strip(b"old mode ") {
            self.old_mode = octal(mode);
            return Some(self.old_mode.is_some());
        }
        if let Some(mode) = strip(b"new mode ") {
            self.new_mode = octal(mode);
            return Some(self.new_mode.is_some());
        }
        if let Some(mode) = strip(b"deleted file mode ") {
            self.deleted_file = true;
            self.old_mode = octal(mode);
            return Some(self.old_mode.is_some());
        }
        if let Some(mode) = strip(b"new file mode ") {
            self.new_file = true;
            self.new_mode = octal(mode);
            return Some(self.new_mode.is_some());
        }
        if let Some(path) = strip(b"rename from ").or_else(|| strip(b"copy from ")) {
            self.copied = line.starts_with(b"copy");
            self.from = unquoted(path);
            return Some(self.from.is_some());
        }
        if let Some(path) = strip(b"rename to ").or_else(|| strip(b"copy to ")) {
            self.to = unquoted(path);
            return Some(self.to.is_some());
        }
        if strip(b"similarity index ").is_some() || strip(b"dissimilarity index ").is_some() {
            return Some(true);
        }
        if let Some(rest) = strip(b"index ") {
            let mut words = rest.splitn(2, |b| *b == b' ');
            let oids = words.next().unwrap_or_default();
            let Some(dots) = memchr::memmem::find(oids, b"..") else { return Some(false) };
            self.oids = (&oids[..dots], &oids[dots + 2..]);
            if let Some(mode) = words.next() {
                let mode = octal(mode);
                self.old_mode = self.old_mode.or(mode);
                self.new_mode = self.new_mode.or(mode);
                return Some(mode.is_some());
            }
            return Some(true);
        }
        if let Some(path) = strip(b"--- ") {
            self.minus = side_path(path);
            return Some(self.minus.is_some());
        }
        if let Some(path) = strip(b"+++ ") {
            self.plus = side_path(path);
            return Some(self.plus.is_some());
        }
        None
    }

    fn kind(&self) -> ChangeKind {
        if self.from.is_some() && self.to.is_some() {
            return if self.copied { ChangeKind::Copied } else { ChangeKind::Renamed };
        }
        if self.new_file || matches!(self.minus, Some(None)) {
            return ChangeKind::Added;
        }
        if self.deleted_file || matches!(self.plus, Some(None)) {
            return ChangeKind::Deleted;
        }
        ChangeKind::Modified
    }

    fn paths(&self) -> Option<Names<'a>> {
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            return Some((from.clone(), to.clone()));
        }
        match (self.minus.clone().flatten(), self.plus.clone().flatten()) {
            (Some(minus), Some(plus)) => Some((minus, plus)),
            (Some(one), None) | (None, Some(one)) => Some((one.clone(), one)),
            (None, None) => self.git.clone(),
        }
    }
}

/// Both names of `diff --git`. Unquoted names have no delimiter, so the line can only be read
/// where both are equal; otherwise the lines that follow name the paths.
fn split_names(text: &[u8]) -> Option<Names<'_>> {
    if text.contains(&b'"') {
        let (old, rest) = match unquote_prefix(text)? {
            Some((old, rest)) => (Cow::Owned(old), rest.strip_prefix(b" ")?),
            None => {
                let space = memchr::memmem::find(text, b" \"")?;
                (Cow::Borrowed(&text[..space]), &text[space + 1..])
            }
        };
        return Some((without_prefix(old)?, without_prefix(unquoted(rest)?)?));
    }
    let middle = text.len() / 2;
    let (old, new) = (text.get(..middle)?, text.get(middle + 1..)?);
    let old = without_prefix(Cow::Borrowed(old))?;
    let new = without_prefix(Cow::Borrowed(new))?;
    (text.get(middle) == Some(&b' ') && old == new).then_some((old, new))
}

/// A path of `---` or `+++`: `Some(None)` is `/dev/null`.
fn side_path(text: &[u8]) -> Option<Option<Cow<'_, [u8]>>> {
    // A tab ends the name: a time follows it, or nothing where the name has a space.
    let text = match memchr::memchr(b'\t', text) {
        Some(tab) if !text.starts_with(b"\"") => &text[..tab],
        _ => text,
    };
    if text == b"/dev/null" {
        return Some(None);
    }
    Some(Some(without_prefix(unquoted(text)?)?))
}

fn unquoted(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    match unquote_prefix(text)? {
        None => Some(Cow::Borrowed(text)),
        Some((path, rest)) => (rest.is_empty() || rest == b"\t").then_some(Cow::Owned(path)),
    }
}

/// Takes off the first component, `a/` or `b/`.
fn without_prefix(path: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    let slash = memchr::memchr(b'/', &path)?;
    Some(match path {
        Cow::Borrowed(path) => Cow::Borrowed(&path[slash + 1..]),
        Cow::Owned(path) => Cow::Owned(path[slash + 1..].to_vec()),
    })
}

fn octal(text: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()
}

/// `@@ -START[,LINES] +START[,LINES] @@[ SECTION]`
fn hunk_header(line: &[u8]) -> Option<Hunk<'_>> {
    let rest = line.strip_prefix(b"@@ -")?;
    let (old_start, old_lines, rest) = range(rest)?;
    let (new_start, new_lines, rest) = range(rest.strip_prefix(b" +")?)?;
    let section = rest.strip_prefix(b" @@")?;
    let section = section.strip_prefix(b" ").unwrap_or(section);
    Some(Hunk { old_start, old_lines, new_start, new_lines, section, lines: Vec::new() })
}

fn range(text: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (start, rest) = number(text)?;
    match rest.strip_prefix(b",") {
        Some(rest) => number(rest).map(|(lines, rest)| (start, lines, rest)),
        None => Some((start, 1, rest)),
    }
}

fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    // Larger numbers are no lines of a file, and sums of these cannot overflow.
    let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number as usize, rest))
}
