//! Why a proposal is not taken. A rejection is a result, and is counted by its reason.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A reason, by the name under which it is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name, in snake case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// The model said nothing.
    EmptyReply = "empty_reply",
    /// The model, or a filter before it, refused.
    Refused = "refused",
    /// The answer ends in the middle, at the bound of tokens.
    CutOff = "cut_off",
    /// The answer is longer than anything useful.
    ReplyTooLong = "reply_too_long",
    /// The prompt does not fit into the model's context.
    PromptTooLong = "prompt_too_long",
    /// Prose without a block of code.
    NoCode = "no_code",
    /// Code in another language than Python.
    WrongLanguage = "wrong_language",
    /// Several blocks that could each be meant.
    SeveralBlocks = "several_blocks",
    /// An answer that should be JSON of a certain form is not.
    BadJson = "bad_json",
    /// A patch that cannot be read, or adds no file of tests.
    NoFile = "no_file",
    /// The path leaves the directories of the tests, or is none.
    PathOutsideTests = "path_outside_tests",
    /// There is such a file already.
    PathExists = "path_exists",
    /// The runner would not find the file by its name.
    NotATestFile = "not_a_test_file",
    /// The file is too long.
    FileTooLong = "file_too_long",
    /// There are too many tests.
    TooManyTests = "too_many_tests",
    /// Python cannot read it.
    SyntaxError = "syntax_error",
    /// There is no test in it.
    NoTests = "no_tests",
    /// No test asserts anything, or calls anything that was changed.
    NoAssertion = "no_assertion",
    /// The tests only look whether something can be imported, exists or can be called.
    OnlyImports = "only_imports",
    /// The network is used.
    Network = "network",
    /// Programs are started, other than Python itself.
    Subprocess = "subprocess",
    /// Files outside temporary directories are deleted.
    DeletesFiles = "deletes_files",
    /// Files outside temporary directories are written.
    WritesFiles = "writes_files",
    /// More than a second is slept.
    Sleeps = "sleeps",
    /// Tests are skipped or expected to fail.
    Skips = "skips",
    /// A loop that nothing in it ends.
    EndlessLoop = "endless_loop",
    /// The text of the source is looked at instead of what it does.
    ReadsSource = "reads_source",
    /// The runner is interfered with, or code is run that cannot be seen.
    Tampers = "tampers",
    /// The entity that was asked for is not in the answer.
    NoEntity = "no_entity",
    /// The signature is another.
    SignatureChanged = "signature_changed",
    /// The documentation is another.
    DocumentationChanged = "documentation_changed",
    /// Nothing is different, as far as meaning goes.
    SameMeaning = "same_meaning",
    /// Something in the code points at the mistake.
    TellsTheBug = "tells_the_bug",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a proposal is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// What exactly, in one line, fit to be told to the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Line of the file, from 1, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Rejection {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), line: None }
    }

    pub(crate) fn at(reason: Reason, line: usize, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), line: Some(line) }
    }

    /// Whether the model could do better when it is told: not where the prompt itself is at fault.
    pub fn can_be_repaired(&self) -> bool {
        !matches!(self.reason, Reason::PromptTooLong | Reason::Refused)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.name())?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        match self.detail.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.detail),
        }
    }
}
