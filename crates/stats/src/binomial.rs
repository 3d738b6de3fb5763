//! Binomial coefficients as numbers with a point.

/// `C(n, k)` for all `n` up to a limit. They are sums of positive numbers, so each is right to
/// about `n` units in the last place; `C(1000, 500)` is 2.7e299 and still a number.
#[derive(Debug, Clone)]
pub struct Binomials {
    rows: Vec<Vec<f64>>,
}

/// The largest `n`: beyond it `C(n, n / 2)` is no number any more.
pub const MAX_N: usize = 1000;

impl Binomials {
    /// All of them up to `n`, at most [`MAX_N`].
    pub fn up_to(n: usize) -> Self {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n.min(MAX_N) + 1);
        for row in 0..=n.min(MAX_N) {
            let mut values = vec![1.0; row + 1];
            for k in 1..row {
                values[k] = rows[row - 1][k - 1] + rows[row - 1][k];
            }
            rows.push(values);
        }
        Self { rows }
    }

    /// `C(n, k)`; 0 where `k > n` or `n` is beyond the limit.
    #[inline]
    pub fn get(&self, n: usize, k: usize) -> f64 {
        self.rows.get(n).and_then(|row| row.get(k)).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients() {
        let all = Binomials::up_to(MAX_N);
        assert_eq!(all.get(26, 13), 10_400_600.0);
        assert_eq!((all.get(5, 6), all.get(0, 0)), (0.0, 1.0));
        assert!(all.get(MAX_N, MAX_N / 2).is_finite());
        let symmetric = (all.get(1000, 300) / all.get(1000, 700) - 1.0).abs();
        assert!(symmetric < 1e-12, "{symmetric}");
    }
}
