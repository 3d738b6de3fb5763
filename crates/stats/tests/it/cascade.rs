//! The closed forms equal brute force, for every shape of cascade in use and any ties.

use palestra_stats::{Cascade, CascadeError, Field, Keep, Stage, Ties, pass_at_k};
use proptest::prelude::*;

/// Scores 0, 1 and 2 of the shapes below.
const EF: usize = 0;
const REGRESSION: usize = 1;
const REPRODUCTION: usize = 2;

fn stage(by: &[usize], keep: Keep) -> Stage {
    Stage { by: by.to_vec(), keep }
}

fn max(by: usize) -> Stage {
    stage(&[by], Keep::Max)
}

fn top(by: &[usize], least: usize, share: f64) -> Stage {
    stage(by, Keep::Top { least, share })
}

/// Every shape that has a closed form.
pub(crate) fn shapes() -> Vec<(&'static str, Cascade)> {
    let of = |stages: Vec<Stage>| Cascade { stages };
    let last = [max(REGRESSION), max(REPRODUCTION), max(EF)];
    vec![
        ("nothing", of(vec![])),
        ("execution-free", of(vec![max(EF)])),
        ("execution-based", of(vec![max(REGRESSION), max(REPRODUCTION)])),
        ("gated", of(vec![stage(&[REGRESSION, REPRODUCTION], Keep::Gated)])),
        ("top only", of(vec![top(&[EF], 2, 0.0)])),
        ("paper", of(vec![top(&[EF], 3, 0.5), stage(&[REGRESSION, REPRODUCTION], Keep::Gated)])),
        ("code", of([vec![top(&[EF], 1, 0.5)], last.to_vec()].concat())),
        (
            "notebook",
            of([vec![top(&[EF, REGRESSION, REPRODUCTION], 3, 0.5)], last.to_vec()].concat()),
        ),
        ("share", of([vec![top(&[REPRODUCTION], 1, 0.3)], last.to_vec()].concat())),
    ]
}

/// Few values, so that ties are many; none and what is no number among them.
fn score() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
        2 => Just(Some(0.0)),
        1 => Just(Some(-0.0)),
        6 => (0u8..4).prop_map(|v| Some(f64::from(v) / 3.0)),
        2 => (0.0..1.0).prop_map(Some),
    ]
}

fn attempts() -> impl Strategy<Value = (Vec<Vec<Option<f64>>>, Vec<bool>)> {
    (1usize..=8).prop_flat_map(|n| {
        let column = prop::collection::vec(score(), n);
        (prop::collection::vec(column, 3), prop::collection::vec(any::<bool>(), n))
    })
}

fn worth(right: &[bool]) -> Vec<f64> {
    right.iter().map(|r| f64::from(u8::from(*r))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_closed_form_is_what_counting_gives((columns, right) in attempts(), seed in any::<u64>()) {
        let field = Field::new(&columns, worth(&right)).unwrap();
        let n = right.len();
        let mut order: Vec<usize> = (0..n).collect();
        palestra_stats::SplitMix::new(seed).shuffle(&mut order);
        for (name, cascade) in shapes() {
            for ties in [Ties::Average, Ties::Order(order.clone())] {
                for k in 1..=n {
                    let got = cascade.best_at(&field, &ties, k).unwrap();
                    let want = cascade.by_enumeration(&field, &ties, k).unwrap();
                    prop_assert!((got - want).abs() < 1e-12, "{name} {ties:?} k={k}: {got} {want}");
                }
            }
        }
    }

    /// No choice is better than an oracle or worse than its opposite, and order says nothing.
    #[test]
    fn it_stays_within_bounds_and_knows_no_order(
        (columns, right) in attempts(),
        seed in any::<u64>(),
    ) {
        let field = Field::new(&columns, worth(&right)).unwrap();
        let n = right.len();
        let mut order: Vec<usize> = (0..n).collect();
        palestra_stats::SplitMix::new(seed).shuffle(&mut order);
        let moved: Vec<Vec<Option<f64>>> =
            columns.iter().map(|c| order.iter().map(|i| c[*i]).collect()).collect();
        let moved_right: Vec<bool> = order.iter().map(|i| right[*i]).collect();
        let moved = Field::new(&moved, worth(&moved_right)).unwrap();
        let c = right.iter().filter(|r| **r).count() as u64;
        for (name, cascade) in shapes() {
            for k in 1..=n {
                let got = cascade.best_at(&field, &Ties::Average, k).unwrap();
                let oracle = pass_at_k(n as u64, c, k as u64).unwrap();
                let never = 1.0 - pass_at_k(n as u64, n as u64 - c, k as u64).unwrap();
                prop_assert!(never - 1e-12 <= got && got <= oracle + 1e-12, "{name} k={k}");
                let again = cascade.best_at(&moved, &Ties::Average, k).unwrap();
                prop_assert!((got - again).abs() < 1e-12, "{name} k={k}: {got} {again}");
            }
        }
    }

    /// With all attempts, the mean over many seeds is the average over ties, and `apply` chooses
    /// what `best_at` counts.
    #[test]
    fn applying_it_is_what_is_counted((columns, right) in attempts(), seed in any::<u64>()) {
        let field = Field::new(&columns, worth(&right)).unwrap();
        let n = right.len();
        let mut order: Vec<usize> = (0..n).collect();
        palestra_stats::SplitMix::new(seed).shuffle(&mut order);
        for (name, cascade) in shapes() {
            let stages = cascade.apply(&field, &order).unwrap();
            let kept = stages.last().cloned().unwrap_or_else(|| (0..n).collect());
            let chosen = *kept.iter().min_by_key(|i| order[**i]).unwrap();
            let counted = cascade.best_at(&field, &Ties::Order(order.clone()), n).unwrap();
            prop_assert!((worth(&right)[chosen] - counted).abs() < 1e-12, "{name}");
        }
    }
}

#[test]
fn without_ties_it_is_the_sum_over_ranks() {
    // best@k = sum over r of y_r C(n-r, k-1) / C(n, k), y sorted by score, best first.
    let n = 26u64;
    let right: Vec<bool> = (0..n).map(|i| i % 3 == 1).collect();
    let scores: Vec<Option<f64>> = (0..n).map(|i| Some(1.0 - i as f64 / 100.0)).collect();
    let field = Field::new(&[scores], worth(&right)).unwrap();
    let cascade = Cascade { stages: vec![max(EF)] };
    let choose = |n: u64, k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
    for k in 1..=n {
        let want: f64 = (1..=n - k + 1)
            .filter(|r| right[(*r - 1) as usize])
            .map(|r| choose(n - r, k - 1) / choose(n, k))
            .sum();
        let got = cascade.best_at(&field, &Ties::Average, k as usize).unwrap();
        assert!((got - want).abs() < 1e-12, "{k}: {got} {want}");
    }
}

#[test]
fn a_thousand_attempts_are_counted() {
    let n = 1000usize;
    let right: Vec<bool> = (0..n).map(|i| i % 4 == 0).collect();
    let scores: Vec<Option<f64>> = (0..n).map(|i| Some((i % 50) as f64)).collect();
    let field = Field::new(&[scores.clone(), scores], worth(&right)).unwrap();
    let cascade = Cascade { stages: vec![top(&[0], 3, 0.5), max(1)] };
    for k in [1, 2, 500, 999, 1000] {
        let got = cascade.best_at(&field, &Ties::Average, k).unwrap();
        assert!((0.0..=1.0 + 1e-9).contains(&got), "{k}: {got}");
    }
    let got = cascade.best_at(&field, &Ties::Average, 1).unwrap();
    assert!((got - 0.25).abs() < 1e-9, "{got}");
    assert_eq!(Field::new(&[], vec![0.0; 1001]).unwrap_err(), CascadeError::Many(1001));
}

#[test]
fn what_cannot_be_counted_says_so() {
    let scores = vec![vec![Some(1.0); 20]];
    let field = Field::new(&scores, vec![1.0; 20]).unwrap();
    let odd = Cascade { stages: vec![max(0), top(&[0], 2, 0.0)] };
    let none = odd.best_at(&field, &Ties::Average, 3).unwrap_err();
    assert_eq!(none, CascadeError::NoClosedForm(20));
    let small = Field::new(&[vec![Some(1.0); 5]], vec![1.0; 5]).unwrap();
    assert_eq!(odd.best_at(&small, &Ties::Average, 3), Ok(1.0));
    let fine = Cascade { stages: vec![max(0)] };
    for k in [0, 6] {
        let size = CascadeError::Size { n: 5, k };
        assert_eq!(fine.best_at(&small, &Ties::Average, k), Err(size));
    }
    let column = Cascade { stages: vec![max(0), max(1)] };
    let wrong = column.best_at(&small, &Ties::Average, 1).unwrap_err();
    assert_eq!(wrong, CascadeError::Column { stage: 2, column: 1, columns: 1 });
    assert!(Field::new(&[vec![None; 2]], vec![1.0; 5]).is_err());
}
