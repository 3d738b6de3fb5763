//! Verifiers that go by what tests say. They run nothing: reports in, scores out.

mod ask;
mod imports;
mod regression;
mod reproduction;
mod weights;

pub use ask::{test_program, test_prompt};
pub use imports::{Choices, Chosen, SourceFile, changed_paths, choose_tests};
pub use regression::{RegressionScore, regression_score, stable_tests};
pub use reproduction::{IssueTests, Outcome, parse_issue_tests};
pub use weights::{Generated, Judged, Use, judge_tests};
