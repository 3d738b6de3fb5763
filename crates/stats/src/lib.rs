//! Statistics of attempts, in closed form: numbers in, numbers out.
//!
//! [`pass_at_k`] is what an oracle would reach with `k` attempts, [`Cascade::best_at`] what a choice
//! by scores reaches, [`Bootstrap`] how sure either is, [`quality`] how good the scores are.

mod binomial;
pub mod bootstrap;
pub mod cascade;
pub mod quality;
mod random;

pub use binomial::{Binomials, MAX_N as MAX_ATTEMPTS};
pub use bootstrap::{Bootstrap, Interval, Matrix};
pub use cascade::{Cascade, CascadeError, Field, Keep, Stage, Ties, dense_ranks};
pub use quality::{TestEffect, auc, brier, ece, log_loss, test_effect};
pub use random::SplitMix;

/// The probability that at least one of `k` attempts succeeds, estimated without bias from `n`
/// attempts of which `c` succeeded: `1 - C(n-c, k) / C(n, k)` (Chen et al., arXiv 2107.03374).
/// `None` where there are fewer than `k` attempts.
pub fn pass_at_k(n: u64, c: u64, k: u64) -> Option<f64> {
    if k > n || k == 0 || c > n {
        return None;
    }
    if n - c < k {
        return Some(1.0);
    }
    // The product of (n-c-i)/(n-i): no factor is above one, so nothing overflows.
    let none = (0..k).map(|i| (n - c - i) as f64 / (n - i) as f64).product::<f64>();
    Some(1.0 - none)
}

/// The Wilson score interval of a proportion, for the standard normal quantile `z` (1.96 for
/// 95 %). `(0, 1)` where nothing was tried.
pub fn wilson(successes: u64, trials: u64, z: f64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The standard normal quantile of a two-sided interval of 95 %.
pub const Z95: f64 = 1.959_963_984_540_054;

/// The `q`-quantile (0 to 1) by linear interpolation between closest ranks; values need no order.
/// `None` of no values.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    let share = at - at.floor();
    Some(sorted[low] + (sorted[high] - sorted[low]) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the subsets.
    fn by_counting(n: u64, c: u64, k: u64) -> f64 {
        let (mut all, mut hit) = (0u64, 0u64);
        for set in 0u32..1 << n {
            if u64::from(set.count_ones()) == k {
                all += 1;
                hit += u64::from(set & ((1 << c) - 1) != 0);
            }
        }
        hit as f64 / all as f64
    }

    #[test]
    fn pass_at_k_is_what_counting_gives() {
        for n in 1..=8 {
            for c in 0..=n {
                for k in 1..=n {
                    let got = pass_at_k(n, c, k).unwrap();
                    assert!((got - by_counting(n, c, k)).abs() < 1e-12, "{n} {c} {k}: {got}");
                }
                assert_eq!(pass_at_k(n, c, n + 1), None);
            }
        }
        assert!((pass_at_k(200_000, 1, 1000).unwrap() - 0.005).abs() < 1e-9);
    }

    #[test]
    fn the_interval_of_wilson() {
        // Newcombe 1998, table I: 81 of 263 and 15 of 148.
        let near = |got: (f64, f64), want: (f64, f64)| {
            assert!((got.0 - want.0).abs() < 5e-5 && (got.1 - want.1).abs() < 5e-5, "{got:?}");
        };
        near(wilson(81, 263, Z95), (0.2553, 0.3662));
        near(wilson(15, 148, Z95), (0.0624, 0.1605));
        near(wilson(0, 20, Z95), (0.0, 0.1611));
        assert_eq!(wilson(0, 0, Z95), (0.0, 1.0));
    }

    #[test]
    fn quantiles() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
