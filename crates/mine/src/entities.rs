//! Which entities a patch touches.

use std::collections::HashSet;
use std::rc::Rc;

use palestra_core::EntityKind;
use palestra_diff::{FilePatch, Side};
use palestra_syntax::Item;

use crate::cache::Version;

/// What a patch does to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Added,
    Deleted,
    Modified,
}

/// A touched entity: an item of the old or of the new side.
pub(crate) struct Touched {
    pub(crate) fate: Fate,
    old_side: bool,
    index: usize,
}

/// A changed Python file with both of its versions and what is touched in them.
pub(crate) struct FileEntities {
    pub(crate) old: Rc<Version>,
    pub(crate) new: Rc<Version>,
    pub(crate) touched: Vec<Touched>,
}

impl FileEntities {
    /// Finds what the hunks touch. An entity is the same on both sides if it is a function,
    /// class or method of the same name, or another statement of the same text; of several that
    /// are the same, the first is kept, and the old side comes first.
    pub(crate) fn of(old: Rc<Version>, new: Rc<Version>, patch: &FilePatch<'_>) -> Self {
        let mut touched: Vec<(bool, usize)> = Vec::new();
        let mut seen = HashSet::new();
        for hunk in patch.hunks() {
            for (old_side, version) in [(true, &old), (false, &new)] {
                let mut line = if old_side { hunk.old_start } else { hunk.new_start };
                let (here, there) = if old_side {
                    (Side::Deleted, Side::Added)
                } else {
                    (Side::Added, Side::Deleted)
                };
                let mut changed = Vec::new();
                for l in &hunk.lines {
                    if l.side == there {
                        continue;
                    }
                    if l.side == here {
                        changed.push(line);
                    }
                    line += 1;
                }
                let (Some(first), Some(last)) = (changed.first(), changed.last()) else { continue };
                for (index, item) in version.module.items().iter().enumerate() {
                    if item.end_line < *first || item.start_line > *last {
                        continue;
                    }
                    let next = changed.partition_point(|l| *l < item.start_line);
                    let hit = changed.get(next).is_some_and(|l| *l <= item.end_line);
                    if hit && seen.insert((item.kind, identity(version, item))) {
                        touched.push((old_side, index));
                    }
                }
            }
        }
        let (before, after) = (Known::of(&old), Known::of(&new));
        let touched = touched
            .into_iter()
            .map(|(old_side, index)| {
                let version = if old_side { &old } else { &new };
                let item = &version.module.items()[index];
                let fate = match (before.has(version, item), after.has(version, item)) {
                    (true, true) => Fate::Modified,
                    (false, true) => Fate::Added,
                    _ => Fate::Deleted,
                };
                Touched { fate, old_side, index }
            })
            .collect();
        drop((before, after));
        drop(seen);
        Self { old, new, touched }
    }

    /// The item of a touched entity.
    pub(crate) fn item(&self, touched: &Touched) -> &Item {
        &self.version(touched).module.items()[touched.index]
    }

    /// Its text.
    pub(crate) fn content(&self, touched: &Touched) -> &[u8] {
        self.version(touched).module.content(self.item(touched))
    }

    fn version(&self, touched: &Touched) -> &Version {
        if touched.old_side { &self.old } else { &self.new }
    }

    /// Whether something comes, or a function or class changes in more than layout and comments.
    pub(crate) fn changes_code(&self) -> bool {
        if self.touched.iter().any(|t| t.fate == Fate::Added) {
            return true;
        }
        self.touched.iter().filter(|t| t.fate == Fate::Modified).any(|touched| {
            let item = self.item(touched);
            if !matches!(item.kind, EntityKind::Function | EntityKind::Class) {
                return false;
            }
            let [old, new] = [&self.old, &self.new].map(|v| {
                let item = v.module.find(item.kind, &item.name)?;
                Some((&v.module, item))
            });
            match (old, new) {
                (Some((om, o)), Some((nm, n))) => !om.same_meaning(o, nm, n),
                (None, None) => false,
                _ => true,
            }
        })
    }
}

/// Whether an entity goes by its name; others go by their text.
fn is_named(kind: EntityKind) -> bool {
    matches!(kind, EntityKind::Function | EntityKind::Class | EntityKind::Method)
}

fn identity<'v>(version: &'v Version, item: &'v Item) -> &'v [u8] {
    if is_named(item.kind) { item.name.as_bytes() } else { version.module.content(item) }
}

/// What one version has.
struct Known<'v> {
    names: HashSet<&'v [u8]>,
    texts: HashSet<&'v [u8]>,
}

impl<'v> Known<'v> {
    fn of(version: &'v Version) -> Self {
        let mut known = Self { names: HashSet::new(), texts: HashSet::new() };
        for item in version.module.items() {
            let set = if is_named(item.kind) { &mut known.names } else { &mut known.texts };
            set.insert(identity(version, item));
        }
        known
    }

    /// Whether an entity of either version is here. A name is looked for whatever it names: a
    /// function that became a class has changed, not gone.
    fn has(&self, version: &Version, item: &Item) -> bool {
        self.names.contains(item.name.as_bytes())
            || !is_named(item.kind) && self.texts.contains(version.module.content(item))
    }
}
