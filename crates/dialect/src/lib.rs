//! What "resolved" means in each harness, and what its runs look like.
//!
//! The harnesses of the field disagree: on how a patch may be applied, on which part of a log
//! counts, on what a skipped or a missing test is worth. Each of them is a [`Dialect`], stated in
//! one file under `dialects/` as a value of [`Rules`]; [`grade_log`] is the one reader of those
//! values. Beside that stand the forms around a verdict: [reports](report), the
//! [specifications](spec()) by which SWE-bench 4 builds its environments, and the
//! [scripts](script) made from them.
//!
//! Bytes in, values out: nothing here touches a file, a process or a clock.

mod cases;
mod dialect;
mod dialects;
pub mod environment;
mod grade;
mod infra;
mod instance;
mod ladder;
mod log;
pub mod markers;
pub mod report;
mod rules;
pub mod script;
mod smith;
mod spec;

pub use cases::{Outcomes, Resolution, TestsStatus};
pub use dialect::{Dialect, UnknownDialect};
pub use dialects::{modal, pro};
pub use grade::{GradeError, Graded, Refusal, grade_log};
pub use infra::{InfraLabel, Tier, classify};
pub use instance::{Instance, Run};
pub use ladder::{Applied, Attempt, Climb, Command, EmptyPatch, Fill, Ladder};
pub use rules::{
    Accept, CaseRules, Cleaning, ExitRule, FailOnly, ImageName, LogRules, Lookup, ParserChoice,
    Place, Region, Rules, Unlisted, VerdictRule, Workdir,
};
pub use smith::{SmithProfile, smith_profile, smith_test_files};
pub use spec::{Language, OneOrMany, Spec, language, spec, specs, swe_gym_spec, swe_gym_specs};
