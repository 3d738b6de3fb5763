//! The prompts that the program brings along, and the places of each.

/// Names of the prompts.
pub mod name {
    /// Writes tests for a commit.
    pub const TESTS: &str = "tests";
    /// Repairs tests after they were run.
    pub const TESTS_REPAIR: &str = "tests-repair";
    /// What an agent in a sandbox is told that is to write tests.
    pub const TESTS_AGENT: &str = "tests-agent";
    /// Writes the statement of a task.
    pub const STATEMENT: &str = "statement";
    /// Rewrites a statement that failed its checks.
    pub const STATEMENT_REWRITE: &str = "statement-rewrite";
    /// Judges a commit, its tests and its statement.
    pub const JUDGE: &str = "judge";
    /// Writes a function anew from its signature.
    pub const BUG_REWRITE: &str = "bug-rewrite";
    /// Changes a function a little, for the worse.
    pub const BUG_SUBTLE: &str = "bug-subtle";
}

/// What a place is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A few words of one line, bounded and without anything odd.
    Word,
    /// Words of ours, of any length: never anything that a repository or a model wrote.
    Ours,
    /// Text from a repository or a model, which is fenced off.
    Material,
    /// The mark of the fences.
    Fence,
}

/// A place in a prompt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// A prompt that the program brings along.
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) places: &'static [Place],
}

const fn word(name: &'static str) -> Place {
    Place { name, kind: Kind::Word, required: false }
}

const fn ours(name: &'static str) -> Place {
    Place { name, kind: Kind::Ours, required: true }
}

const fn material(name: &'static str) -> Place {
    Place { name, kind: Kind::Material, required: true }
}

/// Material that a replacement may leave out.
const fn extra(name: &'static str) -> Place {
    Place { name, kind: Kind::Material, required: false }
}

/// Without it a model could not tell material from instructions.
const FENCE: Place = Place { name: "fence", kind: Kind::Fence, required: true };

const TESTS: &[Place] = &[
    FENCE,
    word("repository"),
    word("python"),
    word("framework"),
    Place { name: "path", kind: Kind::Word, required: true },
    extra("message"),
    material("diff"),
    extra("code"),
    extra("style"),
];

const STATEMENT: &[Place] = &[
    FENCE,
    word("repository"),
    extra("message"),
    material("diff"),
    material("tests"),
    extra("before"),
    extra("after"),
    material("interfaces"),
];

const BUG: &[Place] = &[FENCE, word("repository"), word("path"), word("name"), material("code")];

/// All of them.
pub(crate) const BUILTIN: &[Builtin] = &[
    Builtin { name: name::TESTS, text: include_str!("../../prompts/tests.md"), places: TESTS },
    Builtin {
        name: name::TESTS_REPAIR,
        text: include_str!("../../prompts/tests-repair.md"),
        places: &[
            FENCE,
            word("repository"),
            word("python"),
            word("framework"),
            Place { name: "path", kind: Kind::Word, required: true },
            ours("problem"),
            extra("message"),
            material("diff"),
            extra("code"),
            extra("style"),
            material("previous"),
            material("output"),
        ],
    },
    Builtin {
        name: name::TESTS_AGENT,
        text: include_str!("../../prompts/tests-agent.md"),
        places: TESTS,
    },
    Builtin {
        name: name::STATEMENT,
        text: include_str!("../../prompts/statement.md"),
        places: STATEMENT,
    },
    Builtin {
        name: name::STATEMENT_REWRITE,
        text: include_str!("../../prompts/statement-rewrite.md"),
        places: &[
            FENCE,
            word("repository"),
            material("previous"),
            material("objections"),
            extra("message"),
            material("diff"),
            material("tests"),
            extra("before"),
            extra("after"),
            material("interfaces"),
        ],
    },
    Builtin {
        name: name::JUDGE,
        text: include_str!("../../prompts/judge.md"),
        places: &[
            FENCE,
            word("repository"),
            ours("codes"),
            extra("message"),
            material("statement"),
            material("diff"),
            material("tests"),
        ],
    },
    Builtin {
        name: name::BUG_REWRITE,
        text: include_str!("../../prompts/bug-rewrite.md"),
        places: BUG,
    },
    Builtin {
        name: name::BUG_SUBTLE,
        text: include_str!("../../prompts/bug-subtle.md"),
        places: BUG,
    },
];
