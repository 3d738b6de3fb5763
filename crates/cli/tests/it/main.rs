//! The program as a user has it: real git, real uv, real pytest, a real sandbox.

mod bad_input;
mod demo;
mod harbor;
mod interrupted;
mod support;
