//! The code around a change: what it touches, before and after.

use palestra_core::{EntityChanges, EntityKind};
use palestra_syntax::{Item, Module, Parser};
use serde::{Deserialize, Serialize};

/// A class longer than this is shown by its changed methods, in lines.
const CLASS_LINES: usize = 80;
/// At most so many entities are shown.
const ENTITIES: usize = 40;

/// A changed entity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedCode {
    /// Its file.
    pub path: String,
    /// Its name; `Class.method` for methods.
    pub name: String,
    /// Its source before; `None` where it is new.
    pub before: Option<String>,
    /// Its source after; `None` where it is gone.
    pub after: Option<String>,
}

impl ChangedCode {
    /// The two sides with labels.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, String)> {
        let side = |word: &str, text: &Option<String>| {
            text.clone().map(|text| (format!("{} {} {word}", self.path, self.name), text))
        };
        [side("before", &self.before), side("after", &self.after)].into_iter().flatten()
    }
}

/// A changed file, both sides.
#[derive(Debug, Clone, Copy)]
pub struct SourcePair<'a> {
    /// Its path after the change.
    pub path: &'a str,
    /// Before; `None` where it is new.
    pub before: Option<&'a [u8]>,
    /// After; `None` where it is gone.
    pub after: Option<&'a [u8]>,
}

/// The changed functions, classes and methods of some files: a class that is long is shown by its
/// changed methods. Imports and other statements are in the diff and not here.
pub fn changed_code(pairs: &[SourcePair<'_>], changes: &EntityChanges) -> Vec<ChangedCode> {
    let mut parser = Parser::new();
    let mut out = Vec::new();
    for pair in pairs {
        let before = parser.parse(pair.before.unwrap_or_default());
        let after = parser.parse(pair.after.unwrap_or_default());
        let touched = [&changes.added, &changes.modified, &changes.deleted];
        let mut names: Vec<(EntityKind, &str)> = Vec::new();
        for entity in touched.into_iter().flatten().filter(|entity| entity.path == pair.path) {
            let known =
                names.iter().any(|(kind, name)| (*kind, *name) == (entity.kind, &entity.name));
            if !known && is_code(entity.kind) {
                names.push((entity.kind, &entity.name));
            }
        }
        let shown = |kind: EntityKind, name: &str| {
            let lines = [&before, &after].into_iter().filter_map(|module| module.find(kind, name));
            let lines = lines.map(|item| item.end_line + 1 - item.start_line).max().unwrap_or(0);
            match kind {
                EntityKind::Class => {
                    let methods = format!("{name}.");
                    lines <= CLASS_LINES
                        || !names.iter().any(|(_, other)| other.starts_with(&methods))
                }
                EntityKind::Method => {
                    let class = name.split('.').next().unwrap_or_default();
                    let whole = names.contains(&(EntityKind::Class, class));
                    let length = |module: &Module| {
                        module.find(EntityKind::Class, class).map(|c| c.end_line + 1 - c.start_line)
                    };
                    let class = length(&before).max(length(&after)).unwrap_or(0);
                    !whole || class > CLASS_LINES
                }
                _ => true,
            }
        };
        for (kind, name) in names.iter().filter(|(kind, name)| shown(*kind, name)) {
            let source = |module: &Module, bytes: Option<&[u8]>| {
                Some(lines_of(bytes?, module.find(*kind, name)?))
            };
            out.push(ChangedCode {
                path: pair.path.to_owned(),
                name: (*name).to_owned(),
                before: source(&before, pair.before),
                after: source(&after, pair.after),
            });
            if out.len() == ENTITIES {
                return out;
            }
        }
    }
    out
}

fn is_code(kind: EntityKind) -> bool {
    matches!(kind, EntityKind::Function | EntityKind::Class | EntityKind::Method)
}

/// The lines of an entity, with its own indentation.
pub(crate) fn lines_of(source: &[u8], item: &Item) -> String {
    let source = palestra_syntax::universal_newlines(source);
    let text = String::from_utf8_lossy(&source);
    let count = (item.end_line + 1).saturating_sub(item.start_line);
    let lines = text.split('\n').skip(item.start_line.saturating_sub(1)).take(count);
    let mut text = lines.collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use palestra_core::Entity;

    fn entity(kind: EntityKind, name: &str) -> Entity {
        Entity { path: "a.py".into(), kind, name: name.into(), start_line: 1, end_line: 1 }
    }

    #[test]
    fn methods_of_long_classes_alone() {
        let long = "    x = 1\n".repeat(100);
        let before =
            format!("class C:\n{long}    def f(self):\n        return 1\n\ndef g(): pass\n");
        let after = before.replace("return 1", "return 2").replace("def g", "def h");
        let pair = SourcePair {
            path: "a.py",
            before: Some(before.as_bytes()),
            after: Some(after.as_bytes()),
        };
        let changes = EntityChanges {
            added: vec![entity(EntityKind::Function, "h")],
            deleted: vec![entity(EntityKind::Function, "g")],
            modified: vec![entity(EntityKind::Class, "C"), entity(EntityKind::Method, "C.f")],
        };
        let code = changed_code(&[pair], &changes);
        let names: Vec<&str> = code.iter().map(|code| code.name.as_str()).collect();
        assert_eq!(names, ["h", "C.f", "g"]);
        assert_eq!(code[1].before.as_deref(), Some("    def f(self):\n        return 1\n"));
        assert_eq!(code[0].before, None);
        let short = before.replace(&long, "");
        let pair =
            SourcePair { before: Some(short.as_bytes()), after: Some(b"class C: pass"), ..pair };
        let names: Vec<String> =
            changed_code(&[pair], &changes).into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["h", "C", "g"]);
    }
}
