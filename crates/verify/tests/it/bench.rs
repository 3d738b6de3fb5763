//! The benchmark, on attempts that are made up, and against replays.

use std::collections::BTreeMap;

use palestra_stats::{Bootstrap, SplitMix};
use palestra_verify::bench::{BenchOptions, Labelled, Pool, bench, replay};
use palestra_verify::{
    CRITIC, Candidate, Cascade, Cost, EXECUTION_FREE, EarlyStop, REGRESSION, REPRODUCTION,
    REPRODUCTION_WEIGHTED, VerifyError,
};

/// Attempts whose scores know something: the critic a little, tests a little, each of its own.
fn pool(tasks: usize, attempts: usize, seed: u64) -> Pool {
    let mut random = SplitMix::new(seed);
    let mut rows = Vec::new();
    for task in 0..tasks {
        let difficulty = 0.3 + 0.6 * random.unit();
        for attempt in 0..attempts {
            let right = random.unit() > difficulty;
            let lift = f64::from(u8::from(right));
            let free = (0.15 + 0.35 * lift + 0.5 * random.unit()).min(1.0);
            let broken = random.below(if right { 8 } else { 3 }) == 0;
            let passes = |p: f64, random: &mut SplitMix| random.unit() < p;
            let tests: BTreeMap<String, bool> =
                (0..4).map(|t| (format!("g{t}"), passes(0.35 + 0.4 * lift, &mut random))).collect();
            let count = tests.values().filter(|p| **p).count() as f64;
            let mut candidate = Candidate::new(format!("t{task:03}"), format!("x{attempt:02}"))
                .with(EXECUTION_FREE, free)
                .with(CRITIC, free * free)
                .with(REGRESSION, if broken { 0.9 } else { 1.0 })
                .with(REPRODUCTION, count)
                .with(REPRODUCTION_WEIGHTED, count / 4.0);
            if random.below(20) == 0 {
                candidate = candidate.with(EXECUTION_FREE, f64::NAN);
            }
            rows.push(Labelled {
                candidate,
                group: format!("r{}", task % 5),
                resolved: (random.below(30) > 0).then_some(right),
                cost: Cost {
                    tokens: 10_000.0 + 1_000.0 * random.below(20) as f64,
                    seconds: 60.0,
                    usd: 0.01 * (1 + random.below(5)) as f64,
                },
                verification: Cost { tokens: 500.0, seconds: 2.0, usd: 0.0 },
                tests,
            });
        }
    }
    Pool { rows }
}

fn options(seed: u64) -> BenchOptions {
    let presets = BenchOptions::presets(seed).unwrap();
    BenchOptions { bootstrap: Bootstrap { resamples: 500, ..presets.bootstrap }, ..presets }
}

#[test]
fn it_measures_everything_and_order_does_not_matter() {
    let pool = pool(60, 8, 1);
    let report = bench(&pool, &options(7)).unwrap();
    assert_eq!(report.tasks, 60);
    assert_eq!(report.attempts + report.invalid, 480);
    assert_eq!(report.cascades.len(), Cascade::presets().count());
    assert!(report.skipped.is_empty() && report.invalid > 0 && !report.short.is_empty());
    let k1 = report.random[0].mean;
    for (cascade, k) in report.cascades.iter().flat_map(|c| (0..8).map(move |k| (c, k))) {
        let point = cascade.best_at[k];
        assert!(point.low <= point.mean && point.mean <= point.high, "{}: {point:?}", cascade.name);
        assert!(point.mean <= report.oracle[k].mean + 1e-12, "{}", cascade.name);
        if k == 0 {
            assert!((point.mean - k1).abs() < 1e-12, "one attempt leaves no choice");
        }
    }
    let last = |name: &str| {
        report.cascades.iter().find(|c| c.name == name).unwrap().best_at.last().unwrap().mean
    };
    assert!(last("ours") > last("execution-based"), "both together know more");
    assert_eq!(last("swe-gym"), last("execution-free"));
    assert!(report.scores[EXECUTION_FREE].unscorable > 0);
    assert!(report.scores[EXECUTION_FREE].ece.is_some() && report.scores[REGRESSION].ece.is_none());
    assert!(report.tests.unwrap().distinguish > 0.0);
    let units: std::collections::BTreeSet<&str> =
        report.curves.iter().map(|c| c.unit.as_str()).collect();
    assert_eq!(units.into_iter().collect::<Vec<_>>(), ["attempts", "seconds", "tokens", "usd"]);
    let mut moved = pool.clone();
    SplitMix::new(3).shuffle(&mut moved.rows);
    assert_eq!(bench(&moved, &options(7)).unwrap(), report);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<palestra_verify::bench::BenchReport>(&json).unwrap(), report);
    let other = bench(&pool, &options(8)).unwrap();
    assert_eq!(other.oracle[3].mean, report.oracle[3].mean);
    assert_ne!(other.oracle[3], report.oracle[3], "the seed decides the resamples");
}

#[test]
fn tables_and_figures_say_it() {
    let report = bench(&pool(20, 6, 2), &options(1)).unwrap();
    let tables = report.tables();
    for word in
        ["best@1 |", "best@6 |", "oracle", "r2e-paper", "AUC", "unscorable", "toxic", "behind"]
    {
        assert!(tables.contains(word), "{word} in {tables}");
    }
    let plainly = report.plainly();
    assert_eq!(plainly.len(), 4, "one sentence for each hybrid: {plainly:?}");
    assert!(plainly.iter().all(|line| line.contains(" on 20 tasks") && tables.contains(line)));
    let figures = report.figures();
    let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    let want =
        ["best-at-k", "resolved-by-seconds", "resolved-by-tokens", "resolved-by-usd", "early-stop"];
    assert_eq!(names, want);
    for figure in &figures {
        assert!(figure.svg().contains("ours") && figure.png().unwrap().len() > 5000);
    }
}

#[test]
fn a_pool_is_read_again_and_a_broken_line_costs_itself() {
    let pool = pool(3, 2, 3);
    let text = pool.write();
    assert_eq!(Pool::read(&text), (pool.clone(), vec![]));
    let (read, problems) = Pool::read(&format!("{{\"candidate\"\n\n{text}"));
    assert_eq!((read, problems.len(), problems[0].line), (pool, 1, 1));
}

#[test]
fn bad_pools() {
    let empty = bench(&Pool::default(), &options(0)).unwrap_err();
    assert!(matches!(empty, VerifyError::Empty(_)), "{empty}");
    let mut invalid = pool(3, 3, 4);
    invalid.rows.iter_mut().for_each(|row| row.resolved = None);
    let error = bench(&invalid, &options(0)).unwrap_err().to_string();
    assert!(error.contains("9 attempts at 3 tasks"), "{error}");
    let mut twice = pool(3, 3, 4);
    twice.rows.push(twice.rows[0].clone());
    assert!(matches!(bench(&twice, &options(0)), Err(VerifyError::Twice { .. })));
    // Without any score there is chance and the oracle.
    let mut bare = pool(3, 3, 5);
    bare.rows.iter_mut().for_each(|row| row.candidate.scores.clear());
    let report = bench(&bare, &options(0)).unwrap();
    assert_eq!((report.cascades.len(), report.skipped.len()), (0, Cascade::presets().count()));
    assert!(report.tables().contains("no attempt has a score"));
    // One attempt at one task.
    let mut one = pool(1, 1, 6);
    one.rows[0].resolved = Some(true);
    let report = bench(&one, &options(0)).unwrap();
    assert!(report.cascades.iter().all(|c| c.best_at.len() == 1 && c.best_at[0].mean == 1.0));
    // Of one task all attempts are invalid: it is counted, and in no mean.
    let mut some = pool(4, 3, 7);
    some.rows.iter_mut().for_each(|row| row.resolved = Some(true));
    some.rows.iter_mut().take(3).for_each(|row| row.candidate.invalid = Some("no disk".into()));
    let report = bench(&some, &options(0)).unwrap();
    assert_eq!((report.tasks, report.tasks_without_attempt, report.invalid), (3, 1, 3));
}

#[test]
fn early_stopping_in_closed_form_is_what_a_replay_gives() {
    let mut pool = pool(4, 6, 8);
    pool.rows.iter_mut().for_each(|row| row.resolved = Some(row.resolved == Some(true)));
    // What is equal to the end would be drawn by lot.
    let mut random = SplitMix::new(5);
    for row in &mut pool.rows {
        let score = random.unit();
        row.candidate = row.candidate.clone().with(EXECUTION_FREE, score);
    }
    let threshold = 0.7;
    let options = BenchOptions {
        cascades: vec![Cascade::preset("execution-free").unwrap()],
        thresholds: vec![threshold],
        most: 4,
        ..options(0)
    };
    let report = bench(&pool, &options).unwrap();
    let stop = report.stops.iter().find(|s| s.by == EXECUTION_FREE).unwrap();
    let mut sums = [0.0; 3];
    let mut orders = 0.0;
    let score = |row: &Labelled| row.candidate.score(EXECUTION_FREE).get().unwrap();
    for task in 0..4 {
        let rows = &pool.rows[task * 6..(task + 1) * 6];
        for order in permutations(6) {
            let (mut made, mut tokens) = (Vec::new(), 0.0);
            for i in order.into_iter().take(4) {
                made.push(&rows[i]);
                tokens += rows[i].cost.tokens;
                if score(&rows[i]) >= threshold {
                    break;
                }
            }
            let best = made.iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
            sums[0] += f64::from(u8::from(best.resolved == Some(true)));
            sums[1] += made.len() as f64;
            sums[2] += tokens;
            orders += 1.0;
        }
    }
    // The replay of the rule, in random orders, comes near.
    let rule = EarlyStop { threshold: Some(threshold), attempts: Some(4), ..EarlyStop::default() };
    let cascade = &options.cascades[0];
    let replayed = replay(&pool, &rule, EXECUTION_FREE, cascade, 4000, 1).unwrap();
    assert!((replayed.resolved - stop.resolved).abs() < 0.02, "{replayed:?} {stop:?}");
    assert!((replayed.attempts - stop.attempts).abs() < 0.05, "{replayed:?} {stop:?}");
    assert!((replayed.cost.tokens / stop.tokens - 1.0).abs() < 0.02, "{replayed:?} {stop:?}");
    for (got, sum) in [stop.resolved, stop.attempts, stop.tokens].into_iter().zip(sums) {
        assert!((got - sum / orders).abs() < 1e-9 * sum.max(1.0), "{got} {}", sum / orders);
    }
}

#[test]
fn a_rule_by_gain_spends_less_where_there_is_no_hope() {
    let pool = pool(40, 8, 11);
    let cascade = Cascade::preset("ours").unwrap();
    let with = |least_gain| {
        let rule = EarlyStop { least_gain, ..EarlyStop::default() };
        replay(&pool, &rule, EXECUTION_FREE, &cascade, 20, 3).unwrap()
    };
    let (all, some, few) = (with(None), with(Some(0.01)), with(Some(0.1)));
    assert!(
        all.attempts > some.attempts && some.attempts > few.attempts,
        "{all:?} {some:?} {few:?}"
    );
    assert!((all.spent - 1.0).abs() < 1e-9 && few.not_worth_it > 0.5);
    assert!(few.cost.usd < all.cost.usd && few.attempts >= 1.0);
    assert_eq!(with(Some(0.01)), some, "one seed, one result");
    let none = replay(&Pool::default(), &EarlyStop::default(), CRITIC, &cascade, 1, 1);
    assert!(matches!(none, Err(VerifyError::Empty(_))));
}

/// What the whole benchmark takes, and its plots to look at. Run it with
/// `cargo test --release -p palestra-verify --test it -- --ignored --nocapture speed`; `PLOTS` names a
/// directory for the plots.
#[test]
#[ignore = "prints seconds, and proves nothing by itself"]
#[expect(clippy::print_stderr, reason = "that is what it is for")]
fn speed() {
    let pool = pool(500, 26, 1);
    let options = BenchOptions::presets(1).unwrap();
    let begin = std::time::Instant::now();
    let report = bench(&pool, &options).unwrap();
    let took = begin.elapsed().as_secs_f64();
    let (cascades, resamples) = (report.cascades.len(), report.resamples);
    eprintln!("500 tasks x 26 attempts, {cascades} cascades, {resamples} resamples: {took:.3} s");
    eprintln!("{}", report.tables());
    if let Some(dir) = std::env::var_os("PLOTS") {
        for figure in report.figures() {
            let path = std::path::Path::new(&dir).join(&figure.name);
            std::fs::write(path.with_extension("svg"), figure.svg()).unwrap();
            std::fs::write(path.with_extension("png"), figure.png().unwrap()).unwrap();
        }
    }
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(n - 1);
    let insert = |p: &Vec<usize>| {
        let p = p.clone();
        (0..n).map(move |at| [&p[..at], &[n - 1], &p[at..]].concat()).collect::<Vec<_>>()
    };
    shorter.iter().flat_map(insert).collect()
}
