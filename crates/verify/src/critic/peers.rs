//! Features that compare the attempts at one task with each other.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use palestra_diff::Side;

use super::Features;

/// An attempt, to be compared.
#[derive(Debug)]
pub struct Peer<'a> {
    /// Its patch.
    pub patch: &'a [u8],
    /// Its features, which are added to.
    pub features: &'a mut Features,
}

/// A patch as sets: changed lines with their files, and files.
struct Shape {
    lines: BTreeSet<u64>,
    files: BTreeSet<u64>,
}

/// Adds `agreement`, `similarity`, `same_files` and the ranks to every attempt at one task. One
/// attempt alone has none of them.
pub fn compare(peers: &mut [Peer<'_>]) {
    if peers.len() < 2 {
        return;
    }
    let shapes: Vec<Shape> = peers.iter().map(|peer| shape(peer.patch)).collect();
    let others = (peers.len() - 1) as f64;
    for (place, peer) in peers.iter_mut().enumerate() {
        let own = &shapes[place];
        let all = || shapes.iter().enumerate().filter(|(i, _)| *i != place).map(|(_, s)| s);
        let same = all().filter(|other| other.lines == own.lines).count() as f64;
        // Sorted, so that the sum does not depend on the order of the attempts.
        let mean = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.iter().sum::<f64>() / others
        };
        let mut lines: Vec<f64> = all().map(|other| jaccard(&own.lines, &other.lines)).collect();
        let mut files: Vec<f64> = all().map(|other| jaccard(&own.files, &other.files)).collect();
        peer.features.set("agreement", same / others);
        peer.features.set("similarity", mean(&mut lines));
        peer.features.set("same_files", mean(&mut files));
    }
    for (rank, of) in [("steps_rank", "steps"), ("lines_rank", "source_lines")] {
        let values: Vec<Option<f64>> = peers.iter().map(|peer| peer.features.get(of)).collect();
        let known = values.iter().flatten().count() as f64;
        for (peer, value) in peers.iter_mut().zip(&values) {
            let Some(value) = value else { continue };
            let (mut below, mut equal) = (0.0, 0.0);
            for other in values.iter().flatten() {
                below += f64::from(u8::from(other < value));
                equal += f64::from(u8::from(other == value));
            }
            if known > 1.0 {
                peer.features.set(rank, (below + (equal - 1.0) / 2.0) / (known - 1.0));
            }
        }
    }
}

fn shape(patch: &[u8]) -> Shape {
    let (parsed, _) = palestra_diff::parse(patch);
    let mut shape = Shape { lines: BTreeSet::new(), files: BTreeSet::new() };
    for file in &parsed.files {
        shape.files.insert(hash(file.path()));
        if file.is_binary() || file.hunks().is_empty() {
            shape.lines.insert(hash((file.path(), file.new_oid, file.new_mode)));
        }
        for line in file.hunks().iter().flat_map(|hunk| &hunk.lines) {
            if line.side != Side::Context && !line.text.trim_ascii().is_empty() {
                let added = line.side == Side::Added;
                shape.lines.insert(hash((file.path(), added, line.text.trim_ascii())));
            }
        }
    }
    shape
}

fn hash(value: impl Hash) -> u64 {
    // With fixed keys, so that it is the same in every run.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn jaccard(a: &BTreeSet<u64>, b: &BTreeSet<u64>) -> f64 {
    let both = a.intersection(b).count();
    let either = a.len() + b.len() - both;
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}
