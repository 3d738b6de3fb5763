//! The gateway from outside: real client libraries before it, a scripted server behind it.

mod clients;
mod common;
mod errors;
mod many;
mod passing;
mod sessions;
mod tokens;
