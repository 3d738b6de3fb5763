//! The choice of one attempt among several by a cascade of scores, and what it is worth on average.
//!
//! [`Cascade::best_at`] is the expectation of the chosen attempt's worth over all subsets of `k` of
//! the `n` attempts: exactly, by counting, where others draw subsets. It has a closed form wherever
//! the cascade is "keep the top by one key, then the maximum of another" or a part of this, which
//! every cascade in use is; others are enumerated while they are small.

mod closed;
mod enumerate;

use crate::Binomials;

/// A stage keeps some of the attempts that the stage before it kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Columns of scores in their order of precedence. Higher is better.
    pub by: Vec<usize>,
    /// What it keeps.
    pub keep: Keep,
}

/// What a stage keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// The best, all of them where several are equal.
    Max,
    /// The first so many: the larger of `least` and the whole part of `share` times the number
    /// that there are, at least one. Equals at the border are drawn by lot (or by the order given).
    Top {
        /// At least so many.
        least: usize,
        /// Of those that there are, from 0 to 1.
        share: f64,
    },
    /// Scores the last column, and 0 where the columns before it are not at their maximum; keeps
    /// the best. So where the best score is 0, it keeps all.
    Gated,
}

impl Keep {
    /// How many [`Keep::Top`] keeps of `of`.
    pub fn count(least: usize, share: f64, of: usize) -> usize {
        // A product just below a whole number is one that was to be whole.
        let part = (share * of as f64 + 1e-9).floor().max(0.0) as usize;
        part.max(least).max(1).min(of)
    }
}

/// Why there is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CascadeError {
    /// A subset of that size does not exist.
    #[error("no {k} of {n} attempts can be drawn: k is from 1 to the number of attempts")]
    Size {
        /// Attempts that there are.
        n: usize,
        /// Attempts asked for.
        k: usize,
    },
    /// A stage names a column that does not exist.
    #[error("stage {stage} goes by score {column}, and there are {columns}")]
    Column {
        /// The stage, from 1.
        stage: usize,
        /// What it names.
        column: usize,
        /// How many there are.
        columns: usize,
    },
    /// Lists of different lengths.
    #[error("{what} has {found} values for {expected} attempts")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
    },
    /// More attempts than can be counted.
    #[error("{0} attempts at one task are more than can be counted ({max})", max = crate::binomial::MAX_N)]
    Many(usize),
    /// The cascade has no closed form, and there are too many attempts to enumerate.
    #[error(
        "this cascade has no closed form and {0} attempts are too many to enumerate ({max}); \
         let `top` come first and `gated` last",
        max = enumerate::MAX_N
    )]
    NoClosedForm(usize),
}

/// How ties are broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ties {
    /// By lot, each time anew; what is given is the mean over all lots.
    Average,
    /// By this order: for each attempt its place, the first wins. Places must differ. A cascade that
    /// ends with [`Keep::Gated`] is enumerated then.
    Order(Vec<usize>),
}

/// Attempts at one task, ready to be counted.
#[derive(Debug, Clone)]
pub struct Field {
    /// Dense ranks by column; 0 is "has no score", which is below every score.
    ranks: Vec<Vec<u32>>,
    /// By column: whether the score is zero, below zero or none.
    zero: Vec<Vec<bool>>,
    worth: Vec<f64>,
}

impl Field {
    /// Columns of scores, and what each attempt is worth (1 for right, 0 for wrong). A score that
    /// is `None` or not a number is below every other.
    ///
    /// # Errors
    /// If lengths differ, or there are too many attempts.
    pub fn new(columns: &[Vec<Option<f64>>], worth: Vec<f64>) -> Result<Self, CascadeError> {
        let expected = worth.len();
        if expected > crate::binomial::MAX_N {
            return Err(CascadeError::Many(expected));
        }
        for column in columns {
            if column.len() != expected {
                let found = column.len();
                return Err(CascadeError::Length { what: "a column of scores", found, expected });
            }
        }
        let zero = |column: &Vec<Option<f64>>| {
            column.iter().map(|score| score.is_none_or(|s| s.is_nan() || s <= 0.0)).collect()
        };
        Ok(Self {
            ranks: columns.iter().map(|column| dense_ranks(column)).collect(),
            zero: columns.iter().map(zero).collect(),
            worth,
        })
    }

    /// Attempts.
    pub fn len(&self) -> usize {
        self.worth.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.worth.is_empty()
    }
}

/// Ranks from 1 for the lowest score, equal for equal ones; 0 for none and for what is no number.
pub fn dense_ranks(scores: &[Option<f64>]) -> Vec<u32> {
    let known = |score: &Option<f64>| score.filter(|s| !s.is_nan()).map(|s| s + 0.0);
    let mut values: Vec<f64> = scores.iter().filter_map(known).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let rank = |score: &Option<f64>| {
        known(score).map_or(0, |s| values.partition_point(|v| *v < s) as u32 + 1)
    };
    scores.iter().map(rank).collect()
}

/// Stages, one after another. What the last one keeps is equal; one of it is chosen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cascade {
    /// The stages.
    pub stages: Vec<Stage>,
}

impl Cascade {
    /// The expected worth of the attempt that is chosen among `k` drawn at random without putting
    /// back.
    ///
    /// # Errors
    /// See [`CascadeError`].
    pub fn best_at(&self, field: &Field, ties: &Ties, k: usize) -> Result<f64, CascadeError> {
        Ok(self.best_at_all(field, ties, &[k], &Binomials::up_to(field.len()))?[0])
    }

    /// [`Cascade::best_at`] for several `k`, with binomials that reach to the number of attempts.
    ///
    /// # Errors
    /// See [`CascadeError`].
    pub fn best_at_all(
        &self,
        field: &Field,
        ties: &Ties,
        ks: &[usize],
        binomials: &Binomials,
    ) -> Result<Vec<f64>, CascadeError> {
        self.check(field, ties)?;
        let n = field.len();
        if let Some(&k) = ks.iter().find(|k| **k == 0 || **k > n) {
            return Err(CascadeError::Size { n, k });
        }
        if let Some(closed) = closed::Closed::of(self, field, ties) {
            return Ok(ks.iter().map(|k| closed.at(*k, binomials)).collect());
        }
        if n > enumerate::MAX_N {
            return Err(CascadeError::NoClosedForm(n));
        }
        Ok(ks.iter().map(|k| enumerate::best_at(self, field, ties, *k)).collect())
    }

    /// The same by counting every subset and every lot, however long it takes: to check the closed
    /// forms against.
    ///
    /// # Errors
    /// See [`CascadeError`].
    pub fn by_enumeration(
        &self,
        field: &Field,
        ties: &Ties,
        k: usize,
    ) -> Result<f64, CascadeError> {
        self.check(field, ties)?;
        match field.len() {
            n if k == 0 || k > n => Err(CascadeError::Size { n, k }),
            n if n > enumerate::MAX_N => Err(CascadeError::NoClosedForm(n)),
            _ => Ok(enumerate::best_at(self, field, ties, k)),
        }
    }

    /// What each stage keeps of all attempts; equals at a border by the order given (for each
    /// attempt its place, the first wins).
    ///
    /// # Errors
    /// If a column does not exist, or the order is not one of these attempts.
    pub fn apply(&self, field: &Field, order: &[usize]) -> Result<Vec<Vec<usize>>, CascadeError> {
        self.check(field, &Ties::Order(order.to_vec()))?;
        let mut kept: Vec<usize> = (0..field.len()).collect();
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            if let Keep::Top { least, share } = stage.keep {
                let key = |i: &usize| (std::cmp::Reverse(field.key(&stage.by, *i)), order[*i]);
                kept.sort_by_key(key);
                kept.truncate(Keep::count(least, share, kept.len()));
                kept.sort_unstable();
            } else {
                kept = field.best(stage, &kept);
            }
            stages.push(kept.clone());
        }
        Ok(stages)
    }

    fn check(&self, field: &Field, ties: &Ties) -> Result<(), CascadeError> {
        let columns = field.ranks.len();
        for (stage, by) in (1..).zip(self.stages.iter().map(|stage| &stage.by)) {
            if let Some(&column) = by.iter().find(|column| **column >= columns) {
                return Err(CascadeError::Column { stage, column, columns });
            }
        }
        match ties {
            Ties::Order(order) if order.len() != field.len() => Err(CascadeError::Length {
                what: "the order",
                found: order.len(),
                expected: field.len(),
            }),
            _ => Ok(()),
        }
    }
}

impl Field {
    fn key(&self, by: &[usize], attempt: usize) -> Vec<u32> {
        by.iter().map(|column| self.ranks[*column][attempt]).collect()
    }

    /// Whether the score that [`Keep::Gated`] goes by is nothing.
    fn is_zero(&self, by: &[usize], attempt: usize) -> bool {
        by.last().is_none_or(|column| self.zero[*column][attempt])
    }

    /// What [`Keep::Max`] and [`Keep::Gated`] keep of some.
    fn best(&self, stage: &Stage, of: &[usize]) -> Vec<usize> {
        let best = of.iter().map(|i| self.key(&stage.by, *i)).max();
        let is_best = |i: &usize| Some(self.key(&stage.by, *i)) == best;
        let kept: Vec<usize> = of.iter().copied().filter(is_best).collect();
        let nothing = |i: &usize| self.is_zero(&stage.by, *i);
        if stage.keep == Keep::Gated && kept.first().is_some_and(nothing) {
            return of.to_vec();
        }
        kept
    }
}
