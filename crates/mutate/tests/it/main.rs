//! Bugs and mutants, as texts before and after.

#![allow(clippy::print_stderr)]

mod bad_input;
mod bugs;
mod combinations;
mod common;
mod fixture;
mod gold;
mod properties;
mod real;
