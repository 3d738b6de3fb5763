//! Pipelines over the features: curate, resume, report.
//!
//! Features propose and judge; only this crate joins them. It prints nothing: what happens
//! goes to an [`event::Sink`].

pub mod curate;
pub mod dataset;
pub mod demo;
pub mod doctor;
pub mod error;
pub mod event;
mod gold;
pub mod home;
pub mod material;
pub mod regate;
pub mod report;
pub mod ship;
pub mod shop;
pub mod statement;
pub mod work;

pub use error::EngineError;
