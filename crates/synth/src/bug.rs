//! Bugs by a model: an entity implemented anew from its signature and documentation, or changed a
//! little for the worse.
//!
//! What comes out is another source of the file. Whether it is a bug at all, only its tests can
//! say: somebody runs them.

use std::ops::Range;

use palestra_syntax::Parser;
use serde::{Deserialize, Serialize};
use tree_sitter::Node;

use crate::ask::{AskError, Asker, Proposal};
use crate::prompt::{Filled, PromptError, PromptSet, Value, clip, name};
use crate::python::{Source, line, named, undecorated, walk};
use crate::reject::{Reason, Rejection};
use crate::reply::one_block;

/// Bytes of the file around the entity that a model is shown.
const CODE_LIMIT: usize = 40_000;
/// Bytes of the explanation that are kept.
const NOTES: usize = 2_000;

/// How a model makes a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BugKind {
    /// It implements the entity from its signature and docstring.
    Rewrite,
    /// It changes the entity a little.
    Subtle,
}

/// What a bug is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BugRequest {
    /// The repository.
    pub repository: String,
    /// The file.
    pub path: String,
    /// Its source.
    pub source: String,
    /// The function, class or method (`Class.method`).
    pub name: String,
    /// How.
    pub kind: BugKind,
}

/// A bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LmBug {
    /// The file.
    pub path: String,
    /// The entity.
    pub name: String,
    /// How it was made.
    pub kind: BugKind,
    /// The entity as it was.
    pub before: String,
    /// The entity as it is now.
    pub after: String,
    /// The whole file as it is now.
    pub source: String,
    /// What the model said about it. It belongs into no statement.
    pub notes: String,
}

/// What is asked for a bug; `None` where the file has no such entity, or cannot be read.
///
/// # Errors
/// A prompt that was filled wrongly.
pub fn prompt_of(prompts: &PromptSet, request: &BugRequest) -> Result<Option<Filled>, PromptError> {
    let Some(source) = Source::parse(&request.source) else { return Ok(None) };
    let Some(node) = entity(&source, &request.name) else { return Ok(None) };
    let (prompt, code) = match request.kind {
        BugKind::Rewrite => {
            let mut code = request.source.clone();
            for (range, by) in stubs(&source, node).into_iter().rev() {
                code.replace_range(range, &by);
            }
            (name::BUG_REWRITE, code)
        }
        BugKind::Subtle => (name::BUG_SUBTLE, request.source.clone()),
    };
    let code = around(&code, node.start_byte());
    let values = [
        ("repository", Value::Word(request.repository.clone())),
        ("path", Value::Word(request.path.clone())),
        ("name", Value::Word(request.name.clone())),
        ("code", Value::text(&request.path, &code, CODE_LIMIT)),
    ];
    prompts.fill(prompt, &values).map(Some)
}

/// Asks for a bug.
///
/// # Errors
/// Those of the machine. `None` where the file has no such entity.
pub fn propose(
    asker: &Asker,
    prompts: &PromptSet,
    request: &BugRequest,
) -> Result<Option<Proposal<LmBug>>, AskError> {
    match prompt_of(prompts, request)? {
        Some(filled) => asker.propose(&filled, |text| read(text, request)).map(Some),
        None => Ok(None),
    }
}

/// A window of a long file around the entity, in whole lines.
fn around(code: &str, at: usize) -> String {
    if code.len() <= CODE_LIMIT {
        return code.to_owned();
    }
    // Imports stand at the beginning.
    let head = clip(code, CODE_LIMIT / 4).lines().take(60).collect::<Vec<_>>().join("\n");
    let boundary = |mut at: usize| {
        while !code.is_char_boundary(at) {
            at -= 1;
        }
        code[..at].rfind('\n').map_or(0, |at| at + 1)
    };
    let start = boundary(at.saturating_sub(CODE_LIMIT / 5));
    let end = boundary((at + CODE_LIMIT / 2).min(code.len()));
    format!("{head}\n\n# [lines are left out]\n\n{}", &code[start..end.max(start)])
}

/// The definition of a function, a class or a method, without its decorators.
fn entity<'t>(source: &'t Source<'_>, name: &str) -> Option<Node<'t>> {
    let mut block = source.root();
    let mut found = None;
    for part in name.split('.') {
        found = definition(source, block, part);
        block = found?.child_by_field_name("body")?;
    }
    found
}

fn definition<'t>(source: &Source<'_>, block: Node<'t>, name: &str) -> Option<Node<'t>> {
    // Of several with one name, the last is the one that counts.
    named(block).into_iter().map(undecorated).rfind(|node| {
        matches!(node.kind(), "function_definition" | "class_definition")
            && node.child_by_field_name("name").is_some_and(|n| source.text_of(n) == name)
    })
}

/// The bodies of the functions of an entity, and what stands for them: the docstring and an error.
fn stubs(source: &Source<'_>, node: Node<'_>) -> Vec<(Range<usize>, String)> {
    let mut stubs = Vec::new();
    walk(node, &mut |node| {
        let Some(body) = node.child_by_field_name("body") else { return true };
        if node.kind() != "function_definition" {
            return true;
        }
        let indent = " ".repeat(body.start_position().column);
        let raise = "raise NotImplementedError";
        let text = match docstring(body) {
            Some(doc) => format!("{}\n{indent}{raise}", source.text_of(doc)),
            None => raise.to_owned(),
        };
        stubs.push((body.byte_range(), text));
        false
    });
    stubs
}

fn docstring(body: Node<'_>) -> Option<Node<'_>> {
    let first =
        named(body).into_iter().next().filter(|node| node.kind() == "expression_statement")?;
    named(first).into_iter().next().filter(|node| node.kind() == "string")
}

/// The bug of an answer.
fn read(text: &str, request: &BugRequest) -> Result<LmBug, Rejection> {
    let last = request.name.rsplit('.').next().unwrap_or_default();
    let has = |code: &str| find(code, &request.name).is_some();
    let block = one_block(text, has)?;
    let code = dedent(&block.code);
    if let Some((line, what)) = Source::broken_line(&code) {
        return Err(Rejection::at(Reason::SyntaxError, line, what));
    }
    let Some(mut after) = find(&code, &request.name) else {
        return Err(Rejection::new(Reason::NoEntity, format!("there is no `{last}` in the block")));
    };
    let gone =
        || Rejection::new(Reason::NoEntity, format!("`{}` is not in the file", request.name));
    let original = Source::parse(&request.source).ok_or_else(gone)?;
    let node = entity(&original, &request.name).ok_or_else(gone)?;
    let before = original.text_of(node).to_owned();
    let column = node.start_position().column;
    let flat = lift(&before, column);
    after = with_docstring(&flat, &after)?;
    signature(&flat, &after)?;
    tells(&flat, &after)?;
    let after = indented(&after, column);
    let mut source = request.source.clone();
    source.replace_range(node.byte_range(), &after);
    if let Some((line, what)) = Source::broken_line(&source) {
        return Err(Rejection::at(Reason::SyntaxError, line, what));
    }
    if same_meaning(&request.source, &source, &request.name) {
        return Err(Rejection::new(Reason::SameMeaning, "nothing is different"));
    }
    let notes = clip(text.split(block.code.as_str()).next().unwrap_or_default(), NOTES);
    let notes =
        notes.lines().filter(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n");
    Ok(LmBug {
        path: request.path.clone(),
        name: request.name.clone(),
        kind: request.kind,
        before,
        after,
        source,
        notes: notes.trim().to_owned(),
    })
}

/// The text of the entity in some code, which may have the class around it or not.
fn find(code: &str, name: &str) -> Option<String> {
    let code = dedent(code);
    let source = Source::parse(&code)?;
    let last = name.rsplit('.').next().unwrap_or_default();
    let node = entity(&source, name).or_else(|| definition(&source, source.root(), last))?;
    Some(indented(&lift(source.text_of(node), node.start_position().column), 0))
}

/// A definition that began at a column, moved to column 0.
fn lift(text: &str, column: usize) -> String {
    let strip = |line: &str| {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        line[spaces.min(column)..].to_owned()
    };
    let mut lines = text.split('\n');
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push('\n');
        out.push_str(&strip(line));
    }
    out
}

/// Lines after the first moved to the right. Lines within strings move too, as they do in an
/// editor; those of docstrings are put back anyway.
fn indented(text: &str, column: usize) -> String {
    let pad = " ".repeat(column);
    let mut lines = text.trim_end().split('\n');
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push('\n');
        if !line.trim().is_empty() {
            out.push_str(&pad);
            out.push_str(line);
        }
    }
    out
}

fn dedent(code: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let least = code.lines().filter(|l| !l.trim().is_empty()).map(indent).min().unwrap_or(0);
    let mut out = String::with_capacity(code.len());
    for line in code.lines() {
        out.push_str(line.get(least.min(indent(line))..).unwrap_or_default());
        out.push('\n');
    }
    out
}

/// The new entity with the docstring of the old one, both at column 0. Both have one, or neither.
fn with_docstring(before: &str, after: &str) -> Result<String, Rejection> {
    let changed = |detail: &str| Rejection::new(Reason::DocumentationChanged, detail);
    let doc = |text: &str| -> Option<Range<usize>> {
        let source = Source::parse(text)?;
        let node = named(source.root()).into_iter().next()?;
        Some(docstring(node.child_by_field_name("body")?)?.byte_range())
    };
    match (doc(before), doc(after)) {
        (None, None) => Ok(after.to_owned()),
        (Some(_), None) => Err(changed("the docstring is gone")),
        (None, Some(_)) => Err(changed("a docstring was added")),
        (Some(old), Some(new)) => {
            let mut text = after.to_owned();
            text.replace_range(new, before.get(old).unwrap_or_default());
            Ok(text)
        }
    }
}

/// The signature is the same, layout and comments apart.
fn signature(before: &str, after: &str) -> Result<(), Rejection> {
    let head = |text: &str| -> Vec<String> {
        let Some(source) = Source::parse(text) else { return Vec::new() };
        let mut heads = Vec::new();
        let mut pending: Vec<Node<'_>> = named(source.root());
        pending.truncate(1);
        while let Some(node) = pending.pop() {
            let node = undecorated(node);
            if !matches!(node.kind(), "function_definition" | "class_definition") {
                continue;
            }
            let body = node.child_by_field_name("body");
            let end = body.map_or(node.end_byte(), |body| body.start_byte());
            let head = source.text.get(node.start_byte()..end).unwrap_or_default();
            let code = head.lines().map(|line| line.split(" #").next().unwrap_or_default());
            let plain: String = code.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
            heads.push(plain.replace(",)", ")"));
            if let Some(body) = body.filter(|_| node.kind() == "class_definition") {
                pending.extend(named(body));
            }
        }
        heads.sort();
        heads
    };
    let (old, new) = (head(before), head(after));
    if old == new && !old.is_empty() {
        return Ok(());
    }
    let lost = old.iter().find(|head| !new.contains(head)).cloned().unwrap_or_default();
    Err(Rejection::new(Reason::SignatureChanged, format!("`{lost}` is not there any more")))
}

/// New comments and names that point at the mistake.
fn tells(before: &str, after: &str) -> Result<(), Rejection> {
    let Some(source) = Source::parse(after) else { return Ok(()) };
    let mut found = None;
    walk(source.root(), &mut |node| {
        if matches!(node.kind(), "comment" | "string" | "identifier") && found.is_none() {
            let text = source.text_of(node);
            let lower = text.to_ascii_lowercase();
            let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphabetic()).collect();
            let tells = [
                "bug",
                "buggy",
                "bugged",
                "mistake",
                "wrong",
                "incorrect",
                "incorrectly",
                "intentional",
                "intentionally",
                "deliberate",
                "subtle",
                "injected",
                "introduced",
                "broken",
                "oops",
            ];
            let telling = words.iter().any(|word| tells.contains(word));
            if telling && !before.contains(text) {
                found = Some(Rejection::at(
                    Reason::TellsTheBug,
                    line(node),
                    text.chars().take(120).collect::<String>(),
                ));
            }
        }
        found.is_none()
    });
    found.map_or(Ok(()), Err)
}

/// Whether the entity means the same in both files. A method is compared with its class.
fn same_meaning(before: &str, after: &str, name: &str) -> bool {
    let mut parser = Parser::new();
    let (before, after) = (parser.parse(before.as_bytes()), parser.parse(after.as_bytes()));
    let top = name.split('.').next().unwrap_or_default();
    let find = |module: &palestra_syntax::Module| {
        module.items().iter().rfind(|item| item.name == top).cloned()
    };
    match (find(&before), find(&after)) {
        (Some(old), Some(new)) => before.same_meaning(&old, &after, &new),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "import os\n\n\nclass Rows:\n    \"\"\"Rows.\"\"\"\n\n    @property\n    def first(\n        self,\n        strict=False,\n    ):\n        \"\"\"The first row.\n\n        Nothing else.\n        \"\"\"\n        # Empty rows count.\n        return self.rows[0]\n\n    def last(self):\n        return self.rows[-1]\n\n\ndef count(rows):\n    return len(rows)\n";

    fn request(name: &str, kind: BugKind) -> BugRequest {
        BugRequest {
            repository: "a/b".into(),
            path: "rows.py".into(),
            source: FILE.into(),
            name: name.into(),
            kind,
        }
    }

    #[test]
    fn a_method_is_put_back_in_its_place() {
        let want = FILE.replace(
            "# Empty rows count.\n        return self.rows[0]",
            "if strict:\n            return self.rows[1]\n        return self.rows[0]",
        );
        let body = "def first(self, strict=False):\n    \"\"\"The first row. Changed!\"\"\"\n    if strict:\n        return self.rows[1]\n    return self.rows[0]\n";
        let answers = [
            format!("It takes the second.\n```python\n{body}```"),
            // Indented as in the file, with its decorator, or within its class.
            format!("```\n    @property\n{}\n```", indented(&format!("    {body}"), 4)),
            format!("```python\nclass Rows:\n    {}\n```", indented(body, 4)),
        ];
        for answer in answers {
            let bug = read(&answer, &request("Rows.first", BugKind::Subtle)).unwrap();
            let want = want.replace(
                "    def first(\n        self,\n        strict=False,\n    ):",
                "    def first(self, strict=False):",
            );
            assert_eq!(bug.source, want, "{answer}");
            assert!(bug.before.starts_with("def first("));
        }
    }

    #[test]
    fn what_is_no_bug_is_rejected() {
        let check = |name: &str, code: &str, want: Reason| {
            let found = read(&format!("```python\n{code}\n```"), &request(name, BugKind::Subtle));
            assert_eq!(found.unwrap_err().reason, want, "{code}");
        };
        check(
            "count",
            "def count(rows):\n    # all of them\n    return (len(rows))",
            Reason::SameMeaning,
        );
        check(
            "count",
            "def count(rows, more=0):\n    return len(rows) + more",
            Reason::SignatureChanged,
        );
        check("count", "async def count(rows):\n    return 1", Reason::SignatureChanged);
        check("count", "def total(rows):\n    return 1", Reason::NoEntity);
        check("count", "def count(rows):\n    return len(rows", Reason::SyntaxError);
        check(
            "count",
            "def count(rows):\n    return len(rows) - 1  # off by one bug",
            Reason::TellsTheBug,
        );
        check(
            "count",
            "def count(rows):\n    \"\"\"Counts.\"\"\"\n    return 1",
            Reason::DocumentationChanged,
        );
        check(
            "Rows.first",
            "def first(self, strict=False):\n    return 1",
            Reason::DocumentationChanged,
        );
        check(
            "Rows",
            "class Rows:\n    \"\"\"Rows.\"\"\"\n    def last(self):\n        return 1",
            Reason::SignatureChanged,
        );
        let prose = read("I would rather not.", &request("count", BugKind::Subtle));
        assert_eq!(prose.unwrap_err().reason, Reason::NoCode);
    }

    #[test]
    fn a_rewriter_sees_no_body() {
        let prompts = PromptSet::builtin();
        let text = |name: &str| {
            let filled = prompt_of(&prompts, &request(name, BugKind::Rewrite)).unwrap().unwrap();
            filled.messages[1].1.clone()
        };
        let first = text("Rows.first");
        assert!(
            first.contains("Nothing else.\n        \"\"\"\n        raise NotImplementedError\n"),
            "{first}"
        );
        assert!(!first.contains("rows[0]") && first.contains("rows[-1]"), "{first}");
        let whole = text("Rows");
        assert!(!whole.contains("rows[0]") && !whole.contains("rows[-1]"), "{whole}");
        assert!(prompt_of(&prompts, &request("nothing", BugKind::Rewrite)).unwrap().is_none());
    }
}
