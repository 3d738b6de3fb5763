//! Mutants of gold patches.

use std::collections::{BTreeMap, BTreeSet};

use palestra_diff::{Change, File, MakeOptions, apply_all, make, parse};
use palestra_mutate::{Mutant, MutantKind, MutantOptions, Problem, mutants};

use crate::common::refused;

/// Path, content before, content after.
type Edited<'a> = (&'a str, Option<&'a [u8]>, Option<&'a [u8]>);

pub(crate) fn patch(files: &[Edited<'_>]) -> Vec<u8> {
    let file = |content: &[u8]| File { mode: 0o100644, content: content.to_vec() };
    let changes: Vec<Change> = files
        .iter()
        .map(|(path, old, new)| Change {
            path: path.as_bytes().to_vec(),
            old: old.map(file),
            new: new.map(file),
        })
        .collect();
    make(&changes, &MakeOptions::default())
}

type Tree = BTreeMap<String, Vec<u8>>;

/// The trees that the mutants make, in their order.
fn trees(files: &[Edited<'_>], mutants: &[Mutant]) -> Vec<Tree> {
    let base =
        |path: &str| files.iter().find(|f| f.0 == path).and_then(|f| f.1).map(<[u8]>::to_vec);
    let tree = |patch: &[u8]| {
        let mut tree: Tree = files
            .iter()
            .filter_map(|(path, old, _)| Some(((*path).to_owned(), old.as_ref()?.to_vec())))
            .collect();
        let (parsed, problems) = parse(patch);
        assert_eq!(problems, []);
        let read = |path: &[u8]| base(std::str::from_utf8(path).unwrap());
        for written in apply_all(&parsed, read).unwrap() {
            let path = String::from_utf8(written.path).unwrap();
            match written.content {
                Some(content) => tree.insert(path, content),
                None => tree.remove(&path),
            };
        }
        tree
    };
    mutants.iter().map(|m| tree(&m.patch)).collect()
}

fn run(files: &[Edited<'_>], options: &MutantOptions) -> (Vec<Mutant>, Vec<Problem>) {
    let base =
        |path: &str| files.iter().find(|f| f.0 == path).and_then(|f| f.1).map(<[u8]>::to_vec);
    let (made, problems) = mutants(&base, &patch(files), options).unwrap();
    // Each is a tree of its own, and none is gold's or the base.
    let mut trees = trees(files, &made);
    let side = |new: bool| -> Tree {
        let content = |f: &Edited<'_>| if new { f.2 } else { f.1 }.map(<[u8]>::to_vec);
        files.iter().filter_map(|f| Some((f.0.to_owned(), content(f)?))).collect()
    };
    trees.extend([side(false), side(true)]);
    let count = trees.len();
    assert_eq!(trees.into_iter().collect::<BTreeSet<_>>().len(), count);
    (made, problems)
}

/// The texts that mutants of one file have, by kind.
fn texts(before: &str, after: &str) -> BTreeMap<MutantKind, Vec<String>> {
    let files = [("m.py", Some(before.as_bytes()), Some(after.as_bytes()))];
    let (made, problems) = run(&files, &MutantOptions::default());
    assert_eq!(problems, []);
    let trees = trees(&files, &made);
    if let Some(refused) = refused(trees.iter().map(|t| &t["m.py"][..])) {
        assert_eq!(refused, Vec::<String>::new());
    }
    let mut found: BTreeMap<MutantKind, Vec<String>> = BTreeMap::new();
    for (mutant, tree) in made.iter().zip(trees) {
        assert!(mutant.id.starts_with(mutant.kind.name()));
        assert!(!mutant.description.contains('\n') && mutant.description.contains("m.py"));
        let text = String::from_utf8(tree["m.py"].clone()).unwrap();
        found.entry(mutant.kind).or_default().push(text);
    }
    found
}

const BEFORE: &str = "\
import re


def clean(text, limit=10, strict=False):
    words = text.split()
    return words


def other(text):
    return text.split()
";

const AFTER: &str = "\
import re


def clean(text, limit=20, strict=False):
    if text is None or (strict and len(text) > limit):
        raise ValueError(\"bad\")
    words = text.strip().split(\" \", 1)
    total = 0
    for word in words[1:]:
        total += len(word) - 1
    try:
        return sorted(words, key=len), total
    except (TypeError, KeyError):
        return None


def other(text):
    return text.strip().split()
";

#[test]
fn python_is_changed_by_its_tree() {
    use MutantKind as K;
    let found = texts(BEFORE, AFTER);
    let has = |kind: K, from: &str, to: &str| {
        assert!(AFTER.contains(from), "{from}");
        let want = AFTER.replacen(from, to, 1);
        let texts = found.get(&kind).cloned().unwrap_or_default();
        assert!(texts.contains(&want), "{kind}: {from} -> {to}\n{}", texts.join("\n---\n"));
    };
    has(K::WrongDefault, "limit=20", "limit=21");
    has(K::WrongDefault, "limit=20", "limit=None");
    has(K::Condition, "if text is None or (strict and len(text) > limit)", "if text is None");
    has(K::OverEager, "strict and len(text) > limit", "strict");
    has(K::OverEager, "strict and len(text) > limit", "len(text) > limit");
    has(K::Operator, "text is None", "text is not None");
    has(K::Operator, "None or", "None and");
    has(K::OffByOne, "> limit", ">= limit");
    has(K::ExceptionSwallowed, "raise ValueError(\"bad\")", "pass");
    has(K::ExceptionType, "raise ValueError", "raise TypeError");
    has(K::ExceptionType, "(TypeError, KeyError)", "TypeError");
    has(K::ExceptionType, "(TypeError, KeyError)", "Exception");
    has(K::StatementDropped, "    words = text.strip().split(\" \", 1)\n", "");
    has(K::CallDropped, "text.strip().split(\" \", 1)", "text.split(\" \", 1)");
    has(K::ArgumentSwap, "\" \", 1", "1, \" \"");
    has(K::ArgumentDrop, "\" \", 1", "\" \"");
    has(K::ArgumentDrop, "words, key=len", "words");
    has(K::OffByOne, "words[1:]", "words[2:]");
    has(K::Operator, "+=", "-=");
    has(K::Operator, "+=", "=");
    has(
        K::ReturnValue,
        "return sorted(words, key=len), total",
        "return total, sorted(words, key=len)",
    );
    has(K::ReturnValue, "return sorted(words, key=len), total", "return None");
    has(K::HardCoded, "total = 0", "total = None");
    has(K::PartialRevert, "limit=20", "limit=10");
    // The last run of the hunk undone.
    has(K::PartialRevert, "text.strip().split()\n", "text.split()\n");
    assert!(found[&K::EarlyReturn].iter().any(|t| t.contains("    return None\n    if text is")));
    assert!(found[&K::WrongName].len() > 2, "{found:#?}");
    // The `not` of a whole condition has parentheses around it, not inside.
    let negated = &found[&K::Condition];
    assert!(
        negated
            .iter()
            .any(|t| t.contains("if not (text is None or (strict and len(text) > limit)):")),
        "{negated:#?}"
    );
}

#[test]
fn a_fix_in_several_places_is_made_in_the_first() {
    let before = "def f(x):\n    return x.a\n\n\n# 1\n# 2\n# 3\n# 4\n\ndef g(y):\n    return y.a\n";
    let after = before.replace(".a", ".b");
    let found = texts(before, &after);
    let first = before.replacen(".a", ".b", 1);
    assert_eq!(found[&MutantKind::FirstOnly], [first]);
}

#[test]
fn branches_and_guards_of_gold_are_mistaken() {
    let before = "def f(x):\n    y = x\n    return y\n";
    let after = "def f(x):\n    y = x\n    if x > 2:\n        y = x - 1\n    else:\n        y = 0\n    return y if y else x\n";
    let found = texts(before, after);
    let other = "    if x > 2:\n        y = 0\n    else:\n        y = x - 1\n";
    assert!(found[&MutantKind::OtherBranch].iter().any(|t| t.contains(other)));
    assert!(found[&MutantKind::OtherBranch].iter().any(|t| t.contains("return x\n")));
    assert!(found[&MutantKind::OverEager].iter().any(|t| t.contains("if True:")));
    assert!(found[&MutantKind::HardCoded].iter().any(|t| t.contains("if False:")));
    // A guard around what was there before: what it holds is done always.
    let found = texts(
        "def f(x):\n    x()\n    return 1\n",
        "def f(x):\n    if x:\n        x()\n    return 1\n",
    );
    // That is the base again, so there is no such mutant.
    assert!(!found.contains_key(&MutantKind::OverEager));
    assert!(found[&MutantKind::Condition].iter().any(|t| t.contains("if not x:")));
}

#[test]
fn what_gold_deletes_comes_back() {
    let before =
        "def f(x):\n    a()\n    b()\n    c()\n    d()\n    return x\n\ndef g(): return 1\n";
    let after = "def f(x):\n    return x\n\ndef g(): return 2\n";
    let found = texts(before, after);
    let half = "def f(x):\n    a()\n    b()\n    return x\n\ndef g(): return 2\n";
    assert!(found[&MutantKind::PartialRevert].iter().any(|t| t == half), "{found:#?}");
}

#[test]
fn crlf_stays() {
    let before = BEFORE.replace('\n', "\r\n");
    let after = AFTER.replace('\n', "\r\n");
    for text in texts(&before, &after).values().flatten() {
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
    }
}

#[test]
fn other_files_are_changed_by_lines_or_whole() {
    let python = b"def f():\n    return 1\n";
    let moved = [BEFORE.as_bytes(), b"\n# More.\nX = 1\n"].concat();
    let c_before = b"int f(int a) {\n    return a;\n}\n";
    let c_after =
        b"int f(int a) {\n    if (a <= 0 && a != -3)\n        return 0;\n    return a;\n}\n";
    let files: Vec<Edited<'_>> = vec![
        ("CHANGES.md", Some(b"a\n"), Some(b"a\nb\n")),
        ("ext/x.c", Some(c_before), Some(c_after)),
        ("data.bin", Some(b"\0\x01\x02"), Some(b"\0\x03")),
        ("gone.py", Some(python), None),
        ("new.py", None, Some(b"def g(x):\n    x += 1\n    return x\n")),
        ("old_name.py", Some(BEFORE.as_bytes()), None),
        ("new_name.py", None, Some(&moved)),
        ("py2.py", Some(b"print 'a'\n"), Some(b"print 'b'\nx = 1\n")),
        ("tests/test_a.py", Some(b"x = 1\n"), Some(b"x = 2\n")),
    ];
    let (made, problems) = run(&files, &MutantOptions::default());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].path == "py2.py" && problems[0].what.contains("by lines only"));
    let trees = trees(&files, &made);
    for tree in &trees {
        // What is never executed stays as gold has it.
        assert_eq!(tree["CHANGES.md"], b"a\nb\n");
        assert_eq!(tree["tests/test_a.py"], b"x = 2\n");
    }
    let dropped: Vec<&str> = made
        .iter()
        .filter(|m| m.kind == MutantKind::FileDropped)
        .map(|m| m.description.strip_prefix("no change of ").unwrap())
        .collect();
    assert_eq!(dropped, ["data.bin", "ext/x.c", "gone.py", "new.py", "new_name.py", "py2.py"]);
    let c: Vec<String> =
        trees.iter().map(|t| String::from_utf8_lossy(&t["ext/x.c"]).into_owned()).collect();
    for want in ["a < 0 &&", "a <= 0 ||", "a == -3", "    if (a <= 0 && a != -3)\n    return a;"] {
        assert!(c.iter().any(|t| t.contains(want)), "{want}");
    }
    assert!(trees.iter().any(|t| !t.contains_key("new_name.py") && t.contains_key("old_name.py")));
    assert!(
        trees.iter().any(|t| t.get("new.py").is_some_and(|t| t == b"def g(x):\n    return x\n"))
    );
    assert!(trees.iter().any(|t| t["py2.py"] == b"print 'b'\n"));
}

#[test]
fn gold_that_changes_only_words_has_no_mutants() {
    let files: Vec<Edited<'_>> = vec![("docs/a.rst", Some(b"a\n"), Some(b"b\n"))];
    let (made, problems) = run(&files, &MutantOptions::default());
    assert_eq!((made.len(), problems.len()), (0, 1));
    // A comment is no fix: dropping it changes nothing.
    let files: Vec<Edited<'_>> = vec![
        ("a.py", Some(b"x = 1\n"), Some(b"# Words.\nx = 1\n")),
        ("b.py", Some(b"x = f(1)\n"), Some(b"x = f(2)\n")),
    ];
    let (made, _) = run(&files, &MutantOptions::default());
    assert!(made.iter().all(|m| !m.description.contains("a.py")), "{made:#?}");
    assert!(!made.is_empty());
}

#[test]
fn fewer_mutants_are_spread() {
    let files = [("m.py", Some(BEFORE.as_bytes()), Some(AFTER.as_bytes()))];
    let limited = |max, seed| {
        run(&files, &MutantOptions { seed, max: Some(max), ..MutantOptions::default() }).0
    };
    let all = run(&files, &MutantOptions::default()).0;
    let some = limited(16, 1);
    assert_eq!(some.len(), 16);
    let kinds: BTreeSet<_> = some.iter().map(|m| m.kind).collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
    assert_eq!(some, limited(16, 1));
    assert_ne!(some, limited(16, 2));
    // Fewer are a part of more.
    let more: BTreeSet<String> = limited(40, 1).into_iter().map(|m| m.id).collect();
    assert!(some.iter().all(|m| more.contains(&m.id)));
    assert!(all.len() > 60, "{}", all.len());
    let only = MutantOptions { kinds: vec![MutantKind::OffByOne], ..MutantOptions::default() };
    assert!(run(&files, &only).0.iter().all(|m| m.kind == MutantKind::OffByOne));
}
