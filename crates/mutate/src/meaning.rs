//! Whether a file is Python that compiles, and what it means.

use std::collections::HashMap;

use palestra_syntax::{Parser, canonical_tree};

use crate::rules;

/// What a file means: equal for files that differ only in layout, comments and docstrings.
pub(crate) type Key = [u8; 32];

/// Reads versions of files. It remembers every statement that it read, so another version of
/// the same file costs little.
#[derive(Default)]
pub(crate) struct Meaning {
    parser: Parser,
    statements: HashMap<Key, Result<Key, String>>,
}

/// The key of a statement that means nothing, such as a docstring.
const NOTHING: Key = [0; 32];

/// The canonical bytes of a source without statements.
const EMPTY_MODULE: &[u8] = b"module\x01\x02";

/// Remembered statements; more are forgotten all at once.
const MAX_REMEMBERED: usize = 200_000;

impl Meaning {
    /// The meaning of a file that Python 3 compiles, as far as can be told; else what is wrong.
    pub(crate) fn read(&mut self, source: &[u8]) -> Result<Key, String> {
        let module = self.parser.parse(source);
        if let Some(problem) = module.problems().first() {
            return Err(format!("line {}: {}", problem.line, problem.what));
        }
        if module.is_python2() {
            return Err("written in Python 2".to_owned());
        }
        let mut whole = blake3::Hasher::new();
        let mut begun = false;
        for statement in module.statements() {
            let future = statement.starts_with(b"from __future__");
            if future && begun {
                return Err("`from __future__` behind other statements".to_owned());
            }
            let quote = statement.iter().take(3).any(|b| matches!(b, b'"' | b'\''));
            begun = begun || !future && !quote;
            let key = self.statement(statement)?;
            if key != NOTHING {
                whole.update(&key);
            }
        }
        Ok(*whole.finalize().as_bytes())
    }

    fn statement(&mut self, text: &[u8]) -> Result<Key, String> {
        let name = *blake3::hash(text).as_bytes();
        if let Some(known) = self.statements.get(&name) {
            return known.clone();
        }
        let read = rules::check(text).map(|tree| {
            let canonical = canonical_tree(tree.root_node(), text);
            let is_empty = canonical == EMPTY_MODULE;
            if is_empty { NOTHING } else { *blake3::hash(&canonical).as_bytes() }
        });
        if self.statements.len() >= MAX_REMEMBERED {
            self.statements.clear();
        }
        self.statements.insert(name, read.clone());
        read
    }
}
