//! Verifiers at work: tests are run on attempts, attempts are ranked, critics are trained.
//!
//! [`palestra_verify`] scores and chooses; here is what it cannot do itself, because it runs nothing
//! and reads nothing. Ranking never reads hidden tests, fixes or verdicts: a [`Ground`] is the base
//! tree and its environment alone, and attempts are read without their verdicts. Only [`rows_of_job`],
//! [`rows_of_dataset`] and [`pool()`] know verdicts, to train and to measure.

mod attempts;
mod cached;
mod execute;
mod ground;
mod judged;
mod pool;
mod rank;
mod rows;
mod simulated;
mod stand_in;
mod write;

pub(crate) use attempts::features_of;
pub use execute::{Executed, Execution, Ran, execute};
pub use ground::Ground;
pub use judged::{Form, ModelJudge};
pub use pool::{PoolReport, PoolRequest, leave_one_out, pool};
pub use rank::{RankRequest, Ranked, Ranking, TaskRanking, rank};
pub use rows::{rows_of_dataset, rows_of_job};
pub use stand_in::StandIn;
pub use write::{Ask, GivenTests, ModelWriter, TestSample, TestWriter};
