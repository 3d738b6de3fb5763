//! From log-odds to probabilities that come true as often as they say.

use serde::{Deserialize, Serialize};

use super::boost::sigmoid;

/// How to calibrate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A logistic curve of two parameters (Platt). It keeps every difference between attempts.
    #[default]
    Platt,
    /// Any rising curve. It needs some hundred rows, and makes ties.
    Isotonic,
}

/// A curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// `1 / (1 + exp(-(a x + b)))`.
    Platt {
        /// Slope; above 0.
        a: f64,
        /// Offset.
        b: f64,
    },
    /// Through these points, straight between them and level outside.
    Isotonic(Vec<(f64, f64)>),
}

impl Calibration {
    /// The probability at these log-odds.
    pub fn probability(&self, margin: f64) -> f64 {
        match self {
            Self::Platt { a, b } => sigmoid(a * margin + b),
            Self::Isotonic(points) => {
                let after = points.partition_point(|(x, _)| *x <= margin);
                match (after.checked_sub(1).and_then(|i| points.get(i)), points.get(after)) {
                    (Some((x0, y0)), Some((x1, y1))) => {
                        y0 + (y1 - y0) * (margin - x0) / (x1 - x0).max(f64::MIN_POSITIVE)
                    }
                    (Some((_, y)), None) | (None, Some((_, y))) => *y,
                    (None, None) => 0.5,
                }
            }
        }
    }

    /// Fits a curve to pairs of log-odds and truth.
    pub(super) fn fit(method: Method, pairs: &[(f64, bool)]) -> Self {
        match method {
            Method::Platt => platt(pairs),
            Method::Isotonic => isotonic(pairs),
        }
    }
}

/// Newton's method on Platt's smoothed targets.
fn platt(pairs: &[(f64, bool)]) -> Calibration {
    let yes = pairs.iter().filter(|(_, right)| *right).count() as f64;
    let no = pairs.len() as f64 - yes;
    let (high, low) = ((yes + 1.0) / (yes + 2.0), 1.0 / (no + 2.0));
    let base = ((yes + 1.0) / (no + 1.0)).ln();
    let (mut a, mut b) = (0.0, base);
    for _ in 0..100 {
        let (mut ga, mut gb) = (0.0, 0.0);
        let (mut haa, mut hab, mut hbb) = (1e-9, 0.0, 1e-9);
        for (x, right) in pairs {
            let p = sigmoid(a * x + b);
            let error = p - if *right { high } else { low };
            let weight = (p * (1.0 - p)).max(1e-9);
            ga += error * x;
            gb += error;
            haa += weight * x * x;
            hab += weight * x;
            hbb += weight;
        }
        let determinant = haa * hbb - hab * hab;
        if determinant.abs() < 1e-18 {
            break;
        }
        let da = (hbb * ga - hab * gb) / determinant;
        let db = (haa * gb - hab * ga) / determinant;
        a -= da.clamp(-1.0, 1.0);
        b -= db.clamp(-1.0, 1.0);
        if da.abs() + db.abs() < 1e-12 {
            break;
        }
    }
    // Where the trees know nothing, the slope may come out downwards: then all get nearly the same
    // probability, in the order of the trees.
    if a > 1e-3 && a.is_finite() && b.is_finite() {
        Calibration::Platt { a, b }
    } else {
        Calibration::Platt { a: 1e-3, b: base }
    }
}

/// Pools neighbours that fall until none do.
fn isotonic(pairs: &[(f64, bool)]) -> Calibration {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // Sums of x, of truth, and how many.
    let mut blocks: Vec<(f64, f64, f64)> = Vec::new();
    for (x, right) in sorted {
        blocks.push((x, f64::from(u8::from(right)), 1.0));
        while let [.., (_, y0, n0), (_, y1, n1)] = blocks.as_slice()
            && y0 * n1 >= y1 * n0
        {
            let last = blocks.pop().unwrap_or_default();
            if let Some(before) = blocks.last_mut() {
                *before = (before.0 + last.0, before.1 + last.1, before.2 + last.2);
            }
        }
    }
    Calibration::Isotonic(blocks.into_iter().map(|(x, y, n)| (x / n, y / n)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_curve_is_found_again() {
        let mut random = palestra_stats::SplitMix::new(3);
        let pairs: Vec<(f64, bool)> = (0..20_000)
            .map(|_| {
                let x = random.unit() * 6.0 - 3.0;
                (x, random.unit() < sigmoid(0.5 * x - 1.0))
            })
            .collect();
        for method in [Method::Platt, Method::Isotonic] {
            let curve = Calibration::fit(method, &pairs);
            for x in [-2.5, -1.0, 0.0, 1.0, 2.5] {
                let (got, want) = (curve.probability(x), sigmoid(0.5 * x - 1.0));
                assert!((got - want).abs() < 0.05, "{method:?} at {x}: {got} {want}");
            }
            let rises = (0..60).map(|i| curve.probability(f64::from(i) / 10.0 - 3.0));
            assert!(rises.collect::<Vec<_>>().is_sorted());
        }
    }

    #[test]
    fn what_knows_nothing_or_the_opposite_does_not_turn_the_order() {
        for pairs in [vec![], vec![(1.0, true)], vec![(1.0, false), (2.0, false), (-1.0, true)]] {
            for method in [Method::Platt, Method::Isotonic] {
                let curve = Calibration::fit(method, &pairs);
                let (low, high) = (curve.probability(-3.0), curve.probability(3.0));
                assert!(low <= high && (0.0..=1.0).contains(&low), "{curve:?}");
            }
        }
    }
}
