//! Bugs joined.

use std::collections::BTreeSet;

use palestra_mutate::{Bug, CombineOptions, InjectOptions, Scope, Source, combine, inject};

use crate::fixture;

fn bugs(files: &[Source<'_>]) -> Vec<Bug> {
    inject(files, &InjectOptions { per_entity: 2, ..InjectOptions::default() }).0
}

#[test]
fn bugs_of_one_file_or_module_are_joined() {
    let files = fixture::files();
    let bugs = bugs(&files);
    for (scope, word) in
        [(Scope::File, "combine_file"), (Scope::Module { depth: 2 }, "combine_module")]
    {
        for size in [2, 3] {
            let options = CombineOptions {
                scope,
                size,
                reuse: true,
                per_group: Some(10),
                ..CombineOptions::default()
            };
            let (made, problems) = combine(&files, &bugs, &options);
            assert_eq!(problems, []);
            assert!(made.len() >= 8, "{scope:?} {size}: {}", made.len());
            let ids: BTreeSet<&str> = made.iter().map(|b| b.id.as_str()).collect();
            assert_eq!(ids.len(), made.len());
            for bug in &made {
                assert!(bug.id.starts_with(word));
                assert_eq!(bug.entities.len(), size);
                let paths: BTreeSet<&str> = bug.edits.iter().map(|e| e.path.as_str()).collect();
                assert_eq!(paths.len() > 1, scope != Scope::File, "{paths:?}");
                for pair in bug.edits.windows(2) {
                    assert!(pair[0].path != pair[1].path || pair[0].end <= pair[1].start);
                }
            }
            let mut shuffled = bugs.clone();
            shuffled.reverse();
            assert_eq!(combine(&files, &shuffled, &options).0, made);
        }
    }
}

#[test]
fn without_reuse_every_bug_is_in_one_combination() {
    let files = fixture::files();
    let bugs = bugs(&files);
    let (made, _) = combine(&files, &bugs, &CombineOptions::default());
    assert!(2 * made.len() <= bugs.len());
    assert!(made.len() > 5);
    // What is joined is not joined again.
    assert_eq!(combine(&files, &made, &CombineOptions::default()), (vec![], vec![]));
    let alone = CombineOptions { size: 1, ..CombineOptions::default() };
    assert_eq!(combine(&files, &bugs, &alone), (vec![], vec![]));
    let limited = CombineOptions { max: Some(2), ..CombineOptions::default() };
    let (few, _) = combine(&files, &bugs, &limited);
    let paths: BTreeSet<&str> = few.iter().map(|b| b.edits[0].path.as_str()).collect();
    assert_eq!((few.len(), paths.len()), (2, 2));
}

#[test]
fn bugs_of_other_files_are_problems() {
    let files = fixture::files();
    let bugs = bugs(&files);
    let (made, problems) = combine(&[], &bugs, &CombineOptions::default());
    assert_eq!((made.len(), problems.len()), (0, bugs.len()));
}
