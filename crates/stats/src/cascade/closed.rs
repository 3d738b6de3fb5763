//! The closed form.
//!
//! Let the attempts be sorted into groups that are equal in the key of the top, best first, and into
//! classes that are equal in the key of the maximum. A subset of `k` keeps `m`: all that it has of
//! the better groups, `u` in number, and `j = m - u` of the `s` that it has of one group, by lot. So
//! a set is kept by `sum over s of C(G - j, s - j) C(L, k - u - s)` subsets, each with probability
//! `1 / C(s, j)`, where the group has `G` attempts and `L` are worse: a number that does not depend
//! on which set it is. What remains is to count the sets whose best class is a given one.

use super::{Cascade, Field, Keep, Stage, Ties};
use crate::Binomials;

/// A cascade of a top and a maximum, either of which may be missing.
pub(super) struct Closed {
    n: usize,
    /// `least` and `share` of the top.
    top: Option<(usize, f64)>,
    /// Sizes of the groups, best first. One group of all where there is no top.
    groups: Vec<usize>,
    /// For each group, then for each class: what is in better groups and what is in this one.
    cells: Vec<Vec<Cell>>,
    gated: bool,
}

/// Numbers of attempts, and sums of their worth.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// In better groups: of this class, and of worse classes.
    before: Part,
    /// In this group.
    here: Part,
    /// Whether a maximum of this class keeps everything.
    zero: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    equal: usize,
    equal_worth: f64,
    worse: usize,
    worse_worth: f64,
}

impl Part {
    fn mean(sum: f64, count: usize) -> f64 {
        if count == 0 { 0.0 } else { sum / count as f64 }
    }
}

impl Closed {
    /// `None` if the cascade has another form.
    pub(super) fn of(cascade: &Cascade, field: &Field, ties: &Ties) -> Option<Self> {
        let (top, rest) = match cascade.stages.as_slice() {
            [Stage { by, keep: Keep::Top { least, share } }, rest @ ..] => {
                (Some((by.as_slice(), *least, *share)), rest)
            }
            rest => (None, rest),
        };
        let gated = matches!(rest, [Stage { keep: Keep::Gated, .. }]);
        if !gated && rest.iter().any(|stage| stage.keep != Keep::Max) {
            return None;
        }
        // By lot, a gate that keeps all is the mean over all; an order knows whom it takes, which
        // is not the best of the class.
        if gated && matches!(ties, Ties::Order(_)) {
            return None;
        }
        let order = |i: usize| match ties {
            Ties::Average => 0,
            Ties::Order(order) => u32::MAX - u32::try_from(order[i]).unwrap_or(u32::MAX),
        };
        let n = field.len();
        let max_by: Vec<usize> = rest.iter().flat_map(|stage| stage.by.iter().copied()).collect();
        let key = |by: &[usize], i: usize| {
            let mut key = field.key(by, i);
            key.push(order(i));
            key
        };
        let classes = ranked((0..n).map(|i| key(&max_by, i)).collect());
        let top_by = top.map(|(by, ..)| by);
        let grouped = match top_by {
            Some(by) => ranked((0..n).map(|i| key(by, i)).collect()),
            None => vec![0; n],
        };
        let best_group = grouped.iter().copied().max().unwrap_or(0);
        let mut closed = Self {
            n,
            top: top.map(|(_, least, share)| (least, share)),
            groups: vec![0; best_group + 1],
            cells: Vec::new(),
            gated,
        };
        let class_count = classes.iter().copied().max().map_or(0, |c| c + 1);
        let mut here = vec![vec![(0usize, 0.0f64); class_count]; best_group + 1];
        let mut zero = vec![false; class_count];
        for i in 0..n {
            let group = best_group - grouped[i];
            closed.groups[group] += 1;
            here[group][classes[i]].0 += 1;
            here[group][classes[i]].1 += field.worth[i];
            zero[classes[i]] = gated && field.is_zero(&max_by, i);
        }
        let mut before = vec![Part::default(); class_count];
        for row in &here {
            let mut now = Vec::with_capacity(class_count);
            let mut worse = (0, 0.0);
            for (count, worth) in row {
                now.push(Part {
                    equal: *count,
                    equal_worth: *worth,
                    worse: worse.0,
                    worse_worth: worse.1,
                });
                worse = (worse.0 + count, worse.1 + worth);
            }
            let cells = before.iter().zip(&now).zip(&zero);
            closed.cells.push(
                cells.map(|((b, h), zero)| Cell { before: *b, here: *h, zero: *zero }).collect(),
            );
            for (b, h) in before.iter_mut().zip(&now) {
                b.equal += h.equal;
                b.equal_worth += h.equal_worth;
                b.worse += h.worse;
                b.worse_worth += h.worse_worth;
            }
        }
        Some(closed)
    }

    /// The expectation for subsets of `k`.
    pub(super) fn at(&self, k: usize, c: &Binomials) -> f64 {
        let m = self.top.map_or(k, |(least, share)| Keep::count(least, share, k));
        let all = c.get(self.n, k);
        let mut sum = 0.0;
        let mut better = 0;
        for (size, cells) in self.groups.iter().zip(&self.cells) {
            let worse = self.n - better - size;
            let fewest = m.saturating_sub(*size);
            // The last that is kept is of this group, so at least one is.
            for u in fewest..=better.min(m - 1) {
                let j = m - u;
                let ways = (j..=(*size).min(k - u))
                    .map(|s| c.get(size - j, s - j) * c.get(worse, k - u - s) / c.get(s, j));
                let weight: f64 = ways.sum();
                if weight > 0.0 {
                    let inner: f64 = cells.iter().map(|cell| self.kept(cell, u, j, c)).sum();
                    sum += weight / all * inner;
                }
            }
            better += size;
        }
        sum
    }

    /// Over all kept sets whose best class is this one, with `u` of better groups and `j` of this
    /// one: the sum of the mean worth of those that are chosen among.
    fn kept(&self, cell: &Cell, u: usize, j: usize, c: &Binomials) -> f64 {
        let (b, h) = (&cell.before, &cell.here);
        if b.equal + h.equal == 0 {
            return 0.0;
        }
        let equal_before = Part::mean(b.equal_worth, b.equal);
        let equal_here = Part::mean(h.equal_worth, h.equal);
        let everything = self.gated && cell.zero;
        let mut sum = 0.0;
        for x in u.saturating_sub(b.worse)..=b.equal.min(u) {
            let before = c.get(b.equal, x) * c.get(b.worse, u - x);
            for y in j.saturating_sub(h.worse)..=h.equal.min(j) {
                if x + y == 0 {
                    continue;
                }
                let count = before * c.get(h.equal, y) * c.get(h.worse, j - y);
                let equal = x as f64 * equal_before + y as f64 * equal_here;
                let mean = if everything {
                    let worse = (u - x) as f64 * Part::mean(b.worse_worth, b.worse)
                        + (j - y) as f64 * Part::mean(h.worse_worth, h.worse);
                    (equal + worse) / (u + j) as f64
                } else {
                    equal / (x + y) as f64
                };
                sum += count * mean;
            }
        }
        sum
    }
}

/// Dense ranks of keys, from 0 for the lowest.
fn ranked(keys: Vec<Vec<u32>>) -> Vec<usize> {
    let mut sorted: Vec<&Vec<u32>> = keys.iter().collect();
    sorted.sort();
    sorted.dedup();
    keys.iter().map(|key| sorted.partition_point(|other| *other < key)).collect()
}
