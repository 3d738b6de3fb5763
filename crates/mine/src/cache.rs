//! Parsed modules by object name. One version of a file is the new side of one commit and the
//! old side of the next, so most are asked for twice in a row.

use std::collections::HashMap;
use std::rc::Rc;

use palestra_git::BlobReader;
use palestra_syntax::{Module, Parser};

/// Modules that are kept in each of two generations.
const GENERATION: usize = 192;

/// Files above this size are not read: they are data.
pub(crate) const MAX_PYTHON_BYTES: u64 = palestra_syntax::MAX_SOURCE_BYTES as u64;

/// A version of a Python file.
pub(crate) struct Version {
    /// Its entities.
    pub(crate) module: Module,
    /// Whether its bytes are UTF-8.
    pub(crate) utf8: bool,
}

/// Reads and parses, and remembers.
pub(crate) struct Modules {
    parser: Parser,
    blobs: BlobReader,
    young: HashMap<String, Rc<Version>>,
    old: HashMap<String, Rc<Version>>,
    nothing: Rc<Version>,
}

impl Modules {
    pub(crate) fn new(blobs: BlobReader, mut parser: Parser) -> Self {
        let nothing = Rc::new(Version { module: parser.parse(b""), utf8: true });
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { parser, blobs: blobs.with_limit(MAX_PYTHON_BYTES), young, old, nothing }
    }

    /// A file that does not exist.
    pub(crate) fn nothing(&self) -> Rc<Version> {
        Rc::clone(&self.nothing)
    }

    /// The versions with these object names, in order. An object that cannot be read, because
    /// it is too large, counts as an unreadable file.
    pub(crate) fn get(&mut self, oids: &[&str]) -> std::io::Result<Vec<Rc<Version>>> {
        if self.young.len() > GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        let known = |m: &Self, oid: &str| m.young.contains_key(oid) || m.old.contains_key(oid);
        let mut missing: Vec<&str> = oids.iter().copied().filter(|o| !known(self, o)).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let contents = self.blobs.read_many(&missing)?;
            for (oid, content) in missing.into_iter().zip(contents) {
                let content = content.unwrap_or_else(|_| b"(".to_vec());
                let module = self.parser.parse(&content);
                let utf8 = std::str::from_utf8(&content).is_ok();
                self.young.insert(oid.to_owned(), Rc::new(Version { module, utf8 }));
            }
        }
        let versions = oids.iter().map(|oid| {
            if let Some(version) = self.young.get(*oid) {
                return Rc::clone(version);
            }
            let version = self.old.get(*oid).map_or_else(|| self.nothing(), Rc::clone);
            self.young.insert((*oid).to_owned(), Rc::clone(&version));
            version
        });
        Ok(versions.collect())
    }
}
