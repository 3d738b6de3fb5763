//! Attempts into training sets.
//!
//! [`export()`] reads the attempts of jobs (ours, Harbor's, and what mini-swe-agent, R2E-Gym and
//! OpenHands leave behind), chooses among them by a [`Selection`], and writes what a trainer reads,
//! with a [`Card`] that says what was kept and what was left out, and why.
//!
//! ```text
//! source ──Episode──▶ select ──▶ rows (template, tokens, loss, verifier) ──Cell──▶ table ──▶ files
//! ```
//!
//! An attempt that cannot be read or used is counted with its reason, and never ends the export.
//! Memory holds one attempt, one row group of the table, and a few hundred bytes for every attempt.
//!
//! # Arguments of calls
//!
//! Chat templates want the arguments of a call as an object, and a column of Parquet has one type: as
//! objects with other fields in every row they would be filled up with nulls, which then stand in the
//! prompt. So they are JSON text in Parquet, with the logical type JSON and the mark `Json` of
//! `datasets`, which gives them back as objects (from version 4.7 on); older readers see text. In
//! JSON Lines they are objects. Axolotl parses text itself, so it gets text in both. `tools` is one
//! JSON column, for the same reason.

mod card;
mod contamination;
mod episode;
mod error;
mod export;
mod hub;
mod loss;
mod messages;
mod request;
mod rows;
mod select;
mod sharegpt;
mod source;
mod table;
mod template;
mod tokens;
mod verifier;

pub use card::{Card, Dropped, Reason};
pub use contamination::{Barred, Decontamination, SWE_BENCH};
pub use episode::{Episode, Origin, Outcome, TokenChain};
pub use error::{ExportError, Result};
pub use export::{CARD, Progress, export, export_with, write_rows};
pub use loss::{Loss, Weights};
pub use request::{ExportRequest, Form, Target};
pub use select::{Band, Selection, Verdicts};
pub use source::{Place, Refused, find, read};
pub use table::{Cell, Columns, FileForm, Kind, Table};
pub use template::{ChatTemplate, Rendered, TemplateError, to_json, tool_json};
pub use tokens::{ChatTokenizer, Tokenised};
pub use verifier::{AsksVerifier, VerifierForm, answer};
