//! Bugs of a small package of our own.

use std::collections::{BTreeMap, BTreeSet};

use palestra_mutate::{Bug, InjectOptions, Modifier, Source, inject};

use crate::common::refused;

/// The package.
pub(crate) fn files() -> Vec<Source<'static>> {
    macro_rules! file {
        ($path:literal) => {
            Source {
                path: concat!("src/shop/", $path),
                content: include_bytes!(concat!("fixture/", $path)),
                executable: false,
            }
        };
    }
    vec![file!("basket.py"), file!("events.py"), file!("prices.py")]
}

fn modifiers(bugs: &[Bug]) -> BTreeMap<Modifier, usize> {
    let mut count = BTreeMap::new();
    bugs.iter().for_each(|bug| *count.entry(bug.modifiers[0]).or_default() += 1);
    count
}

#[test]
fn every_modifier_finds_something() {
    let files = files();
    let options = InjectOptions { per_entity: 2, ..InjectOptions::default() };
    let (bugs, problems) = inject(&files, &options);
    assert_eq!(problems, []);
    let count = modifiers(&bugs);
    assert_eq!(count.len(), Modifier::ALL.len(), "{count:?}");
    let texts: Vec<Vec<u8>> =
        bugs.iter().flat_map(|b| b.apply(&files).unwrap().into_values()).collect();
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), bugs.len());
    assert_eq!(bugs.iter().map(|b| &b.id).collect::<BTreeSet<_>>().len(), bugs.len());
    match refused(texts.iter().map(|t| &t[..])) {
        Some(refused) => assert_eq!(refused, Vec::<String>::new()),
        None => eprintln!("skipped: no python3"),
    }
}

#[test]
fn a_limit_spreads_over_modifiers_and_files() {
    let files = files();
    let options = |max| InjectOptions { per_entity: 2, max, ..InjectOptions::default() };
    let all = inject(&files, &options(None)).0;
    let few = inject(&files, &options(Some(13))).0;
    assert_eq!(modifiers(&few).len(), 13);
    let paths: BTreeSet<&str> = few.iter().map(|b| b.edits[0].path.as_str()).collect();
    assert_eq!(paths.len(), 3);
    assert!(few.iter().all(|bug| all.contains(bug)));
    assert!(inject(&files, &options(Some(0))).0.is_empty());
}

#[test]
fn the_bugs_are_these() {
    // Another number means that another version makes other bugs of one seed.
    let (bugs, _) = inject(&files(), &InjectOptions::default());
    let ids: Vec<&str> = bugs.iter().map(|b| b.id.as_str()).collect();
    let first: Vec<&str> = ids.iter().copied().take(5).collect();
    let want = [
        "func_pm_class_rm_base__l05oqilj",
        "func_pm_class_shuffle_funcs__454p4sfl",
        "func_pm_remove_assign__tqbv4c7z",
        "func_pm_remove_cond__wzddu408",
        "func_pm_op_swap__igk9y98g",
    ];
    assert_eq!((ids.len(), &first[..]), (81, &want[..]));
}

#[test]
fn a_change_elsewhere_changes_no_bug() {
    let files = files();
    let options = InjectOptions::default();
    let before = inject(&files, &options).0;
    let mut changed = files.clone();
    let text = [b"def added(a):\n    for b in a:\n        if b > 1 or b < -1:\n            a = b - 1\n    return a\n\n\n", files[2].content].concat();
    changed[2].content = &text;
    let after = inject(&changed, &options).0;
    // Positions and hashes differ, what is put in does not.
    let put = |bugs: &[Bug]| -> BTreeSet<(Modifier, String, Vec<Vec<u8>>)> {
        let kept = bugs.iter().filter(|b| b.entities[0].name != "added");
        kept.map(|b| {
            let texts = b.edits.iter().map(|e| e.replacement.clone()).collect();
            (b.modifiers[0], b.entities[0].name.clone(), texts)
        })
        .collect()
    };
    assert_eq!(put(&before), put(&after));
    assert!(after.len() > before.len());
}
