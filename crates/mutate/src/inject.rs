//! Bugs for the files of a tree.

use std::collections::HashSet;

use palestra_diff::{MakeOptions, make};

use crate::bug::{Bug, Edit, EntityRef, change};
use crate::entity::{Entity, entities, is_generated, is_left_alone};
use crate::meaning::{Key, Meaning};
use crate::modifier::Modifier;
use crate::random::{Dice, Stream, rank, short_name};
use crate::select::{Traits, spread};
use crate::splice::{Splice, apply, disjoint};
use crate::tree::File;
use crate::{Problem, Source};

/// How many bugs to propose, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct InjectOptions {
    /// What chance begins with.
    pub seed: u64,
    /// What to try.
    pub modifiers: Vec<Modifier>,
    /// How likely each place in an entity is changed, from 0 to 1; `None`: as each modifier has
    /// it.
    pub likelihood: Option<f64>,
    /// The least complexity of an entity; `None`: as each modifier has it.
    pub min_complexity: Option<usize>,
    /// The greatest complexity; `None`: as each modifier has it.
    pub max_complexity: Option<usize>,
    /// At most so many bugs of one modifier for one entity.
    pub per_entity: usize,
    /// At most so many bugs altogether, spread over modifiers and files.
    pub max: Option<usize>,
}

impl Default for InjectOptions {
    /// SWE-smith's seed and thresholds, every modifier, one bug each.
    fn default() -> Self {
        Self {
            seed: 24,
            modifiers: Modifier::ALL.to_vec(),
            likelihood: None,
            min_complexity: None,
            max_complexity: None,
            per_entity: 1,
            max: None,
        }
    }
}

/// After so many attempts in a row that give nothing new, an entity has no more bugs of a kind.
const ATTEMPTS: usize = 5;

/// Proposes bugs for functions, methods and classes, sorted by place. Whether a test sees them
/// is for the caller to find out.
///
/// Left alone are tests, documentation, build scripts, vendored and generated files, whatever
/// is not named `*.py`; and within a file what only type checkers read, docstrings, overloads,
/// annotations and decorators. Files that are not Python 3 are problems. Two bugs that mean the
/// same appear once.
pub fn inject(files: &[Source<'_>], options: &InjectOptions) -> (Vec<Bug>, Vec<Problem>) {
    let mut files: Vec<&Source<'_>> = files.iter().filter(|f| !is_left_alone(f.path)).collect();
    files.sort_by_key(|f| (f.path, f.content));
    let mut modifiers = options.modifiers.clone();
    modifiers.sort();
    modifiers.dedup();
    let mut bugs = Vec::new();
    let mut problems = Vec::new();
    let mut last = None;
    for source in files {
        let problem = |what: String| Problem { path: source.path.to_owned(), what };
        if last.replace(source.path) == Some(source.path) {
            problems.push(problem("was given twice; the second one is left alone".into()));
        } else if !is_generated(source.content)
            && let Err(what) = inject_file(source, &modifiers, options, &mut bugs)
        {
            problems.push(problem(what));
        }
    }
    if let Some(max) = options.max.filter(|max| *max < bugs.len()) {
        bugs = choose(bugs, max, options.seed);
    }
    (bugs, problems)
}

/// An accepted proposal of one file.
struct Proposal {
    modifier: Modifier,
    entity: usize,
    splices: Vec<Splice>,
}

fn inject_file(
    source: &Source<'_>,
    modifiers: &[Modifier],
    options: &InjectOptions,
    bugs: &mut Vec<Bug>,
) -> Result<(), String> {
    let file = File::parse(source.content)?;
    let mut meaning = Meaning::default();
    let original = meaning.read(source.content)?;
    let entities = entities(&file);
    let mut seen: HashSet<Key> = HashSet::from([original]);
    let mut proposals: Vec<Proposal> = Vec::new();
    for &modifier in modifiers {
        for (index, entity) in entities.iter().enumerate() {
            if !is_eligible(modifier, entity, options) {
                continue;
            }
            let (mut found, mut misses) = (0, 0);
            for attempt in 0.. {
                if found == options.per_entity || misses == ATTEMPTS {
                    break;
                }
                misses += 1;
                let force = misses == ATTEMPTS;
                let mut dice = dice(source.path, entity, modifier, attempt, force, options);
                let splices = disjoint(modifier.propose(&file, entity, &mut dice));
                let Some(content) = apply(source.content, &splices) else { continue };
                if splices.is_empty() || content == source.content {
                    continue;
                }
                if meaning.read(&content).is_ok_and(|key| seen.insert(key)) {
                    proposals.push(Proposal { modifier, entity: index, splices });
                    (found, misses) = (found + 1, 0);
                }
            }
        }
    }
    proposals.sort_by_key(|p| (p.splices.first().map_or(0, |s| s.range.start), p.modifier));
    let mut ids: HashSet<String> = HashSet::new();
    for proposal in proposals {
        let entity = &entities[proposal.entity];
        let Some(content) = apply(source.content, &proposal.splices) else { continue };
        let mut patch = make(&[change(source, content)], &MakeOptions::default());
        let mut id = format!("{}__{}", proposal.modifier, short_name(&patch));
        while !ids.insert(id.clone()) {
            patch.push(b'+');
            id = format!("{}__{}", proposal.modifier, short_name(&patch));
        }
        let edit = |splice: Splice| Edit {
            path: source.path.to_owned(),
            start: splice.range.start,
            end: splice.range.end,
            replacement: splice.text,
        };
        bugs.push(Bug {
            id,
            modifiers: vec![proposal.modifier],
            edits: proposal.splices.into_iter().map(edit).collect(),
            entities: vec![EntityRef {
                path: source.path.to_owned(),
                name: entity.name.clone(),
                line: file.line_of(entity.node.start_byte()) + 1,
            }],
            complexity: entity.complexity,
        });
    }
    Ok(())
}

fn is_eligible(modifier: Modifier, entity: &Entity<'_>, options: &InjectOptions) -> bool {
    let (least, greatest) = modifier.complexity();
    modifier.is_for_classes() == entity.is_class()
        && entity.complexity >= options.min_complexity.unwrap_or(least)
        && entity.complexity <= options.max_complexity.unwrap_or(greatest)
}

fn dice(
    path: &str,
    entity: &Entity<'_>,
    modifier: Modifier,
    attempt: usize,
    force: bool,
    options: &InjectOptions,
) -> Dice {
    let ordinal = (entity.ordinal as u64).to_le_bytes();
    let attempt = (attempt as u64).to_le_bytes();
    let parts: [&[u8]; 5] =
        [path.as_bytes(), entity.name.as_bytes(), &ordinal, modifier.name().as_bytes(), &attempt];
    let likelihood = options.likelihood.unwrap_or(modifier.likelihood()).clamp(0.0, 1.0);
    // Who asks for no changes gets none.
    let force = force && likelihood > 0.0;
    Dice { stream: Stream::new(options.seed, &parts), likelihood, force }
}

/// `max` of the bugs, spread over modifiers and files, in their order.
fn choose(bugs: Vec<Bug>, max: usize, seed: u64) -> Vec<Bug> {
    let traits: Vec<Traits> = bugs
        .iter()
        .map(|bug| Traits {
            sort: bug.modifiers.first().map_or(0, |m| *m as usize),
            place: bug.edits.first().map(|e| e.path.clone()).unwrap_or_default(),
            rank: rank(seed, &[b"choose", bug.id.as_bytes(), &path_of(bug)]),
        })
        .collect();
    let chosen: HashSet<usize> = spread(&traits).into_iter().take(max).collect();
    let kept = bugs.into_iter().enumerate().filter(|(index, _)| chosen.contains(index));
    kept.map(|(_, bug)| bug).collect()
}

fn path_of(bug: &Bug) -> Vec<u8> {
    bug.edits.first().map(|e| e.path.clone().into_bytes()).unwrap_or_default()
}
