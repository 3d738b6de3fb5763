//! Gradient-boosted trees with a logistic loss.
//!
//! Values are sorted into at most 255 bins once; a tree is grown level by level, each split by the
//! gain of second order that XGBoost made usual, with what is missing sent to the better side.

use palestra_core::Hash;
use palestra_stats::SplitMix;
use serde::{Deserialize, Serialize};

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// At most so many trees; training finds out how many are good.
    pub trees: usize,
    /// Splits from the root to a leaf.
    pub depth: usize,
    /// How much of a tree's advice is taken.
    pub rate: f64,
    /// Rows on each side of a split.
    pub rows: usize,
    /// Weight of leaves being small.
    pub lambda: f64,
    /// Gain below which nothing is split.
    pub gain: f64,
    /// Share of the rows that each tree sees.
    pub sample: f64,
    /// Share of the features that each tree sees.
    pub features: f64,
    /// Decides which.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trees: 200,
            depth: 3,
            rate: 0.06,
            rows: 8,
            lambda: 2.0,
            gain: 0.05,
            sample: 0.8,
            features: 0.7,
            seed: 0,
        }
    }
}

/// A place in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Goes left where the feature is at most the threshold.
    Split {
        /// Which feature.
        feature: usize,
        /// At most this goes left.
        threshold: f64,
        /// Whether what is missing goes left.
        missing_left: bool,
        /// The place of the left child; the right one follows it.
        left: usize,
    },
    /// What is added to the log-odds.
    Leaf(f64),
}

/// A tree; its root is the first node, and children stand behind their parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree(pub Vec<Node>);

impl Tree {
    pub(super) fn value(&self, row: &[f64]) -> f64 {
        let mut at = 0;
        loop {
            match self.0.get(at) {
                Some(Node::Leaf(value)) => return *value,
                Some(Node::Split { feature, threshold, missing_left, left }) if *left > at => {
                    let value = row.get(*feature).copied().unwrap_or(f64::NAN);
                    let goes_left =
                        if value.is_nan() { *missing_left } else { value <= *threshold };
                    at = left + usize::from(!goes_left);
                }
                // A damaged file must not make this run for ever.
                _ => return 0.0,
            }
        }
    }
}

/// Trees, one after another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// Log-odds before the first tree.
    pub base: f64,
    /// The trees.
    pub trees: Vec<Tree>,
}

impl Ensemble {
    /// Log-odds by the first so many trees.
    pub fn margin(&self, row: &[f64], trees: usize) -> f64 {
        self.base + self.trees.iter().take(trees).map(|tree| tree.value(row)).sum::<f64>()
    }

    /// Grows trees. Rows are named, and the names, not the places, decide what a tree sees.
    pub(super) fn grow(rows: &[(&str, Vec<f64>)], right: &[bool], options: &Options) -> Self {
        let positive = right.iter().filter(|r| **r).count() as f64;
        // Never quite 0 or 1, so that a pure set has finite odds.
        let share = (positive + 0.5) / (right.len() as f64 + 1.0);
        let mut ensemble = Self { base: (share / (1.0 - share)).ln(), trees: Vec::new() };
        let binned = Binned::of(rows);
        let keys: Vec<u64> = rows.iter().map(|(name, _)| key(name)).collect();
        let mut margins = vec![ensemble.base; rows.len()];
        for number in 0..options.trees {
            let tree = Grower::new(&binned, &keys, right, &margins, options, number).grow();
            for (margin, (_, row)) in margins.iter_mut().zip(rows) {
                *margin += tree.value(row);
            }
            ensemble.trees.push(tree);
        }
        ensemble
    }
}

/// The chance of odds.
pub(super) fn sigmoid(margin: f64) -> f64 {
    1.0 / (1.0 + (-margin).exp())
}

const MISSING: u8 = 255;
const BINS: usize = 255;

/// Values as the numbers of their bins.
struct Binned {
    /// By feature, the largest value of each bin but the last is below this edge.
    edges: Vec<Vec<f64>>,
    /// By feature, then by row.
    bins: Vec<Vec<u8>>,
}

impl Binned {
    fn of(rows: &[(&str, Vec<f64>)]) -> Self {
        let width = rows.first().map_or(0, |(_, row)| row.len());
        let mut binned = Self { edges: Vec::new(), bins: Vec::new() };
        for feature in 0..width {
            let values = || rows.iter().map(|(_, row)| row[feature]);
            let mut sorted: Vec<f64> = values().filter(|v| !v.is_nan()).collect();
            sorted.sort_by(f64::total_cmp);
            let mut distinct = sorted.clone();
            distinct.dedup();
            let middle = |a: f64, b: f64| a + (b - a) / 2.0;
            let edges: Vec<f64> = if distinct.len() <= BINS {
                distinct.windows(2).map(|pair| middle(pair[0], pair[1])).collect()
            } else {
                let at = |i: usize| sorted[i * sorted.len() / BINS];
                let mut edges: Vec<f64> = (1..BINS).map(at).collect();
                edges.dedup();
                edges
            };
            let bin = |value: f64| match value.is_nan() {
                true => MISSING,
                false => edges.partition_point(|edge| *edge < value) as u8,
            };
            binned.bins.push(values().map(bin).collect());
            binned.edges.push(edges);
        }
        binned
    }
}

/// Sums over rows: first and second derivatives of the loss, and how many.
#[derive(Clone, Copy, Default)]
struct Sums {
    g: f64,
    h: f64,
    n: usize,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.g += other.g;
        self.h += other.h;
        self.n += other.n;
    }

    fn less(self, other: Self) -> Self {
        Self { g: self.g - other.g, h: self.h - other.h, n: self.n - other.n }
    }
}

struct Split {
    gain: f64,
    feature: usize,
    bin: usize,
    missing_left: bool,
}

struct Grower<'a> {
    binned: &'a Binned,
    options: &'a Options,
    derivatives: Vec<Sums>,
    seen: Vec<usize>,
    features: Vec<usize>,
}

impl<'a> Grower<'a> {
    fn new(
        binned: &'a Binned,
        keys: &[u64],
        right: &[bool],
        margins: &[f64],
        options: &'a Options,
        number: usize,
    ) -> Self {
        let derivatives = margins.iter().zip(right).map(|(margin, right)| {
            let p = sigmoid(*margin);
            Sums { g: p - f64::from(u8::from(*right)), h: (p * (1.0 - p)).max(1e-12), n: 1 }
        });
        let drawn = |key: u64, share: f64| {
            SplitMix::stream(options.seed ^ key, number as u64).unit() < share
        };
        let row = |i: &usize| drawn(keys[*i], options.sample);
        let feature = |i: &usize| drawn(key(&format!("feature {i}")), options.features);
        let mut features: Vec<usize> = (0..binned.bins.len()).filter(feature).collect();
        if features.is_empty() {
            features = (0..binned.bins.len()).collect();
        }
        let seen = (0..keys.len()).filter(row).collect();
        Self { binned, options, derivatives: derivatives.collect(), seen, features }
    }

    fn grow(&self) -> Tree {
        let mut nodes = vec![Node::Leaf(0.0)];
        let mut open = vec![(0usize, self.seen.clone(), 0usize)];
        while let Some((at, rows, depth)) = open.pop() {
            let mut sums = Sums::default();
            rows.iter().for_each(|row| sums.add(self.derivatives[*row]));
            let split = (depth < self.options.depth).then(|| self.best(&rows, sums)).flatten();
            let Some(split) = split else {
                let leaf = -sums.g / (sums.h + self.options.lambda) * self.options.rate;
                nodes[at] = Node::Leaf(leaf + 0.0);
                continue;
            };
            let bins = &self.binned.bins[split.feature];
            let left = |row: &usize| match bins[*row] {
                MISSING => split.missing_left,
                bin => usize::from(bin) <= split.bin,
            };
            let (to_left, to_right) = rows.into_iter().partition(left);
            let child = nodes.len();
            nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
            nodes[at] = Node::Split {
                feature: split.feature,
                threshold: self.binned.edges[split.feature][split.bin],
                missing_left: split.missing_left,
                left: child,
            };
            open.push((child + 1, to_right, depth + 1));
            open.push((child, to_left, depth + 1));
        }
        Tree(nodes)
    }

    /// The best split of these rows; of equals the first.
    fn best(&self, rows: &[usize], all: Sums) -> Option<Split> {
        let mut best: Option<Split> = None;
        let worth = |s: Sums| s.g * s.g / (s.h + self.options.lambda);
        for &feature in &self.features {
            let edges = self.binned.edges[feature].len();
            if edges == 0 {
                continue;
            }
            let mut histogram = vec![Sums::default(); edges + 1];
            let mut missing = Sums::default();
            for row in rows {
                match self.binned.bins[feature][*row] {
                    MISSING => missing.add(self.derivatives[*row]),
                    bin => histogram[usize::from(bin)].add(self.derivatives[*row]),
                }
            }
            let mut below = Sums::default();
            for (bin, sums) in histogram.iter().enumerate().take(edges) {
                below.add(*sums);
                for missing_left in [true, false] {
                    let mut left = below;
                    if missing_left {
                        left.add(missing);
                    }
                    let right = all.less(left);
                    let gain = worth(left) + worth(right) - worth(all);
                    let enough = left.n.min(right.n) >= self.options.rows;
                    // Far above the last bit, so that the order of sums decides nothing.
                    let better = best.as_ref().map_or(self.options.gain, |b| b.gain + 1e-9);
                    if enough && gain > better {
                        best = Some(Split { gain, feature, bin, missing_left });
                    }
                }
            }
        }
        best
    }
}

/// A number that only a name decides.
fn key(name: &str) -> u64 {
    let hash = Hash::of(name.as_bytes());
    u64::from_str_radix(hash.short(), 16).unwrap_or_default()
}
