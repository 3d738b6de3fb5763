//! History into candidates, filters as data.
//!
//! [`mine`] walks a history and gives one [`MinedCommit`] per commit: what it changes, numbers
//! about it ([`Features`]), and what a set of [`Filters`] says to these numbers. Filters are
//! TOML; [`Filters::preset`] has three sets. Commits come out in the order of the history,
//! whatever the number of threads.

mod analyse;
mod bench;
mod cache;
mod date;
mod entities;
mod features;
mod filters;
mod run;

pub use bench::{BenchResult, bench};
pub use date::parse_date;
pub use features::Features;
pub use filters::{Condition, Decision, Filter, FilterError, Filters, Rejection, TestRule};
pub use run::{MineError, MineOptions, MinedCommit, Summary, mine};
