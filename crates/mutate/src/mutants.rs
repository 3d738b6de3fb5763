//! Mutants of a gold patch.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use crate::gold::{Gold, Outcome, Role, branches, expressions, lines, reverts, statements};
use crate::meaning::Meaning;
use crate::modifier::UnknownName;
use crate::random::{rank, short_name};
use crate::select::{Traits, spread};
use crate::splice::{Splice, apply, disjoint};
use crate::tree::{File, shown};
use crate::{MutateError, Problem};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// In what way a mutant differs from gold.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum MutantKind {
            $($(#[$doc])* $variant,)+
        }

        impl MutantKind {
            /// All of them.
            pub const ALL: &[MutantKind] = &[$(MutantKind::$variant,)+];

            /// The name, in small letters with underscores.
            pub fn name(self) -> &'static str {
                match self {
                    $(MutantKind::$variant => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// A hunk of gold is missing.
    HunkDropped = "hunk_dropped",
    /// A file of gold is missing.
    FileDropped = "file_dropped",
    /// Some of the lines of a hunk are as they were, or old lines stayed beside the new.
    PartialRevert = "partial_revert",
    /// A statement of gold is missing.
    StatementDropped = "statement_dropped",
    /// Only the first of several places was fixed.
    FirstOnly = "first_only",
    /// Another operator.
    Operator = "operator",
    /// Another constant.
    Constant = "constant",
    /// A condition is negated, or lacks a part.
    Condition = "condition",
    /// A guard always holds: the fix applies where it should not.
    OverEager = "over_eager",
    /// A boundary is one off.
    OffByOne = "off_by_one",
    /// Something else is returned.
    ReturnValue = "return_value",
    /// Two arguments are exchanged.
    ArgumentSwap = "argument_swap",
    /// An argument is missing.
    ArgumentDrop = "argument_drop",
    /// An exception is not raised, or is caught and forgotten.
    ExceptionSwallowed = "exception_swallowed",
    /// Another exception is raised, or more or fewer are caught.
    ExceptionType = "exception_type",
    /// The function returns before the fix.
    EarlyReturn = "early_return",
    /// The fix is in the other branch.
    OtherBranch = "other_branch",
    /// Another default.
    WrongDefault = "wrong_default",
    /// Another name of the same function.
    WrongName = "wrong_name",
    /// A call is missing, and what it was called with or on stands there.
    CallDropped = "call_dropped",
    /// A fixed value stands where one is computed.
    HardCoded = "hard_coded",
}

impl fmt::Display for MutantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MutantKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.iter().copied().find(|k| k.name() == name);
        known.ok_or_else(|| UnknownName {
            name: name.to_owned(),
            known: Self::ALL.iter().map(|k| k.name()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// A patch like gold, but not gold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// `<kind>__<hash>` with eight of `a-z0-9` that stand for the patch.
    pub id: String,
    /// In what way it differs from gold.
    pub kind: MutantKind,
    /// What differs, and where in gold's tree; one line.
    pub description: String,
    /// The whole patch, relative to the base.
    pub patch: Vec<u8>,
}

/// How many mutants to make, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutantOptions {
    /// What chance begins with.
    pub seed: u64,
    /// At most so many, spread over kinds and hunks.
    pub max: Option<usize>,
    /// What to try.
    pub kinds: Vec<MutantKind>,
}

impl Default for MutantOptions {
    /// Every mutant of every kind.
    fn default() -> Self {
        Self { seed: 24, max: None, kinds: MutantKind::ALL.to_vec() }
    }
}

/// What a mutant does to gold's tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Files are as they were.
    Drop(Vec<usize>),
    /// Files have other bytes.
    Edit(Vec<(usize, Vec<Splice>)>),
}

/// New bytes of files, by their place in gold.
pub(crate) type Texts = HashMap<usize, Vec<u8>>;

/// A mutant that is not yet known to be one.
pub(crate) struct Idea {
    pub(crate) kind: MutantKind,
    pub(crate) description: String,
    /// File and hunk.
    pub(crate) place: (usize, usize),
    pub(crate) action: Action,
}

/// Makes mutants of the patch `gold`. `base` gives the files of the base tree: regular files as
/// they are, links as their target.
///
/// Python is changed by its syntax tree, in what gold added and changed, other text by lines;
/// what gold deleted comes back. Documentation, tests and stubs stay as gold has them. Each
/// mutant differs in meaning from gold, from the base and from the others, its Python compiles as
/// far as can be told, and its patch applies to the base. They are sorted by kind, then by
/// place; with [`MutantOptions::max`] a smaller number is a part of a greater one.
///
/// # Errors
///
/// If gold cannot be read or does not apply.
pub fn mutants(
    base: &dyn Fn(&str) -> Option<Vec<u8>>,
    gold: &[u8],
    options: &MutantOptions,
) -> Result<(Vec<Mutant>, Vec<Problem>), MutateError> {
    let (gold, mut problems) = Gold::read(base, gold)?;
    if gold.files.iter().all(|f| f.role == Role::Fixed) {
        let path = gold.files.first().map(|f| f.path.clone()).unwrap_or_default();
        let what = "gold changes nothing that is executed: no mutants".to_owned();
        problems.push(Problem { path, what });
        return Ok((Vec::new(), problems));
    }
    let mut ideas = ideas(&gold, options.seed);
    ideas.retain(|idea| options.kinds.contains(&idea.kind));
    let traits: Vec<Traits> = ideas
        .iter()
        .map(|idea| {
            let path = &gold.files[idea.place.0].path;
            let place = format!("{path}#{}", idea.place.1);
            let parts =
                [place.as_bytes(), idea.kind.name().as_bytes(), idea.description.as_bytes()];
            Traits { sort: idea.kind as usize, rank: rank(options.seed, &parts), place }
        })
        .collect();

    let mut meaning = Meaning::default();
    let none = HashMap::new();
    let mut seen = HashSet::new();
    // A gold file that cannot be read is of a role that always has a key.
    seen.extend(gold.key(|_| Outcome::Gold, &none, &mut meaning).ok());
    seen.extend(gold.key(|_| Outcome::Base, &none, &mut meaning).ok());
    let mut made: Vec<(usize, Mutant)> = Vec::new();
    let mut ids = HashSet::new();
    for index in spread(&traits) {
        if options.max.is_some_and(|max| made.len() >= max) {
            break;
        }
        let idea = &ideas[index];
        let Some((dropped, texts)) = outcome(&gold, &idea.action) else { continue };
        let outcome =
            |file: usize| if dropped.contains(&file) { Outcome::Base } else { Outcome::Gold };
        let Ok(key) = gold.key(outcome, &texts, &mut meaning) else { continue };
        if !seen.insert(key) {
            continue;
        }
        let Some(patch) = gold.patch(&dropped, &texts) else { continue };
        let id = format!("{}__{}", idea.kind, short_name(&patch));
        if ids.insert(id.clone()) {
            let description = idea.description.clone();
            made.push((index, Mutant { id, kind: idea.kind, description, patch }));
        }
    }
    made.sort_by_key(|(index, mutant)| (mutant.kind, ideas[*index].place, *index));
    Ok((made.into_iter().map(|(_, mutant)| mutant).collect(), problems))
}

/// Which files are as they were, and which have other bytes; `None` if nothing is changed.
fn outcome(gold: &Gold, action: &Action) -> Option<(Vec<usize>, Texts)> {
    match action {
        Action::Drop(files) => Some((files.clone(), HashMap::new())),
        Action::Edit(edits) => {
            let mut texts = HashMap::new();
            for (file, splices) in edits {
                let new = gold.files.get(*file)?.after();
                texts.insert(*file, apply(new, &disjoint(splices.clone()))?);
            }
            Some((Vec::new(), texts))
        }
    }
}

fn ideas(gold: &Gold, seed: u64) -> Vec<Idea> {
    let mut ideas = Vec::new();
    reverts::ideas(gold, &mut ideas);
    for (index, touched) in gold.files.iter().enumerate() {
        match touched.role {
            Role::Python => {
                let Ok(file) = File::parse(touched.after()) else { continue };
                let mut place = Place { index, touched, file: &file, seed, ideas: &mut ideas };
                statements::ideas(&mut place);
                branches::ideas(&mut place);
                expressions::ideas(&mut place);
            }
            Role::Text => lines::ideas(index, touched, &mut ideas),
            Role::Whole | Role::Fixed => {}
        }
    }
    let mut seen = HashSet::new();
    ideas.retain(|idea| seen.insert(idea.action.clone()));
    ideas
}

/// A Python file of gold, and where ideas for it go.
pub(crate) struct Place<'a, 'i> {
    pub(crate) index: usize,
    pub(crate) touched: &'a crate::gold::Touched,
    pub(crate) file: &'a File<'a>,
    pub(crate) seed: u64,
    ideas: &'i mut Vec<Idea>,
}

impl Place<'_, '_> {
    /// Adds an idea, provided that it changes something that gold wrote.
    pub(crate) fn add(&mut self, kind: MutantKind, what: &str, at: usize, splices: Vec<Splice>) {
        let hunk = splices.iter().find_map(|s| {
            // An insertion belongs to the line that it is in.
            let range = s.range.start..s.range.end.max(s.range.start + 1);
            self.touched.hunk_at(&range)
        });
        let Some(hunk) = hunk.filter(|_| !splices.is_empty()) else { return };
        let line = self.file.line_of(at) + 1;
        self.ideas.push(Idea {
            kind,
            description: format!("{what} at {}:{line}", self.touched.path),
            place: (self.index, hunk),
            action: Action::Edit(vec![(self.index, splices)]),
        });
    }

    /// Adds the idea that a node is written otherwise.
    pub(crate) fn replace(
        &mut self,
        kind: MutantKind,
        node: tree_sitter::Node<'_>,
        text: impl Into<Vec<u8>>,
    ) {
        let text = text.into();
        let mut what = format!("`{}` became `{}`", self.file.shown(node), shown(&text));
        if let Some(parent) = node.parent().filter(|_| !node.is_named()) {
            // An operator alone says little.
            what = format!("{what} in `{}`", self.file.shown(parent));
        }
        let splice = Splice::new(node.byte_range(), text);
        self.add(kind, &what, node.start_byte(), vec![splice]);
    }
}
