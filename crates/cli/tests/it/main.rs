//! The program as a user has it: real git, real uv, real pytest, a real sandbox.

mod bad_input;
mod demo;
mod export;
mod gc;
mod grade;
mod grade_kinds;
mod harbor;
mod interrupted;
mod run;
mod sandbox_image;
mod sandbox_named;
mod sandbox_run;
mod support;
mod synth;
mod verify;
