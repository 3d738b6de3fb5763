//! Structured results and raw logs of test runs into reports.
//!
//! Bytes in, values out: parsers never fail, and say what was odd beside the value.

pub mod pytest_text;
pub mod structured;

pub use structured::{Problem, Record, parse, parse_record};
