//! Files that are no Python, or not of the kind that bugs are put into.

use palestra_mutate::{InjectOptions, MutantOptions, MutateError, Source, inject, mutants};

const GOOD: &[u8] = b"def f(a):\n    for b in a:\n        if a < b < 3:\n            return b\n";

fn options() -> InjectOptions {
    InjectOptions { min_complexity: Some(0), per_entity: 3, ..InjectOptions::default() }
}

#[track_caller]
fn problem(content: &[u8]) -> String {
    let (bugs, problems) =
        inject(&[Source { path: "m.py", content, executable: false }], &options());
    assert_eq!((bugs.len(), problems.len()), (0, 1), "{problems:?}");
    problems[0].what.clone()
}

#[test]
fn what_cannot_be_read_is_a_problem() {
    assert!(problem(b"def f(:\n").contains("syntax"));
    assert!(problem(b"def f():\n    print 'x'\n    x = 1\n").contains("Python 2"));
    assert!(problem(b"def f():\n    return `x`\n").contains(""));
    assert!(problem(b"x = 1\0\n").contains("NUL"));
    assert!(problem(b"def f():\r    x = 1\r").contains("carriage"));
    assert!(problem(b"def f():\n    x = 1\n  y = 2\n").contains("indented"));
    assert!(problem(b"def f():\n    if x:\n    y = 1\n").contains("block"));
    assert!(problem(b"return 1\n").contains("return"));
    assert!(problem(&vec![b'\n'; 5 << 20]).contains("MiB"));
}

#[test]
fn nesting_and_size_cost_no_stack() {
    let deep = |open: &str, close: &str, count: usize| {
        format!("def f(x):\n    return {}1{}\n", open.repeat(count), close.repeat(count))
    };
    assert!(problem(deep("(", ")", 20_000).as_bytes()).contains("deeper"));
    assert!(problem(deep("1 + ", "", 20_000).as_bytes()).contains("deeper"));
    assert!(problem(deep("not ", "", 20_000).as_bytes()).contains("deeper"));
    let blocks: String = (0..600).map(|n| format!("{}if x:\n", " ".repeat(n))).collect::<String>()
        + &" ".repeat(600);
    // Python itself refuses more than a hundred.
    assert!(!problem(format!("{blocks}y\n").as_bytes()).is_empty());
}

#[test]
fn nothing_is_proposed_for_what_is_left_alone() {
    for path in [
        "tests/test_a.py",
        "pkg/conftest.py",
        "pkg/_vendor/x.py",
        "docs/conf.py",
        "setup.py",
        "pkg/x_pb2.py",
        "pkg/data.json",
        "pkg/x.pyi",
    ] {
        let found = inject(&[Source { path, content: GOOD, executable: false }], &options());
        assert_eq!(found, (vec![], vec![]), "{path}");
    }
    let generated = [b"# Generated. DO NOT EDIT.\n", GOOD].concat();
    for content in [&b""[..], b"from .a import b\n__all__ = ['b']\n", &generated] {
        let found = inject(&[Source { path: "a.py", content, executable: false }], &options());
        assert_eq!(found, (vec![], vec![]));
    }
    assert!(
        !inject(&[Source { path: "a.py", content: GOOD, executable: false }], &options())
            .0
            .is_empty()
    );
}

#[test]
fn other_bytes_stay_as_they_are() {
    // Latin 1, a byte order mark, form feeds, tabs, mixed line ends, no line feed at the end.
    let latin: &[u8] = b"# -*- coding: latin-1 -*-\n# caf\xe9\ndef f(a):\n    while a > 1:\n        a -= 1\n    return a";
    let odd: &[u8] =
        b"\xef\xbb\xbfx = 1\r\n\x0c\r\ndef f(a):\r\n\tfor b in a:\n\t\tif b:\r\n\t\t\treturn 1 - b";
    for content in [latin, odd] {
        let files = [Source { path: "m.py", content, executable: true }];
        let (bugs, problems) = inject(&files, &options());
        // Bytes that are not UTF-8 may stop the parser, but are never changed.
        assert!(problems.is_empty() != bugs.is_empty(), "{problems:?}");
        for bug in bugs {
            let text = bug.apply(&files).unwrap().remove("m.py").unwrap();
            let kept: usize = bug.edits.iter().map(|e| e.replacement.len()).sum();
            let gone: usize = bug.edits.iter().map(|e| e.end - e.start).sum();
            assert_eq!(text.len() + gone, content.len() + kept);
            assert!(text.starts_with(&content[..bug.edits[0].start]));
            assert!(text.ends_with(&content[bug.edits.last().unwrap().end..]));
            assert!(String::from_utf8_lossy(&bug.patch(&files).unwrap()).contains("100755"));
        }
    }
}

#[test]
fn the_same_path_twice_is_a_problem() {
    let file = |content| Source { path: "m.py", content, executable: false };
    let (_, problems) = inject(&[file(GOOD), file(b"x = 1\n")], &options());
    assert_eq!(problems.len(), 1);
}

#[test]
fn a_bug_does_not_fit_other_files() {
    let files = [Source { path: "m.py", content: GOOD, executable: false }];
    let bug = inject(&files, &options()).0.remove(0);
    let missing = bug.apply(&[]).unwrap_err();
    assert!(missing.to_string().contains("is missing"), "{missing}");
    let short = [Source { path: "m.py", content: b"x", executable: false }];
    assert!(matches!(bug.patch(&short), Err(MutateError::OtherFile { .. })));
    assert!(bug.fix(&short).is_err());
}

#[test]
fn gold_that_does_not_apply_is_an_error() {
    let none = |_: &str| None;
    let run = |gold: &[u8]| mutants(&none, gold, &MutantOptions::default());
    let gold = b"diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-x\n+y\n";
    assert!(matches!(run(gold), Err(MutateError::Apply(_))));
    assert!(matches!(
        run(b"diff --git a/m b/m\n--- a/m\n+++ b/m\n@@ -1,9 +1 @@\n"),
        Err(MutateError::Unread { .. })
    ));
    assert!(run(b"").unwrap().0.is_empty());
    assert!(
        run(b"not a patch\n").is_ok_and(|(found, _)| found.is_empty())
            || run(b"not a patch\n").is_err()
    );
}
