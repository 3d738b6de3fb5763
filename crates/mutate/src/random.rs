//! Chance that is the same on every machine and in every version.
//!
//! The generator is BLAKE3's extended output over the length-prefixed parts of a name. There is
//! no state to hand around: whoever knows the seed and what is to be decided has the stream.

use blake3::{Hasher, OutputReader};

/// A stream of numbers that belongs to one name.
pub(crate) struct Stream(OutputReader);

impl Stream {
    /// The stream of `seed` and `parts`; it depends on nothing else.
    pub(crate) fn new(seed: u64, parts: &[&[u8]]) -> Self {
        Self(hasher(seed, parts).finalize_xof())
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The bias of a product of 128 bits is below 2^-40 for any count of ours.
        ((u128::from(self.number()) * bound as u128) >> 64) as usize
    }

    /// True with that probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        (self.number() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }

    /// One of the items.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn hasher(seed: u64, parts: &[&[u8]]) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&seed.to_le_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher
}

/// A place in an order that looks random but is always the same.
pub(crate) fn rank(seed: u64, parts: &[&[u8]]) -> [u8; 32] {
    *hasher(seed, parts).finalize().as_bytes()
}

/// Eight of `a-z0-9` that stand for `content`.
pub(crate) fn short_name(content: &[u8]) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut stream = Stream::new(0, &[content]);
    (0..8).map(|_| char::from(LETTERS[stream.below(36)])).collect()
}

/// How chance decides in one attempt.
pub(crate) struct Dice {
    pub(crate) stream: Stream,
    /// How likely each place is changed.
    pub(crate) likelihood: f64,
    /// Whether one place is changed even if chance takes none.
    pub(crate) force: bool,
}

impl Dice {
    /// Some of the places, in their order.
    pub(crate) fn some<T>(&mut self, mut places: Vec<T>) -> Vec<T> {
        let taken: Vec<bool> = places.iter().map(|_| self.stream.chance(self.likelihood)).collect();
        if !taken.contains(&true) {
            if !self.force || places.is_empty() {
                return Vec::new();
            }
            let only = self.stream.below(places.len());
            return vec![places.swap_remove(only)];
        }
        let mut taken = taken.into_iter();
        places.retain(|_| taken.next() == Some(true));
        places
    }
}
