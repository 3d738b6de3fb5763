//! Structured results and raw logs of test runs into reports.
