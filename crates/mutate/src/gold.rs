//! A gold patch as files before and after, and the places that it changes.

pub(crate) mod branches;
pub(crate) mod expressions;
pub(crate) mod lines;
pub(crate) mod reverts;
pub(crate) mod statements;

use std::collections::HashMap;
use std::ops::Range;

use palestra_core::ChangeKind;
use palestra_diff::{Change, File, MakeOptions, apply_all, make, parse};

use crate::meaning::{Key, Meaning};
use crate::mutants::Texts;
use crate::{MutateError, Problem, tree};

const REGULAR: u32 = 0o100000;

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Changed by its syntax tree, and by lines.
    Python,
    /// Changed by lines.
    Text,
    /// Kept or dropped as a whole: binary files, links, files that go.
    Whole,
    /// Left as gold has it: nothing that it says is executed, or it is a test.
    Fixed,
}

/// Lines that gold changes, nothing between them unchanged.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Bytes in the file before.
    pub(crate) old: Range<usize>,
    /// Bytes in the file after.
    pub(crate) new: Range<usize>,
    /// Which hunk it belongs to, in its file.
    pub(crate) hunk: usize,
}

/// A file that gold changes.
pub(crate) struct Touched {
    /// The path after, or before if the file goes.
    pub(crate) path: String,
    /// Where it was before, if it was renamed.
    from: Option<Change>,
    change: Change,
    pub(crate) role: Role,
    pub(crate) runs: Vec<Run>,
}

/// Gold, read.
pub(crate) struct Gold {
    pub(crate) files: Vec<Touched>,
}

/// What becomes of one file in a mutant.
pub(crate) enum Outcome<'a> {
    /// As gold has it.
    Gold,
    /// As it was before.
    Base,
    /// Something else.
    Text(&'a [u8]),
}

impl Touched {
    /// The file before, wherever it was.
    pub(crate) fn before(&self) -> &[u8] {
        let source = self.from.as_ref().unwrap_or(&self.change);
        source.old.as_ref().map_or(&[], |f| &f.content)
    }

    /// The file as gold has it; empty if it goes.
    pub(crate) fn after(&self) -> &[u8] {
        self.change.new.as_ref().map_or(&[], |f| &f.content)
    }

    /// Which hunk holds a byte of the new file, if gold changes it.
    pub(crate) fn hunk_at(&self, range: &Range<usize>) -> Option<usize> {
        let touches = |run: &&Run| run.new.start < range.end && range.start < run.new.end;
        self.runs.iter().find(touches).map(|run| run.hunk)
    }

    /// Whether gold wrote all of these bytes.
    pub(crate) fn covers(&self, range: &Range<usize>) -> bool {
        self.runs.iter().any(|run| run.new.start <= range.start && range.end <= run.new.end)
    }

    /// What a file means in one outcome; says what is wrong with it if it is not Python.
    fn key(&self, outcome: &Outcome<'_>, meaning: &mut Meaning) -> Result<Key, String> {
        let raw = |tag: &[u8], text: &[u8]| {
            *blake3::Hasher::new().update(tag).update(text).finalize().as_bytes()
        };
        match outcome {
            _ if self.role == Role::Fixed => Ok([0; 32]),
            Outcome::Base if self.from.is_some() => Ok(raw(b"moved back", b"")),
            Outcome::Base => match &self.change.old {
                None => Ok(raw(b"missing", b"")),
                Some(file) if self.role == Role::Python => {
                    Ok(meaning.read(&file.content).unwrap_or_else(|_| raw(b"", &file.content)))
                }
                Some(file) => Ok(raw(&file.mode.to_le_bytes(), &file.content)),
            },
            Outcome::Text(text) if self.role == Role::Python => meaning.read(text),
            Outcome::Gold if self.role == Role::Python => meaning.read(self.after()),
            Outcome::Text(text) => {
                let mode = self.change.new.as_ref().map_or(0, |f| f.mode);
                Ok(raw(&mode.to_le_bytes(), text))
            }
            Outcome::Gold => match &self.change.new {
                None => Ok(raw(b"missing", b"")),
                Some(file) => Ok(raw(&file.mode.to_le_bytes(), &file.content)),
            },
        }
    }
}

impl Gold {
    /// Reads a patch and the files that it changes.
    pub(crate) fn read(
        base: &dyn Fn(&str) -> Option<Vec<u8>>,
        patch: &[u8],
    ) -> Result<(Self, Vec<Problem>), MutateError> {
        let (parsed, problems) = parse(patch);
        if let Some(problem) = problems.into_iter().next() {
            return Err(MutateError::Unread { line: problem.line, what: problem.what });
        }
        let text = |path: &[u8]| match std::str::from_utf8(path) {
            Ok(path) => Ok(path.to_owned()),
            Err(_) => Err(MutateError::Path { path: String::from_utf8_lossy(path).into_owned() }),
        };
        for file in &parsed.files {
            text(&file.old_path)?;
            text(&file.new_path)?;
        }
        let read = |path: &[u8]| std::str::from_utf8(path).ok().and_then(base);
        let mut modes: HashMap<&[u8], u32> = HashMap::new();
        for file in &parsed.files {
            if let Some(mode) = file.old_mode.or(file.new_mode) {
                modes.entry(&file.old_path).or_insert(mode);
            }
        }
        let mut changes: HashMap<Vec<u8>, Change> = HashMap::new();
        for written in apply_all(&parsed, read)? {
            let old_mode = modes.get(&written.path[..]).copied().unwrap_or(REGULAR | 0o644);
            let old = read(&written.path).map(|content| File { mode: old_mode, content });
            let mode = written.mode.unwrap_or(old_mode);
            let new = written.content.map(|content| File { mode, content });
            changes.insert(written.path.clone(), Change { path: written.path, old, new });
        }
        let mut files = Vec::new();
        let mut problems = Vec::new();
        for file in parsed.files.iter().filter(|f| f.kind == ChangeKind::Renamed) {
            let (from, to) = (changes.remove(&*file.old_path), changes.remove(&*file.new_path));
            match (from, to) {
                (from, Some(change)) => files.push(Self::touched(from, change, &mut problems)),
                // Someone else has taken its place: two changes of their own.
                (Some(change), None) => files.push(Self::touched(None, change, &mut problems)),
                (None, None) => {}
            }
        }
        let rest = changes.into_values();
        files.extend(rest.map(|change| Self::touched(None, change, &mut problems)));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((Self { files }, problems))
    }

    fn touched(from: Option<Change>, change: Change, problems: &mut Vec<Problem>) -> Touched {
        let path = String::from_utf8_lossy(&change.path).into_owned();
        let mut touched = Touched { path, from, change, role: Role::Whole, runs: Vec::new() };
        let regular = |f: &Option<File>| f.as_ref().is_none_or(|f| f.mode & 0o170000 == REGULAR);
        let text = regular(&touched.change.old) && regular(&touched.change.new);
        let binary = touched.before().contains(&0) || touched.after().contains(&0);
        touched.role = if is_never_executed(&touched.path) {
            Role::Fixed
        } else if touched.change.new.is_none() || binary || !text {
            Role::Whole
        } else if touched.path.ends_with(".py") {
            let tree = tree::File::parse(touched.after());
            let read = tree.and_then(|_| Meaning::default().read(touched.after()));
            if let Err(what) = &read {
                let what = format!("changed by lines only: {what}");
                problems.push(Problem { path: touched.path.clone(), what });
            }
            if read.is_ok() { Role::Python } else { Role::Text }
        } else {
            Role::Text
        };
        if matches!(touched.role, Role::Python | Role::Text) {
            touched.runs = runs(touched.before(), touched.after());
        }
        touched
    }

    /// What the tree means in which each file has that outcome.
    pub(crate) fn key(
        &self,
        outcome: impl Fn(usize) -> Outcome<'static>,
        texts: &Texts,
        meaning: &mut Meaning,
    ) -> Result<Vec<Key>, String> {
        let mut keys = Vec::with_capacity(self.files.len());
        for (index, file) in self.files.iter().enumerate() {
            let text = texts.get(&index).map(|text| Outcome::Text(text));
            keys.push(file.key(&text.unwrap_or_else(|| outcome(index)), meaning)?);
        }
        Ok(keys)
    }

    /// The patch that makes, from the base, gold's tree without some of its files and with
    /// other texts in others. `None` if it does not apply to the base as it should.
    pub(crate) fn patch(&self, dropped: &[usize], texts: &Texts) -> Option<Vec<u8>> {
        let mut changes = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            if dropped.contains(&index) {
                continue;
            }
            let mut change = file.change.clone();
            if let (Some(text), Some(new)) = (texts.get(&index), &mut change.new) {
                new.content.clone_from(text);
            }
            changes.push(change);
            changes.extend(file.from.clone());
        }
        let patch = make(&changes, &MakeOptions::default());
        let (parsed, problems) = parse(&patch);
        let old = |path: &[u8]| {
            let change = changes.iter().find(|c| c.path == path)?;
            change.old.as_ref().map(|f| f.content.clone())
        };
        let written = apply_all(&parsed, old).ok()?;
        let right = changes.iter().filter(|c| c.old != c.new).all(|change| {
            let content = change.new.as_ref().map(|f| &f.content);
            written.iter().any(|w| w.path == change.path && w.content.as_ref() == content)
        });
        (right && problems.is_empty() && !patch.is_empty()).then_some(patch)
    }
}

/// How a project is built and checked, which decides nothing once it is installed.
const BUILT_BY: &[&str] =
    &["pyproject.toml", "setup.cfg", "tox.ini", "mypy.ini", "ruff.toml", "MANIFEST.in", "Makefile"];

/// Documentation, tests, stubs for type checkers, build files: what a fix may bring along, but nothing that
/// decides whether it works.
fn is_never_executed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let stem = stem.to_ascii_lowercase();
    let prose = matches!(extension, "md" | "rst" | "txt" | "adoc" | "pyi" | "po" | "pot");
    let notes = ["changes", "changelog", "authors", "contributors", "news", "history", "readme"];
    prose
        || extension.is_empty() && notes.contains(&stem.as_str())
        // Scripts beside the package, and what tools write or read.
        || extension == "py" && !palestra_syntax::is_source_code_path(path.as_bytes())
        || extension == "lock"
        || BUILT_BY.contains(&name)
        || path.starts_with('.')
        || path.starts_with("docs/")
        || path.starts_with("doc/")
        || palestra_syntax::is_test_path(path.as_bytes())
}

/// The runs of lines in which two texts differ.
fn runs(old: &[u8], new: &[u8]) -> Vec<Run> {
    /// Runs with fewer unchanged lines between them are in one hunk, as in a patch of git.
    const NEAR: usize = 6;
    let file = |content: &[u8]| Some(File { mode: REGULAR | 0o644, content: content.to_vec() });
    let change = Change { path: b"f".to_vec(), old: file(old), new: file(new) };
    let options = MakeOptions { context: 0, ..MakeOptions::default() };
    let patch = make(&[change], &options);
    let (parsed, _) = parse(&patch);
    let (old_starts, new_starts) = (line_starts(old), line_starts(new));
    let mut found: Vec<Run> = Vec::new();
    let mut last_end = None;
    for hunk in parsed.files.iter().flat_map(|f| f.hunks()) {
        // An empty range names the line before it.
        let first = |start: usize, lines: usize| if lines == 0 { start } else { start - 1 };
        let old_first = first(hunk.old_start, hunk.old_lines);
        let new_first = first(hunk.new_start, hunk.new_lines);
        let bytes = |starts: &[usize], from: usize, lines: usize, end: usize| {
            let at = |line: usize| starts.get(line).copied().unwrap_or(end);
            at(from)..at(from + lines)
        };
        let near = last_end.is_some_and(|end| old_first <= end + NEAR);
        let number = found.last().map_or(0, |run| run.hunk + usize::from(!near));
        found.push(Run {
            old: bytes(&old_starts, old_first, hunk.old_lines, old.len()),
            new: bytes(&new_starts, new_first, hunk.new_lines, new.len()),
            hunk: number,
        });
        last_end = Some(old_first + hunk.old_lines);
    }
    found
}

fn line_starts(text: &[u8]) -> Vec<usize> {
    let ends = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}
