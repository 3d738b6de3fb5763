//! What the whole statistic of a benchmark takes. Run it with
//! `cargo test --release -p palestra-stats --test it -- --ignored --nocapture speed`. `PYTHON` names a
//! Python to compare with; with numpy it does what R2E-Gym's notebook does.

use std::time::Instant;

use palestra_stats::{Binomials, Bootstrap, Field, Matrix, SplitMix, Ties, pass_at_k};

use crate::cascade::shapes;

#[test]
#[ignore = "prints seconds, and proves nothing by itself"]
#[expect(clippy::print_stderr, reason = "that is what it is for")]
fn speed() {
    let (tasks, attempts) = (500u32, 26);
    let mut random = SplitMix::new(1);
    let data: Vec<_> = (0..tasks).map(|_| task(&mut random, attempts)).collect();
    let ks: Vec<usize> = (1..=attempts).collect();
    let shapes: Vec<_> = shapes().into_iter().filter(|(name, _)| *name != "top only").collect();
    let columns = (shapes.len() + 1) * ks.len();
    let begin = Instant::now();
    let binomials = Binomials::up_to(attempts);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let rows: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let parts: Vec<_> = data
            .chunks(data.len().div_ceil(threads))
            .map(|part| {
                let (binomials, shapes, ks) = (&binomials, &shapes, &ks);
                scope.spawn(move || {
                    part.iter().map(|t| row(t, shapes, ks, binomials)).collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let exact = begin.elapsed();
    let mut matrix = Matrix::new(columns);
    rows.iter().for_each(|row| matrix.push(row));
    let intervals = Bootstrap::default().intervals(&matrix);
    let took = begin.elapsed();
    eprintln!(
        "{tasks} tasks x {attempts} attempts, {} cascades, all k: {:.3} s; \
         10,000 resamples of {columns} columns: {:.3} s; together {:.3} s on {threads} threads",
        shapes.len(),
        exact.as_secs_f64(),
        (took - exact).as_secs_f64(),
        took.as_secs_f64(),
    );
    assert_eq!(intervals.len(), columns);
    let notebook = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/notebook.py");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    match std::process::Command::new(python).args([notebook, "2"]).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (seconds, kind) = text.trim().split_once('\t').unwrap_or((&text, ""));
            let seconds: f64 = seconds.parse().unwrap();
            eprintln!(
                "drawing 1,000 subsets ({kind}): {seconds:.2} s of CPU for a task, {:.0} s for all \
                 of them, without intervals: {:.0} times as long",
                seconds * f64::from(tasks),
                seconds * f64::from(tasks) / took.as_secs_f64()
            );
        }
        other => eprintln!("skipped: the notebook's procedure needs Python ({other:?})"),
    }
}

type Task = (Vec<Vec<Option<f64>>>, Vec<bool>);

/// Scores as they are: probabilities without ties, counts with many.
fn task(random: &mut SplitMix, attempts: usize) -> Task {
    let difficulty = random.unit();
    let right: Vec<bool> = (0..attempts).map(|_| random.unit() > difficulty).collect();
    let lift = |i: usize| f64::from(u8::from(right[i]));
    let free = (0..attempts).map(|i| Some(random.unit() + 0.3 * lift(i))).collect();
    let regression = (0..attempts).map(|_| Some((20 - random.below(3)) as f64)).collect();
    let reproduction = (0..attempts).map(|i| Some(random.below(6) as f64 + lift(i))).collect();
    (vec![free, regression, reproduction], right)
}

fn row(
    (columns, right): &Task,
    shapes: &[(&'static str, palestra_stats::Cascade)],
    ks: &[usize],
    binomials: &Binomials,
) -> Vec<f64> {
    let worth = right.iter().map(|r| f64::from(u8::from(*r))).collect();
    let field = Field::new(columns, worth).unwrap();
    let mut row = Vec::new();
    for (_, cascade) in shapes {
        row.extend(cascade.best_at_all(&field, &Ties::Average, ks, binomials).unwrap());
    }
    let c = right.iter().filter(|r| **r).count() as u64;
    row.extend(ks.iter().map(|k| pass_at_k(right.len() as u64, c, *k as u64).unwrap()));
    row
}
