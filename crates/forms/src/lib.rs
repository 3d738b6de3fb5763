//! How a model is asked whether an attempt is right.
//!
//! A *form* turns an attempt into a [`Prompt`]. [`r2e`] and [`swe_gym`] are, byte for byte, the inputs
//! that the models of those projects were trained on, so their instructions are those projects' own
//! words; [`ours`] is for models that were not trained for it. Who asks and who writes what is to be
//! trained on both take them from here, so that a model is asked as it was trained.

pub mod ours;
pub mod r2e;
pub mod swe_gym;
mod transcript;

pub use transcript::{Said, Speaker, existing_files, said_in, text_of};

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The instructions.
    pub system: String,
    /// The attempt, and the question.
    pub user: String,
    /// Parts that were shortened to fit.
    pub condensed: usize,
    /// Whether it is too long all the same.
    pub too_long: bool,
}

/// How long a prompt may be.
#[derive(Clone, Copy)]
pub struct Limit<'a> {
    /// Tokens.
    pub tokens: usize,
    /// Counts the tokens of a text. There is no tokenizer here; a quarter of the bytes is a fair
    /// guess where the model's own is not at hand, but then a form is not byte for byte what a model
    /// was trained on once it has to be shortened.
    pub count: &'a dyn Fn(&str) -> usize,
}

impl Limit<'_> {
    fn holds(&self, text: &str) -> bool {
        (self.count)(text) <= self.tokens
    }
}

/// What of an attempt is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// The patch.
    Patch,
    /// The trajectory.
    Trajectory,
    /// Both.
    #[default]
    Both,
}

impl View {
    fn trajectory(self) -> bool {
        self != Self::Patch
    }

    fn patch(self) -> bool {
        self != Self::Trajectory
    }
}
