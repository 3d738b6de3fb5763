//! The closed forms against R2E-Gym's published procedure: draw subsets, sort, keep, average.

use palestra_stats::{Field, SplitMix, Ties};

use crate::cascade::shapes;

/// An attempt as the notebook has it.
#[derive(Clone, Copy)]
struct Sample {
    regression: u32,
    reproduction: u32,
    probability: f64,
    right: bool,
}

fn mean(of: &[Sample]) -> f64 {
    of.iter().filter(|s| s.right).count() as f64 / of.len() as f64
}

fn keep_max<K: PartialOrd>(of: &mut Vec<Sample>, key: impl Fn(&Sample) -> K) {
    let mut best = key(&of[0]);
    for sample in of.iter() {
        if key(sample) > best {
            best = key(sample);
        }
    }
    of.retain(|sample| key(sample) == best);
}

/// Sorted by probability, then regression, then reproduction; the first max(3, half); of these the
/// most regression tests, the most reproduction tests, the highest probability; the mean of the rest.
fn hybrid(mut of: Vec<Sample>) -> f64 {
    let key = |s: &Sample| (s.probability, s.regression, s.reproduction);
    of.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap());
    let half = (of.len() as f64 * 0.5) as usize;
    of.truncate(half.max(3));
    keep_max(&mut of, |s| s.regression);
    keep_max(&mut of, |s| s.reproduction);
    keep_max(&mut of, |s| s.probability);
    mean(&of)
}

fn execution_based(mut of: Vec<Sample>) -> f64 {
    keep_max(&mut of, |s| s.regression);
    keep_max(&mut of, |s| s.reproduction);
    mean(&of)
}

fn execution_free(mut of: Vec<Sample>) -> f64 {
    keep_max(&mut of, |s| s.probability);
    mean(&of)
}

#[test]
fn drawing_subsets_comes_to_the_same() {
    let mut random = SplitMix::new(26);
    let trials = 5_000;
    for task in 0..3u32 {
        let samples: Vec<Sample> = (0..26)
            .map(|_| {
                let right = random.below(3) == 0;
                let lift = usize::from(right);
                Sample {
                    regression: (10 - random.below(3)) as u32,
                    reproduction: (random.below(4) + lift) as u32,
                    // Coarse, so that there are ties here too.
                    probability: (random.below(8) + lift) as f64 / 8.0,
                    right,
                }
            })
            .collect();
        let column = |f: &dyn Fn(&Sample) -> f64| samples.iter().map(|s| Some(f(s))).collect();
        let columns: [Vec<Option<f64>>; 3] = [
            column(&|s| s.probability),
            column(&|s| f64::from(s.regression)),
            column(&|s| f64::from(s.reproduction)),
        ];
        let worth = samples.iter().map(|s| f64::from(u8::from(s.right))).collect();
        let field = Field::new(&columns, worth).unwrap();
        type Rule = fn(Vec<Sample>) -> f64;
        let rules: [(&str, Rule); 3] = [
            ("notebook", hybrid),
            ("execution-based", execution_based),
            ("execution-free", execution_free),
        ];
        for (name, rule) in rules {
            let (_, cascade) = shapes().into_iter().find(|(n, _)| *n == name).unwrap();
            for k in [1, 2, 3, 5, 7, 13, 26] {
                let (mut sum, mut squares) = (0.0, 0.0);
                for _ in 0..trials {
                    let mut drawn = samples.clone();
                    random.shuffle(&mut drawn);
                    drawn.truncate(k);
                    let got = rule(drawn);
                    sum += got;
                    squares += got * got;
                }
                let n = f64::from(trials);
                let drawn = sum / n;
                let error = ((squares / n - drawn * drawn).max(0.0) / n).sqrt();
                let exact = cascade.best_at(&field, &Ties::Average, k).unwrap();
                // 4.5 standard errors: once in 150,000 by chance, and the seed is fixed.
                let far = (drawn - exact).abs();
                assert!(far <= 4.5 * error + 1e-9, "task {task} {name} k={k}: {drawn} {exact}");
            }
        }
    }
}
