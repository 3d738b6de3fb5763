//! Tests, statements and bugs, proposed by language models and checked.
//!
//! Nothing here runs a test or reads a repository: values come in, and what comes out is a
//! proposal, a verdict on reports that somebody else made, or a reason. So one loop can be built
//! around it: propose ([`tests::propose`]), run, judge the reports ([`tests::judge_runs`]), ask
//! for a repair ([`tests::repair`]), run again, and make it smaller ([`tests::minimise`]).
//!
//! What a model is asked is a file of [`prompt::PromptSet`]; how it is asked, and that nothing is
//! asked twice, is [`ask::Asker`]. Whatever comes from a repository is fenced off in a prompt, and
//! whatever a model answers is checked before anyone uses it; what fails a check is a
//! [`Rejection`], which is a result and no error. Errors are those of the machine: no model, no
//! answer, no disk.

pub mod ask;
pub mod bug;
pub mod judge;
pub mod ledger;
pub mod prompt;
mod python;
mod reject;
mod reply;
pub mod statement;
pub mod tests;

pub use ask::{AskError, Asker, AskerConfig, Proposal, Spent};
pub use ledger::{StageEntry, Yields};
pub use prompt::{PromptError, PromptRef, PromptSet};
pub use reject::{Reason, Rejection};
