//! Pipelines over the features: curate, resume, report; and what people do by hand: sandboxes that
//! stay, and cleaning up.
//!
//! Features propose and judge; only this crate joins them. It prints nothing: what happens
//! goes to an [`event::Sink`].

pub mod attend;
pub mod blueprint;
mod cpu;
pub mod curate;
pub mod dataset;
pub mod demo;
mod derive;
pub mod doctor;
pub mod error;
pub mod evaluate;
pub mod event;
pub mod gc;
mod gold;
mod groups;
mod hold;
pub mod home;
pub mod keeper;
pub mod material;
mod parallel;
pub mod regate;
pub mod report;
pub mod rollout;
mod settle;
pub mod ship;
pub mod shop;
mod stored;
pub mod synth;
mod usage;
pub mod verify;
pub mod work;
pub mod workplace;

pub use error::EngineError;
