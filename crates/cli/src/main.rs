//! The `palestra` binary.
fn main() {}
