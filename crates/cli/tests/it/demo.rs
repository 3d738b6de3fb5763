//! `palestra demo`, the first thing a stranger runs.

use crate::support::{GOOD_TEST, Palestra, Repository, can_build};

#[test]
fn the_demo_proves_its_fixes_and_they_stay_proven() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let out = palestra.dir().join("demo");
    let out = out.to_string_lossy().into_owned();
    let ran = palestra.run(&["demo", "--out", &out, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["commits"], 12, "{report}");
    assert!(report["tasks"].as_u64() >= Some(5), "{report}");
    // The same tasks again, from their directories alone, with an empty home.
    let other = Palestra::new();
    let ran = other.run(&["gate", &format!("{out}/tasks"), "--rerun", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let again: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(again["tasks"], report["tasks"], "{again}");
    assert_eq!(again["gold_resolved"], report["tasks"], "{again}");
    assert_eq!(again["empty_resolved"], 0, "{again}");
}

#[test]
fn the_stages_one_by_one_give_the_same() {
    if !can_build() {
        return;
    }
    let palestra = Palestra::new();
    let repository = Repository::with_fix(palestra.dir().join("r"), GOOD_TEST);
    let repo = repository.path.to_string_lossy().into_owned();
    let out = palestra.dir().join("out").to_string_lossy().into_owned();
    let ran = palestra.run(&["mine", &repo, "--out", &out]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report = |ran: crate::support::Ran| -> serde_json::Value {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let built = report(palestra.run(&["build", &out, "--json"]));
    assert_eq!((&built["built"], &built["tasks"]), (&1.into(), &0.into()), "{built}");
    let gated = report(palestra.run(&["gate", &out, "--json"]));
    assert_eq!(gated["tasks"], 1, "{gated}");
    let again = report(palestra.run(&["curate", &repo, "--out", &out, "--json"]));
    assert_eq!(again["tasks"], 1, "{again}");
}
