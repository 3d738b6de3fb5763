//! Which parsers there are, by the harness that they come from and the name that its rows use.

use crate::status::StatusMap;
use crate::structured::Problem;
use crate::{common, r2egym, rebench, rebench_v2, repos, swebench, swegym, swesmith};

/// Which harness's edition of a parser. The same name means different things in different
/// editions, so a dataset has to say which one it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Edition {
    /// `swebench` 4.1.0, whose parsers are chosen by repository.
    SweBench4,
    /// `swebench` 5.0.2, whose rows name their parser.
    SweBench5,
    /// `swesmith` 0.0.9. Its parsers are methods of repository profiles; the names are ours.
    SweSmith,
    /// SWE-rebench's fork of SWE-bench 4, whose rows name their parser.
    SweRebench,
    /// SWE-rebench V2, whose rows name their parser.
    SweRebenchV2,
    /// R2E-Gym.
    R2eGym,
    /// SWE-Gym's fork of SWE-bench 2.
    SweGym,
    /// Our own readers of common formats: for logs of test runners, whatever harness ran them.
    Common,
}

/// What some parsers want to know beside the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogContext<'a> {
    /// Id of the row (`owner__repo-123`). Two parsers choose a format by it.
    pub instance_id: &'a str,
    /// The repository (`owner/repo`).
    pub repo: &'a str,
    /// Version of the repository in the row. Two parsers choose a format by it.
    pub version: &'a str,
}

/// What a parser made of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Statuses by test.
    pub map: StatusMap,
    /// What was odd. Where the original raises an exception, a problem says so and the map is
    /// empty; such a problem has no line.
    pub problems: Vec<Problem>,
    raised: bool,
}

impl Parsed {
    pub(crate) fn new(map: StatusMap, problems: Vec<Problem>) -> Self {
        Self { map, problems, raised: false }
    }

    /// Whether the original raises an exception on this log, or would not come to an end with it.
    /// Such a run has no map at all, which is not the same as an empty one.
    pub fn raised(&self) -> bool {
        self.raised
    }
}

/// Why a parser has no map to give: the original raises there, or the log is made to exhaust it.
#[derive(Debug)]
pub(crate) struct Raised(pub(crate) String);

impl Raised {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A map, or why there is none.
pub(crate) type Outcome = Result<StatusMap, Raised>;

impl From<StatusMap> for Parsed {
    fn from(map: StatusMap) -> Self {
        Self { map, ..Self::default() }
    }
}

impl From<Raised> for Parsed {
    fn from(Raised(text): Raised) -> Self {
        let problems = vec![Problem { line: 0, text }];
        Self { map: StatusMap::new(), problems, raised: true }
    }
}

impl From<Outcome> for Parsed {
    fn from(outcome: Outcome) -> Self {
        outcome.map_or_else(Self::from, Self::from)
    }
}

/// A line of the table of an edition.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) run: fn(&str, LogContext<'_>) -> Parsed,
}

/// Names of one edition, with version and function. The function gives whatever becomes a
/// [`Parsed`]; after `in` stands one that wants the context too.
macro_rules! table {
    ($($($name:literal)|+ => $version:literal $kind:tt $run:path;)*) => {
        &[$($($crate::registry::Entry {
            name: $name,
            version: $version,
            run: |log, context| $crate::registry::call!($kind $run, log, context).into(),
        },)+)*]
    };
}

macro_rules! call {
    (, $run:path, $log:ident, $context:ident) => {{
        let _ = $context;
        $run($log)
    }};
    (in $run:path, $log:ident, $context:ident) => {
        $run($log, $context)
    };
}
pub(crate) use call;
pub(crate) use table;

/// A parser of logs.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    edition: Edition,
    entry: &'static Entry,
}

impl Parser {
    /// The name it was asked for by.
    pub fn name(&self) -> &'static str {
        self.entry.name
    }

    /// The edition it belongs to.
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// Changes whenever the parser would read some log in another way. A verdict records it, so
    /// that old verdicts can be told from new ones.
    pub fn version(&self) -> u32 {
        self.entry.version
    }

    /// Reads a log, which [`read_log`](crate::read_log) has made text of. Takes time that grows
    /// in proportion to the log.
    pub fn parse(&self, log: &str, context: LogContext<'_>) -> Parsed {
        (self.entry.run)(log, context)
    }
}

fn table_of(edition: Edition) -> &'static [Entry] {
    match edition {
        Edition::SweBench4 => swebench::TABLE_4,
        Edition::SweBench5 => swebench::TABLE_5,
        Edition::SweSmith => swesmith::TABLE,
        Edition::SweRebench => rebench::TABLE,
        Edition::SweRebenchV2 => rebench_v2::TABLE,
        Edition::R2eGym => r2egym::TABLE,
        Edition::SweGym => swegym::TABLE,
        Edition::Common => common::TABLE,
    }
}

/// The parser that an edition knows under a name. Aliases of the registries are names too.
pub fn parser(edition: Edition, name: &str) -> Option<Parser> {
    let entry = table_of(edition).iter().find(|entry| entry.name == name)?;
    Some(Parser { edition, entry })
}

/// The parser that an edition chooses for a repository: `owner/repo` in SWE-bench 4, SWE-Gym and
/// SWE-rebench; that or `owner__repo.commit` in SWE-smith; a bare name in R2E-Gym. Editions whose
/// rows name their parser have none.
pub fn parser_of_repo(edition: Edition, repo: &str) -> Option<Parser> {
    parser(edition, repos::parser_name(edition, repo)?)
}

/// All names of an edition, aliases included, in the order of its registry.
pub fn names(edition: Edition) -> impl Iterator<Item = &'static str> {
    table_of(edition).iter().map(|entry| entry.name)
}
