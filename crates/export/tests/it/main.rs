//! Training sets from jobs on disk, read by the trainers that they are for.

mod bad_input;
mod forms;
mod masks;
mod readers;
mod selection;
mod sources;
mod speed;
mod support;
