//! Scores from what tests say.

use std::collections::BTreeMap;

use palestra_core::{TestReport, TestResult, TestStatus};
use palestra_stats::SplitMix;
use palestra_verify::Score;
use palestra_verify::execution::{Generated, Use, judge_tests, regression_score, stable_tests};
use proptest::prelude::*;

fn report(tests: &[(&str, TestStatus)]) -> TestReport {
    let result = |status| TestResult { status, seconds: 0.0, message: String::new() };
    TestReport {
        tests: tests.iter().map(|(name, status)| ((*name).to_owned(), result(*status))).collect(),
        finished: true,
        ..TestReport::default()
    }
}

#[test]
fn regression_goes_by_what_always_passed() {
    use TestStatus::{Error, Failed, Passed, Skipped};
    let base = [
        report(&[("a", Passed), ("b", Passed), ("flaky", Passed), ("c", Failed), ("s", Skipped)]),
        report(&[("a", Passed), ("b", Passed), ("flaky", Failed), ("c", Passed)]),
    ];
    let tests = stable_tests(&base);
    assert_eq!(tests.iter().collect::<Vec<_>>(), ["a", "b"]);
    let broke = regression_score(&tests, Some(&report(&[("a", Passed), ("b", Error)])));
    assert_eq!((broke.tests, broke.passed, broke.broken.as_slice()), (2, 1, &["b".to_owned()][..]));
    assert_eq!(broke.score, Score::new(0.5));
    // What is missing is not passed; what skips is not either.
    let skipped = regression_score(&tests, Some(&report(&[("a", Skipped)])));
    assert_eq!((skipped.passed, skipped.score), (0, Score::new(0.0)));
    assert!(regression_score(&tests, None).score.is_none());
    let nothing = stable_tests(&[]);
    assert!(regression_score(&nothing, Some(&base[0])).score.is_none());
}

fn generated(name: &str, base: bool, passes: &[(&str, bool)]) -> Generated {
    let attempts = passes.iter().map(|(id, p)| ((*id).to_owned(), *p)).collect();
    Generated { name: name.to_owned(), base: Some(base), attempts }
}

/// The attempts a to f, of which a test passes on those named.
fn on(name: &str, base: bool, passes: &str) -> Generated {
    let all: Vec<(String, bool)> =
        "abcdef".chars().map(|c| (c.to_string(), passes.contains(c))).collect();
    let all: Vec<(&str, bool)> = all.iter().map(|(id, p)| (id.as_str(), *p)).collect();
    generated(name, base, &all)
}

#[test]
fn tests_are_weighted_by_agreement() {
    let judged = judge_tests(&[
        on("good-1", false, "abc"),
        on("good-2", false, "abc"),
        on("good-3", false, "abd"),
        on("toxic", false, "ef"),
        on("useless", false, "abcdef"),
        on("never", false, ""),
        on("already", true, "abcd"),
        generated("unrun", false, &[]),
    ]);
    let of = |name: &str| judged.tests[name];
    for name in ["good-1", "good-2", "good-3"] {
        assert_eq!(of(name).0, Use::Distinguishes, "{name}");
        assert!(of(name).1 > 0.2, "{name}: {:?}", of(name));
    }
    assert_eq!(of("toxic"), (Use::Toxic, 0.0));
    assert_eq!((of("useless").0, of("never").0), (Use::SameForAll, Use::SameForAll));
    assert_eq!((of("already").0, of("unrun").0), (Use::PassesOnBase, Use::NotRun));
    let weighted = |id: &str| judged.weighted[id].get().unwrap();
    assert!(weighted("a") > weighted("c") && weighted("c") > weighted("d"));
    assert!(weighted("d") > weighted("e") && weighted("e") == 0.0);
    // R2E-Gym counts them all alike: e and f pass two tests, d three.
    let count = |id: &str| judged.counts[id].get().unwrap();
    assert_eq!((count("a"), count("d"), count("e")), (5.0, 3.0, 2.0));
}

#[test]
fn few_tests_and_none() {
    assert_eq!(judge_tests(&[]), Default::default());
    let one = judge_tests(&[generated("only", false, &[("a", true), ("b", false)])]);
    assert_eq!(one.tests["only"], (Use::Distinguishes, 1.0));
    assert_eq!((one.weighted["a"], one.weighted["b"]), (Score::new(1.0), Score::new(0.0)));
    let same = judge_tests(&[generated("same", false, &[("a", true), ("b", true)])]);
    assert_eq!(same.weighted["a"], same.weighted["b"]);
    assert!(same.weighted["a"].get().is_some());
    // On `b` only one test could be run.
    let holes = judge_tests(&[
        generated("x", false, &[("a", true), ("b", false), ("c", true)]),
        generated("y", false, &[("a", true), ("c", false)]),
    ]);
    assert!(holes.weighted.values().all(|score| !score.is_none()));
}

proptest! {
    #[test]
    fn shuffling_changes_nothing(matrix in prop::collection::vec(any::<u8>(), 1..8), seed in any::<u64>()) {
        let test = |(number, bits): (usize, &u8)| {
            let attempts: BTreeMap<String, bool> =
                (0..8).map(|i| (format!("x{i}"), bits >> i & 1 == 1)).collect();
            Generated { name: format!("t{number}"), base: Some(false), attempts }
        };
        let tests: Vec<Generated> = matrix.iter().enumerate().map(test).collect();
        let mut moved = tests.clone();
        SplitMix::new(seed).shuffle(&mut moved);
        let judged = judge_tests(&tests);
        prop_assert_eq!(&judged, &judge_tests(&moved));
        for score in judged.weighted.values() {
            prop_assert!((0.0..=1.0).contains(&score.get().unwrap()));
        }
    }
}
