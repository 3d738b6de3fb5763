//! Pipelines over the features: curate, resume, report.
//!
//! Features propose and judge; only this crate joins them. It prints nothing: what happens
//! goes to an [`event::Sink`].

pub mod dataset;
pub mod error;
pub mod event;
pub mod home;
pub mod report;
pub mod statement;

pub use error::EngineError;
