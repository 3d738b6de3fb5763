//! Token ids, and a hash of them that tells whether one list begins with another.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// The token ids of a path up to some node: how many, and their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// How many.
    pub length: usize,
    /// The hash of them, as 32-bit little-endian numbers.
    pub hash: Hash,
}

impl Chain {
    /// The chain of these ids.
    pub fn of(ids: &[u32]) -> Self {
        let mut hasher = blake3::Hasher::new();
        feed(&mut hasher, ids);
        Self { length: ids.len(), hash: Hash::cut(&hasher.finalize()) }
    }
}

/// The token ids that a node adds to those of its parent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The ids.
    pub ids: Vec<u32>,
    /// 1 if the server sampled them, 0 if they are prompt; the same for all of them.
    pub mask: u8,
    /// The log-probability of each sampled id; empty where the server gave none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::line::floats")]
    pub logprobs: Vec<f64>,
}

fn feed(hasher: &mut blake3::Hasher, ids: &[u32]) {
    let mut bytes = [0; 4096];
    for some in ids.chunks(bytes.len() / 4) {
        for (place, id) in bytes.chunks_exact_mut(4).zip(some) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        hasher.update(&bytes[..some.len() * 4]);
    }
}

/// Hashes of the beginnings of a list of ids. Asked in rising order, it reads the list once.
pub(crate) struct Prefixes<'a> {
    ids: &'a [u32],
    hasher: blake3::Hasher,
    read: usize,
}

impl<'a> Prefixes<'a> {
    pub(crate) fn new(ids: &'a [u32]) -> Self {
        Self { ids, hasher: blake3::Hasher::new(), read: 0 }
    }

    /// How many ids there are.
    pub(crate) fn length(&self) -> usize {
        self.ids.len()
    }

    /// Whether the list begins with the ids of this chain.
    pub(crate) fn begins_with(&mut self, chain: Chain) -> bool {
        chain.length <= self.ids.len() && self.at(chain.length) == chain.hash
    }

    /// The chain of the whole list.
    pub(crate) fn whole(&mut self) -> Chain {
        Chain { length: self.ids.len(), hash: self.at(self.ids.len()) }
    }

    /// The chain of the whole list with more behind it.
    pub(crate) fn with(&mut self, more: &[u32]) -> Chain {
        self.whole();
        let mut hasher = self.hasher.clone();
        feed(&mut hasher, more);
        Chain { length: self.ids.len() + more.len(), hash: Hash::cut(&hasher.finalize()) }
    }

    fn at(&mut self, length: usize) -> Hash {
        if length < self.read {
            self.hasher.reset();
            self.read = 0;
        }
        feed(&mut self.hasher, &self.ids[self.read..length]);
        self.read = length;
        Hash::cut(&self.hasher.finalize())
    }
}
