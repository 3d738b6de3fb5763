//! The bootstrap over tasks: how far a mean over tasks would have come out otherwise, had other
//! tasks of the same kind been drawn.
//!
//! Every resample draws as many tasks as there are, with putting back. All columns see the same
//! resamples, so the difference of two columns may be a column of its own and is then paired. A
//! resample is a row of counts, and the means are the product of counts and values.

use crate::SplitMix;

/// The tasks by columns of values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// An empty one.
    pub fn new(columns: usize) -> Self {
        Self { columns, values: Vec::new() }
    }

    /// Adds a task. What is missing is 0, what is too much is left out.
    pub fn push(&mut self, row: &[f64]) {
        let given = row.iter().copied().chain(std::iter::repeat(0.0));
        self.values.extend(given.take(self.columns));
    }

    /// Tasks.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The mean of each column over the tasks; empty without tasks.
    pub fn means(&self) -> Vec<f64> {
        let rows = self.rows();
        if rows == 0 {
            return Vec::new();
        }
        let mut sums = vec![0.0; self.columns];
        for row in self.values.chunks_exact(self.columns) {
            add(&mut sums, row, 1.0);
        }
        sums.iter().map(|sum| sum / rows as f64).collect()
    }
}

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The mean over the tasks.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Resamples; 10,000 is usual.
    pub resamples: usize,
    /// What the interval covers, 0.95 for 95 %.
    pub level: f64,
    /// Two runs with one seed give the same to the last bit, on any number of threads.
    pub seed: u64,
    /// Threads; 0 takes what the machine has.
    pub threads: usize,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 10_000, level: 0.95, seed: 0, threads: 0 }
    }
}

/// Resamples that are worked on together, so that a row of values is read once for all of them.
const BLOCK: usize = 8;

impl Bootstrap {
    /// The percentile interval of each column's mean. Without tasks there is none; without
    /// resamples the ends are the mean.
    pub fn intervals(&self, matrix: &Matrix) -> Vec<Interval> {
        let means = matrix.means();
        if means.is_empty() || self.resamples == 0 {
            return means.iter().map(|m| Interval { mean: *m, low: *m, high: *m }).collect();
        }
        let blocks = self.resamples.div_ceil(BLOCK);
        let threads = self.threads(blocks);
        let mut sampled = vec![0.0; blocks * BLOCK * matrix.columns];
        let share = blocks.div_ceil(threads) * BLOCK * matrix.columns;
        std::thread::scope(|scope| {
            for (thread, part) in sampled.chunks_mut(share).enumerate() {
                let first = thread * share / (BLOCK * matrix.columns);
                scope.spawn(move || {
                    for (block, out) in part.chunks_mut(BLOCK * matrix.columns).enumerate() {
                        self.block(matrix, first + block, out);
                    }
                });
            }
        });
        let mut intervals = vec![Interval { mean: 0.0, low: 0.0, high: 0.0 }; matrix.columns];
        let share = matrix.columns.div_ceil(threads);
        std::thread::scope(|scope| {
            for (thread, part) in intervals.chunks_mut(share).enumerate() {
                let (sampled, means) = (&sampled, &means);
                scope.spawn(move || {
                    for (offset, interval) in part.iter_mut().enumerate() {
                        let column = thread * share + offset;
                        let all = sampled.iter().skip(column).step_by(matrix.columns);
                        let mut all: Vec<f64> = all.take(self.resamples).copied().collect();
                        *interval = self.interval(means[column], &mut all);
                    }
                });
            }
        });
        intervals
    }

    fn threads(&self, most: usize) -> usize {
        let there_are = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let wanted = if self.threads == 0 { there_are } else { self.threads };
        wanted.clamp(1, most.max(1))
    }

    /// The means of some resamples, one after another.
    fn block(&self, matrix: &Matrix, block: usize, out: &mut [f64]) {
        let rows = matrix.rows();
        let mut counts = vec![[0.0f64; BLOCK]; rows];
        let first = (block * BLOCK) as u64;
        let streams = (first..).take(BLOCK).map(|number| SplitMix::stream(self.seed, number));
        for (place, mut random) in streams.enumerate() {
            for _ in 0..rows {
                counts[random.below(rows)][place] += 1.0;
            }
        }
        for (row, counts) in matrix.values.chunks_exact(matrix.columns).zip(&counts) {
            for (sums, count) in out.chunks_exact_mut(matrix.columns).zip(counts) {
                if *count > 0.0 {
                    add(sums, row, *count);
                }
            }
        }
        for sum in out {
            *sum /= rows as f64;
        }
    }

    fn interval(&self, mean: f64, sampled: &mut [f64]) -> Interval {
        let tail = (1.0 - self.level.clamp(0.0, 1.0)) / 2.0;
        let last = sampled.len() - 1;
        let mut at = |q: f64| {
            let place = q * last as f64;
            let (floor, share) = (place.floor() as usize, place - place.floor());
            let (_, low, above) = sampled.select_nth_unstable_by(floor, f64::total_cmp);
            let low = *low;
            let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
            low + (high - low) * share
        };
        let (low, high) = (at(tail), at(1.0 - tail));
        Interval { mean, low, high }
    }
}

/// Adds a multiple of a row.
fn add(sums: &mut [f64], row: &[f64], times: f64) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += times * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coin(heads: usize, of: usize) -> Matrix {
        let mut matrix = Matrix::new(2);
        for i in 0..of {
            matrix.push(&[if i < heads { 1.0 } else { 0.0 }, 0.25]);
        }
        matrix
    }

    #[test]
    fn the_interval_of_a_coin_is_that_of_the_binomial() {
        let got = Bootstrap { seed: 7, ..Bootstrap::default() }.intervals(&coin(150, 500));
        // 2.5 % and 97.5 % of the binomial with n = 500 and p = 0.3 are 130 and 170.
        assert!((got[0].mean - 0.3).abs() < 1e-12);
        assert!((got[0].low - 0.26).abs() < 0.003, "{:?}", got[0]);
        assert!((got[0].high - 0.34).abs() < 0.003, "{:?}", got[0]);
        assert!((got[1].low - 0.25).abs() < 1e-12 && (got[1].high - 0.25).abs() < 1e-12);
    }

    #[test]
    fn neither_threads_nor_the_time_matter() {
        let mut matrix = Matrix::new(1);
        (0..11).for_each(|i| matrix.push(&[f64::from(i).sqrt()]));
        let with = |threads, seed| {
            let bootstrap = Bootstrap { resamples: 1001, level: 0.9, seed, threads };
            bootstrap.intervals(&matrix)
        };
        assert_eq!(with(1, 5), with(3, 5));
        assert_eq!(with(1, 5), with(64, 5));
        assert_ne!(with(1, 5), with(1, 6));
    }

    #[test]
    fn nothing_and_almost_nothing() {
        assert_eq!(Bootstrap::default().intervals(&Matrix::new(3)), []);
        assert_eq!(Bootstrap::default().intervals(&Matrix::new(0)), []);
        let one = Bootstrap { resamples: 1, ..Bootstrap::default() }.intervals(&coin(1, 1));
        assert_eq!(one[0], Interval { mean: 1.0, low: 1.0, high: 1.0 });
        let none = Bootstrap { resamples: 0, ..Bootstrap::default() }.intervals(&coin(1, 2));
        assert_eq!(none[0], Interval { mean: 0.5, low: 0.5, high: 0.5 });
    }
}
