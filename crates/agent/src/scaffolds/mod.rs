//! The scaffolds.

pub(crate) mod bash;
pub(crate) mod compat;
pub(crate) mod editing;
pub(crate) mod editor;
pub(crate) mod mini;
pub(crate) mod openhands;
pub(crate) mod r2egym;
