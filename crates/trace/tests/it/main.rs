//! The graph from outside: conversations with servers that keep ids, and with servers that do not.

mod common;
mod files;
mod forms;
mod places;
mod random;
