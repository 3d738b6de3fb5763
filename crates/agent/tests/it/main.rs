//! Scaffolds with scripted models in real sandboxes.

mod agents;
mod bad_input;
mod common;
mod external;
mod lossless;
mod running;

/// Stands for the first line of a program's `main`.
#[ctor::ctor]
fn init() {
    palestra_sandbox::init();
}
