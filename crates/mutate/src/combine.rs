//! Several bugs joined into one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::bug::{Bug, Edit};
use crate::meaning::{Key, Meaning};
use crate::random::{Stream, short_name};
use crate::{Problem, Source};

/// How near to each other the bugs of a combination are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In one file.
    File,
    /// Below one directory, named by the first `depth` parts of the path, in two files or more.
    Module {
        /// How many parts.
        depth: usize,
    },
}

/// Which combinations to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CombineOptions {
    /// What chance begins with.
    pub seed: u64,
    /// Where the bugs of a combination are.
    pub scope: Scope,
    /// Bugs in a combination; nothing is combined below 2.
    pub size: usize,
    /// At most so many combinations for each file or module; `None`: as many as there are bugs.
    pub per_group: Option<usize>,
    /// Whether a bug may be in several combinations.
    pub reuse: bool,
    /// At most so many combinations altogether, groups by turns.
    pub max: Option<usize>,
}

impl Default for CombineOptions {
    /// Pairs within a file, each bug once: as SWE-smith does it.
    fn default() -> Self {
        let scope = Scope::File;
        Self { seed: 24, scope, size: 2, per_group: None, reuse: false, max: None }
    }
}

/// How many draws are made for a combination before a group is given up.
const DRAWS: usize = 100;

/// Joins bugs whose changes do not overlap. The bugs of each combination are in different
/// entities where possible in the draw, and every combination is one that compiles as far as
/// can be told. Bugs that are combinations themselves are left out, and files that a bug does
/// not fit are problems. The order of `bugs` and `files` does not matter.
pub fn combine(
    files: &[Source<'_>],
    bugs: &[Bug],
    options: &CombineOptions,
) -> (Vec<Bug>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut groups: BTreeMap<String, Vec<&Bug>> = BTreeMap::new();
    for bug in bugs {
        if let Err(error) = bug.apply(files) {
            let path = bug.edits.first().map(|e| e.path.clone()).unwrap_or_default();
            problems.push(Problem { path, what: format!("{}: {error}", bug.id) });
            continue;
        }
        if let Some(group) = group_of(bug, options.scope).filter(|_| options.size > 1) {
            groups.entry(group).or_default().push(bug);
        }
    }
    let mut meaning = Meaning::default();
    let mut made: Vec<Vec<Bug>> = Vec::new();
    for (name, mut group) in groups {
        group.sort_by(|a, b| (&a.id, &a.edits).cmp(&(&b.id, &b.edits)));
        group.dedup_by(|a, b| a.edits == b.edits);
        made.push(of_group(files, &name, group, options, &mut meaning));
    }
    // Groups by turns, so that a limit spreads over them.
    let longest = made.iter().map(Vec::len).max().unwrap_or(0);
    let mut all = Vec::new();
    let mut made: Vec<_> = made.into_iter().map(Vec::into_iter).collect();
    for _ in 0..longest {
        all.extend(made.iter_mut().filter_map(Iterator::next));
    }
    all.truncate(options.max.unwrap_or(usize::MAX));
    (all, problems)
}

fn group_of(bug: &Bug, scope: Scope) -> Option<String> {
    if bug.id.starts_with("combine_") {
        return None;
    }
    let path = &bug.edits.first()?.path;
    match scope {
        Scope::File => Some(path.clone()),
        Scope::Module { depth } => {
            let parts: Vec<&str> = path.split('/').collect();
            // A file that lies higher up belongs to no module of that depth.
            (parts.len() > depth && depth > 0).then(|| parts[..depth].join("/"))
        }
    }
}

fn of_group(
    files: &[Source<'_>],
    name: &str,
    mut group: Vec<&Bug>,
    options: &CombineOptions,
    meaning: &mut Meaning,
) -> Vec<Bug> {
    let wanted = options.per_group.unwrap_or(group.len());
    let mut made: Vec<Bug> = Vec::new();
    let mut seen: HashSet<Vec<(String, Key)>> = HashSet::new();
    let size = [(options.size as u64).to_le_bytes()].concat();
    let mut stream = Stream::new(options.seed, &[b"combine", name.as_bytes(), &size]);
    let mut failed = 0;
    while made.len() < wanted && failed < DRAWS && group.len() >= options.size.max(2) {
        stream.shuffle(&mut group);
        let chosen = draw(&group, options);
        let joined = chosen.and_then(|c| join(files, &c, options.scope, meaning, &mut seen));
        let Some(bug) = joined else {
            failed += 1;
            continue;
        };
        failed = 0;
        if !options.reuse {
            let used = |other: &&Bug| other.edits.iter().all(|e| bug.edits.contains(e));
            group.retain(|other| !used(other));
        }
        made.push(bug);
    }
    made
}

/// The first bugs of the group that go together.
fn draw<'b>(group: &[&'b Bug], options: &CombineOptions) -> Option<Vec<&'b Bug>> {
    let mut chosen: Vec<&Bug> = Vec::new();
    for bug in group {
        // The last one of a module's combination must not leave it all in one file.
        let last = chosen.len() + 1 == options.size;
        let one_file = matches!(options.scope, Scope::Module { .. })
            && last
            && chosen.iter().chain([bug]).flat_map(|b| &b.edits).collect::<Paths>().0.len() < 2;
        let fits = !one_file
            && chosen.iter().all(|other| {
                !overlap(other, bug) && other.entities.iter().all(|e| !bug.entities.contains(e))
            });
        if fits {
            chosen.push(bug);
            if chosen.len() == options.size {
                return Some(chosen);
            }
        }
    }
    None
}

/// The paths of edits.
struct Paths<'a>(BTreeSet<&'a str>);

impl<'a> FromIterator<&'a Edit> for Paths<'a> {
    fn from_iter<T: IntoIterator<Item = &'a Edit>>(edits: T) -> Self {
        Paths(edits.into_iter().map(|e| e.path.as_str()).collect())
    }
}

/// Whether two bugs touch the same bytes, or bytes next to each other.
fn overlap(one: &Bug, two: &Bug) -> bool {
    one.edits
        .iter()
        .any(|a| two.edits.iter().any(|b| a.path == b.path && a.start <= b.end && b.start <= a.end))
}

fn join(
    files: &[Source<'_>],
    bugs: &[&Bug],
    scope: Scope,
    meaning: &mut Meaning,
    seen: &mut HashSet<Vec<(String, Key)>>,
) -> Option<Bug> {
    let mut edits: Vec<Edit> = bugs.iter().flat_map(|b| b.edits.iter().cloned()).collect();
    edits.sort();
    let mut modifiers: Vec<_> = bugs.iter().flat_map(|b| b.modifiers.iter().copied()).collect();
    modifiers.sort();
    modifiers.dedup();
    let mut entities: Vec<_> = bugs.iter().flat_map(|b| b.entities.iter().cloned()).collect();
    entities.sort();
    entities.dedup();
    let complexity = bugs.iter().map(|b| b.complexity).sum();
    let mut bug = Bug { id: String::new(), modifiers, edits, entities, complexity };
    let mut keys = Vec::new();
    for (path, content) in bug.apply(files).ok()? {
        let key = meaning.read(&content).ok()?;
        keys.push((path, key));
    }
    if !seen.insert(keys) {
        return None;
    }
    let word = match scope {
        Scope::File => "combine_file",
        Scope::Module { .. } => "combine_module",
    };
    bug.id = format!("{word}__{}", short_name(&bug.patch(files).ok()?));
    Some(bug)
}
