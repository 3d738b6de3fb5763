//! Python source with tree-sitter: entities, and what a change touches.
//!
//! A [`Parser`] turns source into a [`Module`], which knows the entities of its top level and
//! compares them by meaning ([`Module::canonical`]). Python 2 and Python 3 are both read;
//! nothing here fails: what cannot be read is reported as a [`Problem`].

mod canonical;
mod literal;
mod module;
mod paths;
mod python2;
mod split;

use palestra_core::Entity;

pub use canonical::canonical_tree;
pub use module::{Item, MAX_SOURCE_BYTES, Module, Parser, universal_newlines};
pub use paths::{is_r2e_test_path, is_source_code_path, is_test_path};

/// Something in a source file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// An entity with the text that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityWithContent {
    /// The entity.
    pub entity: Entity,
    /// Its text, without decorators; for a method, the text of its whole class.
    pub content: String,
}

/// The entities at the top level of a Python file, and the methods of its classes, in the order
/// in which they begin. Line ends of any convention count as one; decorators belong to no
/// entity; bytes that are not UTF-8 are replaced.
pub fn entities(path: &str, source: &[u8]) -> (Vec<EntityWithContent>, Vec<Problem>) {
    let module = Parser::new().parse(source);
    let entities = module.items().iter().map(|item| EntityWithContent {
        entity: item.entity(path),
        content: String::from_utf8_lossy(module.content(item)).into_owned(),
    });
    (entities.collect(), module.problems().to_vec())
}
