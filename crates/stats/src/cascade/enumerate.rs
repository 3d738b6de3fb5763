//! Every subset and every lot, one after another.

use super::{Cascade, Field, Keep, Stage, Ties};

/// The most attempts that are enumerated.
pub(super) const MAX_N: usize = 16;

/// The mean over all subsets of `k`.
pub(super) fn best_at(cascade: &Cascade, field: &Field, ties: &Ties, k: usize) -> f64 {
    let mut sum = 0.0;
    let mut count = 0u32;
    for set in 0u32..1 << field.len() {
        if set.count_ones() as usize == k {
            let drawn: Vec<usize> = (0..field.len()).filter(|i| set & (1 << i) != 0).collect();
            sum += choose(&cascade.stages, field, ties, drawn);
            count += 1;
        }
    }
    sum / f64::from(count)
}

/// The expected worth of what the stages choose among these.
fn choose(stages: &[Stage], field: &Field, ties: &Ties, of: Vec<usize>) -> f64 {
    let Some((stage, rest)) = stages.split_first() else {
        return match ties {
            Ties::Average => of.iter().map(|i| field.worth[*i]).sum::<f64>() / of.len() as f64,
            Ties::Order(order) => {
                of.iter().min_by_key(|i| order[**i]).map_or(0.0, |i| field.worth[*i])
            }
        };
    };
    let Keep::Top { least, share } = stage.keep else {
        return choose(rest, field, ties, field.best(stage, &of));
    };
    let keep = Keep::count(least, share, of.len());
    let place = |i: usize| match ties {
        Ties::Average => 0,
        Ties::Order(order) => order[i],
    };
    let mut sorted = of;
    let key = |i: usize| (std::cmp::Reverse(field.key(&stage.by, i)), place(i));
    sorted.sort_by_key(|i| key(*i));
    let border = key(sorted[keep - 1]);
    let sure: Vec<usize> = sorted.iter().copied().filter(|i| key(*i) < border).collect();
    let lot: Vec<usize> = sorted.iter().copied().filter(|i| key(*i) == border).collect();
    let draw = keep - sure.len();
    let (mut sum, mut count) = (0.0, 0u32);
    for set in 0u32..1 << lot.len() {
        if set.count_ones() as usize == draw {
            let drawn = (0..lot.len()).filter(|i| set & (1 << i) != 0).map(|i| lot[i]);
            sum += choose(rest, field, ties, sure.iter().copied().chain(drawn).collect());
            count += 1;
        }
    }
    sum / f64::from(count)
}
