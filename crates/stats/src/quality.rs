//! How good scores and tests are, once the truth is known.

/// The area under the curve of true positives over false positives: the chance that a right one has
/// the higher score than a wrong one, ties counting half. `None` without one of each. Scores that
/// are no numbers count as lowest.
pub fn auc(scores: &[f64], right: &[bool]) -> Option<f64> {
    let mut all: Vec<(f64, bool)> = scores
        .iter()
        .zip(right)
        .map(|(s, r)| (if s.is_nan() { f64::NEG_INFINITY } else { s + 0.0 }, *r))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut area, mut positives) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        let yes = equal.iter().filter(|(_, right)| *right).count() as f64;
        let no = equal.len() as f64 - yes;
        area += yes * (below + no / 2.0);
        below += no;
        positives += yes;
    }
    (positives > 0.0 && below > 0.0).then(|| area / (positives * below))
}

/// The expected calibration error: the mean distance between what was predicted and what came true,
/// over bins of equal width. `None` of nothing. Predictions are cut to 0 and 1.
pub fn ece(predicted: &[f64], right: &[bool], bins: usize) -> Option<f64> {
    let bins = bins.max(1);
    let mut sums = vec![(0.0, 0.0, 0.0); bins];
    let mut count = 0.0;
    for (p, right) in known(predicted, right) {
        let bin = ((p * bins as f64) as usize).min(bins - 1);
        sums[bin].0 += p;
        sums[bin].1 += f64::from(u8::from(right));
        sums[bin].2 += 1.0;
        count += 1.0;
    }
    let distance = sums.iter().map(|(p, right, _): &(f64, f64, f64)| (p - right).abs());
    (count > 0.0).then(|| distance.sum::<f64>() / count)
}

/// The mean squared distance between prediction and truth. `None` of nothing.
pub fn brier(predicted: &[f64], right: &[bool]) -> Option<f64> {
    mean(known(predicted, right).map(|(p, right)| (p - f64::from(u8::from(right))).powi(2)))
}

/// The mean of `-ln` of the probability that the truth was given, in nats. Predictions are kept
/// 1e-12 away from 0 and 1. `None` of nothing.
pub fn log_loss(predicted: &[f64], right: &[bool]) -> Option<f64> {
    mean(known(predicted, right).map(|(p, right)| {
        let p = p.clamp(1e-12, 1.0 - 1e-12);
        if right { -p.ln() } else { -(1.0 - p).ln() }
    }))
}

fn known<'a>(
    predicted: &'a [f64],
    right: &'a [bool],
) -> impl Iterator<Item = (f64, bool)> + use<'a> {
    let all = predicted.iter().zip(right).filter(|(p, _)| !p.is_nan());
    all.map(|(p, right)| (p.clamp(0.0, 1.0), *right))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// What a test says about attempts whose worth is known, as R2E-Gym defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestEffect {
    /// The best of the wrong attempts and the best of the right ones fare differently.
    pub distinguishes: bool,
    /// It passes on some wrong attempt and on no right one.
    pub toxic: bool,
}

/// The effect of one test. `None` unless there are both right and wrong attempts.
pub fn test_effect(passes: &[bool], right: &[bool]) -> Option<TestEffect> {
    let best =
        |of: bool| passes.iter().zip(right).filter(|(_, r)| **r == of).map(|(p, _)| *p).max();
    let (wrong, right) = (best(false)?, best(true)?);
    Some(TestEffect { distinguishes: wrong != right, toxic: wrong && !right })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs() {
        let (scores, right) = ([0.1, 0.4, 0.4, 0.8, f64::NAN], [false, true, false, true, false]);
        let mut pairs = 0.0;
        for (a, ra) in [0.1, 0.4, 0.4, 0.8, -1.0].iter().zip(right) {
            for (b, rb) in [0.1, 0.4, 0.4, 0.8, -1.0].iter().zip(right) {
                if ra && !rb {
                    pairs += if a > b {
                        1.0
                    } else if a == b {
                        0.5
                    } else {
                        0.0
                    };
                }
            }
        }
        assert_eq!(auc(&scores, &right), Some(pairs / 6.0));
        assert_eq!(auc(&[0.5, 0.5], &[true, false]), Some(0.5));
        assert_eq!(auc(&[0.5], &[true]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    #[test]
    fn calibration() {
        let right = [true, true, false, false];
        // Two bins: mean prediction 0.75 where 2 of 3 are right, 0.25 where none of 1 is.
        let error = ece(&[0.75, 0.75, 0.75, 0.25], &right, 2).unwrap();
        assert!((error - (0.25 + 0.25) / 4.0).abs() < 1e-12, "{error}");
        assert_eq!(ece(&[1.0, 1.0, 0.0, 0.0], &right, 10), Some(0.0));
        assert_eq!(brier(&[1.0, 0.5, 0.5, 0.0], &right), Some(0.125));
        assert!((log_loss(&[0.5; 4], &right).unwrap() - 2f64.ln()).abs() < 1e-12);
        assert!(log_loss(&[0.0; 4], &right).unwrap().is_finite());
        assert_eq!(
            (ece(&[], &[], 10), brier(&[], &[]), log_loss(&[f64::NAN], &[true])),
            (None, None, None)
        );
    }

    #[test]
    fn tests_that_distinguish_and_tests_that_mislead() {
        let effect = |passes: &[bool]| test_effect(passes, &[true, true, false]);
        let is = |distinguishes, toxic| Some(TestEffect { distinguishes, toxic });
        assert_eq!(effect(&[true, false, false]), is(true, false));
        assert_eq!(effect(&[false, false, true]), is(true, true));
        assert_eq!(effect(&[true, false, true]), is(false, false));
        assert_eq!(test_effect(&[true], &[true]), None);
    }
}
