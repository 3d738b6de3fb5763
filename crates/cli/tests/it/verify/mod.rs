//! Ranking, critics and their benchmark: real jobs, real runs of tests.

mod bench;
mod judge;
mod rank;

use std::path::Path;

use serde_json::Value;

use crate::support::Ran;

/// What a command printed with `--json`.
fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
